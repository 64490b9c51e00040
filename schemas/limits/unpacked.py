"""How much memory an Arrow stream asks for, before it is decompressed: a mebibyte of zstd may hold 30 gibibytes.

Source: the Arrow columnar format, version 1.5, "Serialization and Interprocess Communication", Message.fbs and Schema.fbs: a buffer
that is compressed begins with its decompressed size, 64 bits, little-endian. Offsets in a message are those of FlatBuffers.
"""

import struct
from typing import Final

import pyarrow as pa

_HEADER_TYPE, _HEADER = 1, 2  # fields of Message
_DATA = 1  # of DictionaryBatch
_BUFFERS, _COMPRESSION = 2, 3  # of RecordBatch
_DICTIONARY_BATCH, _RECORD_BATCH = 2, 3  # types of headers
_SIZE_BYTES: Final = 8


def unpacked_bytes(stream: pa.Buffer) -> int:
    """Return the bytes of all columns and dictionaries of an Arrow stream when they are decompressed.

    Raises
    ------
    ValueError, pa.ArrowException, struct.error, IndexError
        It is not an Arrow stream.
    """
    reader, total = pa.BufferReader(stream), 0
    while True:
        try:
            message = pa.ipc.read_message(reader)
        except EOFError:
            return total
        if message.body is not None:
            total += _of_message(memoryview(message.metadata), memoryview(message.body))


def _of_message(metadata: memoryview, body: memoryview) -> int:
    message = _followed(metadata, 0)
    kind, header = _field(metadata, message, _HEADER_TYPE), _field(metadata, message, _HEADER)
    if kind is None or header is None or metadata[kind] not in (_DICTIONARY_BATCH, _RECORD_BATCH):
        return len(body)
    batch: int | None = _followed(metadata, header)
    if metadata[kind] == _DICTIONARY_BATCH:
        data = _field(metadata, _followed(metadata, header), _DATA)
        batch = None if data is None else _followed(metadata, data)
    buffers = None if batch is None else _field(metadata, batch, _BUFFERS)
    if batch is None or buffers is None or _field(metadata, batch, _COMPRESSION) is None:
        return len(body)
    first = _followed(metadata, buffers)
    (size,) = struct.unpack_from("<I", metadata, first)
    found = struct.unpack_from(f"<{2 * size}q", metadata, first + 4)
    return sum(_of_buffer(body, at, length) for at, length in zip(found[::2], found[1::2], strict=True))


def _of_buffer(body: memoryview, at: int, length: int) -> int:
    if length < _SIZE_BYTES or at < 0:
        return max(length, 0)
    (size,) = struct.unpack_from("<q", body, at)
    return max(int(size), length)  # -1: it is as it is


def _field(metadata: memoryview, table: int, index: int) -> int | None:
    """Return where a field of a table is; null: the table has it not."""
    vtable = table - struct.unpack_from("<i", metadata, table)[0]
    (size,) = struct.unpack_from("<H", metadata, vtable)
    place = 4 + 2 * index
    offset = struct.unpack_from("<H", metadata, vtable + place)[0] if place < size else 0
    return table + offset if offset else None


def _followed(metadata: memoryview, at: int) -> int:
    """Return the place that the reference at a place means."""
    return at + int(struct.unpack_from("<I", metadata, at)[0])
