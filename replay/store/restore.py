"""Restoring a stream from its last file, so that replay can resume."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pagetrail.replay.facts.doubts_aside import MOST_DOUBTS
from pagetrail.replay.facts.facts import Facts, is_of_an_open_call
from pagetrail.replay.fold.decode import TextTable
from pagetrail.replay.fold.notice_jit import keep_doubt
from pagetrail.replay.fold.options import STATE_OPTIONS, write_rules
from pagetrail.replay.fold.records.held import hold
from pagetrail.replay.fold.section_jit import place_runs
from pagetrail.replay.fold.tables import (
    DOUBTS,
    EVENTS,
    LAST_SEQ,
    LAST_TS,
    LIVE,
    MOVE_PAGES,
    MOVE_PFN,
    MOVES,
    QUARANTINE,
    SPARE,
    EventColumns,
    no_events,
    with_doubted,
    with_events,
    with_records,
)
from pagetrail.replay.rules.dumped.noting import without_ended
from pagetrail.replay.rules.dumped.said import Said, SaidRows
from pagetrail.replay.rules.engine import StreamEngine
from pagetrail.replay.rules.fold_options import FoldOptions
from pagetrail.replay.rules.open_baseline import OpenBaseline
from pagetrail.replay.rules.sections import Sections, with_generations
from pagetrail.replay.rules.state import StreamState
from pagetrail.replay.store.content import Link
from pagetrail.replay.store.open_records import SELECT_VALUES, open_records
from pagetrail.replay.store.packed.columns import Columns, arrays_of
from pagetrail.replay.store.packed.run_tables import runs_between
from pagetrail.replay.store.packed.unpack import FileRows
from pagetrail.replay.store.place import StreamPlace
from pagetrail.replay.store.read import columns, give_back, meta, opened
from pagetrail.replay.store.reading.chain import looked_up, unbroken
from pagetrail.replay.store.reading.lies import LIES, lie
from pagetrail.replay.store.reading.whole import check_whole
from pagetrail.replay.store.saved_facts import facts_within
from pagetrail.replay.store.state_digest import EndedSums
from pagetrail.schemas.errors import SegmentDamaged
from pagetrail.schemas.linux.mmzone import PFN_LIMIT
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
from pagetrail.schemas.store.contract import Store
from pagetrail.schemas.store.kept_rows import KeptRows
from pagetrail.schemas.store.names import StoreFile
from pagetrail.schemas.store.tables import LARGE_SPANS, ROW_GROUP_SIZE, RUN_TABLES, run_rows

_SPARE_RECORDS: Final = 1024
_ROWS_AT_ONCE: Final = ROW_GROUP_SIZE
"""Rows of a large table that are read at once: with fewer, each row group would be read several times."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumed:
    """A stream's engine, and the link for the next file of its chain."""

    engine: StreamEngine
    link: Link


_OPEN_SINCE: Final = f"""SELECT DISTINCT begin_event FROM ({" UNION ALL ".join(map(run_rows, RUN_TABLES["live"]))})
    ORDER BY begin_event"""


def load(place: StreamPlace, *, host: str, boot_id: str, options: FoldOptions, most_bytes: int = OPEN_END) -> Resumed:
    """Return a stream as of the last file that an unbroken chain reaches; a new one if there is none. Later files are rebuilt.

    Its state may take *most_bytes*.

    Raises
    ------
    SegmentDamaged
        That file has other rows than its digest says, cannot be read, or says what no stream can.
    MemoryShort
        Its state would take more.
    """

    def look() -> Resumed:
        engine, link = StreamEngine(host=host, boot_id=boot_id, options=options), Link()
        engine.state.most_bytes = most_bytes
        last = unbroken(place).last
        if last is not None:
            check_whole(place.store, last.name)
            try:
                link = _restore(engine, place.store, last)
            except MemoryError:
                raise
            except LIES as error:  # its digests are right: they are no signature
                raise SegmentDamaged(
                    path=place.store.where(last.name), reason=f"what no segment says ({lie(error)})"
                ) from error
        return Resumed(engine=engine, link=link)

    return looked_up(look)


def _restore(engine: StreamEngine, store: Store, file: StoreFile) -> Link:
    state = engine.state
    with opened(store, file.name) as db:
        header = meta(db, store.where(file.name))
        texts = dict(db.execute(SELECT_VALUES).fetchall())
        facts = facts_within(db, texts.pop("facts"))
        saved = {name: json.loads(texts.pop(name)) for name in [*texts]}
        _restore_facts(state, facts, saved)
        if (view := saved["view"]) is not None:
            state.baseline = OpenBaseline.from_plain(view, open_records(db, view))
        _restore_texts(state, db)
        kinds = FileRows(db)
        _restore_events(state, db, kinds, tip=file.tip)
        _restore_live(state, db, kinds, saved)
        _restore_lasting(state, db, tip=file.tip)
        if file.tip:
            _restore_noted(state, db)
            engine.segment_first_seq, engine.segment_first_ts = saved["segment_first_seq"], saved["segment_first_ts"]
        else:
            state.begin_segment()
            engine.segment_first_seq, engine.segment_first_ts = int(header["last_seq"]) + 1, None
        _restore_anomalies(state, db)
        _restore_values(state, db, tip=file.tip)
        _restore_said(state, db, tip=file.tip)
    if state.baseline is not None or state.tables.counts[LIVE] >= LARGE_SPANS:
        give_back()
    name, digest = (header["parent"], header["parent_digest"]) if file.tip else (file.stem, header["digest"])
    return Link(name=name, digest=digest, ended=EndedSums.from_plain(saved["ended"]))


def _restore_facts(state: StreamState, facts: Facts, saved: dict[str, Any]) -> None:
    state.facts = facts
    state.coverage = state.facts.covered()
    state.sections = Sections(state.facts.sections)
    state.set_section_size(state.facts.pages_per_section)
    state.opts[:STATE_OPTIONS] = saved["options"]
    write_rules(state.opts, state.facts.rules, state.facts.boot)


def _restore_texts(state: StreamState, db: duckdb.DuckDBPyConnection) -> None:
    for _, comm in db.execute("SELECT id, comm FROM comms ORDER BY id").fetchall():
        state.comms.intern(comm)
    for row in db.execute("SELECT stack_id, frames, raw, truncated FROM stacks ORDER BY id").fetchall():
        state.stacks.add(*row)


def _restore_live(state: StreamState, db: duckdb.DuckDBPyConnection, rows: FileRows, saved: dict[str, Any]) -> None:
    t = with_generations(state.tables, saved["generations"])
    found = db.sql(_OPEN_SINCE).to_arrow_table()[0].to_numpy()
    size = int(found.size)
    t = with_records(t, size + _SPARE_RECORDS)
    t.counts[SPARE], t.counts[LIVE] = t.records.shape[0] - size, size
    t.spare[: t.counts[SPARE]] = np.arange(t.records.shape[0] - 1, size - 1, -1, dtype=np.int32)
    for start in range(0, size, _ROWS_AT_ONCE):
        stop = min(start + _ROWS_AT_ONCE, size)
        hold(t, np.arange(start, stop), found[start:stop])
    state.tables = t
    _restore_spans(state, db, rows, found)
    t, counts = state.tables, saved["counts"]
    for index in (EVENTS, LAST_TS, LAST_SEQ):
        t.counts[index] = counts[index]
    moves = np.array(saved["moves"], np.int64).reshape(-1, t.moves.shape[1])
    if ((moves[:, MOVE_PFN] < 0) | (moves[:, MOVE_PFN] >= PFN_LIMIT) | (moves[:, MOVE_PAGES] < 1)).any():
        raise ValueError("expected pages of migrations that there can be, found others")
    t.moves[: moves.shape[0]] = moves
    t.counts[MOVES] = moves.shape[0]
    if saved["doubted"]:
        doubted = np.array(saved["doubted"], np.int64).reshape(-1, 3)
        _seat(state, doubted[:, 0], doubted[:, 1])
        state.tables = with_doubted(state.tables)
        for pfn, nr_pages, until in doubted:
            keep_doubt(state.tables, pfn, nr_pages, until)


def _seat(state: StreamState, pfn: NDArray[np.int64], nr_pages: NDArray[np.integer]) -> None:
    """Give the sections of runs of pages (n,) memory for their pages. What is compiled does not look where it writes.

    Raises
    ------
    ValueError
        A run is not within one section that is there.
    """
    pages, slot = state.facts.pages_per_section, state.tables.slot
    section_nr, first = np.divmod(pfn, pages)
    known = (section_nr >= 0) & (section_nr < slot.size)
    state.seat_open(np.unique(section_nr[known]).tolist())
    slot = state.tables.slot
    there = known & (slot[np.where(known, section_nr, 0)] >= 0) if slot.size else known
    odd = np.flatnonzero(~there | (nr_pages < 1) | (nr_pages > pages - first))
    if odd.size:
        run = f"{int(nr_pages[odd[0]]):,} from {int(pfn[odd[0]]):,} on"
        raise ValueError(f"expected runs of pages that are each within a section that is there, found {run}")


def _restore_spans(state: StreamState, db: duckdb.DuckDBPyConnection, rows: FileRows, found: NDArray[np.int32]) -> None:
    """Restore the open spans, some at a time; *found* are the numbers of the events that began them, one a record."""
    places = (
        (table, start) for table in RUN_TABLES["live"] for start in range(0, rows.runs.sizes[table], _ROWS_AT_ONCE)
    )
    for table, start in places:
        index = rows.runs.whole(table, arrays_of(_rows_from(db, table, start)))
        handles = np.searchsorted(found, index["begin_event"]).astype(np.int32)
        kinds = (("pfn", np.int64), ("nr_pages", np.int64), ("kernel_view", np.int8))
        pfn, nr_pages, kernel_view = (np.require(index[name], kind, ["C", "W"]) for name, kind in kinds)
        _seat(state, pfn, nr_pages)
        place_runs(state.tables, pfn, nr_pages, kernel_view, handles)


def _restore_events(state: StreamState, db: duckdb.DuckDBPyConnection, kinds: FileRows, *, tip: bool) -> None:
    """Restore the events of the file; from a tip, also the runs that ended: their segment is not sealed yet."""
    events = no_events(_count(db, "events"))
    _fill(events._asdict(), db, "events", events.seq.size)
    runs = _ended_runs(db, kinds) if tip else np.zeros(0, ENDED_RUN_DTYPE)
    state.tables = with_events(
        state.tables, runs=runs, events=events, acts=_wide(kinds.acts, ACT_FIELDS), owners=_wide(kinds.owners, OWNER_FIELDS),
        details=_restore_details(events, db),
    )  # fmt: skip


def _restore_details(events: EventColumns, db: duckdb.DuckDBPyConnection) -> NDArray[np.int64]:
    """Return the details, by id, and give the events that have some their ids."""
    found = arrays_of(db.sql("SELECT * FROM details").to_arrow_table())
    events.detail[:] = -1
    events.detail[found["event"]] = found["id"]
    details = np.zeros((int(found["id"].max(initial=-1)) + 1, len(DETAIL_FIELDS)), np.int64)
    for i, name in enumerate(DETAIL_FIELDS):
        details[found["id"], i] = found[name]
    return details


def _ended_runs(db: duckdb.DuckDBPyConnection, kinds: FileRows) -> NDArray[np.void]:
    """Return the runs that ended, in their order."""
    size = kinds.runs.size_of("spans")
    runs = np.zeros(size, ENDED_RUN_DTYPE)
    for start in range(0, size, _ROWS_AT_ONCE):
        some = runs_between(db, kinds.runs, "spans", start, start + _ROWS_AT_ONCE)
        for name, column in some.items():
            runs[name][start : start + column.size] = column
    return runs


def _fill(rows: Mapping[str, NDArray[Any]], db: duckdb.DuckDBPyConnection, table: str, size: int) -> None:
    """Fill columns with those of a table, some at a time."""
    for start in range(0, size, _ROWS_AT_ONCE):
        for name, column in arrays_of(_rows_from(db, table, start)).items():
            rows[name][start : start + column.size] = column


def _wide(columns: Columns, fields: Sequence[str]) -> NDArray[np.int64]:
    """Return the columns of acts or owners as rows of 64-bit numbers, without that of nothing, which is the last."""
    found = np.zeros((columns[fields[0]].size - 1, len(fields)), np.int64)
    for i, name in enumerate(fields):
        column = columns[name][:-1]
        found[:, i] = column
        found[column == np.iinfo(column.dtype).min, i] = ABSENT64
    return found


def _rows_from(db: duckdb.DuckDBPyConnection, table: str, start: int) -> pa.Table:
    where = f"rowid >= {start:d} AND rowid < {start + _ROWS_AT_ONCE:d}"
    return db.sql(f"SELECT * FROM {table} WHERE {where} ORDER BY rowid").to_arrow_table()


def _count(db: duckdb.DuckDBPyConnection, table: str) -> int:
    return int(db.execute(f"SELECT count(*) FROM {table}").fetchall()[0][0])


def _restore_noted(state: StreamState, db: duckdb.DuckDBPyConnection) -> None:
    """Restore the doubts, the quarantined events and the differences of a tip, whose segment is not sealed yet."""
    t = state.tables
    doubts = np.zeros(0, DOUBT_DTYPE)
    if _count(db, "doubts") > MOST_DOUBTS:
        for batch in db.sql("SELECT * FROM doubts").to_arrow_reader(_ROWS_AT_ONCE):
            state.doubts_aside.add(_without_open_calls(columns(pa.Table.from_batches([batch]), DOUBT_DTYPE)))
    else:
        doubts = _without_open_calls(columns(db.sql("SELECT * FROM doubts").to_arrow_table(), DOUBT_DTYPE))
    quarantined = np.array(db.execute("SELECT * FROM quarantined").fetchall(), np.int64).reshape(-1, 4)
    t = t._replace(doubts=np.concatenate([doubts, t.doubts]), quarantine=np.concatenate([quarantined, t.quarantine]))
    t.counts[DOUBTS], t.counts[QUARANTINE] = doubts.size, quarantined.shape[0]
    state.tables = t
    state.differences = _restore_differences(db)


def _restore_lasting(state: StreamState, db: duckdb.DuckDBPyConnection, *, tip: bool) -> None:
    """Restore the doubts that lasted into the file; of a segment also those that last beyond it, as the next one begins."""
    state.lasting = columns(db.sql("SELECT * FROM lasting_doubts ORDER BY rowid").to_arrow_table(), DOUBT_DTYPE)
    if not tip:
        cast = columns(db.sql(f"SELECT * FROM doubts WHERE to_ts = {OPEN_END}").to_arrow_table(), DOUBT_DTYPE)
        state.lasting = np.concatenate([state.lasting, _without_open_calls(cast)])


def _without_open_calls(doubts: NDArray[np.void]) -> NDArray[np.void]:
    return doubts[~is_of_an_open_call(doubts)]


def _restore_differences(db: duckdb.DuckDBPyConnection) -> KeptRows:
    found = KeptRows()
    for batch in db.sql("SELECT * FROM audit_differences").to_arrow_reader(_ROWS_AT_ONCE):
        if batch.num_rows:
            found.add(batch)
    return found


def _restore_anomalies(state: StreamState, db: duckdb.DuckDBPyConnection) -> None:
    for kind, *values in db.execute("SELECT kind, events, pages, first_seq FROM anomalies").fetchall():
        state.tables.anomalies[kind, :3] = values


def _restore_values(state: StreamState, db: duckdb.DuckDBPyConnection, *, tip: bool) -> None:
    """Restore the spans of page_ext's clients; ended ones only from a tip, whose segment is not sealed yet."""
    table = db.sql("SELECT * FROM page_ext").to_arrow_table()
    rows = columns(table.drop_columns(["field"]), VALUE_DTYPE)
    fields = {name: index for index, name in enumerate(state.facts.fields)}
    names = zip(table["client"].to_pylist(), table["field"].to_pylist(), strict=True)
    rows["field"] = [fields[f"{client}.{field}"] for client, field in names]
    if not tip:
        rows = rows[rows["end_seq"] == OPEN_END]
    is_open = rows["end_seq"] == OPEN_END
    _seat(state, rows["pfn"][is_open], rows["nr_pages"][is_open])
    state.values.restore(state.tables, state.facts.clients, rows)


def _restore_said(state: StreamState, db: duckdb.DuckDBPyConnection, *, tip: bool) -> None:
    """Restore what dumps said of pages; from a segment only what the next one needs."""
    texts = TextTable([text for (text,) in db.execute("SELECT text FROM said_texts ORDER BY id").fetchall()])
    rows = db.sql("SELECT pfn, said FROM said").to_arrow_table()
    values = columns(db.sql("SELECT * FROM said_values ORDER BY id").to_arrow_table(), VALUE_SAID_DTYPE)
    stamps = columns(db.sql("SELECT * FROM said_stamps").to_arrow_table(), STAMP_DTYPE)
    said = Said(SaidRows(rows["pfn"].to_numpy(), rows["said"].to_numpy()), values, stamps, texts)
    state.said = said if tip else without_ended(said, state.tables)
