"""What ``pagetrail publish`` sends: messages with the rows of sealed segments, in their order, from any position on."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

import numpy as np
import pyarrow as pa

from pagetrail.queries.core.stream import Stream
from pagetrail.queries.export.feed_rows import Segment, rows_of
from pagetrail.schemas.errors import BadArgument, TrailError
from pagetrail.schemas.feed import FEED_SCHEMAS, FEEDS, FeedMessage, Rows

MESSAGE_ROWS: Final = 8_192
"""Most rows of a message."""


def messages(
    stream: Stream, feed: str, *, there: Rows | None = None, room: int, message_rows: int = MESSAGE_ROWS
) -> Iterator[FeedMessage]:
    """Yield the messages of *feed* about the sealed segments of *stream*, in order, after the rows that are *there*.

    Parameters
    ----------
    there
        The rows of the last message of this stream in the topic; null: there is none.
    room
        Largest size of a message's value, bytes.

    Raises
    ------
    TrailError
        The segments are not those that were published: they were made from other events.
    BadArgument
        One row does not fit into a message.
    """
    for segment in _segments(stream, -1 if there is None else there.segment_last_seq):
        if there is not None:
            _check_same(segment, there)
        for schema in FEEDS[feed]:
            first_row = _first_row(segment, feed, schema, there)
            if first_row is not None:
                yield from _messages_of(segment, schema, first_row, room, message_rows)


def dropped(stream: Stream, there: Rows | None) -> list[tuple[int, int]]:
    """Return the events, as [first, last], that come after what is *there* and that no segment holds any more."""
    expected, holes = 0 if there is None else there.segment_last_seq + 1, []
    for file in stream.files:
        if not file.tip and file.last_seq >= expected:
            if file.first_seq > expected:
                holes.append((expected, file.first_seq - 1))
            expected = file.last_seq + 1
    return holes


def _segments(stream: Stream, since_seq: int) -> Iterator[Segment]:
    """Yield the sealed segments that reach to *since_seq* (stream_seq) or beyond."""
    sealed = [file for file in stream.files if not file.tip]
    before = None
    for position, file in enumerate(sealed):
        if file.last_seq < since_seq:
            continue
        parent = sealed[position - 1] if position else None
        if parent is None or parent.last_seq + 1 != file.first_seq:
            before = None
        elif before is None:
            before = stream.when_sealed(parent)
        known = stream.when_sealed(file)
        yield Segment(known=known, before=before)
        before = known


def _check_same(segment: Segment, there: Rows) -> None:
    """Raise an error if the published rows were made from other events."""
    file, digest = segment.file, segment.meta["digest"]
    same = file.last_seq == there.segment_last_seq and digest == there.segment_digest
    if same or file.first_seq > there.segment_last_seq:
        return
    raise TrailError(
        f"{segment.known.where(file)}: expected the segment that was published, events {there.segment_first_seq} to "
        f"{there.segment_last_seq} with digest {there.segment_digest}; found events {file.first_seq} to {file.last_seq} with "
        f"digest {digest}: it was made from other events. No more was sent for {there.host}; publish to another topic"
    )


def _first_row(segment: Segment, feed: str, schema: str, there: Rows | None) -> int | None:
    """Return the first row of *schema* that is not *there*; null: all are."""
    if there is None or segment.file.last_seq > there.segment_last_seq:
        return 0
    order = FEEDS[feed]
    if order.index(schema) < order.index(there.schema):
        return None
    return there.stop_row if schema == there.schema else 0


def _messages_of(segment: Segment, schema: str, first_row: int, room: int, message_rows: int) -> Iterator[FeedMessage]:
    of_rows, batches = rows_of(segment, schema, first_row)
    rows = Rows(
        host=segment.known.host, boot_id=segment.known.boot_id, fold=segment.known.fold,
        segment_first_seq=segment.file.first_seq, segment_last_seq=segment.file.last_seq,
        segment_digest=segment.meta["digest"], first_row=first_row, rows=0, of_rows=of_rows, schema=schema,
    )  # fmt: skip
    for batch in batches:
        for start in range(0, batch.num_rows, message_rows):
            part = batch.slice(start, message_rows)
            yield from _fitting(replace(rows, first_row=first_row + start, rows=part.num_rows), part, room)
        first_row += batch.num_rows


def _fitting(which: Rows, table: pa.Table, room: int) -> Iterator[FeedMessage]:
    """Yield rows as one message; if that is too large, in halves, and these in halves."""
    payload = _ipc(which, table)
    if len(payload) <= room:
        yield FeedMessage(which=which, payload=payload)
        return
    if which.rows == 1:
        raise BadArgument(
            f"{which.host}: row {which.first_row} of {which.schema} of the segment that ends with event "
            f"{which.segment_last_seq} takes {len(payload)} bytes, and a message of the topic has room for {room}; raise the "
            "topic's max.message.bytes and run the same command again: it continues there"
        )
    half = which.rows // 2
    yield from _fitting(replace(which, rows=half), table.slice(0, half), room)
    rest = replace(which, first_row=which.first_row + half, rows=which.rows - half)
    yield from _fitting(rest, table.slice(half), room)


def _ipc(which: Rows, table: pa.Table) -> bytes:
    """Return one Arrow IPC stream: its dictionaries hold only what these rows use, and its schema has no documentation."""
    schema = FEED_SCHEMAS[which.schema].remove_metadata()
    columns: dict[str, pa.Array] = {
        name: pa.DictionaryArray.from_arrays(np.zeros(which.rows, np.int32), [getattr(which, name)])
        for name in ("host", "boot_id", "fold")
    }
    columns["segment_last_seq"] = pa.array(np.full(which.rows, which.segment_last_seq, np.int64))
    columns["row"] = pa.array(np.arange(which.first_row, which.stop_row, dtype=np.int64))
    for name in table.column_names:
        column = table[name].combine_chunks()
        columns[name] = column.dictionary_encode() if pa.types.is_dictionary(schema.field(name).type) else column
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_table(pa.table([columns[name] for name in schema.names], schema=schema))
    return bytes(sink.getvalue().to_pybytes())
