"""Segments and tips: made in DuckDB and published in the store; replaced tips are removed."""

import threading
from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Final

import duckdb
import pyarrow as pa

from pagetrail.replay.store.content import Content
from pagetrail.replay.store.databases import Instance, is_full
from pagetrail.replay.store.place import StreamPlace
from pagetrail.replay.store.read import meta, opened
from pagetrail.replay.store.reading.whole import check_whole
from pagetrail.schemas.errors import SegmentDamaged, SegmentGone, SegmentsDiffer, StorageFailed, StorageFull
from pagetrail.schemas.store.contract import Store
from pagetrail.schemas.store.memory import give_back
from pagetrail.schemas.store.names import overtaken, segment_name, tip_name
from pagetrail.schemas.store.tables import (
    BLOCK_SIZE,
    LARGE_BLOCK_SIZE,
    LARGE_SPANS,
    ROW_GROUP_SIZE,
    arrow_schema,
    ddl,
)


def write(
    place: StreamPlace, content: Content, on_damaged: Callable[[SegmentDamaged], object] = lambda error: None
) -> str:
    """Publish a stretch as a segment, or as a tip; return its name. A damaged file in its place is removed, after *on_damaged*.

    Raises
    ------
    StorageFull
        No space left; the store is unchanged.
    StorageFailed
        The system refused to write, or failed to; the store is unchanged.
    SegmentsDiffer
        The segment already exists with other facts: a fork.
    SegmentDamaged
        What is in its place cannot be removed.
    """
    stretch = content.stretch.origin
    name = (
        tip_name(place.name, stretch.last_seq)
        if stretch.tip
        else segment_name(place.name, stretch.first_seq, stretch.last_seq)
    )
    try:
        if not _publish(place.store, name, content):
            _take_the_place(place.store, name, content, on_damaged)
    except duckdb.Error as error:
        if is_full(error):
            raise StorageFull(path=place.store.where(place.name), reason=_line(error)) from error
        if isinstance(error, duckdb.IOException):
            raise StorageFailed(path=place.store.where(place.name), reason=_line(error)) from error
        raise
    _remove_overtaken(place)
    return name


def _publish(store: Store, name: str, content: Content) -> bool:
    return store.publish_if_absent(name, lambda draft: _write_tables(draft, content.batches(), spans=content.nr_spans))


def _take_the_place(store: Store, name: str, content: Content, on_damaged: Callable[[SegmentDamaged], object]) -> None:
    """Leave what is under a name if it has the same facts; publish again if it is damaged, or gone: a newer tip replaced it."""
    try:
        _check_same(store, name, content.digest)
    except SegmentGone:
        pass
    except SegmentDamaged as error:
        on_damaged(error)
        store.remove(name)
    else:
        return
    if not _publish(store, name, content):
        try:
            _check_same(store, name, content.digest)
        except SegmentGone as error:
            raise SegmentDamaged(path=store.where(name), reason="a directory in the place of a file") from error


def sweep(place: StreamPlace, *, alone: bool = True) -> None:
    """Remove what stopped writers left: drafts, and tips that a segment or a newer tip has replaced.

    If the caller is not *alone*, another process may still be writing a draft: see ``Store.sweep``.
    """
    place.store.sweep(f"{place.name}/", alone=alone)
    _remove_overtaken(place)


def remove(place: StreamPlace) -> None:
    """Remove all files of a stream in one fold: they are made again from the log."""
    for name in place.names():
        place.store.remove(name)


def _remove_overtaken(place: StreamPlace) -> None:
    for tip in overtaken(place.names()):
        place.store.remove(tip)


def _add_empty(db: duckdb.DuckDBPyConnection) -> None:
    """Create the empty tables of a segment once: copying them takes a tenth of the time."""
    db.execute("ATTACH ':memory:' AS empty")
    with db.cursor() as tables:
        tables.execute("USE empty")
        for statement in ddl():
            tables.execute(statement)


_LEAST_MEMORY: Final = 4 << 20
"""Bytes. DuckDB would keep all blocks that it has written in memory, up to most of the machine's; nobody reads them here."""

_MOST_MEMORY: Final = 64 << 20
_MEMORY_A_SPAN: Final = 24
"""Bytes. With the least, DuckDB puts rows into a temporary file before it writes them; large segments may take more instead."""

_GIVEN_BACK_SPANS: Final = 1 << 19
"""From so many spans on, what DuckDB keeps of a segment is worth more than the 0.1 s that another instance takes to begin."""

_ONE_AT_A_TIME: Final = threading.Lock()
"""Partitions of a log write segments in threads of their own: they share DuckDB's memory, and its limit is set for one file."""

_WRITERS: Final = Instance(
    _add_empty,
    threads=1,
    memory_limit=f"{_LEAST_MEMORY}B",
    enable_optimizer=False,  # inserts of all columns of all rows: there is nothing to choose
    auto_checkpoint_skip_wal_threshold=0,
    checkpoint_threshold="1B",  # with the line above: a commit writes into the file itself, and no log that it is read from again
)


def _write_tables(path: Path, tables: Mapping[str, Iterator[pa.RecordBatch]], *, spans: int = 0) -> None:
    with _ONE_AT_A_TIME:
        _fill(path, tables, spans)


def _fill(path: Path, tables: Mapping[str, Iterator[pa.RecordBatch]], spans: int) -> None:
    limit = min(max(_MEMORY_A_SPAN * spans, _LEAST_MEMORY), _MOST_MEMORY)
    large = spans >= LARGE_SPANS
    if large:
        give_back()
    block_size = LARGE_BLOCK_SIZE if large else BLOCK_SIZE
    try:
        with _WRITERS.attached(path, f"BLOCK_SIZE {block_size}, ROW_GROUP_SIZE {ROW_GROUP_SIZE}") as db:
            if limit > _LEAST_MEMORY:
                db.execute(f"SET memory_limit = '{limit}B'")
            segment = db.execute("SELECT current_database()").fetchall()[0][0]
            db.execute("BEGIN")
            db.execute(f"COPY FROM DATABASE empty TO {segment} (SCHEMA)")
            for name, batches in tables.items():
                first = next(batches, None)
                if first is not None:
                    limit = _allow(db, first, limit)
                    # DuckDB finds these rows by the name of the variable. Registering them first would take as long as the insert.
                    incoming = pa.RecordBatchReader.from_batches(arrow_schema(name), chain((first,), batches))  # noqa: F841
                    db.execute(f'INSERT INTO "{name}" SELECT * FROM incoming')
                if large:
                    give_back()
            db.execute("COMMIT")
            db.execute("CHECKPOINT")
    finally:
        if spans >= _GIVEN_BACK_SPANS:
            _WRITERS.give_back()
            give_back()
        elif limit > _LEAST_MEMORY:
            _WRITERS.root().execute(f"SET memory_limit = '{_LEAST_MEMORY}B'")


def _allow(db: duckdb.DuckDBPyConnection, rows: pa.RecordBatch, limit: int) -> int:
    """Raise the limit of memory where *rows* are large, and return it: a text has to be there in one piece, and twice.

    It lasts until the file is written: the commit and the checkpoint need the room, too.
    """
    wanted = _LEAST_MEMORY + 4 * int(rows.nbytes)
    if 4 * rows.nbytes <= _LEAST_MEMORY or wanted <= limit:
        return limit
    db.execute(f"SET memory_limit = '{wanted}B'")
    return wanted


def _check_same(store: Store, name: str, digest: str) -> None:
    """Raise, unless the file that another process published has the same facts; SegmentGone: a newer tip has replaced it."""
    with opened(store, name) as db:
        there = meta(db, store.where(name)).get("digest", "")
    if there != digest:
        check_whole(store, name)
        raise SegmentsDiffer(path=store.where(name), expected=digest, found=there)


def _line(error: duckdb.Error) -> str:
    return str(error).split("\n", 1)[0]
