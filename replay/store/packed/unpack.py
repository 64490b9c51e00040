"""Spans from the runs and events of a file. Nothing here loads the compiler: questions read this way, too."""

import weakref
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pagetrail.schemas.owner import (
    ABSENT8,
    ABSENT16,
    ABSENT32,
    ABSENT64,
    ENDED_RUN_DTYPE,
    OPEN_END,
    RECORD_DTYPE,
    RUN_DTYPE,
)
from pagetrail.schemas.store.tables import arrow_schema

_RUN_COLUMNS: Final = "pfn, nr_pages, begin_event, generation, kernel_view"
_OF_RUNS: Final = frozenset(RUN_DTYPE.names or ())
_EVENT: Final = "seq, ts, act, owner, age, detail"
_SAMPLED_EVERY: Final = 2048
"""Of so many events, the time of one is kept in memory: DuckDB has as many rows in a vector."""

_MANY_ROWS: Final = 1 << 12
"""From so many rows on, all events of a file are read, if they are of most of it."""

_FEW_EVENTS: Final = 8
"""Up to so many events are looked up one by one: DuckDB finds a row by its number without a scan, but not several."""

_IDS: Final = ("comm", "stack")
"""What the names of columns that hold ids of texts end with."""

Columns = dict[str, NDArray[Any]]


class FileRows:
    """What is read once of a file: acts and owners by id, which are few rows that many events share; and times of some events.

    Attributes
    ----------
    acts, owners
        Their columns, by id; the last row is that of nothing, which has the id -1.
    """

    def __init__(self, db: duckdb.DuckDBPyConnection) -> None:
        self.acts, self.owners = _by_id(db, "acts"), _by_id(db, "owners")
        some = db.sql(f"SELECT seq, ts FROM events WHERE rowid % {_SAMPLED_EVERY} = 0 ORDER BY rowid")
        self._sampled = arrays_of(some.to_arrow_table())
        self._size = _count(db, "true")

    def events_until(self, db: duckdb.DuckDBPyConnection, at: "At") -> int:
        """Return how many events of the file happened up to a point: they are in order."""
        behind = int(np.searchsorted(self._sampled[at.what], at.value, side="right"))
        if not behind:
            return 0
        first = (behind - 1) * _SAMPLED_EVERY
        return first + _count(
            db, f"rowid >= {first} AND rowid < {first + _SAMPLED_EVERY} AND {at.what} <= {at.value:d}"
        )

    def events(self, db: duckdb.DuckDBPyConnection, begin: NDArray[np.int32], end: NDArray[np.int32]) -> "_Events":
        """Return the events with these numbers, and perhaps others."""
        low = min(int(begin.min(initial=self._size)), int(end.min(initial=self._size)))
        high = max(int(begin.max(initial=-1)), int(end.max(initial=-1)))
        if begin.size + end.size <= _FEW_EVENTS:
            numbers = np.unique(np.concatenate([begin, end]))
            each = [f"SELECT {_EVENT} FROM events WHERE rowid = {n:d}" for n in numbers.tolist()]
            query = " UNION ALL ".join(each) or f"SELECT {_EVENT} FROM events WHERE false"
            return _Events(arrays_of(db.sql(query).to_arrow_table()), 0, numbers)
        if begin.size >= _MANY_ROWS and 2 * (high - low) >= self._size:
            return _Events(_LATEST.of(self, db), 0)
        query = f"SELECT {_EVENT} FROM events WHERE rowid >= {low:d} AND rowid <= {high:d} ORDER BY rowid"
        return _Events(arrays_of(db.sql(query).to_arrow_table()), low)


class _Latest:
    """All events of the file of which they were wanted last: a question reads the rows of an instant part by part."""

    def __init__(self) -> None:
        self._kept: tuple[weakref.ref[FileRows], Columns] | None = None

    def of(self, rows: FileRows, db: duckdb.DuckDBPyConnection) -> Columns:
        kept = self._kept
        if kept is not None and kept[0]() is rows:
            return kept[1]
        self._kept = None
        columns = arrays_of(db.sql(f"SELECT {_EVENT} FROM events ORDER BY rowid").to_arrow_table())
        self._kept = weakref.ref(rows, self._forget), columns
        return columns

    def _forget(self, gone: weakref.ref[FileRows]) -> None:
        if self._kept is not None and self._kept[0] is gone:
            self._kept = None


_LATEST: Final = _Latest()


def _count(db: duckdb.DuckDBPyConnection, where: str) -> int:
    return int(db.execute(f"SELECT count(*) FROM events WHERE {where}").fetchall()[0][0])


@dataclass(frozen=True, slots=True, kw_only=True)
class At:
    """A point of a stream: after every event up to *value*, a trace clock in ns, or, with *what* "seq", a stream_seq."""

    what: str
    value: int


def runs_of(
    db: duckdb.DuckDBPyConnection,
    rows: FileRows,
    *,
    tables: Collection[str] = ("spans", "live"),
    where: str = "true",
    at: At | None = None,
) -> tuple[NDArray[np.void], NDArray[np.void]]:
    """Return spans of a file as runs and records: those that ended, then the open ones, each in the order of the file.

    *where* is a condition on the columns of ``ended_runs`` and ``open_runs``; with *at*, only spans that cover that point.
    """
    known = None if at is None else rows.events_until(db, at)
    found = [_index(db, table, where, known) for table in ("spans", "live") if table in tables]
    index = {name: np.concatenate([part[name] for part in found]) for name in found[0]}
    return unpacked(db, rows, index)


def index_of(db: duckdb.DuckDBPyConnection, where: str) -> NDArray[np.void]:
    """Return the runs of a file, those that ended and then the open ones: ENDED_RUN_DTYPE; see ``runs_of``."""
    found = [_index(db, table, where, None) for table in ("spans", "live")]
    index = np.zeros(sum(part["pfn"].size for part in found), ENDED_RUN_DTYPE)
    for name in ENDED_RUN_DTYPE.names or ():
        index[name] = np.concatenate([part[name] for part in found])
    return index


def unpacked(
    db: duckdb.DuckDBPyConnection, rows: FileRows, index: Columns
) -> tuple[NDArray[np.void], NDArray[np.void]]:
    """Return the spans of rows of ``ended_runs`` and ``open_runs``; *index*["end_event"] is -1 where they are open."""
    begin, end = index["begin_event"], index["end_event"]
    events = rows.events(db, begin, end[end >= 0])
    runs = np.zeros(begin.size, RUN_DTYPE)
    for name in ("pfn", "nr_pages", "generation", "kernel_view"):
        runs[name] = index[name]
    runs["end_seq"], runs["end_ts"] = OPEN_END, OPEN_END
    ended = np.flatnonzero(end >= 0)
    if ended.size:
        last = events.rows_of(end[ended])
        for name, value in (("end_seq", events.columns["seq"][last]), ("end_ts", events.columns["ts"][last])):
            runs[name][ended] = value
        runs["end_how"][ended] = rows.acts["how"][events.columns["act"][last]]
    return runs, _records(
        db, rows, {name: column[events.rows_of(begin)] for name, column in events.columns.items()}, runs["pfn"]
    )


def span_table(runs: NDArray[np.void], records: NDArray[np.void]) -> pa.Table:
    """Return spans as the columns of ``spans``: what is absent is null."""
    columns = {}
    for field in arrow_schema("spans"):
        rows = runs if field.name in _OF_RUNS else records
        if field.name not in (rows.dtype.names or ()):
            columns[field.name] = pa.nulls(runs.size, field.type)  # the number of a record
            continue
        column = np.ascontiguousarray(rows[field.name])
        mask = column == _absent(field.name, column.dtype)
        columns[field.name] = pa.array(column, mask=mask if mask.any() else None)
    return pa.table(columns, schema=arrow_schema("spans"))


def _records(db: duckdb.DuckDBPyConnection, rows: FileRows, begun: Columns, pfn: NDArray[np.int64]) -> NDArray[np.void]:
    """Return the records of spans of which each began with one of these events."""
    records = np.zeros(pfn.size, RECORD_DTYPE)
    for of, columns in ((begun["act"], rows.acts), (begun["owner"], rows.owners)):
        for name, column in columns.items():
            records[name] = column[of]
    ts = begun["ts"]
    records["begin_seq"], records["begin_ts"], records["evidence_ts"] = begun["seq"], ts, ts
    records["alloc_ts"] = np.where(begun["age"] == ABSENT64, ABSENT64, ts - begun["age"])
    order = np.maximum(records["order"], 0).astype(np.int64)
    records["block_pfn"] = pfn >> order << order
    for name in ("ts_nsec", "free_ts_nsec", "src_pfn"):
        records[name] = ABSENT64
    detailed = np.flatnonzero(begun["detail"] >= 0)
    if detailed.size:
        _add_details(records, detailed, _details(db, begun["detail"][detailed]))
    return records


def _add_details(records: NDArray[np.void], which: NDArray[np.int64], details: Columns) -> None:
    for name in ("ts_nsec", "free_ts_nsec", "src_pfn"):
        records[name][which] = details[name]
    for name in ("block_pfn", "evidence_ts"):
        given = details[name] != ABSENT64
        records[name][which[given]] = details[name][given]


def _index(db: duckdb.DuckDBPyConnection, table: str, where: str, known: int | None) -> Columns:
    ended = table == "spans"
    columns = f"{_RUN_COLUMNS}{', end_event' if ended else ''}"
    if known is not None:
        where = f"begin_event < {known:d}{f' AND end_event >= {known:d}' if ended else ''} AND ({where})"
    query = f"SELECT {columns} FROM {'ended_runs' if ended else 'open_runs'} WHERE {where}"
    found = arrays_of(db.sql(query).to_arrow_table())
    if not ended:
        found["end_event"] = np.full(found["pfn"].size, -1, np.int32)
    return found


@dataclass(frozen=True, slots=True)
class _Events:
    """Some events: all from *first* on, or, where *numbers* are given, those."""

    columns: Columns
    first: int
    numbers: NDArray[np.int32] | None = None

    def rows_of(self, numbers: NDArray[np.int32]) -> NDArray[np.int64]:
        if self.numbers is None:
            return numbers.astype(np.int64) - self.first
        return np.searchsorted(self.numbers, numbers)


def _details(db: duckdb.DuckDBPyConnection, ids: NDArray[np.int32]) -> Columns:
    low, high = int(ids.min()), int(ids.max())
    columns = "block_pfn, evidence_ts, ts_nsec, free_ts_nsec, src_pfn"
    query = f"SELECT {columns} FROM details WHERE rowid >= {low:d} AND rowid <= {high:d} ORDER BY rowid"
    found = arrays_of(db.sql(query).to_arrow_table())
    return {name: column[ids - low] for name, column in found.items()}


def _by_id(db: duckdb.DuckDBPyConnection, table: str) -> Columns:
    """Return the columns of *table* by id, with a row of nothing behind them: it has the id -1."""
    found = arrays_of(db.sql(f"SELECT * EXCLUDE (id) FROM {table} ORDER BY id").to_arrow_table())
    return {name: np.append(column, _absent(name, column.dtype)).astype(column.dtype) for name, column in found.items()}


def arrays_of(rows: pa.Table) -> Columns:
    """Return columns as arrays; null becomes absent, and -1 where it stands for an id or the number of a row."""
    found = {}
    for name in rows.column_names:
        column = rows[name].combine_chunks()
        if column.null_count:
            kind = column.type.to_pandas_dtype()
            column = column.fill_null(_absent(name, np.dtype(kind)))
        found[name] = column.to_numpy(zero_copy_only=False)
    return found


def _absent(name: str, dtype: np.dtype[Any]) -> int:
    if name in ("owner", "detail") or name.endswith(_IDS):
        return -1
    return {8: ABSENT64, 4: ABSENT32, 2: ABSENT16, 1: ABSENT8}[dtype.itemsize]
