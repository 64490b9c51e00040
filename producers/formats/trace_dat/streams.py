"""The pages of each CPU, of which a window is held in memory: as they are in the file, or compressed in chunks."""

from collections.abc import Callable
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from pagetrail.producers.formats.trace_dat import pages_jit as pj
from pagetrail.producers.formats.trace_dat.parts import Buffer, CpuData, FileHeader
from pagetrail.producers.formats.tracepoints.held_bytes import ReadAt
from pagetrail.producers.formats.tracepoints.tracing_data import Damaged

ARENA_BYTES: Final = 1 << 25
"""Bytes of all windows together, unless two pages of each CPU are more."""
_MOST_PAGES: Final = 64
MOST_CHUNK: Final = 1 << 24
"""Bytes that one chunk expands to. trace-cmd compresses ten pages at once."""
MOST_CHUNKS_HELD: Final = 1 << 29
"""Bytes that one chunk of each CPU may expand to, together."""


class _Bytes(Protocol):
    """The bytes of a stream, one after the other."""

    cut: str | None
    """Why they end before they should."""

    def next(self, size: int) -> bytes:
        """Return so many of them, or what is left."""
        ...

    def place(self, at: int) -> int:
        """Return where byte *at* of them is in the file, or the chunk that it is in."""
        ...


class _Plain:
    def __init__(self, data: CpuData, read: ReadAt, end: int) -> None:
        self._read, self._begin, self._at = read, data.offset, data.offset
        self._stop = min(data.offset + data.size, end)
        self.cut: str | None = None
        if self._stop < data.offset + data.size:
            self.cut = f"its data end at byte {data.offset + data.size}, and the file does at byte {end}"

    def next(self, size: int) -> bytes:
        found = self._read(self._at, max(0, min(size, self._stop - self._at)))
        self._at += len(found)
        return found

    def place(self, at: int) -> int:
        return self._begin + at


class _Chunks:
    """Source: trace-cmd, lib/trace-cmd/trace-compress.c: a count, and for each chunk its two sizes before it."""

    def __init__(
        self, data: CpuData, read: ReadAt, end: int, decompress: Callable[[bytes, int], bytes], most: int
    ) -> None:
        self._read, self._decompress, self._most = read, decompress, most
        self._stop, self._at = end, data.offset + 4
        self._data, self._count = data, int.from_bytes(read(data.offset, 4), "little") if data.size >= 4 else 0
        self._left = self._count
        self._rest, self._chunk = b"", data.offset
        self.cut: str | None = None

    def next(self, size: int) -> bytes:
        parts: list[bytes] = []
        while size > 0 and (self._rest or self._expand()):
            part, self._rest = self._rest[:size], self._rest[size:]
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def place(self, at: int) -> int:  # noqa: ARG002  # a chunk is found again, a byte in it is not
        return self._chunk

    def _expand(self) -> bool:
        """Expand the next chunk that has something; return whether there is one."""
        while not self._rest and self._left > 0 and self.cut is None:
            head = self._read(self._at, 8)
            packed, whole = int.from_bytes(head[:4], "little"), int.from_bytes(head[4:], "little")
            if len(head) < 8 or self._at + 8 + packed > self._stop:
                self.cut = f"a chunk at byte {self._at} ends behind byte {self._stop}, where the file does"
            elif whole > self._most:
                self.cut = f"a chunk at byte {self._at} expands to {whole:,} bytes, which is more than {self._most:,}"
            else:
                self._take(packed, whole)
        if not self._rest and self.cut is None and not self._is_whole():
            self.cut = f"its {self._count:,} chunks end at byte {self._at}, and have not the {self._data.size:,} bytes of its data"
        return bool(self._rest)

    def _is_whole(self) -> bool:
        """Return whether the chunks have the bytes of the data: with their sizes and count, or without."""
        used = self._at - self._data.offset
        return self._data.size in (used, used - 4, used - 4 - 8 * self._count)

    def _take(self, packed: int, whole: int) -> None:
        self._chunk = self._at
        try:
            self._rest = self._decompress(self._read(self._at + 8, packed), whole)
        except Damaged as damaged:
            self.cut = f"{damaged}, in a chunk at byte {self._at}"
        self._at += 8 + packed
        self._left -= 1


class Streams:
    """The pages of all CPUs of some buffers.

    Attributes
    ----------
    array
        Shape (streams, ``pj.STREAM``), int64.
    arena
        The windows, uint8.
    cpus
        Shape (streams,), int64: the CPU of each.
    buffers
        The name of the buffer of each.
    """

    def __init__(self, file: FileHeader, buffers: list[Buffer], read: ReadAt, end: int) -> None:
        found = [(buffer, data) for buffer in buffers for data in buffer.cpus if data.size]
        self.cpus: NDArray[np.int64] = np.array([data.cpu for _, data in found], np.int64)
        self.buffers = [buffer.name for buffer, _ in found]
        most = min(MOST_CHUNK, MOST_CHUNKS_HELD // max(1, len(found)))
        self._bytes: list[_Bytes] = [
            _Chunks(data, read, end, file.decompress, most)
            if buffer.packed and file.decompress
            else _Plain(data, read, end)
            for buffer, data in found
        ]
        self.array: NDArray[np.int64] = np.zeros((len(found), pj.STREAM), np.int64)
        share = ARENA_BYTES // max(1, len(found))
        base = 0
        for row, (buffer, _) in zip(self.array, found, strict=True):
            size = buffer.page_size
            row[pj.C_BASE], row[pj.C_PAGE_BYTES], row[pj.C_RAW] = base, size, -1
            base += size * min(_MOST_PAGES, max(2, share // size))
        self._ends = [*self.array[1:, pj.C_BASE].tolist(), base]
        self.arena: NDArray[np.uint8] = np.zeros(base, np.uint8)

    def __len__(self) -> int:
        return len(self._bytes)

    def more(self, stream: int) -> None:
        """Let the window of a stream begin with its next page, and be full if there are as many."""
        row = self.array[stream]
        base, place, fill = int(row[pj.C_BASE]), int(row[pj.C_PAGE]), int(row[pj.C_FILL])
        held = self.arena[base + place : base + fill].copy()
        room = self.arena[base : self._ends[stream]]
        room[: held.size] = held
        data = self._bytes[stream].next(room.size - held.size)
        room[held.size : held.size + len(data)] = np.frombuffer(data, np.uint8)
        row[pj.C_AT] += place
        row[pj.C_PAGE], row[pj.C_FILL] = 0, held.size + len(data)
        row[pj.C_LAST] = held.size + len(data) < room.size
        row[pj.C_POS] = row[pj.C_END] = base

    def of(self, buffer: str, cpu: int) -> list[int]:
        """Return the streams of a CPU of a buffer."""
        return [n for n, name in enumerate(self.buffers) if name == buffer and self.cpus[n] == cpu]

    def cut(self, stream: int) -> str | None:
        """Return why a stream ends before it should; null: it does not."""
        return self._bytes[stream].cut

    def place(self, stream: int, at: int) -> int:
        """Return where byte *at* of a stream is in the file, or the compressed chunk that it is in."""
        return self._bytes[stream].place(at)
