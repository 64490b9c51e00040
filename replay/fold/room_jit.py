"""How many rows an event may write, and whether every table has that much room: the rules themselves do not check.

Dimensions as in ``tables.py``. n = 1 + the pages that an event may touch (``reach``; for a migration, of both blocks) + the
remembered migrations, if the clocks of CPUs may differ.

runs: 2 n
    The span of a page ends once in the proven view and once in the kernel's. This includes the other pages of a block that is
    freed or allocated in part: they are split.
events: 6 n, and as many acts, owners and details
    One for each record that is taken; for each run, one that ended its span, and one that began it, if it was this very event.
fresh: 4 n, and as many drafts
    Each record that is taken.
records: 2 n, and temporarily one more
    A page gets one new record in each view. The new one may be taken before the old one is given back.
doubts: n + 2
    A page is doubted once, and its copy by a migration once more; a migration copies one doubt. An impossible migration casts
    doubt on two pages.
quarantine: 1
    The event itself.
"""

import numpy as np

from pagetrail.replay.fold.records.record_jit import run_length
from pagetrail.replay.fold.tables import (
    ACTS,
    DETAILS,
    DOUBTS,
    EVENT_ROWS,
    EVENTS_A_ROW,
    FRESH,
    OWNERS,
    QUARANTINE,
    QUARANTINE_ROWS,
    ROWS_A_PAGE,
    ROWS_BESIDES,
    RUNS,
    SPARE,
    TAKES_A_ROW,
)
from pagetrail.schemas.jit import inner


@inner
def reach(t, slot, first, nr):
    """Return how many pages an event on a range may touch: a block that reaches beyond the range may turn out to be split."""
    row = t.owner[slot]
    most = nr
    i = first
    while i < first + nr:
        if row[i] >= 0:
            order = np.int64(t.records[row[i]]["order"])  # absent where a page is free by kpageflags
            most = max(most, min(np.int64(1) << max(order, np.int64(0)), np.int64(row.size)))
        i += run_length(row, i, first + nr)
    return most


@inner
def has_room(t, nr):
    """Whether every table has room for the rows that an event on *nr* pages may write."""
    need = ROWS_A_PAGE * nr + ROWS_BESIDES
    events = EVENTS_A_ROW * need
    c = t.counts
    return (
        c[SPARE] >= need
        and t.runs.shape[0] - c[RUNS] >= need
        and t.fresh.shape[0] - c[FRESH] >= TAKES_A_ROW * need
        and t.events.seq.shape[0] - c[EVENT_ROWS] >= events
        and t.acts.shape[0] - c[ACTS] >= events
        and t.owners.shape[0] - c[OWNERS] >= events
        and t.details.shape[0] - c[DETAILS] >= events
        and t.act_table.size >= 2 * (c[ACTS] + events)
        and t.owner_table.size >= 2 * (c[OWNERS] + events)
        and t.detail_table.size >= 2 * (c[DETAILS] + events)
        and t.doubts.shape[0] - c[DOUBTS] >= need
        and t.quarantine.shape[0] - c[QUARANTINE] >= QUARANTINE_ROWS
    )
