"""The digests of a file of the store, made again from its rows: those that it says of itself have to be the same.

Rows are read some at a time, and columns of runs and events one by one: a file may be larger than memory.

Dimensions: n = runs of a view, e = events.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pagetrail.replay.fold.decode import TextTable
from pagetrail.replay.fold.tables import ANOMALY_ROWS, RunColumns
from pagetrail.replay.rules.dumped.said import SAID_TEXTS, Said, SaidRows
from pagetrail.replay.store.digest import Digested, TablesDigest, chain_digest, packed_digest, rows_digest
from pagetrail.replay.store.packed.columns import arrays_of
from pagetrail.replay.store.read import columns
from pagetrail.replay.store.saved_facts import facts_within
from pagetrail.replay.store.text_id import text_id
from pagetrail.schemas.owner import (
    ABSENT64,
    ACT_FIELDS,
    DETAIL_FIELDS,
    DOUBT_DTYPE,
    ENDED_RUN_DTYPE,
    OPEN_END,
    OWNER_FIELDS,
    STAMP_DTYPE,
    VALUE_DTYPE,
    VALUE_SAID_DTYPE,
)
from pagetrail.schemas.store.names import FOLD_PREFIX
from pagetrail.schemas.store.tables import (
    CHAINED,
    DIGEST_VERSION,
    FOLD_VERSION,
    RUN_TABLES,
    SINGLE_PAGE,
    STORED,
    TABLES_DIGEST,
    arrow_schema,
)

_ROWS_AT_ONCE: Final = 1 << 16
_Db = duckdb.DuckDBPyConnection
_OF_EVENTS: Final = {"seq": np.int64, "ts": np.int64, "act": np.int32, "owner": np.int32, "age": np.int64}


@dataclass(frozen=True, slots=True, kw_only=True)
class Recount:
    """The digests of a file as its rows make them: the chain digest, and that of the tables that it does not cover."""

    chain: str
    tables: str


def recount(db: _Db, meta: dict[str, str]) -> Recount:
    """Return the digests that the rows of a file make; *meta* is its table of that name.

    Raises
    ------
    ValueError, TypeError, KeyError, IndexError, OverflowError, RecursionError, AttributeError, duckdb.Error
        The rows are not such that a stretch of a stream has.
    """
    rows = _Rows(db)
    return Recount(chain=_chain(rows, meta), tables=_tables(rows))


class _Rows:
    """The rows of a file. Small tables are read once and kept: a query takes as long as to read a thousand rows."""

    def __init__(self, db: _Db) -> None:
        self.db = db
        counts = ", ".join(f"(SELECT count(*) FROM {name})" for name in STORED)
        self.sizes: dict[str, int] = dict(zip(STORED, db.execute(f"SELECT {counts}").fetchall()[0], strict=True))
        self._kept: dict[str, pa.Table] = {}

    def table(self, name: str) -> pa.Table:
        """Return a table, in the order of its rows."""
        if name not in self._kept:
            found = pa.Table.from_batches(self._read(name, "*"), arrow_schema(name))
            if self.sizes[name] > _ROWS_AT_ONCE:
                return found
            self._kept[name] = found
        return self._kept[name]

    def batches(self, name: str) -> Iterator[pa.RecordBatch]:
        """Yield the rows of a table, some at a time."""
        if self.sizes[name] <= _ROWS_AT_ONCE:
            yield from self.table(name).to_batches()
        else:
            yield from self._read(name, "*")

    def column(self, name: str, column: str, kind: np.dtype[Any] | type) -> NDArray[Any]:
        """Return a column of a table; of a large one no others are read."""
        found, done = np.empty(self.sizes[name], kind), 0
        small = self.sizes[name] <= _ROWS_AT_ONCE
        for batch in self.batches(name) if small else self._read(name, column):
            part = arrays_of(pa.table({column: batch[column]}))[column]
            found[done : done + part.size] = part
            done += part.size
        return found

    def _read(self, name: str, columns: str) -> Iterator[pa.RecordBatch]:
        if not self.sizes[name]:
            return
        schema = arrow_schema(name)
        for batch in self.db.sql(f"SELECT {columns} FROM {name}").to_arrow_reader(_ROWS_AT_ONCE):
            yield batch.cast(pa.schema([schema.field(column) for column in batch.schema.names]))


def _tables(rows: _Rows) -> str:
    found = TablesDigest()
    for name in STORED:
        if name not in CHAINED and name != "meta":
            found.add(name, rows.batches(name))
    meta = rows.table("meta")
    found.add("meta", meta.filter(pc.not_equal(meta["key"], TABLES_DIGEST)).to_batches())
    return found.hexdigest()


def _chain(rows: _Rows, meta: dict[str, str]) -> str:
    state = rows.table("state")
    [text] = state["value"].filter(pc.equal(state["name"], "facts")).to_pylist()
    facts = facts_within(rows.db, text)
    values = _page_values(rows.table("page_ext"), facts.fields)
    is_open = values["end_seq"] == OPEN_END
    origin = (meta["host"], meta["boot_id"], _digest_name(meta["fold"]), meta["first_seq"], meta["last_seq"])
    return chain_digest(meta["parent_digest"], origin, Digested(
        packed=packed_digest(_packed(rows)),
        doubts=rows_digest(columns(rows.table("doubts"), DOUBT_DTYPE)),
        lasting=rows_digest(columns(rows.table("lasting_doubts"), DOUBT_DTYPE)),
        anomalies=_anomalies(rows.table("anomalies")), facts=facts, values=values[~is_open], live_values=values[is_open],
        said=_said(rows),
    ))  # fmt: skip


def _digest_name(fold: str) -> str:
    """Return what a chain digest has of a fold's name: the version of digests takes the place of its own."""
    return f"{FOLD_PREFIX}{DIGEST_VERSION}{fold.removeprefix(f'{FOLD_PREFIX}{FOLD_VERSION}')}"


# -- spans ---------------------------------------------------------------------------------------------------------------


def _packed(rows: _Rows) -> Iterator[NDArray[Any]]:
    for view in ("spans", "live"):
        yield from _runs(rows, view)
    for name, kind in _OF_EVENTS.items():
        yield rows.column("events", name, kind)
    details = arrays_of(rows.table("details"))
    yield _details_of_events(details, rows.sizes["events"])
    yield _by_id(rows.table("acts"), ACT_FIELDS)
    yield _by_id(rows.table("owners"), OWNER_FIELDS)
    yield _details(details)
    identities = [*map(text_id, _by_number(rows.table("comms"), "comm")), *_by_number(rows.table("stacks"), "stack_id")]
    yield np.array(identities, np.int64)


def _runs(rows: _Rows, view: str) -> Iterator[NDArray[Any]]:
    """Yield the columns of ``RunColumns``: single pages are in the places that no other run has."""
    pages, runs = RUN_TABLES[view]
    places = rows.column(runs, "place", np.int64)
    _check_rising(places, f"places of {runs}")
    is_page = np.ones(rows.sizes[pages] + places.size, np.bool_)
    is_page[places] = False
    for name in RunColumns._fields:
        found = np.empty(is_page.size, ENDED_RUN_DTYPE[name])
        if name == "end_event" and view == "live":
            found[:] = -1
        else:
            found[places] = rows.column(runs, name, found.dtype)
            found[is_page] = SINGLE_PAGE[name] if name in SINGLE_PAGE else rows.column(pages, name, found.dtype)
        yield found


def _details_of_events(details: Mapping[str, NDArray[Any]], events: int) -> NDArray[np.int32]:
    _check_rising(details["event"], "events of details")
    found = np.full(events, -1, np.int32)
    found[details["event"]] = details["id"]
    return found


def _details(details: Mapping[str, NDArray[Any]]) -> NDArray[np.int64]:
    ids, first = np.unique(details["id"], return_index=True)
    if not np.array_equal(ids, np.arange(ids.size)):
        raise ValueError("ids of details that are not numbers from 0 on")
    found = np.stack([details[name] for name in DETAIL_FIELDS], axis=1).astype(np.int64)
    if not np.array_equal(found, found[first][details["id"]]):
        raise ValueError("details with one id that differ")
    return found[first]


def _by_id(found: pa.Table, fields: Sequence[str]) -> NDArray[np.int64]:
    """Return the rows of acts or owners as they are digested: what is absent is ABSENT64, or -1 for an id."""
    _check_ids(found)
    rows = np.empty((found.num_rows, len(fields)), np.int64)
    for i, name in enumerate(fields):
        absent = -1 if name.endswith(("comm", "stack")) else ABSENT64
        rows[:, i] = found[name].cast(pa.int64()).fill_null(absent).to_numpy()
    return rows


def _by_number(found: pa.Table, column: str) -> list[Any]:
    _check_ids(found)
    return list(found[column].to_pylist())


def _check_ids(found: pa.Table) -> None:
    if not np.array_equal(found["id"].to_numpy(), np.arange(found.num_rows)):
        raise ValueError("ids that are not numbers from 0 on")


def _check_rising(numbers: NDArray[Any], what: str) -> None:
    if numbers.size and (numbers[0] < 0 or (np.diff(numbers) <= 0).any()):
        raise ValueError(f"{what} that do not rise")


# -- the rest ------------------------------------------------------------------------------------------------------------


def _anomalies(found: pa.Table) -> NDArray[np.int64]:
    rows = np.zeros((ANOMALY_ROWS, 3), np.int64)
    kinds = found["kind"].to_numpy()
    if kinds.size and kinds.min() < 0:
        raise ValueError("a kind below 0")
    for i, name in enumerate(("events", "pages", "first_seq")):
        rows[kinds, i] = found[name].to_numpy()
    return rows


def _page_values(found: pa.Table, fields: Sequence[str]) -> NDArray[np.void]:
    rows = columns(found.drop_columns(["field"]), VALUE_DTYPE)
    names = zip(found["client"].to_pylist(), found["field"].to_pylist(), strict=True)
    rows["field"] = [fields.index(f"{client}.{field}") for client, field in names]
    return rows


def _said(rows: _Rows) -> Said:
    texts = TextTable()
    texts.texts = _by_number(rows.table("said_texts"), "text")
    _check_ids(rows.table("said_values"))
    values = columns(rows.table("said_values"), VALUE_SAID_DTYPE)
    if values.size and min(int(values[name].min()) for name in SAID_TEXTS) < -1:
        raise ValueError("ids of texts below 0")
    listed = SaidRows(rows.column("said", "pfn", np.int64), rows.column("said", "said", np.int32))
    if listed.said.size and listed.said.min() < 0:
        raise ValueError("ids of what was said below 0")
    return Said(listed, values, columns(rows.table("said_stamps"), STAMP_DTYPE), texts)
