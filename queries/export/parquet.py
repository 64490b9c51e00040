"""Spans as Parquet, for engines other than DuckDB: one folder a stream, one file a segment."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import pyarrow as pa

from pagetrail.queries.core.doubts import Bearing, casting, doubts_in
from pagetrail.queries.core.spans import SPAN_SCHEMA, span_batches
from pagetrail.queries.core.stream import Stream
from pagetrail.schemas.errors import SegmentDamaged, SegmentMissing
from pagetrail.schemas.store.names import StoreFile
from pagetrail.schemas.store.path_parts import path_part
from pagetrail.schemas.store.space import explained

EXPORT_SCHEMA: Final = pa.schema([pa.field("host", pa.utf8()), pa.field("boot_id", pa.utf8()), *SPAN_SCHEMA])


def export_spans(streams: list[Stream], directory: Path) -> list[Path]:
    """Write every closed span, and those open at the horizon, as Parquet (``EXPORT_SCHEMA``); return the files.

    Times are ns of the trace clock (``ts_nsec``: page_owner's clock); ``end_ts`` is null for open spans. A span is as certain as
    its last instant is, by all that is known now. Files are written aside and renamed, so that a reader never sees an
    incomplete file. What the store no longer says, because files of it are damaged or missing, is left out: see ``Stream.damage``.

    Raises
    ------
    StorageFull
        No space left: the files that are there are complete.
    """
    written = []
    for stream in streams:
        folder = directory / f"host={path_part(stream.host)}" / f"boot_id={path_part(stream.boot_id)}"
        with explained(str(folder)):
            folder.mkdir(parents=True, exist_ok=True)
        for file in stream.files:
            target = folder / f"{file.stem}.parquet"
            with suppress(SegmentDamaged, SegmentMissing):  # the stream says so
                _write(stream, file, target)
                written.append(target)
    return written


def _write(stream: Stream, file: StoreFile, target: Path) -> None:
    import pyarrow.parquet as pq  # here: it takes 4 MB, which no other question needs

    aside = target.with_suffix(".writing")
    try:
        with explained(str(target)):
            with pq.ParquetWriter(aside, EXPORT_SCHEMA, compression="zstd") as writer:
                for rows in _rows(stream, file):
                    writer.write_table(rows)
            aside.replace(target)
    finally:
        aside.unlink(missing_ok=True)


def _rows(stream: Stream, file: StoreFile) -> Iterator[pa.Table]:
    doubts = doubts_in(stream, casting(stream), Bearing(since=stream.piece(file).first_ts), into=stream.files[0])
    tables = ("spans", "live") if file is stream.files[-1] else ("spans",)
    for table in tables:
        for rows in span_batches(stream, file, doubts, table=table):
            named = [pa.repeat(name, rows.num_rows) for name in (stream.host, stream.boot_id)]
            yield pa.table([*named, *rows.columns], schema=EXPORT_SCHEMA)
