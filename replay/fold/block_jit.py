"""Allocating, freeing and splitting a block, as mm/page_owner.c and mm/page_alloc.c do (Linux 6.1).

Dimensions as in ``tables.py``. A block lies within one section: it is aligned to its order and no order is larger than a section.
"""

import numpy as np

from pagetrail.replay.fold.end_jit import clear_for_owner, end_owner, used_unseen
from pagetrail.replay.fold.ghost_jit import is_early_stamp, keep_ghost
from pagetrail.replay.fold.notice_jit import doubt, note
from pagetrail.replay.fold.options import OPT_GFP_ISOLATED, OPT_LOSS, OPT_ONLINING_START, OPT_ONLINING_STOP
from pagetrail.replay.fold.records.record_jit import (
    begin_at,
    begin_now,
    blank,
    block_pfn_of,
    close,
    copy_record,
    draft_of,
    evidence_ts_of,
    forget_kernel_view,
    new_owner,
    pid_of,
    run_length,
    take_record,
    ts_nsec_of,
)
from pagetrail.replay.fold.skew_jit import races
from pagetrail.schemas.jit import inner, jit
from pagetrail.schemas.owner import ABSENT8, ABSENT64, Anomaly, Evidence, How, State

_OWNED, _FREED = int(State.OWNED), int(State.FREE)
_OBSERVED, _INFERRED = int(Evidence.OBSERVED), int(Evidence.INFERRED)
_H_ALLOC, _H_FREE, _H_DRAIN = int(How.ALLOC), int(How.FREE), int(How.DRAIN)
_H_SPLIT, _H_ISOLATE, _H_LOST_FREE = int(How.SPLIT), int(How.ISOLATE), int(How.LOST_FREE)
_H_LOST_ALLOC, _H_RANGE = int(How.LOST_ALLOC), int(How.CONTIG_RANGE)
_NO_OTHER_EVENT = np.int32(-2)
_A_BOOT, _A_ONLINING, _A_LOSS = (
    int(Anomaly.FREE_UNSEEN_BOOT),
    int(Anomaly.FREE_UNSEEN_ONLINING),
    int(Anomaly.FREE_UNSEEN_LOSS),
)
_A_FREE_OF_FREE, _A_DRAIN, _A_REFILL = (
    int(Anomaly.FREE_OF_FREE),
    int(Anomaly.DRAIN_OF_OWNED),
    int(Anomaly.REFILL_OF_OWNED),
)


@inner
def alloc_block(
    t, o, slot, base, generation, first, nr, seq, ts, cpu, order, pid, tgid, comm, gfp, migratetype, stack, how
):
    """Set the owner on every page of an allocated block.

    Source: mm/page_owner.c, __set_page_owner_handle (Linux 6.1). For an allocation with the mask of isolated pages, a probe on
    __set_page_owner fires shortly before mm_page_alloc: the second of these two events contradicts nothing.
    """
    row = t.owner[slot]
    there = row[first]
    quiet = np.int32(-2)
    if how == _H_ALLOC and gfp == o[OPT_GFP_ISOLATED] and there >= 0:
        r = t.records[there]
        isolated = r["how"] == _H_ISOLATE and r["order"] == order and pid_of(t, there) == pid
        if isolated and block_pfn_of(t, there, base + first) == base + first:
            quiet = there
    unordered = races(t, o, row, first, first + nr, ts, cpu)
    clear_for_owner(t, o, slot, base, generation, first, nr, seq, ts, cpu, how, quiet)
    handle = new_owner(t, base + first, nr, order, seq, ts, cpu, pid, tgid, comm, gfp, ts, how)
    t.records[handle]["unordered"] = unordered
    d = draft_of(t, handle)
    d["migratetype"] = migratetype
    d["stack"] = stack
    row[first : first + nr] = handle


@inner
def free_block(t, o, slot, base, generation, first, nr, seq, ts, cpu, order, pid, tgid, comm, stack, how):
    """Make the whole range of a free, drain or refill free, whatever was known of it.

    Source: mm/page_owner.c, __reset_page_owner; mm/page_alloc.c, free_pcppages_bulk (Linux 6.1). A drained page is not allocated,
    whatever its known owner; the same holds for a page that __rmqueue_smallest took for a per-cpu list. Drain and refill do not
    touch page_ext: a page that page_owner stamped as early while it was on a per-cpu list (a ghost) keeps that stamp in the
    kernel's view.
    """
    row = t.owner[slot]
    drain = how != _H_FREE
    if not drain:
        forget_kernel_view(t, slot, first, first + nr, base, generation, _H_FREE)
    stop = first + nr
    i = first
    while i < stop:
        length = run_length(row, i, stop)
        handle = row[i]
        unordered = races(t, o, row, i, i + length, ts, cpu)
        last = np.int64(-1)
        if handle < 0:
            if not drain:
                kind = _A_BOOT
                if o[OPT_ONLINING_START] <= base + i < o[OPT_ONLINING_STOP]:
                    kind = _A_ONLINING
                elif o[OPT_LOSS] > 0:
                    kind = _A_LOSS
                note(t, kind, length, seq)
        elif t.records[handle]["state"] == _OWNED:
            last = np.int64(handle)
            if drain:
                why = _A_DRAIN if how == _H_DRAIN else _A_REFILL
                note(t, why, length, seq)
                doubt(t, base + i, length, evidence_ts_of(t, handle), ts, seq, why)
                if is_early_stamp(t, o, handle):
                    keep_ghost(t, slot, base, i, length, handle, seq, ts)
                end_owner(t, o, row, i, length, first, stop, base, generation, seq, ts, cpu, _H_LOST_FREE)
            else:
                end_owner(t, o, row, i, length, first, stop, base, generation, seq, ts, cpu, _H_FREE)
        elif drain:
            i += length
            continue
        else:
            note(t, _A_FREE_OF_FREE, length, seq)
            doubt(t, base + i, length, evidence_ts_of(t, handle), ts, seq, _A_FREE_OF_FREE)
            close(t, handle, base + i, length, generation, _H_LOST_ALLOC, 0)
        freed = new_free(t, last, seq, ts, cpu, base + first, order, pid, tgid, comm, stack, how)
        t.records[freed]["unordered"] = unordered
        t.records[freed]["pages"] = length
        row[i : i + length] = freed
        i += length


@inner
def new_free(t, last, seq, ts, cpu, pfn, order, pid, tgid, comm, stack, how):
    """Return the record of a block that becomes free; *last* was the record of its last owner, or is -1.

    An earlier event began that record. If it was given back, it is the one that is taken.
    """
    owner, alloc_ts, reason, stamp = np.int32(-1), ABSENT64, np.int8(ABSENT8), ABSENT64
    if last >= 0:
        s = t.records[last]
        owner, alloc_ts, reason = s["owner"], s["alloc_ts"], s["migrate_reason"]
        stamp = ts_nsec_of(t, last)
    handle = take_record(t)
    r, d = t.records[handle], draft_of(t, handle)
    if last < 0:
        blank(t, handle)
    begin_now(t, handle, seq, ts)
    r["owner"] = owner
    r["alloc_ts"] = alloc_ts
    r["migrate_reason"] = reason
    r["order"] = order
    r["state"] = _FREED
    r["evidence"] = _OBSERVED
    r["how"] = how
    r["cpu"] = cpu
    r["unordered"] = 0
    d["block_pfn"] = pfn
    d["evidence_ts"] = ts
    d["src_pfn"] = ABSENT64
    d["ts_nsec"] = stamp
    d["free_ts_nsec"] = ABSENT64
    d["free_pid"] = pid
    d["free_tgid"] = tgid
    d["free_comm"] = comm
    d["free_stack"] = stack
    return handle


@inner
def split_block(t, o, slot, base, generation, first, nr, seq, ts, cpu, order):
    """Set a new order on the pages of a range; the split also proves that they are owned, if not by whom.

    Source: mm/page_owner.c, __split_page_owner (Linux 6.1: always order 0). Newer kernels also split to larger orders: each
    block of the new order gets a record of its own.
    """
    size = np.int64(1) << order
    for view in range(2):
        row = t.owner[slot] if view == 0 else t.kernel[slot]
        i = first
        while i < first + nr:
            length = run_length(row, i, first + nr)
            if order > 0:
                length = min(length, size - (i & (size - 1)))
            handle = row[i]
            unordered = races(t, o, row, i, i + length, ts, cpu)
            if view == 0 and handle >= 0 and t.records[handle]["state"] == _FREED:
                used_unseen(t, row, i, length, base, generation, seq, ts)
                handle = row[i]
            if handle >= 0 and t.records[handle]["state"] == _OWNED and t.records[handle]["order"] != order:
                target = take_record(t)
                copy_record(t, target, handle, base + i)
                t.records[target]["how"] = _H_SPLIT
                close(t, handle, base + i, length, generation, _H_SPLIT, view)
                begin_at(t, target, base + i, length, order, seq, ts, cpu, unordered)
                row[i : i + length] = target
            elif handle < 0 and view == 0:
                target = take_record(t)
                blank(t, target)
                t.records[target]["state"] = _OWNED
                t.records[target]["evidence"] = _INFERRED
                t.records[target]["how"] = _H_SPLIT
                d = draft_of(t, target)
                d["block_pfn"] = base + i
                d["evidence_ts"] = ts
                begin_at(t, target, base + i, length, order, seq, ts, cpu, unordered)
                row[i : i + length] = target
            i += length


@jit
def stamp_range(
    t, o, slot, base, generation, first, stop, order, block_pfn, seq, ts, cpu, pid, tgid, comm, gfp, alloc_ts
):
    """Give pages [first, stop) of a section a new owner: single pages, or their part of one block of an order above 0.

    Source: mm/page_alloc.c, alloc_contig_range_noprof: split_free_pages, or prep_new_page with __GFP_COMP (Linux 6.12).
    """
    nr = stop - first
    clear_for_owner(t, o, slot, base, generation, first, nr, seq, ts, cpu, _H_RANGE, _NO_OTHER_EVENT)
    row = t.owner[slot]
    i = first
    while i < stop:
        length = nr if order > 0 else np.int64(1)
        pfn = block_pfn if order > 0 else base + i
        row[i : i + length] = new_owner(t, pfn, length, order, seq, ts, cpu, pid, tgid, comm, gfp, alloc_ts, _H_RANGE)
        i += length
