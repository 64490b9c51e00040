"""Rows that are kept in sorted parts come back as one sort of all of them would give them."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pagetrail.schemas.store import sorted_rows
from pagetrail.schemas.store.sorted_rows import SortedRows, merged

A, B = np.dtype([("a", np.int64), ("n", np.int32)], align=True), np.dtype([("b", np.int8)], align=True)
LIMITS = st.sampled_from([np.iinfo(np.int64).min, -256, -1, 0, 1, 255, 256, np.iinfo(np.int64).max])
PARTS = st.lists(st.lists(st.tuples(LIMITS, st.integers(-128, 127) | st.just(0)), max_size=9), max_size=5)


def rows_of(part: list[tuple[int, int]], first: int) -> tuple[np.ndarray, np.ndarray]:
    """Return rows that are numbered from *first* on."""
    one, other = np.zeros(len(part), A), np.zeros(len(part), B)
    one["a"], one["n"] = [a for a, _ in part], range(first, first + len(part))
    other["b"] = [b for _, b in part]
    return one, other


@given(PARTS, st.integers(1, 4), st.integers(0, 5))
def test_parts_are_merged_as_one_stable_sort(parts: list[list[tuple[int, int]]], batch: int, apart: int) -> None:
    before, sorted_rows.BATCH_ROWS = sorted_rows.BATCH_ROWS, batch  # type: ignore[misc]
    try:
        kept = [SortedRows(dtypes=(A, B), by=("b", "a")) for _ in range(2)]
        count = 0
        for number, part in enumerate(parts):
            kept[number >= apart].add(*rows_of(part, count))
            count += len(part)
        found = merged(*kept) if kept[1].size else merged(kept[0])
    finally:
        sorted_rows.BATCH_ROWS = before  # type: ignore[misc]
    given_rows = [(b, a) for part in parts for a, b in part]
    order = sorted(range(count), key=given_rows.__getitem__)
    assert [n for one, _ in found.pieces() for n in one["n"].tolist()] == order
    assert [b for column in found.column("b") for b in column.tolist()] == [given_rows[n][0] for n in order]
    assert found.size == count


def test_what_is_added_later_is_not_in_a_snapshot() -> None:
    kept = SortedRows(dtypes=(A, B), by=("a",))
    kept.add(*rows_of([(2, 0), (1, 0)], 0))
    before = kept.snapshot()
    kept.add(*rows_of([(0, 0)], 2))
    assert [one["a"].tolist() for one, _ in before.pieces()] == [[1, 2]]
    assert [a for one, _ in merged(kept).pieces() for a in one["a"].tolist()] == [0, 1, 2]
