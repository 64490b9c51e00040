"""A range of pages that alloc_contig_range takes: every page gets its caller's owner, without an event of its own.

Dimensions as in ``tables.py``.
"""

import numpy as np

from pagetrail.replay.fold.notice_jit import doubt, note
from pagetrail.replay.fold.record_jit import blank, close, forget_kernel_view, run_length, take_record
from pagetrail.schemas.jit import jit
from pagetrail.schemas.owner import Anomaly, Evidence, How, State

_OWNED = int(State.OWNED)
_OBSERVED, _INFERRED = int(Evidence.OBSERVED), int(Evidence.INFERRED)
_H_RANGE = int(How.CONTIG_RANGE)
_A_OVER_OWNED = int(Anomaly.ALLOC_OVER_OWNED)


@jit
def stamp_range(t, slot, base, generation, first, stop, order, block_pfn, seq, ts, cpu, pid, tgid, comm, gfp, alloc_ts):
    """Give pages [first, stop) of a section a new owner: single pages, or their part of one block of an order above 0.

    Source: mm/page_alloc.c, alloc_contig_range_noprof: split_free_pages, or prep_new_page with __GFP_COMP (Linux 6.12).
    """
    row = t.owner[slot]
    forget_kernel_view(t, slot, first, stop, base, generation, seq, ts, _H_RANGE)
    i = first
    while i < stop:
        length = run_length(row, i, stop)
        handle = row[i]
        if handle >= 0:
            if t.records[handle]["state"] == _OWNED and t.records[handle]["evidence"] != _INFERRED:
                note(t, _A_OVER_OWNED, length, seq)
                doubt(t, base + i, length, t.records[handle]["evidence_ts"], ts, seq, _A_OVER_OWNED)
            close(t, handle, base + i, length, generation, seq, ts, _H_RANGE, 0)
            row[i : i + length] = -1
        i += length
    i = first
    while i < stop:
        length = stop - first if order > 0 else np.int64(1)
        handle = take_record(t)
        blank(t, handle)
        r = t.records[handle]
        r["block_pfn"] = block_pfn if order > 0 else base + i
        r["order"] = order
        r["state"] = _OWNED
        r["evidence"] = _OBSERVED
        r["how"] = _H_RANGE
        r["alloc_ts"] = alloc_ts
        r["begin_seq"] = seq
        r["begin_ts"] = ts
        r["evidence_ts"] = ts
        r["pid"] = pid
        r["tgid"] = tgid
        r["comm"] = comm
        r["gfp_mask"] = gfp
        r["cpu"] = cpu
        r["pages"] = length
        row[i : i + length] = handle
        i += length
