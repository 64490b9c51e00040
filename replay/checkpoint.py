"""Segments on disk: written aside, made durable, published without replacing anything; and read back for a resume.

The steps, each of which may be the last: (1) write ``.writing-*`` beside the segments, (2) fsync it, (3) link it to its name,
which fails when the name is taken, (4) remove the first name, (5) fsync the directory. Whoever comes later sees a whole
segment or none; what is left of a stopped writer is removed by the next one.
"""

import errno
import json
import os
import time
import uuid
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from pagetrail.replay.cut import LEFT_SECONDS
from pagetrail.replay.engine import FoldOptions, StreamEngine
from pagetrail.replay.facts import from_plain
from pagetrail.replay.open_view import OpenView
from pagetrail.replay.sections import Sections, place
from pagetrail.replay.segment import Stretch
from pagetrail.replay.stored import arrays, columns, meta, opened
from pagetrail.replay.tables import DOUBTS, EVENTS, LAST_SEQ, LAST_TS, LIVE, MOVES, QUARANTINE, RUNS, SPARE, grown
from pagetrail.schemas.errors import SegmentDamaged, StorageFull, TrailError
from pagetrail.schemas.owner import (
    DOUBT_DTYPE,
    DOUBT_HOTPLUG,
    OPEN_END,
    VALUE_DTYPE,
)
from pagetrail.schemas.store import BLOCK_SIZE, StoreFile, chain, ddl, old_tips, segment_path, tip_path

_WRITING = ".writing-"

_LOOKS = 5
"""How often a tip that is replaced while we look is looked for again."""


def write(directory: Path, stretch: Stretch) -> Path:
    """Publish a stretch as a segment, or as a tip; return its path.

    Raises
    ------
    StorageFull
        No space left; the store is as it was.
    TrailError
        The segment is there already with other facts: a fork.
    """
    directory.mkdir(parents=True, exist_ok=True)
    aside = directory / f"{_WRITING}{os.getpid()}-{uuid.uuid4().hex}.duckdb"
    target = (
        tip_path(directory, stretch.last_seq)
        if stretch.tip
        else segment_path(directory, stretch.first_seq, stretch.last_seq)
    )
    try:
        _write_tables(aside, stretch.tables())
        _fsync(aside)
        _publish(aside, target, stretch.digest)
        _fsync(directory)
    except (OSError, duckdb.Error) as error:
        if _is_full(error):
            raise StorageFull(path=str(directory), reason=str(error).split("\n")[0]) from error
        raise
    finally:
        aside.unlink(missing_ok=True)
        Path(f"{aside}.wal").unlink(missing_ok=True)
    for tip in old_tips(directory, stretch.last_seq + (0 if stretch.tip else 1)):
        tip.unlink(missing_ok=True)
    return target


def sweep(directory: Path, *, alone: bool = True) -> None:
    """Remove what stopped writers left: half-written files, and tips that a segment or a newer tip has overtaken.

    Unless we are *alone*, a file may be another process's who is writing it: those are left for ``LEFT_SECONDS``.
    """
    for path in directory.glob(f"{_WRITING}*"):
        if alone or _untouched(path) > LEFT_SECONDS:
            path.unlink(missing_ok=True)
    files = chain(directory)
    for tip in old_tips(directory, files[-1].last_seq + (0 if files[-1].tip else 1)) if files else ():
        tip.unlink(missing_ok=True)


def _untouched(path: Path) -> float:
    """Return how long ago a file was written to, seconds; 0, when it is gone."""
    try:
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _write_tables(path: Path, tables: dict[str, pa.Table]) -> None:
    with duckdb.connect(":memory:", config={"threads": 2}) as db:
        db.execute(f"ATTACH '{str(path).replace(chr(39), chr(39) * 2)}' AS segment (BLOCK_SIZE {BLOCK_SIZE})")
        db.execute("USE segment")
        db.execute("BEGIN")
        for statement in ddl():
            db.execute(statement)
        for name, table in tables.items():
            if table.num_rows:
                db.register("incoming", table)
                db.execute(f'INSERT INTO segment.main."{name}" SELECT * FROM incoming')
                db.unregister("incoming")
        db.execute("COMMIT")
        db.execute("CHECKPOINT segment")
        db.execute("USE memory")
        db.execute("DETACH segment")


def _publish(aside: Path, target: Path, digest: str) -> None:
    try:
        os.link(aside, target)
    except FileExistsError:
        there = _digest_of(target)
        if there not in (digest, None):
            raise TrailError(
                f"{target}: two replays of one stretch disagree (digest {there} is there, {digest} was made): "
                "the log or the rules changed under the store; keep the log, remove this stream's segments, replay again"
            ) from None


def _digest_of(target: Path) -> str | None:
    """Return the digest of a file that another process published; null: a tip that a newer one has replaced meanwhile."""
    try:
        with opened(target) as db:
            return meta(db, target)["digest"]
    except SegmentDamaged:
        if target.exists():
            raise
        return None


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _is_full(error: Exception) -> bool:
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return True
    text = str(error).lower()
    return "no space left" in text or "file too large" in text or "disk quota" in text


# -- resume ------------------------------------------------------------------------------------------------------------------


def load(directory: Path, *, host: str, boot_id: str, options: FoldOptions) -> StreamEngine:
    """Return the engine of a stream as its last segment or tip left it; a new one when there is none."""
    for attempt in range(_LOOKS):
        engine = StreamEngine(host=host, boot_id=boot_id, options=options)
        last = resumable(directory)
        try:
            if last is not None:
                _restore(engine, last)
            break
        except SegmentDamaged:
            if _is_there(last) or attempt == _LOOKS - 1:
                raise
    return engine


def _is_there(file: StoreFile | None) -> bool:
    return file is not None and file.path.exists()


def resumable(directory: Path) -> StoreFile | None:
    """Return the last file of a stream to which a chain without a hole leads: beyond it, everything is made again."""
    for attempt in range(_LOOKS):
        try:
            return _end_of_chain(directory)
        except SegmentDamaged as error:
            if Path(error.path).exists() or attempt == _LOOKS - 1:
                raise
    return None


def _end_of_chain(directory: Path) -> StoreFile | None:
    last, expected = None, 0
    for file in chain(directory):
        first_seq = file.first_seq
        if file.tip:
            with opened(file.path) as db:
                first_seq = int(meta(db, file.path)["first_seq"])
        if first_seq != expected:
            break
        last, expected = file, file.last_seq + 1
    return last


def _restore(engine: StreamEngine, file: StoreFile) -> None:
    with opened(file.path) as db:
        said = meta(db, file.path)
        state = {name: json.loads(value) for name, value in db.execute("SELECT name, value FROM state").fetchall()}
        _restore_facts(engine, state)
        _restore_texts(engine, db)
        _restore_live(engine, db.sql("SELECT * FROM live ORDER BY kernel_view, pfn").to_arrow_table(), state)
        if file.tip:
            _restore_closed(engine, db)
            engine.parent_digest = said["parent_digest"]
        else:
            engine.parent_digest = said["digest"]
            counts = engine.tables.counts
            counts[EVENTS] = 0
            engine.segment_first_seq, engine.segment_first_ts = int(said["last_seq"]) + 1, None
        _restore_anomalies(engine, db)
        _restore_values(engine, db, tip=file.tip)


def _restore_facts(engine: StreamEngine, state: dict[str, Any]) -> None:
    engine.facts = from_plain(state["facts"])
    engine.sections = Sections(engine.facts.sections)
    engine.set_section_size(engine.facts.pages_per_section)
    engine.opts[:] = state["options"]
    engine.view = None if state["view"] is None else OpenView.from_plain(state["view"])
    engine.segment_first_seq = state["segment_first_seq"]
    engine.segment_first_ts = state["segment_first_ts"]


def _restore_texts(engine: StreamEngine, db: duckdb.DuckDBPyConnection) -> None:
    for _, comm in db.execute("SELECT id, comm FROM comms ORDER BY id").fetchall():
        engine.comms.intern(comm)
    for row in db.execute("SELECT stack_id, frames, raw, truncated FROM stacks ORDER BY id").fetchall():
        engine.stacks.add(*row)


def _restore_live(engine: StreamEngine, rows: pa.Table, state: dict[str, Any]) -> None:
    for section in engine.facts.sections:
        if section.end_seq == OPEN_END:
            engine.tables = place(engine.tables, section.section_nr, section.generation)
    t = engine.tables
    generation = np.array(state["generation"], np.int32)
    t = t._replace(
        generation=generation,
        slot=np.concatenate([t.slot, np.full(generation.size - t.slot.size, -1, np.int32)]),
    )
    runs, records = arrays(rows)
    handles, first, where = np.unique(rows["record"].to_numpy(), return_index=True, return_inverse=True)
    size = int(handles.size)
    table = np.asarray(grown(t.records, size + 1024))
    table[:size] = records[first]
    table["pages"][:size] = np.bincount(where, weights=runs["nr_pages"], minlength=size).astype(np.int32)
    spare = np.arange(table.shape[0] - 1, -1, -1, dtype=np.int32)
    t = t._replace(records=table, spare=spare)
    t.counts[SPARE], t.counts[LIVE] = table.shape[0] - size, size
    saved = state["counts"]
    for index in (EVENTS, LAST_TS, LAST_SEQ):
        t.counts[index] = saved[index]
    moves = np.array(state["moves"], np.int64).reshape(-1, t.moves.shape[1])
    t.moves[: moves.shape[0]] = moves
    t.counts[MOVES] = moves.shape[0]
    pages = t.owner.shape[1]
    for run, handle in zip(runs, where.tolist(), strict=True):
        section_nr, start = divmod(int(run["pfn"]), pages)
        view = t.kernel if run["kernel_view"] else t.owner
        view[t.slot[section_nr], start : start + int(run["nr_pages"])] = handle
    engine.tables = t


def _restore_closed(engine: StreamEngine, db: duckdb.DuckDBPyConnection) -> None:
    t = engine.tables
    runs, records = arrays(db.sql("SELECT * FROM spans").to_arrow_table())
    doubts = columns(db.sql("SELECT * FROM doubts").to_arrow_table(), DOUBT_DTYPE)
    doubts = doubts[~((doubts["reason"] == DOUBT_HOTPLUG) & (doubts["to_ts"] == OPEN_END))]
    quarantined = np.array(db.execute("SELECT * FROM quarantined").fetchall(), np.int64).reshape(-1, 4)
    t = t._replace(
        runs=np.concatenate([runs, t.runs]), closed=np.concatenate([records, t.closed]),
        doubts=np.concatenate([doubts, t.doubts]), quarantine=np.concatenate([quarantined, t.quarantine]),
    )  # fmt: skip
    t.counts[RUNS], t.counts[DOUBTS], t.counts[QUARANTINE] = runs.size, doubts.size, quarantined.shape[0]
    engine.tables = t
    engine.differences = _restore_differences(db)


def _restore_differences(db: duckdb.DuckDBPyConnection) -> list[dict[str, object]]:
    table = db.sql("SELECT * FROM audit_differences").to_arrow_table()
    return [{"table": table}] if table.num_rows else []


def _restore_anomalies(engine: StreamEngine, db: duckdb.DuckDBPyConnection) -> None:
    for kind, *values in db.execute("SELECT kind, events, pages, first_seq FROM anomalies").fetchall():
        engine.tables.anomalies[kind, :3] = values


def _restore_values(engine: StreamEngine, db: duckdb.DuckDBPyConnection, *, tip: bool) -> None:
    """Hold again what page_ext's clients held of pages; the spans that ended, only where their segment is not sealed."""
    table = db.sql("SELECT * FROM page_ext").to_arrow_table()
    rows = columns(table.drop_columns(["field"]), VALUE_DTYPE)
    fields = {name: index for index, name in enumerate(engine.facts.fields)}
    names = zip(table["client"].to_pylist(), table["field"].to_pylist(), strict=True)
    rows["field"] = [fields[f"{client}.{field}"] for client, field in names]
    if not tip:
        rows = rows[rows["end_seq"] == OPEN_END]
    engine.values.restore(engine.tables, engine.facts.clients, rows)
