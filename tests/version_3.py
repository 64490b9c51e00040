"""Frames and trails as pagetrail wrote them before version 4 of the events, and before version 5 of the frames."""

import dataclasses
import json
from pathlib import Path

import pyarrow as pa

from pagetrail.producers.log.sink_sqlite import SqliteLogWriter
from pagetrail.replay.log.embedded import SqliteLogReader
from pagetrail.schemas.batch import to_arrow
from pagetrail.schemas.frames import Frame, decode_frame, encode_frame, encode_record_batch, frame_digest
from pagetrail.schemas.upcast import WIRE_SCHEMAS

_NEW = {
    "reader", "supersedes", "gfp_read_for", "gfp_known", "lines", "lines_of_kinds", "deferred_struct_pages", "count", "line",
    "extent", "partial_because", "records", "records_unread",
}  # fmt: skip


def in_version_3(payload: bytes, header: object) -> Frame:
    """Return a frame as version 3 would hold it."""
    table = to_arrow(decode_frame(payload)[1])
    there = table.schema.names
    columns = [
        table.column(field.name) if field.name in there else pa.nulls(table.num_rows, field.type)
        for field in WIRE_SCHEMAS[3]
    ]
    details = [
        None if text is None else json.dumps(_before(json.loads(text)))
        for text in (table.column("detail").to_pylist() if "detail" in there else [None] * table.num_rows)
    ]
    columns[-1] = pa.array(details, pa.utf8())
    old = dataclasses.replace(header, version=3)  # type: ignore[type-var]
    content = encode_record_batch(pa.RecordBatch.from_arrays(columns, schema=WIRE_SCHEMAS[3]), old)  # type: ignore[arg-type]
    return Frame(header=old, payload=content, digest=frame_digest(content))  # type: ignore[arg-type]


def _before(detail: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in detail.items() if name not in _NEW}


def old_copy(trail: Path, into: Path) -> None:
    """Make the trail *into*, whose log holds the frames of *trail* in version 3, without what only version 4 can say."""
    with SqliteLogReader(trail) as reader, SqliteLogWriter(into) as writer:
        for offset in range(reader.high_watermark(0)):
            (record,) = reader.read(0, offset, 1)
            writer.append([in_version_3(record.payload, record.header)])


def in_version_4(frame: Frame) -> Frame:
    """Return a frame as pagetrail wrote it before version 5 of the frames."""
    header, batch = decode_frame(frame.payload)
    content = encode_frame(batch, old := dataclasses.replace(header, version=4))
    return Frame(header=old, payload=content, digest=frame_digest(content))
