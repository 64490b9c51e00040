"""Ending the spans of pages that change hands, and noting what that implies: an unseen split, free or allocation.

Dimensions as in ``tables.py``.
"""

import numpy as np

from pagetrail.replay.fold.notice_jit import doubt, note
from pagetrail.replay.fold.options import OPT_SPLIT_COVERED
from pagetrail.replay.fold.records.record_jit import (
    begin_now,
    block_pfn_of,
    close,
    copy_record,
    evidence_ts_of,
    forget_kernel_view,
    move,
    run_length,
    take_record,
)
from pagetrail.schemas.jit import apart, inner
from pagetrail.schemas.owner import Anomaly, Evidence, How, State

_FREED = int(State.FREE)
_INFERRED = int(Evidence.INFERRED)
_H_SPLIT, _H_IMPLIED, _H_LOST_FREE = int(How.SPLIT), int(How.SPLIT_IMPLIED), int(How.LOST_FREE)
_H_LOST_ALLOC, _H_MIGRATE = int(How.LOST_ALLOC), int(How.MIGRATE)
_A_PARTIAL, _A_OVER_OWNED, _A_USE = int(Anomaly.PARTIAL_FREE), int(Anomaly.ALLOC_OVER_OWNED), int(Anomaly.USE_OF_FREE)


@inner
def end_owner(t, o, row, i, length, lo, hi, base, generation, seq, ts, cpu, how):
    """End the ownership of a run; an event ends it for all of [lo, hi). If pages of its block remain outside, it had been split."""
    handle = row[i]
    rest = t.records[handle]["pages"] - length
    whole = t.records[handle]["order"] > 0
    close(t, handle, base + i, length, generation, how, 0)
    row[i : i + length] = -1
    if rest > 0 and whole and o[OPT_SPLIT_COVERED] == 0:
        for j in range(i + length, hi):
            if row[j] == handle:
                rest -= 1
        if rest > 0:
            note(t, _A_PARTIAL, rest, seq)
            imply_split(t, row, handle, i, lo, hi, base, generation, seq, ts, cpu)


@apart
def imply_split(t, row, handle, i, lo, hi, base, generation, seq, ts, cpu):
    """Split the pages of a block, one of which is *i*, that remain after those in [lo, hi) were freed: one is freed as a whole.

    Source: mm/page_alloc.c, free_pages_exact and split_page (Linux 6.1): split_page_owner sets order 0 on every page.
    """
    first = block_pfn_of(t, handle, base + i) - base
    stop = min(first + (np.int64(1) << np.int64(t.records[handle]["order"])), np.int64(row.size))
    first = max(first, np.int64(0))  # of a block that is larger than a section, this section's part
    target = take_record(t)
    copy_record(t, target, handle, base + i)
    t.records[target]["order"] = 0
    # a record that was inferred altogether remains so; otherwise an implied split makes only the order inferred
    known = t.records[handle]["evidence"] != _INFERRED or t.records[handle]["how"] == _H_IMPLIED
    t.records[target]["evidence"] = _INFERRED
    t.records[target]["how"] = _H_IMPLIED if known else _H_SPLIT
    t.records[target]["cpu"] = cpu
    begin_now(t, target, seq, ts)
    move(t, row, first, lo, base, generation, handle, target, _H_IMPLIED)
    move(t, row, hi, stop, base, generation, handle, target, _H_IMPLIED)
    if (
        t.records[handle]["pages"] > 0 and t.records[handle]["how"] == _H_MIGRATE
    ):  # it may have written more pages than the block has that it came from
        move(t, row, max(hi, stop), np.int64(row.size), base, generation, handle, target, _H_IMPLIED)


@inner
def clear_for_owner(t, o, slot, base, generation, first, nr, seq, ts, cpu, how, quiet):
    """End every span on a range that gets a new owner; *quiet* is the record of an earlier event of the same act, or negative."""
    row = t.owner[slot]
    forget_kernel_view(t, slot, first, first + nr, base, generation, how)
    stop = first + nr
    i = first
    while i < stop:
        length = run_length(row, i, stop)
        handle = row[i]
        if handle >= 0:
            if t.records[handle]["state"] == _FREED or handle == quiet:
                close(t, handle, base + i, length, generation, how, 0)
                row[i : i + length] = -1
            else:
                note(t, _A_OVER_OWNED, length, seq)
                doubt(t, base + i, length, evidence_ts_of(t, handle), ts, seq, _A_OVER_OWNED)
                end_owner(t, o, row, i, length, first, stop, base, generation, seq, ts, cpu, _H_LOST_FREE)
        i += length


@inner
def used_unseen(t, row, i, length, base, generation, seq, ts):
    """End the span of free pages that turn out to be in use: an allocation was missed, so the earlier answers are in doubt."""
    handle = row[i]
    note(t, _A_USE, length, seq)
    doubt(t, base + i, length, evidence_ts_of(t, handle), ts, seq, _A_USE)
    close(t, handle, base + i, length, generation, _H_LOST_ALLOC, 0)
    row[i : i + length] = -1
