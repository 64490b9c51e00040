"""A range of pages that alloc_contig_range takes: every page gets its caller's owner, without an event of its own.

Dimensions as in ``tables.py``.
"""

import numpy as np

from pagetrail.replay.fold.end_jit import clear_for_owner
from pagetrail.replay.fold.record_jit import new_owner
from pagetrail.schemas.jit import jit
from pagetrail.schemas.owner import How

_H_RANGE = int(How.CONTIG_RANGE)
_NO_OTHER_EVENT = np.int32(-2)


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
