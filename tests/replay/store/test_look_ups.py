"""What is looked up of a file is what reading all of it says, in whatever order questions come."""

from collections.abc import Iterator
from itertools import pairwise

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pagetrail.replay.store.packed import by_page
from pagetrail.replay.store.packed.details import FileDetails
from pagetrail.replay.store.packed.events import At, FileEvents
from pagetrail.replay.store.packed.run_tables import RUN_COLUMNS
from pagetrail.replay.store.packed.unpack import FileRows, runs_in_order, runs_of, runs_of_page
from pagetrail.schemas.owner import ABSENT64, State
from pagetrail.schemas.store.tables import RUN_TABLES, SINGLE_PAGE, run_rows
from tests.effort import effort

EVENTS, PAGES, PAGES_PER_SECTION = 20_000, 120, 40


def tables(seed: int) -> dict[str, pa.Table]:
    """Return the tables of a segment: each page is handed on from event to event, and some hold no run for a time."""
    rng = np.random.default_rng(seed)
    ts = np.cumsum(rng.integers(0, 3, EVENTS) * rng.choice([0, 1, 1_000], EVENTS))  # many have one time
    ended, live = [], []
    for pfn in range(0, PAGES, 4):
        size = 1 + int(rng.integers(0, 4))
        count = 2 + int(rng.integers(0, 2) * rng.integers(0, 600))
        numbers = np.sort(rng.choice(EVENTS, count, replace=False)).tolist()
        ended += [(pfn, size, begin, 1, 0, end) for begin, end in pairwise(numbers) if rng.random() > 0.1]
        live += [(pfn, size, numbers[-1], 1, 0)] if pfn % 3 else []
    number, detailed = np.arange(EVENTS), np.arange(0, EVENTS, 5)
    return {
        "events": pa.table(
            {
                "seq": number * 2 + 5, "ts": ts, "act": number % 2, "owner": pa.array(np.zeros(EVENTS, np.int32)),
                "age": pa.array(number, mask=number % 3 == 0),
            }
        ),
        "details": pa.table(
            {
                "event": pa.array(detailed, pa.int32()), "id": pa.array(detailed // 10, pa.int32()),
                "block_pfn": pa.nulls(detailed.size, pa.int64()), "evidence_ts": detailed // 10,
                "ts_nsec": pa.array(detailed // 10, mask=detailed % 20 == 0), "free_ts_nsec": -detailed, "src_pfn": detailed * 3,
            }
        ),
        **run_tables("ended", ended), **run_tables("open", live),
    }  # fmt: skip


def run_tables(kind: str, runs: list[tuple[int, ...]]) -> dict[str, pa.Table]:
    """Return the tables of runs: those of single pages, and of all others with their places."""
    names = RUN_COLUMNS if kind == "ended" else RUN_COLUMNS[:-1]
    columns = dict(zip(names, np.array(runs, np.int64).reshape(-1, len(names)).T, strict=True))
    single = columns["nr_pages"] == 1
    assert single.any()
    assert not single.all()
    pages = {name: column[single] for name, column in columns.items() if name not in SINGLE_PAGE}
    others = {"place": np.flatnonzero(~single)} | {name: column[~single] for name, column in columns.items()}
    return {f"{kind}_pages": typed(pages), f"{kind}_runs": typed(others)}


REST = ("said", "said_values", "said_texts", "doubts", "lasting_doubts", "comms", "stacks")
NO_TEXTS = "NULL::INTEGER AS free_comm, NULL::INTEGER AS free_stack"


def typed(columns: dict[str, np.ndarray]) -> pa.Table:
    kinds = {"pfn": pa.int64(), "kernel_view": pa.int8()}
    return pa.table({name: pa.array(column, kinds.get(name, pa.int32())) for name, column in columns.items()})


@pytest.fixture(scope="module")
def db() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(":memory:") as db:
        for name, rows in tables(7).items():
            db.register("rows", rows)
            db.execute(f"CREATE TABLE {name} AS SELECT * FROM rows")
            db.unregister("rows")
        for name in REST:
            db.execute(f"CREATE TABLE {name} (id INTEGER, pfn BIGINT, said INTEGER)")
        state = f"SELECT id, {int(State.OWNED)}::TINYINT AS state, 1::TINYINT AS evidence, id::TINYINT AS how"
        db.execute(f'CREATE TABLE acts AS {state}, 0::TINYINT AS "order", {NO_TEXTS} FROM range(2) t(id)')
        db.execute(
            "CREATE TABLE owners AS SELECT 0 AS id, 7::INTEGER AS pid, NULL::INTEGER AS comm, NULL::INTEGER AS stack"
        )
        yield db


def read(db: duckdb.DuckDBPyConnection, what: str) -> np.ndarray:
    return np.array([row[0] for row in db.execute(f"SELECT {what} FROM events").fetchall()])


@settings(max_examples=effort(12, 300))
@given(st.lists(st.tuples(st.sampled_from(["ts", "seq"]), st.integers(-5, 25_000_000)), min_size=1, max_size=12))
def test_events_up_to_a_point_are_counted(db: duckdb.DuckDBPyConnection, asked: list[tuple[str, int]]) -> None:
    events = FileEvents(EVENTS)
    for what, value in asked:
        found = events.until(db, At(what=what, value=value))
        assert found == np.searchsorted(read(db, what), value, side="right")
        low, high = events.between(db, At(what=what, value=value))
        assert low <= found <= high


@pytest.mark.parametrize("count", [1, 5, 60, 9_000])
def test_events_by_number_are_those_of_the_table(db: duckdb.DuckDBPyConnection, count: int) -> None:
    events, rng = FileEvents(EVENTS), np.random.default_rng(count)
    numbers = rng.integers(0, EVENTS, count).astype(np.int32)
    found = events.some(db, numbers)
    for name in ("seq", "ts", "act"):
        assert found[name].tolist() == read(db, name)[numbers].tolist()
    assert found["age"][numbers % 3 == 0].tolist() == [np.iinfo(np.int64).min] * int((numbers % 3 == 0).sum())
    assert events.column(db, "ts", numbers).tolist() == found["ts"].tolist()


@pytest.mark.parametrize("count", [1, 5, 60, 9_000])
def test_details_of_events_are_those_of_the_table(db: duckdb.DuckDBPyConnection, count: int) -> None:
    details, rng = FileDetails(EVENTS, 1), np.random.default_rng(count)
    for _ in range(3):
        numbers = rng.integers(0, EVENTS, count).astype(np.int32)
        which, found = details.of(db, numbers)
        assert which.tolist() == np.flatnonzero(numbers % 5 == 0).tolist()
        asked = numbers[which].astype(np.int64)
        assert (found["block_pfn"] == ABSENT64).all()
        assert found["evidence_ts"].tolist() == (asked // 10).tolist()
        assert found["ts_nsec"].tolist() == np.where(asked % 20 == 0, ABSENT64, asked // 10).tolist()
        assert found["src_pfn"].tolist() == (asked * 3).tolist()
        assert found["free_ts_nsec"].tolist() == (-asked).tolist()


@pytest.mark.parametrize("view", ["spans", "live"])
def test_runs_of_both_tables_are_read_in_their_order(db: duckdb.DuckDBPyConnection, view: str) -> None:
    """GIVEN single pages and longer runs, by page WHEN some are read at a time THEN all come by page, and none twice."""
    rows, parts = FileRows(db), []
    size, at_once = rows.runs.size_of(view), 11
    for start in range(0, size, at_once):
        parts.append(runs_in_order(db, rows, view, start, start + at_once)[0])
        assert parts[-1].size == min(at_once, size - start)
    assert runs_in_order(db, rows, view, size, size + 5)[0].size == 0
    found = np.concatenate(parts)
    key = ["pfn", "end_ts", "end_seq"]
    assert found.tolist() == np.sort(found, order=key).tolist()
    assert sorted(found.tolist()) == sorted(runs_of(db, rows, tables=[view])[0].tolist())


def test_many_points_are_counted_as_one_is(db: duckdb.DuckDBPyConnection) -> None:
    values = np.random.default_rng(1).integers(-5, 25_000_000, 500)
    each = [FileEvents(EVENTS).until(db, At(what="ts", value=value)) for value in values[:40].tolist()]
    assert FileEvents(EVENTS).until_each(db, "ts", values)[:40].tolist() == each


@pytest.mark.parametrize("pages_per_section", [PAGES_PER_SECTION, 1 << 15, 1 << 16, 1 << 18])
@settings(max_examples=effort(8, 200))
@given(st.lists(st.tuples(st.integers(0, PAGES), st.integers(-5, 21_000_000)), min_size=1, max_size=20))
def test_the_run_that_holds_a_page_is_looked_up(
    db: duckdb.DuckDBPyConnection, pages_per_section: int, asked: list[tuple[int, int]]
) -> None:
    rows = FileRows(db)
    for pfn, ts in asked:
        at = At(what="ts", value=ts)
        looked_up = runs_of_page(db, rows, pfn, pages_per_section, at)
        scanned = runs_of(db, FileRows(db), where=f"pfn <= {pfn} AND pfn + nr_pages > {pfn}", at=at)
        for one, other in zip(looked_up, scanned, strict=True):
            assert one.tolist() == other.tolist()


@pytest.mark.parametrize("kept", [1, 1 << 28])
def test_parts_of_the_runs_are_those_of_the_tables(
    db: duckdb.DuckDBPyConnection, kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(by_page, "_PART_ROWS", 1)  # a part for each section
    monkeypatch.setattr(by_page, "KEPT_BYTES", kept)
    runs = FileRows(db).by_page
    numbers = runs.numbers(np.arange(PAGES), PAGES_PER_SECTION)
    assert numbers.tolist() == [pfn // PAGES_PER_SECTION for pfn in range(PAGES)]
    names = ", ".join(RUN_COLUMNS[:-1])
    expected = [
        row
        for view, end in (("spans", "end_event"), ("live", "-1"))
        for table in RUN_TABLES[view]
        for row in db.execute(f"SELECT {names}, {end} FROM ({run_rows(table)})").fetchall()
    ]
    expected.sort()
    for asked in ([1], [0, 1, 2], [0, 1, 2]):
        parts = [part for both in runs.parts(db, asked, PAGES_PER_SECTION) for part in both]
        columns = [part.take(np.arange(part.size)) for part in parts]
        found = [row for part in columns for row in zip(*(part[name].tolist() for name in RUN_COLUMNS), strict=True)]
        assert sorted(found) == [row for row in expected if row[0] // PAGES_PER_SECTION in asked]
        assert found
        assert all((part["pfn"][1:] >= part["pfn"][:-1]).all() for part in columns)


def test_a_file_without_runs_holds_no_page(db: duckdb.DuckDBPyConnection) -> None:
    with db.cursor() as empty:
        empty.execute("CREATE SCHEMA empty; USE empty")
        try:
            runs = [table for tables in RUN_TABLES.values() for table in tables]
            for name in ("events", "details", *runs, *REST, "acts", "owners"):
                empty.execute(f"CREATE TABLE {name} AS SELECT * FROM main.{name} LIMIT 0")
            empty.execute("INSERT INTO acts SELECT * FROM main.acts; INSERT INTO owners SELECT * FROM main.owners")
            runs, records = runs_of_page(empty, FileRows(empty), 7, PAGES_PER_SECTION, At(what="ts", value=5))
        finally:
            empty.execute("USE main; DROP SCHEMA empty CASCADE")
    assert (runs.size, records.size) == (0, 0)


def test_a_few_of_many_events_are_those_of_the_table(db: duckdb.DuckDBPyConnection) -> None:
    numbers = np.random.default_rng(3).integers(0, EVENTS, EVENTS // 256).astype(np.int32)
    found = FileEvents(EVENTS).some(db, np.concatenate([numbers, numbers[:3]]))
    for name in ("seq", "ts", "act"):
        assert found[name].tolist() == [*read(db, name)[numbers].tolist(), *read(db, name)[numbers[:3]].tolist()]
