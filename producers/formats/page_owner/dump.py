"""Parse page_owner dumps: what /sys/kernel/debug/page_owner prints, in any of its forms since Linux 3.19, and as people have it.

What is exactly as the kernel prints it is read by jit functions, the rest by ``TolerantReader``.
"""

from collections.abc import Iterator
from types import MappingProxyType
from typing import BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from pagetrail.producers.formats.page_owner import layout, page_owner_jit
from pagetrail.producers.formats.page_owner.filter_marks import FilterMarks
from pagetrail.producers.formats.page_owner.handles import Handles, NamedStacks
from pagetrail.producers.formats.page_owner.lines import PAGE_OWNER_DIALECT, Dialect, Fields
from pagetrail.producers.formats.page_owner.tally import Tally
from pagetrail.producers.formats.page_owner.tolerant import Region, TolerantReader
from pagetrail.schemas.batch import EventBatch
from pagetrail.schemas.columns import NUMPY_DTYPES, Kind, absent

CHUNK_BYTES: Final = 4 << 20

_MAX_ROWS: Final = 1 << 14
_MAX_ODD: Final = 1 << 11
_SLOTS: Final = 1 << 16

_NUMBERS: Final = {
    "pfn": layout.PFN,
    "order": layout.ORDER,
    "gfp_mask": layout.GFP,
    "pid": layout.PID,
    "tgid": layout.TGID,
    "ts_nsec": layout.TS,
    "free_ts_nsec": layout.FREE_TS,
    "migratetype": layout.MIGRATETYPE,
    "block_migratetype": layout.BLOCK_MIGRATETYPE,
    "migrate_reason": layout.REASON,
    "page_flags": layout.FLAGS,
    "memcg_flags": layout.MEMCG,
}
_TEXTS: Final = {
    "comm": layout.COMM,
    "stack": layout.STACK,
    "cgroup": layout.CGROUP,
    "page_flag_names": layout.FLAG_NAMES,
}


class PageOwnerDump:
    """The entries of one dump, in its order; neither seq nor trace time, which the dump does not know.

    A record that cannot be read is counted with its line and skipped; odd lines of one that can be read are counted. A record
    that the end of the dump cuts is left out if a line of it is cut, unless that line is of its stack; when only the empty line
    behind it is missing, it is kept. Either way ``account.truncated`` says so.

    Parameters
    ----------
    stream
        Uncompressed bytes.
    source
        Name for messages.
    chunk_bytes
        How much is read at once. The entries do not depend on it, only how they are cut into batches.
    dialect
        How its records are written.
    stacks
        Those of the handles of its boot.

    Attributes
    ----------
    named
        What became of records that have a handle in place of a stack.
    """

    def __init__(
        self,
        stream: BinaryIO,
        *,
        source: str,
        chunk_bytes: int = CHUNK_BYTES,
        dialect: Dialect = PAGE_OWNER_DIALECT,
        stacks: Handles = MappingProxyType({}),
    ) -> None:
        self.tally = Tally()
        self.named = NamedStacks(stacks)
        self.account = self.tally.account
        self._marks = FilterMarks()
        self._odd_reader = TolerantReader(dialect, self.tally)
        self._marker = np.frombuffer(dialect.marker, dtype=np.uint8)
        self._stream, self._source, self._chunk = stream, source, chunk_bytes
        self._buffer = np.empty(chunk_bytes, dtype=np.uint8)
        self._carriage_return = b""
        self._state = np.zeros(layout.STATE, dtype=np.int64)
        self._state[layout.LINE] = 1
        self._out = np.empty((layout.FIELDS, _MAX_ROWS), dtype=np.int64)
        self._slots = np.empty((layout.TEXTS, _SLOTS), dtype=np.int64)
        self._spans = np.empty((layout.TEXTS, 2, _MAX_ROWS + _MAX_ODD + 1), dtype=np.int64)
        self._odd = np.empty((layout.ODD_FIELDS, _MAX_ODD), dtype=np.int64)

    def batches(self) -> Iterator[EventBatch]:
        """Yield BASELINE_ENTRY rows."""
        held, more = 0, True
        while more:
            size, more = self._read(held)
            held += size
            if more:
                yield from self._parse(held)
                held = self._keep_rest(held)
        yield from self._parse_end(held)
        self._marks.note(self.tally)
        self.tally.finish(int(self._state[layout.LINE]) - 1)
        cut = getattr(self._stream, "truncated", None)
        if cut is not None:
            self.account.truncated = str(cut)

    def _read(self, held: int) -> tuple[int, bool]:
        """Read behind the *held* bytes of the buffer, making room; return how many bytes came, and whether there may be more.

        Lines that end with CR LF lose the CR.
        """
        data = self._stream.read(self._chunk)
        more = len(data) == self._chunk
        self._marks.see_text(data)
        if self._carriage_return or b"\r" in data:
            data = self._carriage_return + data
            self._carriage_return = b"\r" if more and data.endswith(b"\r") else b""
            data = data[: len(data) - len(self._carriage_return)].replace(b"\r\n", b"\n")
        self._make_room(held + len(data))
        self._buffer[held : held + len(data)] = np.frombuffer(data, dtype=np.uint8)
        return len(data), more

    def _make_room(self, size: int) -> None:
        if size > self._buffer.size:
            grown = np.empty(max(size, 2 * self._buffer.size), dtype=np.uint8)
            grown[: self._buffer.size] = self._buffer
            self._buffer = grown

    def _keep_rest(self, held: int) -> int:
        rest = held - int(self._state[layout.POSITION])
        self._buffer[:rest] = self._buffer[held - rest : held].copy()
        self._state[layout.POSITION] = 0
        return rest

    def _parse(self, held: int, *, within_line: bool = False) -> Iterator[EventBatch]:
        """Yield the whole records within the first *held* bytes of the buffer, from the state's position on."""
        while True:
            self._state[layout.ROWS] = self._state[layout.ODD] = 0
            self._slots.fill(-1)
            self._spans[:, 0, -1] = 0
            page_owner_jit.parse(
                self._buffer, held, self._state, self._out, self._slots, self._spans, self._odd, self._marker
            )
            rows, odd = int(self._state[layout.ROWS]), int(self._state[layout.ODD])
            places, found, first = self._odd_records(odd, held if self._state[layout.AT_END] else -1, within_line)
            self._odd_reader.empty_lines_end |= rows > 0
            self._count_lines()
            if rows or found:
                firsts = [line for line in (first, int(self._state[layout.FIRST])) if line]
                self.tally.read(rows + len(found), min(firsts))
                batch = self._batch(rows, places, found)
                self._marks.see_owners(batch)
                yield batch
            if rows < _MAX_ROWS and odd < _MAX_ODD:
                return

    def _parse_end(self, held: int) -> Iterator[EventBatch]:
        """Deal with what is left at the end of the stream."""
        self._state[layout.AT_END] = 1
        within_line = bool(held) and self._buffer[held - 1] != ord("\n")
        if within_line:
            self._make_room(held + 1)
            self._buffer[held] = ord("\n")
        yield from self._parse(held + within_line, within_line=within_line)

    def _count_lines(self) -> None:
        self.tally.empty_lines += int(self._state[layout.EMPTY])
        self.tally.skip(int(self._state[layout.SKIPPED]), int(self._state[layout.LINE]))
        self._state[layout.EMPTY] = self._state[layout.SKIPPED] = 0

    def _odd_records(self, odd: int, end: int, within_line: bool) -> tuple[list[int], list[Fields], int]:
        """Read the odd regions of the buffer; return how many rows lie before each record, the records, and the first line."""
        places, found, first = [], [], 0
        for first_line, begin, stop, rows, is_cut in self._odd[:, :odd].T.tolist():
            self._odd_reader.empty_lines_end |= rows > 0
            lines = self._buffer[begin:stop].tobytes().split(b"\n")
            region = Region(
                lines=lines if lines[-1] else lines[:-1], first_line=first_line, source=self._source,
                is_cut=bool(is_cut), at_end=stop == end, within_line=stop == end and within_line,
            )  # fmt: skip
            fields = self._odd_reader.read(region)
            if fields is not None:
                places.append(rows)
                found.append(fields)
                first = first or first_line
        return places, found, first

    def _batch(self, rows: int, places: list[int], found: list[Fields]) -> EventBatch:
        """Return *rows* rows of the table of numbers, with the records *found* inserted before the rows *places*."""
        kinds = np.full(rows + len(found), Kind.BASELINE_ENTRY, dtype=np.int8)
        columns: dict[str, NDArray[np.generic]] = {"kind": kinds}
        texts: dict[str, list[str]] = {}
        for name, field in _NUMBERS.items():
            values = self._numbers(field, name, rows, places, found)
            there = values != layout.ABSENT
            if there.any():
                columns[name] = np.where(there, values, absent(name)).astype(NUMPY_DTYPES[name])
        for table, (name, field) in enumerate(_TEXTS.items()):
            count = int(self._spans[table, 0, -1])
            known = [self._text(*self._spans[table, :, i].tolist()) for i in range(count)]
            if name == "stack":
                known = [_stripped(text) for text in known]
            indices = np.maximum(self._out[field, :rows], -1).astype(np.int32)
            if found:
                numbers: dict[str, int] = {}
                remap = np.array([numbers.setdefault(text, len(numbers)) for text in known] + [-1], dtype=np.int32)
                own = [numbers.setdefault(str(f[name]), len(numbers)) if name in f else -1 for f in found]
                indices, known = np.insert(remap[indices], places, own), list(numbers)
            if name == "stack":
                handles = self._numbers(layout.HANDLE, "handle", rows, places, found)
                indices, known = self.named.fill(indices, known, handles)
            if known:
                columns[name], texts[name] = indices, known
        return EventBatch(columns=columns, texts=texts)

    def _numbers(self, field: int, name: str, rows: int, places: list[int], found: list[Fields]) -> NDArray[np.int64]:
        """Return a field of *rows* rows of the table of numbers, with that of the records *found* before the rows *places*."""
        values = self._out[field, :rows]
        return np.insert(values, places, [fields.get(name, layout.ABSENT) for fields in found]) if found else values

    def _text(self, begin: int, end: int) -> str:
        return self._buffer[begin:end].tobytes().decode(errors="backslashreplace")


def _stripped(stack: str) -> str:
    return "\n".join(line for text in stack.split("\n") if (line := text.strip()))
