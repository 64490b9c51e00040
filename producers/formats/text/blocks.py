"""The parts of a file of ftrace text: another recording that begins within it, and blocks of one CPU each, one after the other.

``cat per_cpu/cpu*/trace`` writes the events of one CPU after those of another: every CPU is one run of lines, and time falls where
the next begins. Where time falls for *all* CPUs together, another boot begins, or the same buffer was written a second time.
"""

import io
from collections.abc import Iterator, Sequence
from typing import BinaryIO, Final, cast

import numpy as np
from numpy.typing import NDArray

from pagetrail.producers.formats.format import Block, Part
from pagetrail.producers.formats.text import blocks_jit as bk
from pagetrail.producers.formats.text import text_jit as tk
from pagetrail.producers.formats.text.lines_jit import find_newlines
from pagetrail.producers.formats.text.ticks import counts
from pagetrail.producers.ordering_jit import longest_rising
from pagetrail.producers.stepped import Stepped

_FEW: Final = 4
"""At the end of a file, or behind a tracer's header, so many events that fell make a border."""

_BUFFERS: Final = 1 << 26
"""Bytes held of all blocks together."""
_HEADERS_KEPT: Final = 1 << 10
_LEAST_CHUNK: Final = 4 * tk.MAX_LINE


class Survey:
    """Reads the bytes of a file, which begins with *head*, as they come; ``parts`` says how it is to be read."""

    def __init__(self, head: bytes, *, of_perf: bool = False) -> None:
        self._of_perf = of_perf
        self._head = np.zeros(tk.STATE_SIZE, np.int64)
        self._head[tk.TICKS] = not of_perf and counts(head)
        self._room = np.empty(0, np.uint8)  # what is carried of the last block, and the next one; used again for each
        self._ends = np.empty(0, np.int64)
        self._carried = self._offset = 0
        self._parts: list[Part] = []
        self._begin = Part(start=0)
        self._start_over()

    def feed(self, block: memoryview) -> None:
        """Take the next bytes, which may change afterwards."""
        size = self._carried + len(block)
        if size > self._room.size:
            self._room = np.concatenate([self._room[: self._carried], np.empty(len(block) + tk.MAX_LINE + 1, np.uint8)])
            self._ends = np.empty(self._room.size, np.int64)
        self._room[self._carried : size] = np.frombuffer(block, np.uint8)
        data = self._room[:size]
        newlines = self._ends[: int(find_newlines(data, size, self._ends))]
        why, line = bk.BORDER, 0
        while why == bk.BORDER:
            why, line = bk.survey(
                data,
                newlines,
                line,
                self._offset,
                self._of_perf,
                self._head,
                self._state,
                self._cpus,
                self._runs,
                self._headers,
            )
            if why == bk.BORDER:
                self._border()
        whole = int(newlines[-1]) + 1 if newlines.size else 0
        self._carried = min(size - whole, tk.MAX_LINE + 1)  # of a longer line, no more is looked at
        self._room[: self._carried] = self._room[whole : whole + self._carried]
        self._offset += size - self._carried

    def parts(self) -> tuple[Part, ...]:
        """Return the parts of the whole file, in their order; the last one ends with it."""
        enough = 1 if self._state[bk.OPEN_HEADER] else _FEW
        if self._state[bk.OPEN] and self._state[bk.FELL] >= enough:
            self._border()
        return (*self._parts, self._ended(None))

    def merged(self, file: BinaryIO, blocks: Sequence[Block]) -> BinaryIO:
        """Return *blocks* of a seekable file as one text in order of time; it closes the file."""
        return cast(
            BinaryIO, MergedBlocks(file, blocks, ticks=bool(self._head[tk.TICKS]))
        )  # as much of one as its reader needs

    def _start_over(self) -> None:
        self._state = np.zeros(bk.STATE_SIZE, np.int64)
        self._state[bk.LINE], self._state[bk.LEAD_POS], self._state[bk.RUN_CPU] = 1, -1, -1
        self._cpus = np.zeros((bk.CPU_FIELDS, tk.MAX_CPUS), np.int64)
        self._runs = np.zeros((bk.RUN_FIELDS, tk.MAX_CPUS), np.int64)
        self._headers = np.zeros((2, _HEADERS_KEPT), np.int64)

    def _border(self) -> None:
        """Begin another part where the state says; what was read of it so far is forgotten, but not where it is."""
        state = self._state
        start, line, seen = int(state[bk.OPEN_POS]), int(state[bk.OPEN_LINE]), int(state[bk.LINE])
        self._parts.append(self._ended(start))
        self._begin = Part(start=start, line=line, t_from=int(state[bk.FELL_FROM]), t_to=int(state[bk.FELL_TO]))
        self._start_over()
        self._state[bk.LINE] = seen

    def _ended(self, stop: int | None) -> Part:
        begin = self._begin
        return Part(
            start=begin.start,
            stop=stop,
            line=begin.line,
            t_from=begin.t_from,
            t_to=begin.t_to,
            blocks=self._blocks(stop),
            anew=self._anew(),
        )

    def _anew(self) -> tuple[tuple[int, int], ...]:
        """Return the times around each further header: the trace was saved again, and maybe of another boot.

        Where every CPU is one run, the headers are those of the CPUs' own files.
        """
        if not self._state[bk.MIXED] and self._state[bk.RUNS] > 1:
            return ()
        count = min(int(self._state[bk.HEADERS]), _HEADERS_KEPT)
        return tuple((before, behind) for before, behind in self._headers[:, :count].T.tolist())

    def _blocks(self, stop: int | None) -> tuple[Block, ...]:
        """Return the blocks of the part that ends at *stop*, if every CPU is one and time falls between; none of perf's."""
        count = int(self._state[bk.RUNS])
        if self._of_perf or self._parts or stop is not None or self._state[bk.MIXED] or count < 2:
            return ()
        runs = self._runs[:, :count]
        if bool((runs[bk.R_FIRST, 1:] >= runs[bk.R_LAST, :-1]).all()):
            return ()
        starts = [0, *runs[bk.R_POS, 1:].tolist()]
        return tuple(Block(start=a, stop=b) for a, b in zip(starts, [*starts[1:], None], strict=True))


class MergedBlocks(Stepped):
    """The lines of blocks of events as one text in order of time, as the kernel would have written it.

    Parameters
    ----------
    file
        Seekable; closed with this.
    blocks
        Ranges of bytes of it, each in order of time; the last one may be open.
    ticks
        Times are integers.
    """

    def __init__(self, file: BinaryIO, blocks: Sequence[Block], *, ticks: bool = False) -> None:
        super().__init__()
        size = file.seek(0, io.SEEK_END)
        chunk = max(_LEAST_CHUNK, _BUFFERS // max(1, len(blocks)))
        self._file = file
        self._blocks = [
            _Records(file, block.start, size if block.stop is None else block.stop, chunk, ticks=ticks)
            for block in blocks
        ]
        self._text = self._lines()

    def close(self) -> None:
        """Close the file too."""
        self._file.close()
        super().close()

    def _step(self) -> bytes:
        text = next(self._text, None)
        self._ended = text is None
        return text or b""

    def _lines(self) -> Iterator[bytes]:
        for block in self._blocks:
            yield block.lead()
        blocks = [block for block in self._blocks if block.fill()]
        while blocks:
            upto = min(block.last for block in blocks)
            taken = [block.take(upto) for block in blocks]
            times = np.concatenate([part.times for part in taken])
            ends = np.cumsum([part.times.size for part in taken])
            order = np.argsort(times, kind="stable")
            whose = np.searchsorted(ends, order, side="right")
            places = order - np.concatenate([[0], ends[:-1]])[whose]
            texts = [part.texts for part in taken]
            yield b"".join([texts[w][p] for w, p in zip(whose.tolist(), places.tolist(), strict=True)])
            blocks = [block for block in blocks if block.fill()]


class _Taken:
    """Records of one block: their times and their bytes."""

    __slots__ = ("texts", "times")

    def __init__(self, times: NDArray[np.int64], texts: list[bytes]) -> None:
        self.times, self.texts = times, texts


class _Records:
    """The events of one block with the lines that follow them, chunk after chunk."""

    def __init__(self, file: BinaryIO, start: int, stop: int, chunk: int, *, ticks: bool) -> None:
        self._file, self._at, self._stop, self._chunk = file, start, stop, chunk
        self._carry, self._first = b"", -1
        self._texts: list[bytes] = []
        self._times = np.zeros(0, np.int64)
        self._floor = int(np.iinfo(np.int64).min)
        self._head = np.zeros(tk.STATE_SIZE, np.int64)
        self._head[tk.TICKS] = ticks

    @property
    def last(self) -> int:
        """The last time that is held; of a block that has more to come, what follows is not earlier."""
        return int(self._times[-1])

    def lead(self) -> bytes:
        """Take out the lines before the first event."""
        if not self.fill():
            return b""
        lead, self._texts[0] = self._texts[0][: max(self._first, 0)], self._texts[0][max(self._first, 0) :]
        return lead

    def fill(self) -> bool:
        """Hold some records; return whether there are any."""
        while not self._texts and self._load():
            pass
        return bool(self._texts)

    def take(self, upto: int) -> _Taken:
        """Take out the records up to the time *upto*."""
        count = int(np.searchsorted(self._times, upto, side="right"))
        taken = _Taken(self._times[:count], self._texts[:count])
        self._times, self._texts = self._times[count:], self._texts[count:]
        return taken

    def _load(self) -> bool:
        """Read another chunk; return whether there was one."""
        if self._at >= self._stop:
            return False
        self._file.seek(self._at)
        part = self._file.read(min(self._chunk, self._stop - self._at))
        self._at = self._at + len(part) if part else self._stop
        buffer = self._carry + part
        final = self._at >= self._stop
        data = np.frombuffer(buffer, np.uint8)
        newlines = np.flatnonzero(data == ord("\n"))
        if final and (not newlines.size or int(newlines[-1]) + 1 < data.size):
            newlines = np.append(newlines, data.size)
        starts, times = np.empty(newlines.size, np.int64), np.empty(newlines.size, np.int64)
        found = bk.find_records(data, newlines, self._head, starts, times)
        if found and self._first < 0:
            self._first = int(starts[0])
        keep = found if final else found - 1  # the last one may go on
        if keep <= 0 and not final:
            self._carry = buffer
            return True
        stops = np.append(starts[1:found], data.size)[:keep].tolist()
        begins = [0, *starts[1:keep].tolist()] if keep else []  # what precedes the first event comes with it
        self._texts += [buffer[a:b] for a, b in zip(begins, stops, strict=True)] or (
            [buffer] if buffer and final else []
        )
        given = self._rising(times[:keep]) if keep else np.full(len(self._texts[:1]), self._floor, np.int64)
        self._times = np.concatenate([self._times, given])
        self._carry = b"" if final else buffer[int(starts[keep]) :]
        return True

    def _rising(self, times: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the places of events in time: those of events that do not fit are those of their neighbours."""
        kept = np.zeros(times.size, np.bool_)
        longest_rising(times, self._floor, np.empty(times.size, np.int64), np.empty(times.size, np.int64), kept)
        given: NDArray[np.int64] = np.maximum.accumulate(np.where(kept, times, self._floor))
        self._floor = int(given[-1])
        return given
