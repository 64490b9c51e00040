"""Records are read by Python from the rows of their events, never from a draft."""

import numpy as np
import pytest

from pagetrail.replay.fold.records.held import held, hold, records_of
from pagetrail.replay.fold.tables import Tables, new_tables, no_events, with_events
from pagetrail.schemas.owner import ABSENT32, ABSENT64, ACT_FIELDS, DETAIL_FIELDS, OWNER_FIELDS, State

DRAFT = -2


def tables() -> Tables:
    """Return tables with two records: of an owned block of order 2, of which a dump said more, and of a free page."""
    events = no_events(2)
    events.seq[:], events.ts[:], events.age[:], events.detail[:] = (5, 8), (50, 80), (10, ABSENT64), (0, -1)
    events.act[:] = events.owner[:] = (0, 1)
    acts, owners = np.zeros((2, len(ACT_FIELDS)), np.int64), np.zeros((2, len(OWNER_FIELDS)), np.int64)
    acts[:, 0], acts[0, ACT_FIELDS.index("order")] = (State.OWNED, State.FREE), 2
    owners[:, OWNER_FIELDS.index("pid")] = (700, ABSENT64)
    details = np.full((1, len(DETAIL_FIELDS)), ABSENT64)
    details[0, DETAIL_FIELDS.index("evidence_ts")], details[0, DETAIL_FIELDS.index("ts_nsec")] = 45, 1_000
    t = with_events(
        new_tables(8),
        runs=np.zeros(0, new_tables(8).runs.dtype),
        events=events,
        acts=acts,
        owners=owners,
        details=details,
    )
    hold(t, np.array([0, 1]), np.array([0, 1], np.int32))
    t.records["pages"][:2] = 4, 1
    return t


def test_a_record_says_what_its_event_owner_and_details_say() -> None:
    found = records_of(tables(), np.array([0, 1, 0]), np.array([6, 1, 5]))
    assert found["block_pfn"].tolist() == [4, 1, 4]
    assert found["pid"].tolist() == [700, ABSENT32, 700]
    assert found["evidence_ts"].tolist() == [45, 80, 45]
    assert found["alloc_ts"].tolist() == [40, ABSENT64, 40]
    assert found["ts_nsec"].tolist() == [1_000, ABSENT64, 1_000]
    assert found[["begin_seq", "begin_ts", "state", "order"]].tolist() == [(5, 50, 1, 2), (8, 80, 2, 0), (5, 50, 1, 2)]


@pytest.mark.parametrize("name", ["begin_ts", "pid", "free_pid", "evidence_ts", "ts_nsec"])
def test_a_record_that_has_a_draft_is_not_read(name: str) -> None:
    t = tables()
    t.records["event"][1], t.records["owner"][1] = DRAFT, -1
    assert held(t, name, np.array([0])).size == 1
    with pytest.raises(ValueError, match="found one that the present event began"):
        held(t, name, np.array([0, 1]))
    t.records["pages"][1] = 0
    assert held(t, name, np.array([0, 1])).size == 2
