"""Events as the log holds them: the proof of an answer."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pyarrow as pa

from pagetrail.queries.core.proof import read_frame
from pagetrail.replay.log.embedded import SqliteLogReader
from pagetrail.replay.store.local import store_of
from pagetrail.schemas.batch import EventBatch, to_arrow
from pagetrail.schemas.columns import ARROW_SCHEMA, TEXT_COLUMNS, Kind
from pagetrail.schemas.details import RecordingBegin
from pagetrail.schemas.errors import BadArgument, NotFound, TrailMissing
from pagetrail.schemas.frames import FrameHeader
from pagetrail.schemas.log.contract import FramePlace, LogReader

_WORDS: Final = ("kind", *TEXT_COLUMNS)
_KINDS: Final = {int(kind): kind.name.lower() for kind in Kind}

EVENTS_SCHEMA: Final = pa.schema(
    [
        pa.field("recording", pa.utf8(), metadata={"doc": "id of the recording"}),
        *(pa.field(f.name, pa.utf8() if f.name in _WORDS else f.type, metadata=f.metadata) for f in ARROW_SCHEMA),
    ]
)
"""A row an event: the recording, and the columns of the events' own schema, with words for codes."""


def events(reader: LogReader, partition: int, offset: int, numbers: Sequence[int] = ()) -> pa.Table:
    """Return events of the frame at an offset of a log, those with *numbers* (seq) or all: ``EVENTS_SCHEMA``.

    Raises
    ------
    NotFound
        The log holds no frame there, or does not hold it any more.
    BadArgument
        The frame does not hold one of *numbers*; the message says which events it holds.
    """
    header, batch = read_frame(reader, partition, offset)
    beyond = [number for number in numbers if not header.first_seq <= number <= header.last_seq]
    if beyond:
        raise BadArgument(
            f"event {beyond[0]}: the frame at log offset {offset} holds events {header.first_seq} to {header.last_seq} "
            f"of recording {header.recording}"
        )
    return _table(header, batch, numbers)


def events_of(reader: LogReader, recording: str, numbers: Sequence[int]) -> pa.Table:
    """Return events of a recording by their numbers (seq), in their order: ``EVENTS_SCHEMA``.

    Raises
    ------
    NotFound
        The log does not hold one of them, or does not hold it any more.
    """
    places: list[FramePlace] = []
    found = []
    for number in numbers:
        place = next((place for place in places if place.first_seq <= number <= place.last_seq), None)
        if place is None:
            place = reader.locate(recording, number)
            if place is None:
                raise NotFound(
                    f"event {number} of recording {recording}: the log does not hold it, or does not hold it any more"
                )
            places.append(place)
        found.append(_table(*read_frame(reader, place.partition, place.offset), [number]))
    return pa.concat_tables(found) if found else EVENTS_SCHEMA.empty_table()


def begin_of(reader: LogReader, recording: str) -> RecordingBegin | None:
    """Return the first event of a recording; null: the log does not hold it, or no longer."""
    place = reader.locate(recording, 0)
    if place is None:
        return None
    _, batch = read_frame(reader, place.partition, place.offset)
    return RecordingBegin.model_validate_json(batch.details[0]) if batch.details.get(0) else None


def _table(header: FrameHeader, batch: EventBatch, numbers: Sequence[int]) -> pa.Table:
    table = pa.Table.from_batches([to_arrow(batch)])
    if numbers:
        table = table.take(pa.array([number - header.first_seq for number in numbers]))
    columns = [pa.array([header.recording] * table.num_rows, pa.utf8())]
    for name in ARROW_SCHEMA.names:
        column = table[name]
        if name == "kind":
            column = pa.array([_KINDS.get(kind, str(kind)) for kind in column.to_pylist()], pa.utf8())
        columns.append(column.cast(EVENTS_SCHEMA.field(name).type))
    return pa.table(columns, schema=EVENTS_SCHEMA)


def own_log(trail: Path) -> SqliteLogReader:
    """Return the log that is in a trail.

    Raises
    ------
    TrailMissing
        There is no trail.
    NotFound
        The trail has a store and no log.
    """
    try:
        return SqliteLogReader(trail)
    except TrailMissing:
        if not store_of(trail).is_there():
            raise
        raise NotFound(
            f"{trail} has no log of its own: its store was made from a topic of Apache Kafka (give it with --log), or its "
            "log was removed"
        ) from None
