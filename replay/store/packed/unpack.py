"""Spans from the runs and events of a file. Nothing here loads the compiler: questions read this way, too."""

from collections.abc import Collection
from typing import Final

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pagetrail.replay.store.packed.about import about
from pagetrail.replay.store.packed.by_page import RunsByPage
from pagetrail.replay.store.packed.columns import Columns, absent_of, arrays_of
from pagetrail.replay.store.packed.details import FileDetails
from pagetrail.replay.store.packed.events import At, FileEvents
from pagetrail.replay.store.packed.run_tables import RUN_COLUMNS, RunTables, read_runs, runs_between
from pagetrail.replay.store.packed.texts import TextsById
from pagetrail.schemas.linux.mmzone import PFN_LIMIT
from pagetrail.schemas.owner import ABSENT64, OPEN_END, RECORD_DTYPE, RUN_DTYPE, State
from pagetrail.schemas.store.tables import arrow_schema
from pagetrail.schemas.structs import whole

_OF_RUNS: Final = frozenset(RUN_DTYPE.names or ())


class FileRows:
    """What is read once of a file: acts and owners by id, which are few rows that many events share; and a few numbers.

    Attributes
    ----------
    acts, owners
        Their columns, by id; the last row is that of nothing, which has the id -1.
    events, details
        The events, and the details of some.
    says
        Whether dumps said anything beside owners.
    has_lasting_doubts
        Whether doubts that were cast before last into it.
    texts
        The texts.
    runs, by_page
        The tables of the runs, and these by page.
    alike, differing
        RECORD_DTYPE: a record with what all records of the file have in common; and the fields of acts and owners that differ.
    """

    def __init__(self, db: duckdb.DuckDBPyConnection, file_size: int = PFN_LIMIT) -> None:
        found = about(db, file_size)
        self.acts, self.owners = _by_id(db, "acts"), _by_id(db, "owners")
        size, details = found.sizes["events"], found.sizes["details"]
        self.says, self.has_lasting_doubts = found.sizes["said"] > 0, found.sizes["lasting_doubts"] > 0
        self.runs = RunTables(found)
        self.by_page = RunsByPage(self.runs)
        self.events, self.details, self.texts = FileEvents(size), FileDetails(size, details), TextsById()
        self.alike = np.zeros(1, RECORD_DTYPE)
        self.differing = {
            name
            for columns in (self.acts, self.owners)
            for name, column in columns.items()
            if (column != column[0]).any()
        }
        for name, column in (*self.acts.items(), *self.owners.items()):
            self.alike[name] = column[0]
        for name in ("ts_nsec", "free_ts_nsec", "src_pfn"):
            self.alike[name] = ABSENT64


def runs_of(
    db: duckdb.DuckDBPyConnection,
    rows: FileRows,
    *,
    tables: Collection[str] = ("spans", "live"),
    where: str = "true",
    at: At | None = None,
) -> tuple[NDArray[np.void], NDArray[np.void]]:
    """Return spans of a file as runs and records: those that ended, then the open ones, each in the order of their tables.

    *where* is a condition on ``RUN_COLUMNS``; with *at*, only spans that cover that point: they are open then, and their ends are
    not looked up.
    """
    known = None if at is None else rows.events.until(db, at)
    found = [
        part for view in ("spans", "live") if view in tables for part in read_runs(db, rows.runs, view, where, known)
    ]
    return unpacked(db, rows, _together(found))


def runs_in_order(
    db: duckdb.DuckDBPyConnection, rows: FileRows, view: str, first: int, stop: int
) -> tuple[NDArray[np.void], NDArray[np.void]]:
    """Return the spans of ``spans`` or ``live`` from the place *first* up to *stop*: see the column *place*."""
    return unpacked(db, rows, runs_between(db, rows.runs, view, first, stop))


def owned_runs_of(
    db: duckdb.DuckDBPyConnection, rows: FileRows, where: str, at: At
) -> tuple[NDArray[np.void], NDArray[np.void]]:
    """Return the spans of ``runs_of`` that are owned, by pfn, of a file without runs of the kernel's own view."""
    known = rows.events.until(db, at)
    index = _together([part for view in ("spans", "live") for part in read_runs(db, rows.runs, view, where, known)])
    act = rows.events.column(db, "act", index["begin_event"])
    owned = np.flatnonzero(rows.acts["state"][act] == State.OWNED)
    order = owned[np.argsort(index["pfn"][owned], kind="stable")]
    return unpacked(db, rows, {name: column[order] for name, column in index.items()})


def runs_of_page(
    db: duckdb.DuckDBPyConnection, rows: FileRows, pfn: int, pages_per_section: int, at: At
) -> tuple[NDArray[np.void], NDArray[np.void]]:
    """Return the spans that hold a page at a point, as ``runs_of`` does."""
    found = _together([part.take(part.holding(pfn)) for part in rows.by_page.around(db, pfn, pages_per_section)])
    begin, end = found["begin_event"], found["end_event"]
    low, high = rows.events.between(db, at)
    unsure = np.concatenate([begin, end])
    unsure = np.unique(unsure[(low <= unsure) & (unsure < high)])
    low, high = rows.events.narrowed(db, at, (low, high), unsure.tolist())
    there = (begin < high) & ((end < 0) | (end >= low))
    some = {name: column[there] for name, column in found.items()}
    return unpacked(db, rows, some | {"end_event": np.full(some["pfn"].size, -1)})


def unpacked(
    db: duckdb.DuckDBPyConnection, rows: FileRows, index: Columns
) -> tuple[NDArray[np.void], NDArray[np.void]]:
    """Return the spans of runs, *index*: ``RUN_COLUMNS``; *end_event* is -1 where they are open."""
    begin, end = index["begin_event"], index["end_event"]
    runs = np.zeros(begin.size, RUN_DTYPE)
    for name in ("pfn", "nr_pages", "generation", "kernel_view"):
        runs[name] = index[name]
    runs["end_seq"], runs["end_ts"] = OPEN_END, OPEN_END
    ended = np.flatnonzero(end >= 0)
    if ended.size:
        last = rows.events.some(db, end[ended])
        for name, value in (
            ("end_seq", last["seq"]),
            ("end_ts", last["ts"]),
            ("end_how", rows.acts["how"][last["act"]]),
        ):
            runs[name][ended] = value
    return runs, _records(db, rows, begin, runs["pfn"])


def span_table(runs: NDArray[np.void], records: NDArray[np.void]) -> pa.Table:
    """Return spans as the columns of ``spans``: what is absent is null."""
    columns = {}
    for field in arrow_schema("spans"):
        rows = runs if field.name in _OF_RUNS else records
        if field.name not in (rows.dtype.names or ()):
            columns[field.name] = pa.nulls(runs.size, field.type)  # the number of a record
            continue
        column = np.ascontiguousarray(rows[field.name])
        mask = column == absent_of(field.name, column.dtype)
        columns[field.name] = pa.array(column, mask=mask if mask.any() else None)
    return pa.table(columns, schema=arrow_schema("spans"))


def _records(
    db: duckdb.DuckDBPyConnection, rows: FileRows, begin: NDArray[np.int32], pfn: NDArray[np.int64]
) -> NDArray[np.void]:
    """Return the records of spans of which each began with one of these events."""
    begun = rows.events.some(db, begin)
    records = np.empty(pfn.size, RECORD_DTYPE)
    whole(records)[:] = whole(rows.alike)
    for of, columns in ((begun["act"], rows.acts), (begun["owner"], rows.owners)):
        for name, column in columns.items():
            if name in rows.differing:
                records[name] = column[of]
    ts = begun["ts"]
    records["begin_seq"], records["begin_ts"], records["evidence_ts"] = begun["seq"], ts, ts
    records["alloc_ts"] = np.where(begun["age"] == ABSENT64, ABSENT64, ts - begun["age"])
    order = np.maximum(records["order"], 0).astype(np.int64)
    records["block_pfn"] = pfn >> order << order
    detailed, details = rows.details.of(db, begin)
    if detailed.size:
        _add_details(records, detailed, details)
    return records


def _add_details(records: NDArray[np.void], which: NDArray[np.int64], details: Columns) -> None:
    for name in ("ts_nsec", "free_ts_nsec", "src_pfn"):
        records[name][which] = details[name]
    for name in ("block_pfn", "evidence_ts"):
        given = details[name] != ABSENT64
        records[name][which[given]] = details[name][given]


def _together(parts: list[Columns]) -> Columns:
    if len(parts) == 1:
        return parts[0]
    return {name: np.concatenate([part[name] for part in parts]) for name in RUN_COLUMNS}


def _by_id(db: duckdb.DuckDBPyConnection, table: str) -> Columns:
    """Return the columns of *table* by id, with a row of nothing behind them: it has the id -1."""
    found = arrays_of(db.sql(f"SELECT * EXCLUDE (id) FROM {table} ORDER BY id").to_arrow_table())
    return {
        name: np.append(column, absent_of(name, column.dtype)).astype(column.dtype) for name, column in found.items()
    }
