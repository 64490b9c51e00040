"""Segments on disk: written aside, made durable, published without replacing anything.

The steps, each of which may be the last: (1) write ``.writing-*`` beside the segments, (2) fsync it, (3) link it to its name,
which fails when the name is taken, (4) remove the first name, (5) fsync the directory. Whoever comes later sees a whole
segment or none; what is left of a stopped writer is removed by the next one.
"""

import errno
import os
import time
import uuid
from pathlib import Path
from typing import Final

import duckdb
import pyarrow as pa

from pagetrail.replay.store.content import Content
from pagetrail.replay.store.cut import LEFT_SECONDS
from pagetrail.replay.store.databases import Instance
from pagetrail.replay.store.read import meta, opened
from pagetrail.schemas.errors import SegmentDamaged, StorageFull, TrailError
from pagetrail.schemas.store import BLOCK_SIZE, chain, ddl, old_tips, segment_path, tip_path

_WRITING = ".writing-"


def write(directory: Path, content: Content) -> Path:
    """Publish a stretch as a segment, or as a tip; return its path.

    Raises
    ------
    StorageFull
        No space left; the store is as it was.
    TrailError
        The segment is there already with other facts: a fork.
    """
    stretch = content.stretch.origin
    directory.mkdir(parents=True, exist_ok=True)
    aside = directory / f"{_WRITING}{os.getpid()}-{uuid.uuid4().hex}.duckdb"
    target = (
        tip_path(directory, stretch.last_seq)
        if stretch.tip
        else segment_path(directory, stretch.first_seq, stretch.last_seq)
    )
    try:
        _write_tables(aside, content.tables())
        _fsync(aside)
        _publish(aside, target, content.digest)
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


def _add_empty(db: duckdb.DuckDBPyConnection) -> None:
    """Make the tables of a segment once: to copy them takes a tenth of the time."""
    db.execute("ATTACH ':memory:' AS empty")
    with db.cursor() as tables:
        tables.execute("USE empty")
        for statement in ddl():
            tables.execute(statement)


_WRITERS: Final = Instance(_add_empty, threads=2)


def _write_tables(path: Path, tables: dict[str, pa.Table]) -> None:
    with _WRITERS.attached(path, f"BLOCK_SIZE {BLOCK_SIZE}") as db:
        segment = db.execute("SELECT current_database()").fetchall()[0][0]
        db.execute("BEGIN")
        db.execute(f"COPY FROM DATABASE empty TO {segment} (SCHEMA)")
        for name, table in tables.items():
            if table.num_rows:
                db.register("incoming", table)
                db.execute(f'INSERT INTO "{name}" SELECT * FROM incoming')
                db.unregister("incoming")
        db.execute("COMMIT")
        db.execute("CHECKPOINT")


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
