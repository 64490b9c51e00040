"""Rows that are kept until they are needed again: compressed where they are many, and, beyond a MiB, in a file that has no name.

A dump may have a record for every page of the machine, and each of them may differ from the state.
"""

import os
import tempfile
import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, NoReturn

import pyarrow as pa

from pagetrail.schemas.store.space import explained

KEPT_BYTES: Final = 1 << 20
"""So many bytes of rows stay in memory; later ones are written to the file."""

_ADVICE: Final = ": rows of a large dump or table are kept there meanwhile; $TMPDIR names another folder"

_SMALL_BYTES: Final = 1 << 16
"""Rows of fewer bytes are kept as they are: to make and read a compressed stream takes a millisecond, whatever is in it."""

_PLAIN: Final = pa.ipc.IpcWriteOptions()
_PACKED: Final = pa.ipc.IpcWriteOptions(compression="zstd")


class _File:
    """A file without a name, where the system keeps temporary files: it vanishes when nobody needs it any more.

    Only the process that made it writes to it: a forked one would write to the same place.
    """

    def __init__(self) -> None:
        with tempfile.TemporaryFile(prefix=".pagetrail-rows-") as made:
            self._descriptor, self._end = os.dup(made.fileno()), 0
        self.pid = os.getpid()
        weakref.finalize(self, os.close, self._descriptor)

    def __reduce__(self) -> NoReturn:
        """Refuse to be copied: a descriptor means nothing elsewhere."""
        raise TypeError("a file without a name cannot be copied: copy the rows")

    def add(self, part: bytes) -> "_Place":
        """Write *part* behind what is there."""
        place = _Place(self, self._end, len(part))
        left = memoryview(part)
        while left:
            written = os.pwrite(self._descriptor, left, self._end)
            self._end, left = self._end + written, left[written:]
        return place

    def part(self, start: int, size: int) -> bytes:
        """Return *size* bytes from *start* on."""
        return os.pread(self._descriptor, size, start)


class _Place(NamedTuple):
    """Where a batch is."""

    file: _File
    start: int
    size: int


@dataclass(slots=True)
class KeptRows:
    """Batches of rows, in the order in which they were added. A copy, also one of another process, has all of them in memory.

    Raises
    ------
    StorageFull
        No space is left for the file.
    """

    nbytes: int = 0
    """Bytes of it that are in memory."""
    _parts: list[bytes | _Place] = field(default_factory=list)
    _file: _File | None = None

    def __len__(self) -> int:
        return len(self._parts)

    def add(self, rows: pa.RecordBatch) -> int:
        """Add a batch behind those that are there; return its number."""
        self.add_packed(packed(rows))
        return len(self) - 1

    def add_packed(self, part: bytes) -> None:
        """Add a batch as ``packed`` compressed it."""
        if self.nbytes + len(part) <= KEPT_BYTES:
            self.nbytes += len(part)
            self._parts.append(part)
        else:
            self._parts.append(self._written(part))

    def packed(self, index: int) -> bytes:
        """Return batch number *index* as ``packed`` compressed it."""
        part = self._parts[index]
        return part if isinstance(part, bytes) else part.file.part(part.start, part.size)

    def batch(self, index: int) -> pa.RecordBatch:
        """Return batch number *index*."""
        return unpacked(self.packed(index))

    def batches(self, columns: Sequence[int] = ()) -> Iterator[pa.RecordBatch]:
        """Yield the batches, with all columns or those of these numbers."""
        return (unpacked(self.packed(index), columns) for index in range(len(self)))

    def snapshot(self) -> "KeptRows":
        """Return what is kept now; what is added later is in the original only, and nothing may be added to the snapshot."""
        return KeptRows(self.nbytes, [*self._parts], self._file)

    def __reduce__(self) -> tuple[Callable[[list[bytes]], "KeptRows"], tuple[list[bytes]]]:
        """Return what makes a copy."""
        return _in_memory, ([self.packed(index) for index in range(len(self))],)

    def _written(self, part: bytes) -> _Place:
        with explained(tempfile.gettempdir(), _ADVICE):
            if self._file is None or self._file.pid != os.getpid():
                self._file = _File()
            return self._file.add(part)


def _in_memory(parts: list[bytes]) -> KeptRows:
    """Return *parts* as they were packed, all of them in memory."""
    return KeptRows(sum(map(len, parts)), [*parts])


def packed(rows: pa.RecordBatch) -> bytes:
    """Return Arrow rows, compressed unless they are few, to be kept for later: records of a dump take a tenth of the memory."""
    sink = pa.BufferOutputStream()
    options = _PLAIN if rows.nbytes < _SMALL_BYTES else _PACKED
    with pa.ipc.new_stream(sink, rows.schema, options=options) as writer:
        writer.write_batch(rows)
    return bytes(sink.getvalue().to_pybytes())  # the sink's own buffer may be twice as large


def unpacked(rows: bytes, columns: Sequence[int] = ()) -> pa.RecordBatch:
    """Return the Arrow rows that ``packed`` was given, with all columns or those of these numbers."""
    options = pa.ipc.IpcReadOptions(included_fields=[*columns])
    with pa.ipc.open_stream(pa.py_buffer(rows), options=options) as reader:
        return reader.read_next_batch()
