"""Baselines: audit the state with each dump or reading of kpageflags, then apply it where it may correct the state."""

import numpy as np
from numpy.typing import NDArray

from pagetrail.replay.facts.clock import owner_clock, owner_ts
from pagetrail.replay.facts.facts import Audit
from pagetrail.replay.fold.decode import decode
from pagetrail.replay.fold.notice_jit import doubt_on
from pagetrail.replay.fold.options import OPT_FLOOR, OPT_GFP_COMP, OPT_GFP_ISOLATED, OPT_MAX_PFN, OPT_SKEW
from pagetrail.replay.fold.section_jit import apply_baseline, apply_silence
from pagetrail.replay.fold.tables import with_room
from pagetrail.replay.rules.dumped.noting import Dump, Known, with_dump
from pagetrail.replay.rules.event_row import EventRow
from pagetrail.replay.rules.free_baseline import compare_free, free_runs, set_free
from pagetrail.replay.rules.open_baseline import OpenBaseline
from pagetrail.replay.rules.own_blocks import split_own_blocks
from pagetrail.replay.rules.page_owner_baseline import (
    Comparison,
    Entries,
    actions,
    by_section,
    compare,
    difference_class,
    handles_of,
    heads_of,
    impossible_entries,
    no_entries,
)
from pagetrail.replay.rules.state import StreamState
from pagetrail.schemas.batch import concat
from pagetrail.schemas.details import BaselineBegin
from pagetrail.schemas.owner import ABSENT64, DOUBT_BASELINE, OPEN_END, Anomaly


def begin_baseline(state: StreamState, event: EventRow) -> None:
    """Begin to collect a baseline's records; no segment ends before the baseline, so no state has half of one."""
    drop_baseline(state)
    begin = event.detail(BaselineBegin)
    since = begin.window_begin - int(state.opts[OPT_SKEW])
    state.baseline = OpenBaseline(begin, event.seq, int(state.opts[OPT_FLOOR]), since)
    state.opts[OPT_FLOOR] = OPEN_END


def drop_baseline(state: StreamState) -> OpenBaseline | None:
    """Drop the open baseline, if there is one, and return it."""
    opened, state.baseline = state.baseline, None
    if opened is not None:
        state.opts[OPT_FLOOR] = opened.floor
    return opened


def end_baseline(state: StreamState, event: EventRow) -> None:
    """Take a complete baseline: see ``take_baseline``."""
    opened = drop_baseline(state)
    if opened is not None:
        take_baseline(state, opened, event.seq, event.ts)


def take_baseline(state: StreamState, opened: OpenBaseline, seq: int, ts: int) -> None:
    """Audit the state with a complete baseline, then let the baseline set and correct it.

    A fold without correction applies only the first baseline of each kind.
    """
    kind = opened.begin.view
    applied = state.correct or not any(audit.view == kind for audit in state.facts.audits)
    if kind == "page_owner":
        _page_owner(state, opened, seq, ts, applied)
    else:
        _kpageflags(state, opened, seq, ts, applied)


def renew_before(state: StreamState) -> int:
    """Return the time (trace clock, ns) at which coverage last began or a gap ended: a baseline renews evidence from before."""
    times = [] if state.coverage.renewed is None else [state.coverage.renewed]
    times += [gap.t_hi + 1 for _, _, gap in state.facts.gaps]
    times += [] if state.facts.lost_until is None else [state.facts.lost_until + 1]
    return max(times, default=ABSENT64)


# -- page_owner ----------------------------------------------------------------------------------------------------------


def _page_owner(state: StreamState, opened: OpenBaseline, seq: int, ts: int, applied: bool) -> None:
    entries = _in_sections(state, _entries(state, opened, seq, ts), opened.since, seq, ts)
    clock = owner_clock(state.facts.clocks)
    swappers = [state.comms.intern(stamp.comm) for stamp in state.facts.rules.early_stamps if stamp.comm is not None]
    seen = compare(state.tables, state.opts, entries, opened.since, clock, swappers)
    _audit(state, opened, entries, seen, seq, ts, applied)
    if applied:
        _apply(state, opened, entries, seen, seq, ts)
        _note_said(state, opened, entries.pfn[heads_of(entries) & ~seen.touched], seq, ts)


def _note_said(state: StreamState, opened: OpenBaseline, pages: NDArray[np.int64], seq: int, ts: int) -> None:
    """Note what the dump says of *pages* beside their owners: those that were not touched while it was read."""
    if opened.batches:
        dump = Dump(batch=concat(opened.batches), seq=seq, ts=ts, window_begin=opened.begin.window_begin)
        known = Known(tables=state.tables, comms=state.comms, stacks=state.stacks)
        state.said = with_dump(state.said, dump, pages, known)


def _entries(state: StreamState, opened: OpenBaseline, seq: int, ts: int) -> Entries:
    """Return the dump's records by page frame number; quarantine those of impossible blocks."""
    if not opened.batches:
        return no_entries()
    batch = concat(opened.batches)
    e = decode(batch, state.comms, state.stacks)
    order = np.argsort(e.pfn, kind="stable")
    why = impossible_entries(e.pfn, e.order, state.facts.pages_per_section, int(state.opts[OPT_MAX_PFN]))
    for row in np.flatnonzero(why).tolist():
        state.quarantine(Anomaly(int(why[row])), seq, ts, int(e.pfn[row]), int(e.order[row]))
    possible = order[why[order] == 0]
    columns = {
        "pfn": e.pfn, "order": e.order, "pid": e.pid, "tgid": e.tgid, "comm": e.comm, "gfp_mask": e.gfp_mask,
        "migratetype": e.migratetype, "stack": e.stack, "ts_nsec": batch.column("ts_nsec"),
        "free_ts_nsec": batch.column("free_ts_nsec"), "migrate_reason": batch.column("migrate_reason"),
    }  # fmt: skip
    entries = Entries(**{name: np.require(column[possible], None, ["C", "W"]) for name, column in columns.items()})
    return by_section(entries, int(state.opts[OPT_GFP_COMP]), state.facts.pages_per_section)


def _in_sections(state: StreamState, entries: Entries, since: int, seq: int, ts: int) -> Entries:
    """Open the sections that the dump names; leave out records of sections that ended while it was read."""
    section = entries.pfn // state.facts.pages_per_section
    gone = {e.section_nr for e in state.facts.sections if since <= e.end_ts < OPEN_END}
    named = np.unique(section).tolist()
    for section_nr in named:
        if section_nr not in gone:
            state.open_inferred(section_nr, seq, ts)
    there = np.isin(section, [nr for nr in named if state.sections.is_open(nr)])
    for row in np.flatnonzero(~there).tolist():
        if state.beyond_nodes(int(section[row])):
            state.quarantine(Anomaly.BEYOND_MACHINE, seq, ts, int(entries.pfn[row]), int(entries.order[row]))
    return entries if there.all() else Entries(*(np.require(c[there], None, ["C", "W"]) for c in entries))


def _audit(
    state: StreamState, opened: OpenBaseline, b: Entries, c: Comparison, seq: int, ts: int, applied: bool
) -> None:
    names = difference_class(c, b, int(state.opts[OPT_GFP_ISOLATED]))
    pages = np.minimum(np.int64(1) << b.order.astype(np.int64), state.facts.pages_per_section)
    head = heads_of(b)
    differs = np.flatnonzero(~c.agree & head)
    kinds, counts = np.unique(names[differs], return_counts=True)
    classes = {str(kind): int(count) for kind, count in zip(kinds, counts, strict=True)}
    if c.extra.size:
        classes["not in the dump"] = int(c.extra.size)
    where, times = np.unique(b.pfn[differs] // state.facts.pages_per_section, return_counts=True)
    state.facts.audits.append(
        Audit(
            seq=seq, ts=ts, name=opened.begin.name, records=int(head.sum()), agree=int((c.agree & head).sum()),
            pages=int(pages.sum()), agree_pages=int(pages[c.agree].sum()), extra=int(c.extra.size), applied=applied,
            classes=classes,
            sections={str(nr): int(count) for nr, count in zip(where.tolist(), times.tolist(), strict=True)},
        )
    )  # fmt: skip
    clock = owner_clock(state.facts.clocks)
    state.differences.append(
        {
            "seq": seq, "name": opened.begin.name, "pfn": b.pfn[differs], "class": names[differs],
            "order": b.order[differs], "pid": b.pid[differs], "tgid": b.tgid[differs],
            "gfp_mask": b.gfp_mask[differs], "ts_nsec": b.ts_nsec[differs], "ours": c.ours[differs],
            "ours_ts": owner_ts(c.ours[differs], clock), "extra": c.extra, "extra_ours": c.extra_ours,
            "extra_ts": owner_ts(c.extra_ours, clock),
        }
    )  # fmt: skip


def _apply(state: StreamState, opened: OpenBaseline, b: Entries, c: Comparison, seq: int, ts: int) -> None:
    clock = owner_clock(state.facts.clocks)
    action = actions(c, b, renew_before(state), clock)
    done = 0
    while done < b.pfn.size:
        done = apply_baseline(
            state.tables, state.opts, b, action, c.early, seq, ts, opened.begin.window_begin, opened.since, done
        )
        if done < b.pfn.size:
            state.tables = with_room(state.tables, min(1 << int(b.order[done]), state.facts.pages_per_section))
    state.tables = split_own_blocks(state.tables, state.facts.boot, seq, ts)
    if opened.begin.skipped or opened.begin.extent == "partial":
        return  # in an incomplete dump, a missing record proves nothing
    extra, extra_ours = c.extra, c.extra_ours
    if opened.begin.extent == "whole" and heads_of(b).sum() == sum(map(len, opened.batches)):
        end_unlisted(state, b, seq, ts)
        there = handles_of(state.tables, state.tables.owner, extra) >= 0  # what was ended is in no further doubt
        extra, extra_ours = extra[there], extra_ours[there]
    state.tables = with_room(state.tables, int(extra.size) + 1)
    for pfn, ours in zip(extra.tolist(), extra_ours, strict=True):
        pages = 1 << max(int(ours["order"]), 0)
        doubt_on(state.tables, pfn, pages, int(ours["evidence_ts"]), ts, seq, DOUBT_BASELINE)


def end_unlisted(state: StreamState, b: Entries, seq: int, ts: int) -> None:
    """End what rests on earlier dumps alone, on pages that a whole dump does not list."""
    pages = state.facts.pages_per_section
    section, first = b.pfn // pages, b.pfn % pages
    for section_nr in np.flatnonzero(state.tables.slot >= 0).tolist():
        inside = slice(*np.searchsorted(section, [section_nr, section_nr + 1]).tolist())  # entries rise by pfn
        rises = np.zeros(pages + 1, np.int64)
        np.add.at(rises, first[inside], 1)
        np.add.at(rises, np.minimum(first[inside] + (np.int64(1) << b.order[inside].astype(np.int64)), pages), -1)
        listed = np.cumsum(rises[:-1]) > 0
        state.tables = with_room(state.tables, pages)
        slot, generation = int(state.tables.slot[section_nr]), int(state.tables.generation[section_nr])
        apply_silence(state.tables, slot, section_nr * pages, generation, listed, seq, ts)


# -- kpageflags ----------------------------------------------------------------------------------------------------------


def _kpageflags(state: StreamState, opened: OpenBaseline, seq: int, ts: int, applied: bool) -> None:
    """Audit with a reading of kpageflags, and apply it: only the BUDDY bit proves that a page is free."""
    batch = concat(opened.batches) if opened.batches else None
    runs = []
    if batch is not None:
        pfn, nr_pages, flags = (batch.column(name) for name in ("pfn", "nr_pages", "page_flags"))
        runs = free_runs(pfn, nr_pages, flags, state.facts.pages_per_section, int(state.opts[OPT_MAX_PFN]))
    if opened.begin.extent == "partial":  # it names single pages: their sections are there
        for first, _ in runs:
            state.open_inferred(first // state.facts.pages_per_section, seq, ts)
    seen = compare_free(state.tables, runs, opened.since)
    state.facts.audits.append(
        Audit(
            seq=seq, ts=ts, name=opened.begin.name, records=seen.pages, agree=seen.agree, pages=seen.pages,
            agree_pages=seen.agree, extra=0, applied=applied, view="kpageflags", classes=seen.classes,
        )
    )  # fmt: skip
    if applied:
        before = renew_before(state)
        state.tables = set_free(
            state.tables, state.opts, runs, seq, ts, opened.begin.window_begin, opened.since, before
        )
