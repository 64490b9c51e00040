"""Processes that had one pid are told apart, and a process is one row whatever it is called."""

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pagetrail.queries.holders.of_processes import with_processes
from pagetrail.queries.holders.processes import UNKNOWN, processes
from pagetrail.schemas.owner import ABSENT64
from tests.oracles.processes import process_of

Rows = list[tuple[int, int | None, str | None, int | None]]


def told_apart(rows: Rows) -> list[tuple[int, str | None, int | None]]:
    """Return (pid, name, tgid) of the process of each of rows of pid, tgid, name and time."""
    names = sorted({name for _, _, name, _ in rows if name is not None})
    number = {name: nr for nr, name in enumerate(names)} | {None: UNKNOWN}
    columns = (
        [pid for pid, *_ in rows],
        [UNKNOWN if tgid is None else tgid for _, tgid, _, _ in rows],
        [number[name] for _, _, name, _ in rows],
        [ABSENT64 if born is None else born for *_, born in rows],
    )
    tgid, name = processes(*(np.array(column, np.int64) for column in columns))
    return [
        (row[0], None if n == UNKNOWN else names[n], None if t == UNKNOWN else t)
        for row, t, n in zip(rows, tgid.tolist(), name.tolist(), strict=True)
    ]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([(7, None, "nginx", 1), (7, None, "backup", 2)], ["nginx", "backup"]),
        ([(7, 7, "nginx", 1), (7, None, "nginx", 2), (7, 7, None, 3)], ["nginx"] * 3),
        ([(7, None, "a", 1), (7, None, "b", 2), (7, None, "a", 3)], ["a"] * 3),
        ([(7, 5, "main", 1), (7, 5, "worker", 2)], ["worker"] * 2),
        ([(7, 5, "a", 1), (7, 6, "a", 2)], ["a", "a"]),
        ([(7, None, None, 5), (7, None, "a", 1), (7, None, "b", 9)], ["a", "a", "b"]),
        ([(7, None, None, 1), (7, None, None, 2)], [None, None]),
        ([(7, None, "b", None), (7, None, "a", 1)], ["b", "a"]),
    ],
)
def test_rows_are_of_the_process_that_allocated_them(rows: Rows, said: list[str | None]) -> None:
    assert [name for _, name, _ in told_apart(rows)] == said


def test_two_tgids_are_two_processes() -> None:
    assert [tgid for _, _, tgid in told_apart([(7, 5, "a", 1), (7, None, "a", 2), (7, 6, "a", 3)])] == [5, 5, 6]


@given(
    st.lists(
        st.tuples(
            st.sampled_from([5, 6]),
            st.sampled_from([None, 5, 6]),
            st.sampled_from([None, "a", "b", "c"]),
            st.one_of(st.none(), st.integers(0, 1_000)),
        ),
        max_size=12,
        unique_by=lambda row: (row[3], row[3] is None and row),
    )
)
def test_they_are_those_that_are_found_row_by_row(rows: Rows) -> None:
    untimed: dict[int, int] = {}
    for pid, _, _, born in rows:
        untimed[pid] = untimed.get(pid, 0) + (born is None)
    if max(untimed.values(), default=0) > 1:  # the order of those without a time is open
        return
    names = ("pid", "tgid", "comm", "alloc_ts")
    asked = [dict(zip(names, row, strict=True)) | {"ts_nsec": None} for row in rows]
    assert told_apart(rows) == process_of(asked, 0)


@given(
    st.lists(
        st.tuples(
            st.sampled_from([None, 5, 6, 7]),
            st.sampled_from([None, 5, 6]),
            st.sampled_from([None, "c", "a", "b"]),
            st.one_of(st.none(), st.integers(0, 20)),
        ),
        max_size=20,
    ),
    st.lists(st.integers(0, 6), max_size=5),
)
def test_they_are_the_same_however_the_rows_come_in_parts(rows: Rows, sizes: list[int]) -> None:
    schema = pa.schema([("key", pa.int32()), ("tgid", pa.int32()), ("comm", pa.utf8()), ("alloc_ts", pa.int64())])
    table = pa.Table.from_pylist([dict(zip(schema.names, row, strict=True)) for row in rows], schema)
    table = table.append_column("ts_nsec", table["alloc_ts"])
    cuts = [0, *np.cumsum(sizes).tolist(), len(rows)]
    parts = [in_words(table.slice(start, max(stop - start, 0))) for start, stop in pairwise(sorted(cuts))]
    whole, found = (pa.concat_tables(with_processes(some, None)) for some in ([in_words(table)], parts))
    assert found.to_pylist() == whole.to_pylist()
    assert found.schema == whole.schema
    if len({row[3] for row in rows}) == len(rows):  # the order of those of one time is open
        known = [(-1 if pid is None else pid, *others) for pid, *others in rows]
        said = [(row["key"], row["comm"], row["tgid"]) for row in found.to_pylist()]
        assert [(-1 if pid is None else pid, *others) for pid, *others in said] == told_apart(known)


def in_words(rows: pa.Table) -> pa.Table:
    """Return rows as questions have them: names are kept once each."""
    return rows.set_column(2, "comm", rows["comm"].combine_chunks().dictionary_encode())
