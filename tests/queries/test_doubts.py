"""Doubts of a file are found alike whether they are looked through or asked for."""

import duckdb
import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from pagetrail.queries.core.doubts import Bearing
from pagetrail.schemas.owner import DOUBT_DTYPE, DOUBT_HOTPLUG, DOUBT_LOST, DOUBT_RANGE, OPEN_END

TIMES = st.integers(0, 6) | st.just(OPEN_END)
DOUBTS = st.lists(
    st.tuples(
        st.integers(0, 20), st.integers(1, 9), TIMES, TIMES, st.sampled_from([DOUBT_LOST, DOUBT_HOTPLUG, DOUBT_RANGE])
    ),
    max_size=12,
)
BEARINGS = st.builds(
    Bearing,
    since=st.none() | TIMES,
    until=st.none() | TIMES,
    pages=st.none() | st.tuples(st.integers(0, 20), st.integers(0, 25)),
    reason=st.none() | st.just(DOUBT_RANGE),
    under_way=st.booleans(),
)


@given(rows=DOUBTS, which=BEARINGS)
def test_a_condition_holds_for_the_same_doubts_in_the_store_and_in_memory(
    rows: list[tuple[int, ...]], which: Bearing
) -> None:
    doubts = np.zeros(len(rows), DOUBT_DTYPE)
    for i, name in enumerate(("pfn", "nr_pages", "from_ts", "to_ts", "reason")):
        doubts[name] = [row[i] for row in rows]
    doubts["seq"] = np.arange(len(rows))
    stored = pa.table({name: np.ascontiguousarray(doubts[name]) for name in DOUBT_DTYPE.names or ()})
    with duckdb.connect() as db:
        db.register("doubts", stored)
        asked = db.execute(f"SELECT seq FROM doubts WHERE {which.condition()} ORDER BY seq").fetchall()
    assert which.among(doubts)["seq"].tolist() == [seq for (seq,) in asked]
