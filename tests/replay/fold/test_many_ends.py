"""What a dump ends is numbered in time that grows with its rows, not with their square."""

import numpy as np

from pagetrail.replay.fold.records.event_jit import settle
from pagetrail.replay.fold.tables import EVENT_ROWS, RUNS, new_tables, with_event_rows, with_room
from pagetrail.schemas.owner import How

ENDS = 300_000
"""With a look at every row of an event for each run, 45 thousand million looks: hours."""


def test_spans_that_one_event_ends_share_a_row_however_many_there_are() -> None:
    t = with_event_rows(with_room(new_tables(1), ENDS), 2 * ENDS)
    t.runs["begin_event"][:ENDS] = 0
    t.runs["end_event"][:ENDS:2] = _stands_for(How.CORRECTED)
    t.runs["end_event"][1:ENDS:2] = _stands_for(How.UNLISTED)
    t.counts[RUNS] = ENDS
    settle(t, 7, 9)
    assert t.counts[EVENT_ROWS] == 2
    assert t.events.seq[:2].tolist() == [7, 7]
    assert t.events.ts[:2].tolist() == [9, 9]
    assert np.unique(t.runs["end_event"][:ENDS:2]).tolist() == [0]
    assert np.unique(t.runs["end_event"][1:ENDS:2]).tolist() == [1]
    assert (t.by_how == -1).all()


def _stands_for(how: How) -> int:
    """Return what a run has instead of the event that ends it, until that is over."""
    return -2 - int(how)
