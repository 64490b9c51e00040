"""A frame: a batch of events as self-describing bytes.

A frame is one Arrow IPC stream of one record batch (buffers compressed with zstd, level 1), followed by four bytes: the
CRC-32 of all bytes before them (little-endian). Any Arrow reader reads the stream and stops at its end, before the checksum.
The schema's metadata is the frame's header: see ``FrameHeader``. A frame contains every text that it uses, so a reader can
start at any frame. It leaves out columns in which none of its events has a value: most frames use half of the columns.

Up to version 4, a frame has the version of its events, and their columns. Frames of version 5 have events of version 4, whose
columns are split into bytes: see ``versions.v5_frames``.
"""

import dataclasses
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

import numpy as np
import pyarrow as pa

from pagetrail.schemas.batch import EventBatch, from_arrow, from_wire, to_arrow, to_wire
from pagetrail.schemas.columns import SCHEMA_NAME, SCHEMA_VERSION
from pagetrail.schemas.errors import FrameDamaged, SchemaTooNew
from pagetrail.schemas.limits.names import NAME, unfit
from pagetrail.schemas.limits.unpacked import unpacked_bytes
from pagetrail.schemas.upcast import WIRE_SCHEMAS, upcast_batch
from pagetrail.schemas.versions import v5_frames

FRAME_EVENTS: Final = 65_536
"""Events in a full frame. Files are divided into frames by this count alone, so that every ingest makes the same frames."""

FRAME_VERSION: Final = v5_frames.VERSION
"""The version of the frames that this pagetrail makes, and the last one that it reads."""

CHECKSUM_BYTES: Final = 4

MOST_ROWS: Final = 1 << 20
"""The most events of a frame: of one with more, a header of a few bytes could ask for any memory."""

MOST_BYTES: Final = 1 << 30
"""The most bytes of a frame's columns, decompressed: a frame of a mebibyte could ask for any memory."""

RecordingKey = tuple[str, str, str]
"""(host, boot_id, recording)."""

_BEYOND: Final = 2**63
_NAMES: Final = ("host", "boot_id", "recording")
_KEY = "pagetrail."
_CODEC = pa.Codec("zstd", compression_level=1)
_WRITE = pa.ipc.IpcWriteOptions(compression=_CODEC)
_WRITE_SMALL = pa.ipc.IpcWriteOptions(compression=_CODEC, use_threads=False)
_READ = pa.ipc.IpcReadOptions()
_READ_SMALL = pa.ipc.IpcReadOptions(use_threads=False)
_SMALL_BYTES, _SMALL_ROWS = 1 << 16, 1 << 12
"""Below these, handing columns to other threads takes longer than to compress and decompress them."""
# what Arrow raises on bytes that are not an Arrow stream: ArrowInvalid is a ValueError, ArrowIOError an OSError
_ARROW_ERRORS = (pa.ArrowException, OSError, ValueError, struct.error, IndexError)


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameOrigin:
    """The recording, producer and version of a frame: the fields that all frames of a recording share.

    A recording that an earlier pagetrail began has its frames in version 4 to its end: they are the same whoever makes them.
    """

    host: str
    boot_id: str
    recording: str
    producer: str
    producer_version: str
    version: int = FRAME_VERSION


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameHeader:
    """The header of a frame: the metadata ``pagetrail.*`` of its Arrow schema.

    Attributes
    ----------
    version
        Version of the frame: it says which version its events have, and how they are written.
    frame
        Its number in the recording: from 0, without holes.
    rows
        Number of events; ``first_seq``, ``last_seq``, ``first_ts`` and ``last_ts`` (trace clock, ns, whatever the unit of
        *version*) are those of the first and last event.
    """

    version: int
    host: str
    boot_id: str
    recording: str
    frame: int
    rows: int
    first_seq: int
    last_seq: int
    first_ts: int
    last_ts: int
    producer: str
    producer_version: str

    @property
    def recording_key(self) -> RecordingKey:
        """The recording of the frame: one that was ingested under two host names counts as two."""
        return self.host, self.boot_id, self.recording


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """A frame as it is appended to a log: its header, bytes, and their digest."""

    header: FrameHeader
    payload: bytes
    digest: bytes


def make_frame(batch: EventBatch, origin: FrameOrigin, frame: int) -> Frame:
    """Return *batch* as frame number *frame* of its recording."""
    header = header_of(batch, origin, frame)
    payload = encode_frame(batch, header)
    return Frame(header=header, payload=payload, digest=frame_digest(payload))


def frame_digest(payload: bytes) -> bytes:
    """Return the BLAKE2b-256 of a frame's bytes."""
    return blake2b(payload, digest_size=32).digest()


def header_of(batch: EventBatch, origin: FrameOrigin, frame: int) -> FrameHeader:
    """Return the header of *batch* as frame number *frame* of the recording of *origin*."""
    seq, ts = batch.column("seq"), batch.column("trace_ts_nsec")
    return FrameHeader(
        frame=frame,
        rows=len(batch),
        first_seq=int(seq[0]),
        last_seq=int(seq[-1]),
        first_ts=int(ts[0]),
        last_ts=int(ts[-1]),
        **dataclasses.asdict(origin),
    )


def encode_frame(batch: EventBatch, header: FrameHeader) -> bytes:
    """Return *batch* (current version, at least one event) under *header* as bytes; equal input gives equal bytes.

    The header has version 5, or 4 for what an earlier pagetrail began.

    Raises
    ------
    ValueError
        Its seq has a hole.
    """
    return encode_record_batch(to_arrow(batch) if header.version == SCHEMA_VERSION else to_wire(batch), header)


def encode_record_batch(table: pa.RecordBatch, header: FrameHeader) -> bytes:
    """Return an Arrow batch with the columns of frames of ``header.version`` as the bytes of a frame."""
    if header.rows != table.num_rows or header.rows == 0:
        raise ValueError(f"a frame of {header.rows} rows cannot hold a batch of {table.num_rows}")
    used = [(f, a) for f, a in zip(table.schema, table.columns, strict=True) if not f.nullable or a.null_count < len(a)]
    # the columns' docs are published once, not sent with every frame
    plain = pa.schema([pa.field(field.name, field.type, field.nullable) for field, _ in used], _metadata(header))
    sink = pa.BufferOutputStream()
    options = _WRITE_SMALL if header.rows < _SMALL_ROWS else _WRITE
    with pa.ipc.new_stream(sink, plain, options=options) as writer:
        writer.write_batch(pa.RecordBatch.from_arrays([array for _, array in used], schema=plain))
    stream = bytes(sink.getvalue())
    return stream + zlib.crc32(stream).to_bytes(CHECKSUM_BYTES, "little")


def decode_header(payload: bytes, where: str = "frame") -> FrameHeader:
    """Return the header of a frame of any version; this reads only the schema message.

    Raises
    ------
    FrameDamaged
        The bytes are not a frame. The checksum is not checked here, but in ``decode_frame``.
    """
    try:
        found = pa.ipc.read_schema(pa.py_buffer(payload)).metadata or {}
    except _ARROW_ERRORS as error:
        raise FrameDamaged(where=where, reason=f"bytes that are not an Arrow stream ({_line(error)})") from error
    return _header(found, where)


def is_readable(header: FrameHeader) -> bool:
    """Return whether this pagetrail reads frames of that version."""
    return header.version <= FRAME_VERSION


def decode_frame(payload: bytes, where: str = "frame") -> tuple[FrameHeader, EventBatch]:
    """Return the header and the events of a frame, lifted to the current version; the header keeps the frame's own version.

    Raises
    ------
    FrameDamaged
        The bytes are not a complete frame: they are cut short, changed, or contradict their header.
    SchemaTooNew
        The frame has a later version than this pagetrail reads.
    """
    header = decode_header(payload, where)
    if not is_readable(header):
        raise SchemaTooNew(where=where, found=header.version, supported=FRAME_VERSION)
    batch = _read(payload, header, where)
    _check(batch, header, where)
    return header, batch


def read_record_batch(payload: bytes, where: str = "frame") -> pa.RecordBatch:
    """Check the checksum of a frame; return its Arrow batch as it was written, with columns of its own version's schema."""
    stream = memoryview(payload)[:-CHECKSUM_BYTES]
    if zlib.crc32(stream).to_bytes(CHECKSUM_BYTES, "little") != payload[-CHECKSUM_BYTES:]:
        raise FrameDamaged(where=where, reason=f"{len(payload)} bytes whose checksum is wrong: cut short, or changed")
    try:
        options = _READ_SMALL if len(payload) < _SMALL_BYTES else _READ
        if (size := unpacked_bytes(pa.py_buffer(stream))) > MOST_BYTES:
            raise FrameDamaged(
                where=where, reason=f"columns of {size:,} bytes, of which at most {MOST_BYTES:,} are read"
            )
        with pa.ipc.open_stream(pa.py_buffer(stream), options=options) as reader:
            batches = list(reader)
        if len(batches) != 1:
            raise FrameDamaged(where=where, reason=f"{len(batches)} record batches instead of one")
        batches[0].validate(full=True)
    except _ARROW_ERRORS as error:
        raise FrameDamaged(where=where, reason=f"an Arrow stream that cannot be read ({_line(error)})") from error
    return batches[0]


def _read(payload: bytes, header: FrameHeader, where: str) -> EventBatch:
    table = read_record_batch(payload, where)
    try:
        known = _are_columns(table.schema, header.version)
    except UnicodeDecodeError as error:
        raise FrameDamaged(where=where, reason=f"a column whose name is not text ({_line(error)})") from error
    if not known:
        raise FrameDamaged(where=where, reason=f"columns that are not those of version {header.version}")
    if table.num_rows != header.rows or header.rows == 0:
        raise FrameDamaged(where=where, reason=f"{table.num_rows} rows and a header that says {header.rows}")
    if header.version == v5_frames.VERSION:
        return from_wire(table, header.first_seq, header.first_ts)
    try:
        return from_arrow(upcast_batch(table, header.version))
    except pa.ArrowException as error:  # a value that no event of its version may have: a time too large for int64 ns
        raise FrameDamaged(where=where, reason=f"values that cannot be lifted ({_line(error)})") from error


def _are_columns(found: pa.Schema, version: int) -> bool:
    if version == v5_frames.VERSION:
        return v5_frames.are_columns(found)
    names = found.names
    expected = [field for field in WIRE_SCHEMAS[version] if field.name in names or not field.nullable]
    return bool(found.equals(pa.schema(expected), check_metadata=False))


def _check(batch: EventBatch, header: FrameHeader, where: str) -> None:
    seq, ts = batch.column("seq"), batch.column("trace_ts_nsec")
    expected = (header.first_seq, header.last_seq, header.first_ts, header.last_ts)
    found = (int(seq[0]), int(seq[-1]), int(ts[0]), int(ts[-1]))
    if expected != found:
        raise FrameDamaged(where=where, reason=f"seq and times {found} and a header that says {expected}")
    if np.any(np.diff(seq) != 1) or np.any(np.diff(ts) < 0):
        raise FrameDamaged(where=where, reason="events out of order")


def _metadata(header: FrameHeader) -> dict[str, str]:
    fields = {_KEY + name: str(value) for name, value in dataclasses.asdict(header).items()}
    return {_KEY + "schema": SCHEMA_NAME} | fields


def _header(found: Mapping[bytes, bytes], where: str) -> FrameHeader:
    if found.get(f"{_KEY}schema".encode()) != SCHEMA_NAME.encode():
        raise FrameDamaged(where=where, reason="an Arrow stream of another schema")
    values: dict[str, str | int] = {}
    try:
        for field in dataclasses.fields(FrameHeader):
            text = found[(_KEY + field.name).encode()].decode()
            values[field.name] = int(text) if field.type is int else text
        header = FrameHeader(**values)  # type: ignore[arg-type]  # each value is of its field's type
    except (KeyError, ValueError) as error:
        raise FrameDamaged(where=where, reason=f"a header with a missing or invalid field ({error})") from error
    if header.version < 1:
        raise FrameDamaged(where=where, reason=f"schema version {header.version}")
    for name in _NAMES:
        if why := unfit(getattr(header, name)):
            raise FrameDamaged(where=where, reason=f"a {name} that is not {NAME}: {why}")
    if is_readable(header) and not _is_possible(header):
        raise FrameDamaged(where=where, reason="a header whose numbers or times no event can have")
    return header


def _is_possible(header: FrameHeader) -> bool:
    events = 0 <= header.first_seq <= header.last_seq < _BEYOND - 1 and 0 < header.rows <= MOST_ROWS
    times = -_BEYOND < header.first_ts <= header.last_ts < _BEYOND
    return events and times and header.last_seq - header.first_seq + 1 == header.rows and 0 <= header.frame < _BEYOND


def _line(error: BaseException) -> str:
    return str(error).split("\n", 1)[0]
