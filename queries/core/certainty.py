"""How sure an answer is: a pure function of its evidence, of coverage, losses and doubts.

A row is certain of an attribute if nothing that may have happened unseen since its evidence began could have changed it.
docs/certainty.md has the rules. Each rule is a ``Reason``, and the attributes that are not certain because of it.
"""

from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pagetrail.queries.core.judgement import Attribute, Judgement, Reason
from pagetrail.queries.core.runs import overlaps
from pagetrail.replay.facts.clock import owner_clock
from pagetrail.replay.facts.doubts import evidence_until
from pagetrail.replay.facts.facts import Facts
from pagetrail.replay.facts.known import once
from pagetrail.replay.facts.losses import Reaching, reaches_of
from pagetrail.schemas.linux.gfp import GFP_MOVABLE
from pagetrail.schemas.linux.page_ext import OWNER
from pagetrail.schemas.linux.releases import Either, gfp_agreed
from pagetrail.schemas.owner import (
    ABSENT64,
    OPEN_END,
    Evidence,
    How,
    State,
)
from pagetrail.schemas.structs import taken

_STATE, _ORDER, _TS = int(Attribute.STATE), int(Attribute.ORDER), int(Attribute.TS_NSEC)
_OWNER: Final = int(Attribute.PID | Attribute.TGID | Attribute.GFP_MASK | Attribute.TS_NSEC)
_ALL: Final = _STATE | _ORDER | _OWNER

Instants: TypeAlias = NDArray[np.int64] | int
"""Trace clock, ns: one of each row, or one of all."""


def judge(
    runs: NDArray[np.void],
    records: NDArray[np.void],
    viewed: NDArray[np.bool_],
    until: Instants,
    facts: Facts,
    doubts: NDArray[np.void],
) -> Judgement:
    """Return how sure the state of each run is at *until* (trace clock, ns; of each row, or of all).

    Parameters
    ----------
    runs, records
        (n,) RUN_DTYPE and RECORD_DTYPE; a record with state UNKNOWN means that there is no evidence.
    viewed
        (n,) whether the kernel's own record differs from what is proven (early pages and ghosts).
    doubts
        DOUBT_DTYPE; doubts that do not bear on *until* are ignored.
    """
    until = np.broadcast_to(np.asarray(until, np.int64), runs.shape)
    facts = facts.presumed()
    begin = records["evidence_ts"]
    state = records["state"]
    owned, free = state == State.OWNED, state == State.FREE
    lost = np.zeros(runs.size, np.int16)
    reasons = np.zeros(runs.size, np.int32)

    def take(where: NDArray[np.bool_], attributes: int, reason: Reason) -> None:
        if where.any():
            lost[where] |= attributes
            reasons[where] |= int(reason)

    take(state == State.UNKNOWN, _ALL, Reason.UNKNOWN)
    coverage = facts.covered()
    complete = coverage.covers("alloc", begin, until) & coverage.covers("free", begin, until)
    take((owned | free) & ~complete, _ALL, Reason.NOT_COVERED)
    gap = _gap(facts, begin, until)
    take((owned | free) & (gap >= 0), _ALL, Reason.GAP)
    masks = records["gfp_mask"]
    movable = owned & (
        (masks == ABSENT64) | ((masks & GFP_MOVABLE) != 0)
    )  # a mask that is unknown may be a movable one
    take(movable & ~coverage.covers("migrate", begin, until), _OWNER | _ORDER, Reason.MIGRATION)
    split = coverage.covers("split", begin, until) | (
        _huge(records, facts) & coverage.covers("thp_split", begin, until)
    )
    take(owned & _splittable(records, facts) & ~split, _ORDER, Reason.SPLIT)
    isolated = coverage.covers("isolate", begin, until)
    if (
        facts.rules.contig_has_own_mask != Either.NO
    ):  # then contiguous ranges are stamped apart from what compaction isolates
        isolated &= coverage.covers("contig_range", begin, until)
    take(free & ~isolated, _STATE, Reason.ISOLATION)
    take(free & ~coverage.covers("hotplug", begin, until), _STATE, Reason.HOTPLUG)
    take(free & (not once(facts, "page_owner_on", lambda: page_owner_on(facts))), _STATE, Reason.BULK)
    inferred = records["evidence"] == Evidence.INFERRED
    take(inferred & (records["how"] == How.SPLIT_IMPLIED), _ORDER, Reason.INFERRED)
    derived = (
        records["how"] == How.SPLIT_BY_PAGE_EXT
    )  # follows from the kernel's own count of its blocks, which is complete
    take(inferred & (records["how"] != How.SPLIT_IMPLIED) & ~derived, _ALL, Reason.INFERRED)
    take((owned | free) & (records["unordered"] != 0), _ALL, Reason.SKEW)
    take(owned & _gfp_unsure(records, facts), int(Attribute.GFP_MASK), Reason.GFP)
    doubt = _doubt(runs, begin, until, doubts, facts.clock_skew())
    take(doubt >= 0, _ALL, Reason.DOUBT)
    ordered = until >= (OPEN_END if facts.dumps_in_order_since is None else facts.dumps_in_order_since)
    take((owned | free) & ordered, _ALL, Reason.DUMP_ORDER)
    if facts.rules.page_owner_has_times:  # otherwise there is no such time that could differ
        take(owned & ~viewed & ~ordered & _clock_unsure(records, facts), _TS, Reason.CLOCK)
    lost[free] &= _STATE
    return Judgement(lost=lost, reasons=reasons, gap=gap, doubt=doubt, begin=begin.copy(), facts=facts, doubts=doubts)


def last_instants(runs: NDArray[np.void], records: NDArray[np.void], horizon: int) -> NDArray[np.int64]:
    """Return the last instant of each span, trace clock, ns; for an open span the *horizon*."""
    ended = runs["end_ts"] != OPEN_END
    return np.asarray(
        np.maximum(np.where(ended, np.minimum(runs["end_ts"] - 1, horizon), horizon), records["begin_ts"])
    )


def page_owner_on(facts: Facts) -> bool:
    """Return whether page_owner is known to have started: its dump lists what was allocated in bulk before, without an event.

    Source: mm/page_alloc.c, __alloc_pages_bulk (Linux 6.1).
    """
    on = facts.boot is not None and OWNER in facts.boot.page_ext_clients
    return on and facts.was_audited("page_owner")


def _gfp_unsure(records: NDArray[np.void], facts: Facts) -> NDArray[np.bool_]:
    """Return whether each mask was read from names that may have other bits in the recorded kernel; dumps have numbers."""
    read, masks = records["evidence"] != Evidence.BASELINE, records["gfp_mask"]
    absent = read & (masks == ABSENT64)
    names = facts.gfp_names()
    if all(found.read_for is None for found in names):
        return np.asarray(absent)
    unsure = absent.copy()
    where = facts.recording_at(records["evidence_ts"])
    for index, found in enumerate(names):
        if found.read_for is not None:
            rows = np.flatnonzero(read & (masks != ABSENT64) & (where == index))
            known, places = np.unique(masks[rows], return_inverse=True)
            agreed = np.array([gfp_agreed(mask, found.read_for) for mask in known.tolist()], np.bool_)
            unsure[rows] |= ~agreed[places]
    return np.asarray(unsure)


def _bits(name: str, records: NDArray[np.void], facts: Facts) -> NDArray[np.int64]:
    """Return the bit that the gfp flag *name* has in the mask of each record, or in all; recordings may be read differently."""
    bits = once(
        facts, f"bit of {name}", lambda: np.array([found.flags.get(name, 0) for found in facts.gfp_names()], np.int64)
    )
    if bits.size == 1:
        return bits
    return np.asarray(bits[facts.recording_at(records["evidence_ts"])])


def _splittable(records: NDArray[np.void], facts: Facts) -> NDArray[np.bool_]:
    """Return whether each block may be split while it is owned.

    Source: mm/page_alloc.c, split_page (Linux 6.1): it splits no compound pages. Only huge pages of user memory are split, by
    mm/huge_memory.c or, for hugetlb, by mm/hugetlb.c: they are movable, or at least from high memory.
    """
    gfp = np.where(records["gfp_mask"] == ABSENT64, 0, records["gfp_mask"])
    compound = (gfp & _bits("__GFP_COMP", records, facts)) != 0
    users = (gfp & (GFP_MOVABLE | _bits("__GFP_HIGHMEM", records, facts))) != 0
    return np.asarray((records["order"] > 0) & ~(compound & ~users))


def _huge(records: NDArray[np.void], facts: Facts) -> NDArray[np.bool_]:
    """Return whether each block is a transparent huge page: only mm/huge_memory.c splits it, and counts that in thp_split_page.

    Source: include/linux/gfp_types.h, GFP_TRANSHUGE_LIGHT (Linux 6.1): compound, without reserves (__GFP_NOMEMALLOC).
    """
    mask = _bits("__GFP_COMP", records, facts) | _bits("__GFP_NOMEMALLOC", records, facts)
    gfp = np.where(records["gfp_mask"] == ABSENT64, 0, records["gfp_mask"])
    whole = (gfp & mask) == mask
    if (
        facts.rules.split_has_new_order != Either.NO
    ):  # smaller folios have such masks too, and vmstat does not count their splits
        whole &= records["order"] == facts.pageblock_order
    return np.asarray(whole)


def _gap(facts: Facts, begin: NDArray[np.int64], until: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the index of the first gap that reaches into the time from *begin* to *until*; -1: there is none.

    A loss concerns all pages from its t_lo on: only evidence that begins after its t_hi is safe from it.
    """
    if not facts.gaps:
        return np.full(begin.size, -1, np.int64)
    reaching = once(facts, "gaps", lambda: Reaching(gap_reaches(facts)))
    found = reaching.first(begin)
    return np.where((found >= 0) & (reaching.reaches[found, 0] <= until), found, -1)


def gap_reaches(facts: Facts) -> NDArray[np.int64]:
    """Return (gaps, 2): the begin and end of the time that each loss concerns; trace clock, ns."""
    return reaches_of(facts.gaps, facts.clock_skew())


def _doubt(
    runs: NDArray[np.void], begin: NDArray[np.int64], until: NDArray[np.int64], doubts: NDArray[np.void], skew: int
) -> NDArray[np.int64]:
    """Return the index of the last doubt that concerns a page of each run; -1: there is none.

    A contradiction doubts the evidence that it contradicts, and no later evidence. Hotplug that is under way and impossible
    events doubt all evidence of their pages.
    """
    found = np.full(runs.size, -1, np.int64)
    if not doubts.size or not runs.size:
        return found
    bearing = np.flatnonzero((doubts["from_ts"] <= until.max()) & (doubts["to_ts"] >= until.min()))
    some = taken(doubts, bearing)
    from_ts, to_ts = np.ascontiguousarray(some["from_ts"]), np.ascontiguousarray(some["to_ts"])
    evidence = evidence_until(some, skew)
    for row, doubt in overlaps(runs, some):
        holds = (from_ts[doubt] <= until[row]) & (until[row] <= to_ts[doubt]) & (begin[row] <= evidence[doubt])
        np.maximum.at(found, row[holds], bearing[doubt[holds]])
    return found


def _clock_unsure(records: NDArray[np.void], facts: Facts) -> NDArray[np.bool_]:
    """Return whether the time of each allocation on page_owner's clock is not known to within 20 ms."""
    clock = owner_clock(facts.clocks)
    if facts.counting_clock is not None:
        return np.ones(records.size, np.bool_)
    if clock is None:
        return np.asarray(records["ts_nsec"] == ABSENT64)
    return np.asarray((records["ts_nsec"] == ABSENT64) & (records["alloc_ts"] < clock.valid_from))
