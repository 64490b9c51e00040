"""How many rows an event may write, and whether every table has room for so many: the rules themselves check none.

Dimensions as in ``tables.py``. n = 1 + the pages that an event may touch (``reach``; of a migration, those of both blocks) + where
the clocks of CPUs differ, the migrations that are remembered.

runs: 2 n
    The span of a page ends once in what is proven and once in the kernel's view; also that of a page whose block is freed or
    allocated in part, as the rest of it is split. ``closed`` has the same rows.
records: 2 n, and one more for a moment
    A page gets one new record in each view. The new one may be taken before the old one is given back.
doubts: n + 1
    A page is doubted once, and once more what was copied from it. An impossible migration casts doubt on two pages.
quarantine: 1
    The event itself.
"""

import numpy as np

from pagetrail.replay.fold.record_jit import run_length
from pagetrail.replay.fold.tables import (
    DOUBTS,
    QUARANTINE,
    QUARANTINE_ROWS,
    ROWS_A_PAGE,
    ROWS_BESIDES,
    RUNS,
    SPARE,
)
from pagetrail.schemas.jit import inner


@inner
def reach(t, slot, first, nr):
    """Return how many pages an event on a range may touch: a block that sticks out of it may turn out to be split."""
    row = t.owner[slot]
    most = nr
    i = first
    while i < first + nr:
        if row[i] >= 0:
            order = np.int64(t.records[row[i]]["order"])  # absent where a page is free by kpageflags
            most = max(most, np.int64(1) << max(order, np.int64(0)))
        i += run_length(row, i, first + nr)
    return most


@inner
def has_room(t, nr):
    """Whether what an event on *nr* pages may write fits into what is left of every table."""
    need = ROWS_A_PAGE * nr + ROWS_BESIDES
    c = t.counts
    return (
        c[SPARE] >= need
        and t.runs.shape[0] - c[RUNS] >= need
        and t.doubts.shape[0] - c[DOUBTS] >= need
        and t.quarantine.shape[0] - c[QUARANTINE] >= QUARANTINE_ROWS
    )
