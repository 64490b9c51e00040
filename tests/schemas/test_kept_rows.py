"""Rows that are kept until they are needed are those that were added, wherever they are meanwhile."""

import os

import pyarrow as pa

from pagetrail.schemas.store.kept_rows import KEPT_BYTES, KeptRows


def noise(size: int) -> pa.RecordBatch:
    """Return rows that cannot be compressed."""
    return pa.RecordBatch.from_arrays([pa.array([os.urandom(1 << 10) for _ in range(size >> 10)], pa.binary())], ["x"])


def test_they_take_no_more_memory_than_their_limit() -> None:
    kept, added = KeptRows(), [noise(1 << 18) for _ in range(9)]
    assert [kept.add(rows) for rows in added] == list(range(9))
    assert 0 < kept.nbytes <= KEPT_BYTES
    assert list(kept.batches()) == added
    assert kept.batch(7) == added[7]


def test_what_is_added_later_is_not_in_a_snapshot() -> None:
    kept, added = KeptRows(), [noise(KEPT_BYTES - (1 << 17)), noise(1 << 18), noise(1 << 18)]
    for rows in added[:2]:
        kept.add(rows)
    before = kept.snapshot()
    kept.add(added[2])
    assert list(before.batches()) == added[:2]
    assert list(kept.batches()) == added
