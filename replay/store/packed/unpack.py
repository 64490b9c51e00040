"""Spans from the runs and events of a file. Nothing here loads the compiler: questions read this way, too."""

from collections.abc import Collection
from typing import Final

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pagetrail.replay.store.packed.columns import Columns, absent_of, arrays_of
from pagetrail.replay.store.packed.events import At, FileEvents
from pagetrail.replay.store.packed.texts import TextsById
from pagetrail.replay.store.prepared import rows_of
from pagetrail.schemas.owner import ABSENT64, OPEN_END, RECORD_DTYPE, RUN_DTYPE, State
from pagetrail.schemas.store.tables import arrow_schema
from pagetrail.schemas.structs import whole

_RUN_COLUMNS: Final = "pfn, nr_pages, begin_event, generation, kernel_view"
_OF_RUNS: Final = frozenset(RUN_DTYPE.names or ())
_OF_INDEX: Final = ("pfn", "nr_pages", "begin_event", "generation", "kernel_view", "end_event")

_ABOUT: Final = """SELECT (SELECT count(*) FROM events), (SELECT count(*) > 0 FROM said), greatest(e.views, o.views) = 1,
    greatest(e.pages, o.pages, 1)
    FROM (SELECT max(kernel_view) AS views, max(nr_pages) AS pages FROM ended_runs) e,
    (SELECT max(kernel_view) AS views, max(nr_pages) AS pages FROM open_runs) o"""
"""DuckDB has these numbers: it reads no rows for them."""

_ENDED_HOLDING: Final = f"""SELECT {_RUN_COLUMNS}, end_event FROM ended_runs
    WHERE pfn >= $1 AND pfn <= $2 AND pfn + nr_pages > $2 AND begin_event < $4 AND end_event >= $3"""
"""The runs that hold the page $2, of those that begin from $1 on, at some time between the events $3 and $4."""

_OPEN_HOLDING: Final = f"""SELECT {_RUN_COLUMNS}, -1 FROM open_runs
    WHERE pfn >= $1 AND pfn <= $2 AND pfn + nr_pages > $2 AND begin_event < $4 AND $3 >= 0"""

_MANY_RUNS: Final = 1 << 8
"""Runs of a page, from which on it is found out first how many events happened up to the instant."""


class FileRows:
    """What is read once of a file: acts and owners by id, which are few rows that many events share; and a few numbers.

    Attributes
    ----------
    acts, owners
        Their columns, by id; the last row is that of nothing, which has the id -1.
    events
        The events.
    most_pages
        The most pages that a run has.
    has_views
        Whether a run is one of the kernel's own view.
    says
        Whether dumps said anything beside owners.
    texts
        The texts.
    alike, differing
        RECORD_DTYPE: a record with what all records of the file have in common; and the fields of acts and owners that differ.
    """

    def __init__(self, db: duckdb.DuckDBPyConnection) -> None:
        self.acts, self.owners = _by_id(db, "acts"), _by_id(db, "owners")
        size, says, views, most_pages = db.execute(_ABOUT).fetchall()[0]
        self.says, self.has_views, self.most_pages = bool(says), bool(views), int(most_pages)
        self.events, self.texts = FileEvents(size), TextsById()
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
    """Return spans of a file as runs and records: those that ended, then the open ones, each in the order of the file.

    *where* is a condition on the columns of ``ended_runs`` and ``open_runs``; with *at*, only spans that cover that point: they are
    open then, and their ends are not looked up.
    """
    known = None if at is None else rows.events.until(db, at)
    found = [_index(db, table, where, known) for table in ("spans", "live") if table in tables]
    index = {name: np.concatenate([part[name] for part in found]) for name in found[0]}
    return unpacked(db, rows, index)


def owned_runs_of(
    db: duckdb.DuckDBPyConnection, rows: FileRows, where: str, at: At
) -> tuple[NDArray[np.void], NDArray[np.void]]:
    """Return the spans of ``runs_of`` that are owned, by pfn, of a file without runs of the kernel's own view."""
    known = rows.events.until(db, at)
    found = [_index(db, table, where, known) for table in ("spans", "live")]
    index = {name: np.concatenate([part[name] for part in found]) for name in found[0]}
    act = rows.events.column(db, "act", index["begin_event"])
    owned = np.flatnonzero(rows.acts["state"][act] == State.OWNED)
    order = owned[np.argsort(index["pfn"][owned], kind="stable")]
    return unpacked(db, rows, {name: column[order] for name, column in index.items()})


def runs_of_page(
    db: duckdb.DuckDBPyConnection, rows: FileRows, pfn: int, first: int, at: At
) -> tuple[NDArray[np.void], NDArray[np.void]]:
    """Return the spans that hold a page at a point, as ``runs_of`` does; none that does begins before the page *first*."""
    low, high = rows.events.between(db, at)
    first, there = max(first, pfn - rows.most_pages + 1), []
    for query in (_ENDED_HOLDING, _OPEN_HOLDING):
        found = rows_of(db, query, first, pfn, low, high)
        if len(found) > _MANY_RUNS:
            low = high = rows.events.until(db, at)
        unsure = {number for run in found for number in (run[2], run[5]) if low <= number < high}
        low, high = rows.events.narrowed(db, at, (low, high), sorted(unsure))
        there += [run for run in found if run[2] < high and (run[5] < 0 or run[5] >= low)]
        if there and not rows.has_views:
            break  # a page is in one run of each view
    index = np.array(there, np.int64).reshape(-1, len(_OF_INDEX)).T
    columns = dict(zip(_OF_INDEX, index, strict=True))
    return unpacked(db, rows, columns | {"end_event": np.full(len(there), -1)})


def index_of(db: duckdb.DuckDBPyConnection, rows: FileRows, table: str, where: str) -> Columns:
    """Return the runs of "spans", which ended, or "live", which are open (end_event -1): the columns of ``ended_runs``."""
    constant = ({} if rows.has_views else {"kernel_view": np.int8(0)}) | (
        {} if rows.most_pages > 1 else {"nr_pages": np.int32(1)}
    )
    names = [name for name in _OF_INDEX if name not in constant and (table == "spans" or name != "end_event")]
    query = f"SELECT {', '.join(names)} FROM {'ended_runs' if table == 'spans' else 'open_runs'} WHERE {where}"
    found = arrays_of(db.sql(query).to_arrow_table())
    if table != "spans":
        constant["end_event"] = np.int32(-1)
    return found | {name: np.broadcast_to(value, found["pfn"].size) for name, value in constant.items()}


def unpacked(
    db: duckdb.DuckDBPyConnection, rows: FileRows, index: Columns
) -> tuple[NDArray[np.void], NDArray[np.void]]:
    """Return the spans of rows of ``ended_runs`` and ``open_runs``; *index*["end_event"] is -1 where they are open."""
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
    return runs, _records(db, rows, rows.events.some(db, begin), runs["pfn"])


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


def _records(db: duckdb.DuckDBPyConnection, rows: FileRows, begun: Columns, pfn: NDArray[np.int64]) -> NDArray[np.void]:
    """Return the records of spans of which each began with one of these events."""
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
    columns = f"{_RUN_COLUMNS}{', end_event' if ended and known is None else ''}"
    if known is not None:
        where = f"begin_event < {known:d}{f' AND end_event >= {known:d}' if ended else ''} AND ({where})"
    query = f"SELECT {columns} FROM {'ended_runs' if ended else 'open_runs'} WHERE {where}"
    found = arrays_of(db.sql(query).to_arrow_table())
    if "end_event" not in found:
        found["end_event"] = np.full(found["pfn"].size, -1, np.int32)
    return found


def _details(db: duckdb.DuckDBPyConnection, ids: NDArray[np.int32]) -> Columns:
    low, high = int(ids.min()), int(ids.max())
    columns = "block_pfn, evidence_ts, ts_nsec, free_ts_nsec, src_pfn"
    query = f"SELECT {columns} FROM details WHERE rowid >= {low:d} AND rowid <= {high:d} ORDER BY rowid"
    found = arrays_of(db.sql(query).to_arrow_table())
    return {name: column[ids - low] for name, column in found.items()}


def _by_id(db: duckdb.DuckDBPyConnection, table: str) -> Columns:
    """Return the columns of *table* by id, with a row of nothing behind them: it has the id -1."""
    found = arrays_of(db.sql(f"SELECT * EXCLUDE (id) FROM {table} ORDER BY id").to_arrow_table())
    return {
        name: np.append(column, absent_of(name, column.dtype)).astype(column.dtype) for name, column in found.items()
    }
