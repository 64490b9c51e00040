"""Ghosts: pages that were free when page_owner started and that it stamped as early; the kernel still holds the stamp.

Dimensions as in ``tables.py``.
"""

import numpy as np

from pagetrail.replay.fold.options import OPT_EARLY_GFP, OPT_EARLY_ORDER, OPT_EARLY_PID, OPT_EARLY_PID_DEFERRED
from pagetrail.replay.fold.records.record_jit import (
    begin_now,
    close,
    copy_record,
    gfp_mask_of,
    pid_of,
    run_length,
    take_record,
)
from pagetrail.schemas.jit import inner
from pagetrail.schemas.owner import ABSENT64, How, State

_OWNED, _FREED = int(State.OWNED), int(State.FREE)
_H_DRAIN = int(How.DRAIN)


@inner
def is_early_stamp(t, o, handle):
    """Whether a record is the stamp that page_owner gives pages allocated before it started: see ``EarlyStamp``."""
    r = t.records[handle]
    if r["alloc_ts"] != ABSENT64 or r["order"] != o[OPT_EARLY_ORDER] or gfp_mask_of(t, handle) != o[OPT_EARLY_GFP]:
        return False
    pid = pid_of(t, handle)
    return pid == o[OPT_EARLY_PID] or pid == o[OPT_EARLY_PID_DEFERRED]


@inner
def keep_ghost(t, slot, base, i, length, handle, seq, ts):
    """Keep a ghost's stamp in the kernel's view of a run that is proven free, where that view has no record yet."""
    row = t.kernel[slot]
    ghost = np.int32(-1)
    for j in range(i, i + length):
        if row[j] >= 0:
            continue
        if ghost < 0:
            ghost = take_record(t)
            copy_record(t, ghost, handle, base + j)
            begin_now(t, ghost, seq, ts)
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
            copy_record(t, target, handle, base + i)
            close(t, handle, base + i, length, generation, how, 1)
            r = t.records[target]
            r["pages"] = length
            r["state"] = state
            r["cpu"] = cpu
            begin_now(t, target, seq, ts)
            row[i : i + length] = target
        i += length
