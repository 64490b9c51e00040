"""Ghosts: pages that were free when page_owner started and that it stamped as early; the kernel still holds the stamp.

Dimensions as in ``tables.py``.
"""

import numpy as np

from pagetrail.replay.fold.options import OPT_EARLY_GFP, OPT_EARLY_ORDER, OPT_EARLY_PID, OPT_EARLY_PID_DEFERRED
from pagetrail.replay.fold.record_jit import close, run_length, take_record
from pagetrail.schemas.jit import inner
from pagetrail.schemas.owner import ABSENT64, How, State

_OWNED, _FREED = int(State.OWNED), int(State.FREE)
_H_DRAIN = int(How.DRAIN)


@inner
def is_early_stamp(o, r):
    """Whether a record is the stamp that page_owner gives pages allocated before it started: see ``EarlyStamp``."""
    return (
        r["gfp_mask"] == o[OPT_EARLY_GFP]
        and r["order"] == o[OPT_EARLY_ORDER]
        and (r["pid"] == o[OPT_EARLY_PID] or r["pid"] == o[OPT_EARLY_PID_DEFERRED])
        and r["alloc_ts"] == ABSENT64
    )


@inner
def keep_ghost(t, slot, i, length, handle, seq, ts):
    """Keep a ghost's stamp in the kernel's view of a run that is proven free, where that view has no record yet."""
    row = t.kernel[slot]
    ghost = np.int32(-1)
    for j in range(i, i + length):
        if row[j] >= 0:
            continue
        if ghost < 0:
            ghost = take_record(t)
            t.records[ghost] = t.records[handle]
            t.records[ghost]["pages"] = 0
            t.records[ghost]["begin_seq"] = seq
            t.records[ghost]["begin_ts"] = ts
        t.records[ghost]["pages"] += 1
        row[j] = ghost


@inner
def step_over_ghosts(t, slot, first, nr, base, generation, seq, ts, cpu, how):
    """Hide ghosts from dumps while they are in the buddy allocator, and show them again once they are on a per-cpu list.

    Source: mm/page_owner.c, read_page_owner (Linux 6.1): it skips the whole block where PageBuddy is set. In the kernel's view, a
    record with state FREE is a stamp that exists but is not listed.
    """
    row = t.kernel[slot]
    state = _FREED if how == _H_DRAIN else _OWNED
    i = first
    while i < first + nr:
        length = run_length(row, i, first + nr)
        handle = row[i]
        if handle >= 0 and t.records[handle]["state"] != state:
            target = take_record(t)
            t.records[target] = t.records[handle]
            close(t, handle, base + i, length, generation, seq, how, 1)
            r = t.records[target]
            r["pages"] = length
            r["state"] = state
            r["begin_seq"] = seq
            r["begin_ts"] = ts
            r["cpu"] = cpu
            row[i : i + length] = target
        i += length
