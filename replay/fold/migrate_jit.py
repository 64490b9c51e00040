"""Migration: the owner of a page is copied to another page, as mm/page_owner.c does (Linux 6.1).

Dimensions as in ``tables.py``.
"""

import numpy as np

from pagetrail.replay.fold.end_jit import used_unseen
from pagetrail.replay.fold.notice_jit import note
from pagetrail.replay.fold.record_jit import blank, close, forget_kernel_view, run_length, take_record
from pagetrail.replay.fold.skew_jit import races
from pagetrail.schemas.jit import inner
from pagetrail.schemas.owner import Anomaly, Evidence, How, State

_OWNED, _FREED = int(State.OWNED), int(State.FREE)
_OBSERVED, _INFERRED = int(Evidence.OBSERVED), int(Evidence.INFERRED)
_H_MIGRATE = int(How.MIGRATE)
_A_SOURCE = int(Anomaly.MIGRATE_FROM_UNKNOWN)


@inner
def migrate_head(t, o, slot, i, pfn, generation, src_slot, src_i, src_pfn, seq, ts, cpu):
    """Copy the owner of the old block to the head page of the new one; its tails keep the migrator's record.

    Source: mm/page_owner.c, __folio_copy_owner (Linux 6.1) copies pid, tgid, comm, ts, gfp_mask, order and the stack.
    """
    source = t.owner[src_slot, src_i]
    row = t.owner[slot]
    unordered = races(t, o, row, i, i + 1, ts, cpu) or races(t, o, t.owner[src_slot], src_i, src_i + 1, ts, cpu)
    if source < 0 or t.records[source]["state"] != _OWNED:
        note(t, _A_SOURCE, 1, seq)
    elif row[i] >= 0 and t.records[row[i]]["state"] == _FREED:
        stop = min(i + (np.int64(1) << np.int64(max(t.records[source]["order"], 0))), row.size)
        j = i + 1  # if the head of the new block is in use, so are its tails
        while j < stop:
            length = run_length(row, j, stop)
            if row[j] >= 0 and t.records[row[j]]["state"] == _FREED:
                used_unseen(t, row, j, length, pfn - i, generation, seq, ts)
            j += length
    forget_kernel_view(t, slot, i, i + 1, pfn - i, generation, seq, ts, _H_MIGRATE)
    if t.kernel[src_slot, src_i] >= 0:
        copy_head(t, t.kernel[src_slot], src_i, t.kernel[slot], i, pfn, src_pfn, generation, seq, ts, cpu, unordered, 1)
    copy_head(t, t.owner[src_slot], src_i, t.owner[slot], i, pfn, src_pfn, generation, seq, ts, cpu, unordered, 0)


@inner
def copy_head(t, from_row, from_i, row, i, pfn, src_pfn, generation, seq, ts, cpu, unordered, view):
    """Give one page the record of another, with the time of its allocation."""
    source = from_row[from_i]
    target = take_record(t)
    proven = False
    if (
        source >= 0 and t.records[source]["state"] == _OWNED
    ):  # the last owner of a free page is not the one that migrates
        proven = t.records[source]["evidence"] != _INFERRED
        t.records[target] = t.records[source]
    else:
        blank(t, target)
        t.records[target]["order"] = 0
        t.records[target]["evidence_ts"] = ts
    r = t.records[target]
    r["pages"] = 1
    r["state"] = _OWNED
    r["evidence"] = _OBSERVED if proven else _INFERRED
    r["how"] = _H_MIGRATE
    r["block_pfn"] = pfn
    r["src_pfn"] = src_pfn
    r["cpu"] = cpu
    if unordered:
        r["unordered"] = 1
    r["free_ts_nsec"] = r["ts_nsec"]
    r["begin_seq"] = seq
    r["begin_ts"] = ts
    if view == 0 and row[i] >= 0 and t.records[row[i]]["state"] == _FREED:
        used_unseen(t, row, i, 1, pfn - i, generation, seq, ts)
    if row[i] >= 0:
        close(t, row[i], pfn, 1, generation, seq, ts, _H_MIGRATE, view)
    row[i] = target
