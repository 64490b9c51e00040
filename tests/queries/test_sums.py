"""Sums of owned pages are those of a walk over the rows."""

from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from pagetrail.queries.holders.sums import added_up

Row = tuple[str | None, int | None, int, int | None, bool, int | None]


def slowly(rows: list[Row]) -> dict[tuple[Any, Any], tuple[Any, ...]]:
    """Return pages, blocks, certain pages, first and last time of each (key, tgid)."""
    found = {}
    for group in {row[:2] for row in rows}:
        mine = [row for row in rows if row[:2] == group]
        times = [row[5] for row in mine if row[5] is not None]
        found[group] = (
            sum(row[2] for row in mine),
            len({row[3] for row in mine if row[3] is not None}),
            sum(row[2] for row in mine if row[4]),
            min(times, default=None),
            max(times, default=None),
        )
    return found


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["sh", "cat", None]), st.sampled_from([1, 2, None]), st.integers(1, 4),
            st.integers(0, 6) | st.none(), st.booleans(), st.integers(-3, 9) | st.none(),
        )
    ),
    st.booleans(),
)  # fmt: skip
def test_sums_are_those_of_a_walk_over_the_rows(rows: list[Row], encoded: bool) -> None:
    key, tgid, nr_pages, block, certain, at = ([row[i] for row in rows] for i in range(6))
    keys = pa.array(key, pa.utf8())
    owned = pa.table(
        {
            "nr_pages": pa.array(nr_pages, pa.int64()), "block_pfn": pa.array(block, pa.int64()),
            "certain": pa.array(certain, pa.bool_()), "at_ns": pa.array(at, pa.int64()),
            "key": keys.dictionary_encode() if encoded else keys, "comm": pa.nulls(len(rows), pa.utf8()),
            "tgid": pa.array(tgid, pa.int32()),
        }
    )  # fmt: skip
    found = added_up(owned, 4096).to_pylist()
    columns = ("pages", "blocks", "certain_pages", "first_ns", "last_ns")
    assert {(row["key"], row["tgid"]): tuple(row[name] for name in columns) for row in found} == slowly(rows)
    assert len(found) == len(slowly(rows))
    assert all(row["bytes"] == row["pages"] * 4096 and row["comm"] is None for row in found)
    assert np.all([row["pages"] > 0 for row in found])
