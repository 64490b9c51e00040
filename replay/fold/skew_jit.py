"""CPU clocks that differ: either of two events within the skew may be the later one, also on the source of a migration.

Dimensions as in ``tables.py``.
"""

import numpy as np

from pagetrail.replay.fold.notice_jit import doubt
from pagetrail.replay.fold.options import OPT_SKEW
from pagetrail.replay.fold.records.record_jit import (
    begin_now,
    begin_ts_of,
    close,
    copy_record,
    run_length,
    src_pfn_of,
    take_record,
)
from pagetrail.replay.fold.tables import (
    MOVE_CPU,
    MOVE_DOUBTED,
    MOVE_PAGES,
    MOVE_PFN,
    MOVE_SRC,
    MOVE_TS,
    MOVE_UNORDERED,
    MOVES,
)
from pagetrail.schemas.jit import inner
from pagetrail.schemas.owner import ABSENT64, DOUBT_ORDER, How

_H_UNORDERED = int(How.UNORDERED)


@inner
def races(t, o, row, first, stop, ts, cpu):
    """Whether an event of *cpu* may precede the last events on pages [first, stop), because two CPUs' clocks may differ.

    If the order of two events is unknown, so is the state after them. That allocations and frees alternate does not decide it:
    of two allocations with a free between them, either may be the later one.
    """
    if o[OPT_SKEW] <= 0:
        return False
    i = first
    while i < stop:
        length = run_length(row, i, stop)
        if row[i] >= 0:
            r = t.records[row[i]]
            if ts - begin_ts_of(t, row[i]) <= o[OPT_SKEW] and (cpu < 0 or r["cpu"] != cpu or r["unordered"] != 0):
                return True
        i += length
    return False


@inner
def recheck_moves(t, o, pfn, nr, seq, ts, cpu):
    """Doubt the copies of recent migrations from the pages of an event: another CPU's event may precede the migration."""
    rows = t.moves.shape[0]
    first = t.counts[MOVES]
    while first > max(t.counts[MOVES] - rows, 0) and ts - t.moves[(first - 1) % rows, MOVE_TS] <= o[OPT_SKEW]:
        first -= 1
    for n in range(first, t.counts[MOVES]):
        m = t.moves[n % rows]
        unsure = pfn <= m[MOVE_SRC] < pfn + nr and (cpu < 0 or m[MOVE_CPU] != cpu)
        for k in range(first, n):  # it may have copied from a page whose own copy is not sure
            before = t.moves[k % rows]
            unsure = unsure or (before[MOVE_UNORDERED] != 0 and before[MOVE_PFN] == m[MOVE_SRC])
        if unsure:
            m[MOVE_UNORDERED] = 1
            unsure_copy(t, m, seq, ts)


@inner
def remember_move(t, o, seq, ts, cpu, src_pfn, pfn, nr):
    """Remember a migration that wrote *nr* pages: an earlier event, or a loss, may still follow.

    If the full ring drops one sooner than another CPU's event may follow, its copy is no longer sure.
    """
    rows = t.moves.shape[0]
    i = t.counts[MOVES] % rows
    if o[OPT_SKEW] > 0 and t.counts[MOVES] >= rows and ts - t.moves[i, MOVE_TS] <= o[OPT_SKEW]:
        unsure_copy(t, t.moves[i], seq, ts)
    t.moves[i, MOVE_TS] = ts
    t.moves[i, MOVE_CPU] = cpu
    t.moves[i, MOVE_SRC] = src_pfn
    t.moves[i, MOVE_PFN] = pfn
    t.moves[i, MOVE_UNORDERED] = 0
    t.moves[i, MOVE_PAGES] = nr
    t.moves[i, MOVE_DOUBTED] = 0
    t.counts[MOVES] += 1


@inner
def unsure_copy(t, move, seq, ts):
    """Make a migrated page's owner uncertain, if it still has that owner: the source's owner at the migration is not sure."""
    pages = t.owner.shape[1]
    pfn = move[MOVE_PFN]
    section_nr = pfn // pages
    slot = t.slot[section_nr] if section_nr < t.slot.size else np.int32(-1)
    handle = t.owner[slot, pfn % pages] if slot >= 0 else np.int32(-1)
    if handle < 0 or src_pfn_of(t, handle) == ABSENT64 or t.records[handle]["unordered"] != 0:
        return
    doubt(t, pfn, 1, move[MOVE_TS], ts, seq, DOUBT_ORDER)
    target = take_record(t)
    copy_record(t, target, handle, pfn)
    close(t, handle, pfn, 1, t.generation[section_nr], _H_UNORDERED, 0)
    r = t.records[target]
    r["pages"] = 1
    r["how"] = _H_UNORDERED
    r["unordered"] = 1
    begin_now(t, target, seq, ts)
    t.owner[slot, pfn % pages] = target
