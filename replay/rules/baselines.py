"""Baselines: audit the state with each dump or reading of kpageflags, then apply it where it may correct the state."""

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pagetrail.replay.facts.clock import owner_clock
from pagetrail.replay.facts.doubts_aside import MOST_DOUBTS_OF_A_DUMP
from pagetrail.replay.facts.facts import Audit
from pagetrail.replay.fold.decode import decode
from pagetrail.replay.fold.notice_jit import doubt_each
from pagetrail.replay.fold.options import OPT_FLOOR, OPT_GFP_COMP, OPT_GFP_ISOLATED, OPT_MAX_PFN, OPT_SKEW
from pagetrail.replay.fold.section_jit import apply_baseline, apply_silence
from pagetrail.replay.fold.tables import (
    LIVE,
    ROWS_A_PAGE,
    ROWS_BESIDES,
    with_doubted,
    with_doubts,
    with_drafts,
    with_records,
)
from pagetrail.replay.rules.dumped.noting import Dump, Known, said_by
from pagetrail.replay.rules.dumped.said import with_parts
from pagetrail.replay.rules.dumps.audit import DumpAudit, differences_of
from pagetrail.replay.rules.dumps.in_order import in_order
from pagetrail.replay.rules.dumps.in_sections import in_whole_sections
from pagetrail.replay.rules.dumps.page_set import PageSet
from pagetrail.replay.rules.event_row import EventRow
from pagetrail.replay.rules.free_baseline import compare_free, free_runs, set_free
from pagetrail.replay.rules.open_baseline import OpenBaseline
from pagetrail.replay.rules.own_blocks import split_own_blocks
from pagetrail.replay.rules.page_owner_baseline import (
    Comparison,
    Entries,
    actions,
    compare,
    difference_class,
    handles_of,
    heads_of,
    impossible_entries,
)
from pagetrail.replay.rules.state import StreamState
from pagetrail.schemas.batch import EventBatch, concat
from pagetrail.schemas.details import BaselineBegin
from pagetrail.schemas.owner import ABSENT64, DOUBT_BASELINE, OPEN_END, Anomaly
from pagetrail.schemas.store.memory import give_back

_DRAFTS: Final = 1 << 12
"""Records of a dump for which room is made at once before their events are complete."""

_DIFFERENCES_AT_ONCE: Final = 1 << 13
"""Rows that are kept together, and taken out together later."""


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
    applied = state.correct or not state.facts.was_audited(kind)
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
    """Take a page_owner dump, some sections after others: no rule looks beyond a section."""
    possible = _quarantine_impossible(state, opened, seq, ts)
    early = applied and possible and _all_taken(state, opened)
    opened = in_order(opened)
    audit = DumpAudit(pages_per_section=state.facts.pages_per_section)
    clock = owner_clock(state.facts.clocks)
    swappers = [state.comms.intern(stamp.comm) for stamp in state.facts.rules.early_stamps if stamp.comm is not None]
    state.tables = with_records(state.tables, _new_records(state, opened))
    untouched = PageSet(pages_per_section=state.facts.pages_per_section)
    pieces = (_possible(state, batch) for batch in opened.batches())
    for sections, listed in in_whole_sections(pieces, int(state.opts[OPT_GFP_COMP]), state.facts.pages_per_section):
        entries = _in_sections(state, listed, opened.since, seq, ts, applied=applied)
        seen = compare(state.tables, state.opts, entries, opened.since, clock, swappers, sections)
        kinds = difference_class(seen, entries, int(state.opts[OPT_GFP_ISOLATED]))
        audit.add(entries, seen, kinds)
        differences = differences_of(seen, entries, kinds, clock, seq=seq, name=opened.begin.name)
        for first in range(0, differences.num_rows, _DIFFERENCES_AT_ONCE):
            state.differences.add(differences.slice(first, _DIFFERENCES_AT_ONCE))
        if applied:
            _apply(state, opened, entries, seen, seq, ts)
            if early:
                end_unlisted(state, audit.listed, sections, seq, ts)
            untouched.add(entries.pfn[heads_of(entries) & ~seen.touched])
        state.complete_begun()
        give_back()
    whole = applied and _is_whole(opened, audit)
    state.facts.audits.append(audit.audit(seq=seq, ts=ts, name=opened.begin.name, applied=applied, whole=whole))
    if applied:
        state.tables = split_own_blocks(state.tables, state.facts.boot, state.facts.rules, seq, ts)
        _apply_silence(state, opened, audit, seq, ts)
        state.complete_begun()
        _note_said(state, opened, untouched, seq, ts)


def _note_said(state: StreamState, opened: OpenBaseline, pages: PageSet, seq: int, ts: int) -> None:
    """Note what the dump says of *pages* beside their owners: those that were not touched while it was read."""
    known = Known(tables=state.tables, comms=state.comms, stacks=state.stacks)
    parts = []
    for batch in opened.batches():
        dump = Dump(batch=batch, seq=seq, ts=ts, window_begin=opened.begin.window_begin)
        parts.append(said_by(dump, pages, known, state.said.texts))
        give_back()
    if parts:
        state.said = with_parts(state.said, parts)


def _new_records(state: StreamState, opened: OpenBaseline) -> int:
    """Return for how many records a dump needs room, at most: where a page is owned already, it replaces the record.

    Tables that grow while a dump is applied would have to be moved again and again; a dump may have a record for every page.
    """
    new = max(opened.entries + opened.larger - int(state.tables.counts[LIVE]), 0)
    return new + ROWS_A_PAGE * state.facts.pages_per_section + ROWS_BESIDES


def _all_taken(state: StreamState, opened: OpenBaseline) -> bool:
    """Return whether it is known before that a whole dump will be whole, and that only its own sections will need what it ends.

    Then what it does not list can end with each of its parts. Sections that are gone may leave records out; ``split_own_blocks``
    looks at all sections.
    """
    facts = state.facts
    gone = any(opened.since <= e.end_ts < OPEN_END for e in facts.sections)
    elsewhere = facts.boot is not None and (
        facts.boot.page_ext_bytes is not None or facts.boot.memory_model == "FLATMEM"
    )
    return opened.begin.extent == "whole" and not opened.begin.skipped and not gone and not elsewhere


def _quarantine_impossible(state: StreamState, opened: OpenBaseline, seq: int, ts: int) -> bool:
    """Quarantine the records of impossible blocks, in the order of the dump; return whether there are none."""
    found = False
    for pfn, order in opened.blocks():
        why = _why_impossible(state, pfn, order)
        for row in np.flatnonzero(why).tolist():
            state.quarantine(Anomaly(int(why[row])), seq, ts, int(pfn[row]), int(order[row]))
        found = found or bool(why.any())
    return not found


def _why_impossible(state: StreamState, pfn: NDArray[np.int64], order: NDArray[np.int8]) -> NDArray[np.int64]:
    return impossible_entries(pfn, order, state.facts.pages_per_section, int(state.opts[OPT_MAX_PFN]))


def _possible(state: StreamState, batch: EventBatch) -> Entries:
    """Return records of a dump without those of impossible blocks."""
    e = decode(batch, state.comms, state.stacks)
    why = _why_impossible(state, e.pfn, e.order)
    columns = {
        "pfn": e.pfn, "order": e.order, "pid": e.pid, "tgid": e.tgid, "comm": e.comm, "gfp_mask": e.gfp_mask,
        "migratetype": e.migratetype, "stack": e.stack, "ts_nsec": batch.column("ts_nsec"),
        "free_ts_nsec": batch.column("free_ts_nsec"), "migrate_reason": batch.column("migrate_reason"),
    }  # fmt: skip
    return Entries(**{name: np.require(column[why == 0], None, ["C", "W"]) for name, column in columns.items()})


def _in_sections(state: StreamState, entries: Entries, since: int, seq: int, ts: int, *, applied: bool) -> Entries:
    """Open the sections that the dump names; leave out records of sections that ended while it was read.

    Only a dump that is *applied* says something of their pages, for which there has to be memory.
    """
    section = entries.pfn // state.facts.pages_per_section
    gone = {e.section_nr for e in state.facts.sections if since <= e.end_ts < OPEN_END}
    named = np.unique(section).tolist()
    for section_nr in named:
        if section_nr not in gone:
            state.open_inferred(section_nr, seq, ts)
    if applied:
        state.seat_open(named)
    there = np.isin(section, [nr for nr in named if state.sections.is_open(nr)])
    for row in np.flatnonzero(~there).tolist():
        if state.beyond_nodes(int(section[row])):
            state.quarantine(Anomaly.BEYOND_MACHINE, seq, ts, int(entries.pfn[row]), int(entries.order[row]))
    return entries if there.all() else Entries(*(np.require(c[there], None, ["C", "W"]) for c in entries))


def _apply(state: StreamState, opened: OpenBaseline, b: Entries, c: Comparison, seq: int, ts: int) -> None:
    action = actions(c, b, renew_before(state), owner_clock(state.facts.clocks))
    state.tables = with_drafts(state.tables, _DRAFTS)
    done = 0
    while done < b.pfn.size:
        done = apply_baseline(
            state.tables, state.opts, b, action, c.early, seq, ts, opened.begin.window_begin, opened.since, done
        )
        if done < b.pfn.size:
            state.complete_begun()
            state.make_room(min(1 << int(b.order[done]), state.facts.pages_per_section), MOST_DOUBTS_OF_A_DUMP)


def _apply_silence(state: StreamState, opened: OpenBaseline, audit: DumpAudit, seq: int, ts: int) -> None:
    """Cast doubt on blocks that a complete dump does not list; a whole one also ends what rests on earlier dumps alone."""
    if opened.begin.skipped or opened.begin.extent == "partial":
        return  # in an incomplete dump, a missing record proves nothing
    whole = _is_whole(opened, audit)
    if whole:
        end_unlisted(state, audit.listed, range(state.tables.slot.size), seq, ts)
    for extra in audit.take_extra():
        there = handles_of(state.tables, state.tables.owner, extra["pfn"]) >= 0
        some = extra[there] if whole else extra  # what was ended is in no further doubt
        if not some.size:
            continue
        state.doubts_aside.take(state.tables, MOST_DOUBTS_OF_A_DUMP)
        state.tables = with_doubted(with_doubts(state.tables, int(some.size)))
        pfn, nr_pages, from_ts = (some[name].copy() for name in ("pfn", "nr_pages", "from_ts"))
        doubt_each(state.tables, pfn, nr_pages, from_ts, ts, seq, DOUBT_BASELINE)
        give_back()


def _is_whole(opened: OpenBaseline, audit: DumpAudit) -> bool:
    """Return whether a dump lists all that the kernel has records of, and all its records can be."""
    return opened.begin.extent == "whole" and not opened.begin.skipped and audit.records == opened.entries


def end_unlisted(
    state: StreamState, listed: Mapping[int, NDArray[np.uint8]], sections: range, seq: int, ts: int
) -> None:
    """End what rests on earlier dumps alone, on pages of *sections* that a whole dump does not list.

    *listed* has a bit a page, by section.
    """
    pages = state.facts.pages_per_section
    nothing = np.zeros(pages, np.bool_)
    there = state.tables.slot[sections.start : sections.stop] >= 0
    for section_nr in (sections.start + np.flatnonzero(there)).tolist():
        bits = listed.get(section_nr)
        names = nothing if bits is None else np.unpackbits(bits, count=pages).view(np.bool_)
        state.make_room(pages, MOST_DOUBTS_OF_A_DUMP)
        slot, generation = int(state.tables.slot[section_nr]), int(state.tables.generation[section_nr])
        apply_silence(state.tables, slot, section_nr * pages, generation, names, seq, ts)


# -- kpageflags ----------------------------------------------------------------------------------------------------------


def _kpageflags(state: StreamState, opened: OpenBaseline, seq: int, ts: int, applied: bool) -> None:
    """Audit with a reading of kpageflags, and apply it: only the BUDDY bit proves that a page is free."""
    batch = concat(list(opened.batches())) if opened.entries else None
    runs = []
    if batch is not None:
        pfn, nr_pages, flags = (batch.column(name) for name in ("pfn", "nr_pages", "page_flags"))
        runs = free_runs(pfn, nr_pages, flags, state.facts.pages_per_section, int(state.opts[OPT_MAX_PFN]))
    if opened.begin.extent == "partial":  # it names single pages: their sections are there
        for first, _ in runs:
            state.open_inferred(first // state.facts.pages_per_section, seq, ts)
    state.seat_open({first // state.facts.pages_per_section for first, _ in runs})
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
