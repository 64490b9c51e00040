"""A page_owner dump against replay: compare record by record, then confirm, correct or set.

Differences are found before any correction, in the kernel's view: where the kernel's record is known to be wrong (early pages
and ghosts, classes 1 and 6), the dump is compared with that record.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pagetrail.replay.facts.clock import EARLY_ERROR_NSEC, OwnerClock, owner_ts
from pagetrail.replay.fold.options import OPT_EARLY_GFP, OPT_EARLY_ORDER, OPT_EARLY_PID, OPT_EARLY_PID_DEFERRED
from pagetrail.replay.fold.records.held import held, records_of
from pagetrail.replay.fold.section_jit import CONFIRM, KERNEL_VIEW, LEAVE, SET
from pagetrail.replay.fold.tables import Array, Tables
from pagetrail.schemas.linux.mmzone import MAX_FOLIO_ORDER
from pagetrail.schemas.owner import (
    ABSENT8,
    ABSENT32,
    ABSENT64,
    OPEN_END,
    RECORD_DTYPE,
    SAME_TS_NSEC,
    Anomaly,
    Evidence,
    State,
)

CLASSES: Final = (
    "agree", "early", "early, unseen", "ghost", "isolated", "migrated", "missing", "other owner", "other time", "owner unknown",
    "split", "touched during the dump",
)  # fmt: skip
"""How a record of a dump and the state before it may differ."""


class Entries(NamedTuple):
    """m records of a page_owner dump."""

    pfn: Array  # int64
    order: Array  # int8
    pid: Array  # int32
    tgid: Array  # int32
    comm: Array  # int32
    gfp_mask: Array  # int64
    migratetype: Array  # int8
    stack: Array  # int32
    ts_nsec: Array  # int64
    free_ts_nsec: Array  # int64
    migrate_reason: Array  # int8


def no_entries() -> Entries:
    """Return no records, in the types of a dump."""
    small = dict.fromkeys(("order", "migratetype", "migrate_reason"), np.int8)
    middle = dict.fromkeys(("pid", "tgid", "comm", "stack"), np.int32)
    return Entries(**{name: np.zeros(0, (small | middle).get(name, np.int64)) for name in Entries._fields})


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A dump compared with the state before it.

    Attributes
    ----------
    ours
        (m,) RECORD_DTYPE: the kernel's view of the head page of each record; state UNKNOWN where nothing was known.
    proven
        (m,) RECORD_DTYPE: the proven view of that page.
    agree, touched, early, viewed
        (m,) bool: the record agrees; its page was touched while the dump was read; it is page_owner's own early stamp; the
        kernel's view differs from the proven one.
    extra
        (x,) int64: heads of blocks that replay has as owned and the dump does not list.
    extra_ours
        (x,) RECORD_DTYPE: replay's records of them.
    """

    ours: Array  # void
    proven: Array  # void
    agree: Array  # bool_
    touched: Array  # bool_
    early: Array  # bool_
    viewed: Array  # bool_
    extra: Array  # int64
    extra_ours: Array  # void


def impossible_entries(
    pfn: NDArray[np.int64], order: NDArray[np.int8], pages_per_section: int, max_pfn: int
) -> NDArray[np.int64]:
    """Return why each record's block is impossible (an Anomaly), or 0. A dump lists heads, so they must be aligned.

    A block larger than a section is no block of the buddy allocator's, but may be a contiguous range, up to ``MAX_FOLIO_ORDER``.

    Source: mm/page_owner.c, read_page_owner (Linux 6.1).
    """
    high = order.astype(np.int64)
    bad = (high < 0) | (high > max(MAX_FOLIO_ORDER, pages_per_section.bit_length() - 1))
    size = np.int64(1) << np.where(bad, 0, high)
    why = np.where(pfn & (size - 1), int(Anomaly.UNALIGNED), 0)
    why = np.where((pfn < 0) | (pfn > max_pfn - size), int(Anomaly.BEYOND_MACHINE), why)
    return np.asarray(np.where(bad, int(Anomaly.BAD_ORDER), why))


def by_section(entries: Entries, gfp_comp: int, pages_per_section: int) -> Entries:
    """Return *entries* with an entry for each section that a block larger than a section covers.

    The tails in later sections are left out where they are not surely the head's, as in ``section_jit.set_owner``.
    """
    large = (np.int64(1) << entries.order.astype(np.int64)) // pages_per_section
    whole = ((entries.gfp_mask & gfp_comp) != 0) & (entries.migrate_reason < 0)
    sections = np.where((large > 1) & whole, large, 1)
    if not (sections > 1).any():
        return entries
    row = np.repeat(np.arange(sections.size), sections)
    place = np.arange(row.size) - np.repeat(np.cumsum(sections) - sections, sections)
    pfn = entries.pfn[row] + place * pages_per_section
    split = Entries(*(column[row] for column in entries))._replace(pfn=pfn)
    order = np.argsort(pfn, kind="stable")
    return Entries(*(np.require(column[order], None, ["C", "W"]) for column in split))


def heads_of(entries: Entries) -> NDArray[np.bool_]:
    """Return which entries are records of the dump: not what ``by_section`` made of their tails."""
    return np.asarray(entries.pfn & ((np.int64(1) << entries.order.astype(np.int64)) - 1) == 0)


def stamped_early(o: Array, entries: Entries, swappers: Sequence[int]) -> NDArray[np.bool_]:
    """Return which records are the stamps that page_owner gave pages allocated before it started: see ``EarlyStamp``.

    *swappers* are the ids of such stamps' comms; a dump without comms is judged by the other fields.
    """
    own = (
        (entries.order == o[OPT_EARLY_ORDER])
        & (entries.gfp_mask == o[OPT_EARLY_GFP])
        & ((entries.pid == o[OPT_EARLY_PID]) | (entries.pid == o[OPT_EARLY_PID_DEFERRED]))
    )
    named = entries.comm >= 0
    return np.asarray(own & (~named | np.isin(entries.comm, swappers)))


def compare(
    t: Tables,
    o: Array,
    entries: Entries,
    since: int,
    clock: OwnerClock | None,
    swappers: Sequence[int],
    sections: range,
) -> Comparison:
    """Compare a dump's records of some *sections*, all of them, with the state.

    Records of pages touched at or after *since* prove nothing.
    """
    proven, ours, viewed = _heads(t, entries.pfn)
    early = stamped_early(o, entries, swappers)
    touched = (proven["state"] != State.UNKNOWN) & (proven["begin_ts"] >= since)
    touched |= viewed & (ours["begin_ts"] >= since)  # a ghost may have gone to the buddy allocator, or come back
    agree = (
        (ours["state"] == State.OWNED)
        & (ours["order"] == entries.order)
        & _same_pid(ours, entries)
        & (ours["gfp_mask"] == entries.gfp_mask)
        & _same_ts(ours, entries, clock)
        & ~_other_stack(ours, entries)
    )
    extra, extra_ours = _extra(t, entries, since, sections)
    return Comparison(
        ours=ours,
        proven=proven,
        agree=agree,
        touched=touched,
        early=early,
        viewed=viewed,
        extra=extra,
        extra_ours=extra_ours,
    )


def handles_of(t: Tables, view: Array, pfn: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the handle that each page has in a *view*, ``t.owner`` or ``t.kernel``; -1 where there is none."""
    pages = t.owner.shape[1]
    section = pfn // pages
    present = section < t.slot.size
    slot = np.where(present, t.slot[np.where(present, section, 0)], -1) if t.slot.size else np.full(pfn.size, -1)
    there = slot >= 0
    found = np.full(pfn.size, -1, np.int64)
    found[there] = view[slot[there], (pfn % pages)[there]]
    return found


def _heads(t: Tables, pfn: NDArray[np.int64]) -> tuple[NDArray[np.void], NDArray[np.void], NDArray[np.bool_]]:
    proven, kernel = handles_of(t, t.owner, pfn), handles_of(t, t.kernel, pfn)
    return _rows(t, proven, pfn), _rows(t, np.where(kernel >= 0, kernel, proven), pfn), kernel >= 0


def _rows(t: Tables, handle: NDArray[np.int64], pfn: NDArray[np.int64]) -> NDArray[np.void]:
    rows = records_of(t, np.maximum(handle, 0), pfn)
    rows[handle < 0] = np.zeros(1, RECORD_DTYPE)
    return rows


def _same_pid(ours: NDArray[np.void], entries: Entries) -> NDArray[np.bool_]:
    """Return whether the threads agree; a dump of a kernel that does not keep them contradicts none."""
    return np.asarray((ours["pid"] == entries.pid) | (entries.pid == ABSENT32))


def _same_ts(ours: NDArray[np.void], entries: Entries, clock: OwnerClock | None) -> NDArray[np.bool_]:
    stamp = owner_ts(ours, clock)
    unknown = (stamp == ABSENT64) | (entries.ts_nsec == ABSENT64)
    apart = np.abs(np.where(unknown, 0, stamp) - np.where(unknown, 0, entries.ts_nsec))
    return np.asarray(unknown | (apart <= SAME_TS_NSEC))


def _other_stack(ours: NDArray[np.void], entries: Entries) -> NDArray[np.bool_]:
    """Return where only the stacks of two dumps tell two allocations apart: neither says when it was."""
    untimed = (entries.ts_nsec == ABSENT64) & (ours["ts_nsec"] == ABSENT64) & (ours["alloc_ts"] == ABSENT64)
    return np.asarray(untimed & (ours["stack"] >= 0) & (entries.stack >= 0) & (ours["stack"] != entries.stack))


def _extra(t: Tables, entries: Entries, since: int, sections: range) -> tuple[NDArray[np.int64], NDArray[np.void]]:
    """Return the heads of owned blocks, last touched before *since*, that the dump does not list, and their records."""
    pages = t.owner.shape[1]
    found, records = [], []
    there = t.slot[sections.start : sections.stop] >= 0
    for section_nr in (sections.start + np.flatnonzero(there)).tolist():
        slot = t.slot[section_nr]
        listed = slice(*np.searchsorted(entries.pfn, [section_nr * pages, (section_nr + 1) * pages]).tolist())
        handle = np.where(t.kernel[slot] >= 0, t.kernel[slot], t.owner[slot])
        unlisted = handle >= 0
        unlisted[entries.pfn[listed] % pages] = False
        page = np.flatnonzero(unlisted)
        page = page[(t.records["state"][handle[page]] == State.OWNED) & (held(t, "begin_ts", handle[page]) < since)]
        pfn = page + section_nr * pages
        order = np.maximum(t.records["order"][handle[page]], 0).astype(np.int64)
        head = (pfn & ((np.int64(1) << order) - 1)) == 0
        found.append(pfn[head])
        records.append(records_of(t, handle[page[head]], pfn[head]))
    if not found:
        return np.zeros(0, np.int64), np.zeros(0, RECORD_DTYPE)
    return np.concatenate(found), np.concatenate(records)


def actions(c: Comparison, entries: Entries, renew_before: int, clock: OwnerClock | None) -> NDArray[np.int8]:
    """Return what to do with each record: see ``section_jit``.

    Where the trace shows an allocation, or that the page was free after its early stamp, the stamp is kept beside the proven
    state: there the trace is better than the kernel. A page that was free before it was stamped is a ghost, or was allocated in
    bulk. The stamp of an allocation before sched_clock was stable may be up to 250 ms off.
    """
    action = np.full(entries.pfn.size, LEAVE, np.int8)
    known = c.proven["state"] != State.UNKNOWN
    observed = known & (c.proven["evidence"] != Evidence.BASELINE)
    observed &= (c.proven["state"] != State.FREE) | (c.proven["evidence_ts"] > stamped_by(entries, clock))
    early_clash = c.early & observed & ~c.agree
    unstable = np.zeros(entries.pfn.size, np.bool_)
    if clock is not None:
        begun = (c.proven["alloc_ts"] != ABSENT64) & (c.proven["alloc_ts"] < clock.valid_from)
        same = (c.proven["order"] == entries.order) & _same_pid(c.proven, entries)
        stamp = owner_ts(c.proven, clock)
        near = np.abs(np.where(begun, stamp - entries.ts_nsec, 0)) <= EARLY_ERROR_NSEC
        unstable = begun & same & (c.proven["gfp_mask"] == entries.gfp_mask) & near
        unstable &= c.proven["state"] == State.OWNED
    sure = (c.ours["evidence"] != Evidence.INFERRED) & (c.ours["unordered"] == 0)
    fresh = sure & (c.ours["evidence_ts"] >= renew_before)
    agree = c.agree | unstable
    action[agree & ~(fresh & c.agree)] = CONFIRM
    action[~agree] = SET
    action[early_clash & ~agree] = KERNEL_VIEW
    action[agree & c.viewed] = LEAVE
    action[agree & c.early & (c.ours["evidence"] == Evidence.INFERRED)] = LEAVE  # a repeated stamp proves no more
    action[c.touched] = LEAVE
    return action


def stamped_by(entries: Entries, clock: OwnerClock | None) -> NDArray[np.int64]:
    """Return the time (trace clock, ns) by which each record was certainly stamped; OPEN_END where it is unknown."""
    if clock is None:
        return np.full(entries.pfn.size, OPEN_END, np.int64)
    known = entries.ts_nsec != ABSENT64
    at = np.where(known, entries.ts_nsec, 0) - clock.offset
    at += np.where(at < clock.valid_from, EARLY_ERROR_NSEC, 0)
    return np.asarray(np.where(known, at, OPEN_END))


def difference_class(c: Comparison, entries: Entries, gfp_isolated: int) -> NDArray[np.int8]:
    """Return the class of each record's difference, by the known causes of differences between replay and the kernel.

    It is an index into ``CLASSES``.
    """
    ours, m = c.ours, entries.pfn.size
    owned = ours["state"] == State.OWNED
    migrated = entries.migrate_reason != ABSENT8
    same_act = owned & _same_pid(ours, entries) & (ours["gfp_mask"] == entries.gfp_mask)
    rules = (
        (owned & (ours["pid"] == ABSENT32), "owner unknown"),
        (same_act & (ours["order"] == entries.order), "other time"),
        (same_act & (ours["order"] != entries.order), "split"),
        (~owned & ~c.early, "missing"),
        (~owned & (entries.gfp_mask == gfp_isolated), "isolated"),
        (migrated & ~(same_act & (ours["order"] != entries.order)), "migrated"),
        (c.early & owned, "early"),
        (c.early & (ours["state"] == State.FREE), "ghost"),
        (c.early & (ours["state"] == State.UNKNOWN), "early, unseen"),
        (c.touched, "touched during the dump"),
    )
    found = np.full(m, CLASSES.index("other owner"), np.int8)
    for mask, name in (*rules, (c.agree, "agree")):
        found[mask] = CLASSES.index(name)
    return found
