"""Parse page_owner dumps: what /sys/kernel/debug/page_owner prints, in any of its forms since Linux 3.19.

``PageOwnerDump`` reads the entries of one dump. ``PageOwnerFile`` is a dump alone, as a recording of its own.
"""

import re
from collections.abc import Iterator
from typing import BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from pagetrail.producers.detail_rows import baseline, clock_row
from pagetrail.producers.formats.format import Format
from pagetrail.producers.formats.page_owner import page_owner_jit as dump_jit
from pagetrail.producers.parsed import ReadAccount, noted
from pagetrail.schemas.batch import EventBatch
from pagetrail.schemas.columns import NUMPY_DTYPES, Kind, absent
from pagetrail.schemas.details import BaselineBegin, Clock

CHUNK_BYTES: Final = 4 << 20
RECORD: Final = "page_owner record"
"""The name under which an account counts entries."""

_MAX_ROWS: Final = 1 << 14
_MAX_BAD: Final = 1 << 8
_SLOTS: Final = 1 << 16

_NUMBERS: Final = {
    "pfn": dump_jit.PFN,
    "order": dump_jit.ORDER,
    "gfp_mask": dump_jit.GFP,
    "pid": dump_jit.PID,
    "tgid": dump_jit.TGID,
    "ts_nsec": dump_jit.TS,
    "free_ts_nsec": dump_jit.FREE_TS,
    "migratetype": dump_jit.MIGRATETYPE,
    "block_migratetype": dump_jit.BLOCK_MIGRATETYPE,
    "migrate_reason": dump_jit.REASON,
    "page_flags": dump_jit.FLAGS,
}
_TEXTS: Final = {"comm": dump_jit.COMM, "stack": dump_jit.STACK, "cgroup": dump_jit.CGROUP}


class PageOwnerDump:
    """The entries of one dump, in its order; neither seq nor trace time, which the dump does not know.

    A record that cannot be read is counted with its line and skipped. One whose end is missing because the dump is cut
    short is dropped when a line of it is cut; when only the empty line behind it is missing, it is kept. Either way
    ``account.truncated`` says so.

    Parameters
    ----------
    stream
        Uncompressed bytes.
    source
        Name for messages.
    chunk_bytes
        How much is read at once. The entries do not depend on it, only how they are cut into batches.
    """

    def __init__(self, stream: BinaryIO, *, source: str, chunk_bytes: int = CHUNK_BYTES) -> None:
        self.account = ReadAccount()
        self._stream, self._source, self._chunk = stream, source, chunk_bytes
        self._buffer = np.empty(chunk_bytes, dtype=np.uint8)
        self._state = np.zeros(dump_jit.STATE, dtype=np.int64)
        self._state[dump_jit.LINE] = 1
        self._out = np.empty((dump_jit.FIELDS, _MAX_ROWS), dtype=np.int64)
        self._slots = np.empty((dump_jit.TEXTS, _SLOTS), dtype=np.int64)
        self._spans = np.empty((dump_jit.TEXTS, 2, _MAX_ROWS + _MAX_BAD + 1), dtype=np.int64)
        self._bad = np.empty((3, _MAX_BAD), dtype=np.int64)

    def batches(self) -> Iterator[EventBatch]:
        """Yield BASELINE_ENTRY rows."""
        held = 0
        while size := self._read(held):
            held += size
            yield from self._parse(held)
            held = self._keep_rest(held)
        yield from self._parse_end(held)
        cut = getattr(self._stream, "truncated", None)
        if cut is not None:
            self.account.truncated = str(cut)

    def _read(self, held: int) -> int:
        """Read behind the *held* bytes of the buffer, making room; return how many bytes came, 0 at the end."""
        if held + self._chunk > self._buffer.size:
            grown = np.empty(max(held + self._chunk, 2 * self._buffer.size), dtype=np.uint8)
            grown[:held] = self._buffer[:held]
            self._buffer = grown
        data = self._stream.read(self._chunk)
        self._buffer[held : held + len(data)] = np.frombuffer(data, dtype=np.uint8)
        return len(data)

    def _keep_rest(self, held: int) -> int:
        rest = held - int(self._state[dump_jit.POSITION])
        self._buffer[:rest] = self._buffer[held - rest : held].copy()
        self._state[dump_jit.POSITION] = 0
        return rest

    def _parse(self, held: int) -> Iterator[EventBatch]:
        """Yield the whole records within the first *held* bytes of the buffer, from the state's position on."""
        while True:
            self._state[dump_jit.ROWS] = self._state[dump_jit.BAD] = 0
            self._slots.fill(-1)
            self._spans[:, 0, -1] = 0
            dump_jit.parse(self._buffer, held, self._state, self._out, self._slots, self._spans, self._bad)
            rows, bad = int(self._state[dump_jit.ROWS]), int(self._state[dump_jit.BAD])
            for line, begin, end in self._bad[:, :bad].T.tolist():
                self.account.note_line(line, noted(self._buffer[begin:end].tobytes()))
            if rows:
                self.account.events[RECORD] += rows
                yield self._batch(rows)
            if rows < _MAX_ROWS and bad < _MAX_BAD:
                return

    def _parse_end(self, held: int) -> Iterator[EventBatch]:
        """Deal with what is left at the end of the stream: nothing, or a record cut short."""
        if not held or self._state[dump_jit.MODE] != dump_jit.READING:
            return
        line = int(self._state[dump_jit.LINE])
        if self._buffer[held - 1] != ord("\n"):
            self.account.truncated = f"{self._source}: cut short in the record of line {line}, which is left out"
            return
        self.account.truncated = f"{self._source}: no empty line ends the record of line {line}: its stack may be cut"
        if held == self._buffer.size:
            self._buffer = np.append(self._buffer, np.uint8(0))
        self._buffer[held] = ord("\n")
        yield from self._parse(held + 1)

    def _batch(self, rows: int) -> EventBatch:
        columns: dict[str, NDArray[np.generic]] = {"kind": np.full(rows, Kind.BASELINE_ENTRY, dtype=np.int8)}
        texts: dict[str, list[str]] = {}
        for name, field in _NUMBERS.items():
            values = self._out[field, :rows]
            there = values != dump_jit.ABSENT
            if there.any():
                columns[name] = np.where(there, values, absent(name)).astype(NUMPY_DTYPES[name])
        for table, (name, field) in enumerate(_TEXTS.items()):
            count = int(self._spans[table, 0, -1])
            if count:
                columns[name] = np.maximum(self._out[field, :rows], -1).astype(np.int32)
                texts[name] = [self._text(*self._spans[table, :, i].tolist()) for i in range(count)]
        if "stack" in texts:
            texts["stack"] = ["\n".join(line.strip() for line in text.split("\n")) for text in texts["stack"]]
        return EventBatch(columns=columns, texts=texts)

    def _text(self, begin: int, end: int) -> str:
        return self._buffer[begin:end].tobytes().decode(errors="backslashreplace")


class PageOwnerFile:
    """A dump alone as a recording: its clock is the dump's own, and all of it is at the latest time printed in it.

    That is the nearest to when it was made that it says; without times (before Linux 5.11) it is 0.
    """

    def __init__(self, stream: BinaryIO, *, source: str) -> None:
        self._dump = PageOwnerDump(stream, source=source)
        self._source = source
        self.account = self._dump.account

    def batches(self) -> Iterator[EventBatch]:
        """Yield a CLOCK row, and the dump as one baseline."""
        entries = list(self._dump.batches())
        times = [int(batch.column("ts_nsec").max()) for batch in entries]  # absent is the smallest
        at = max([0, *times])
        yield clock_row(at, Clock(ts_nsec=at, source=f"{self._source}: the dump's own clock"))
        yield from baseline(entries, at, BaselineBegin(
            name=self._source.split(".")[0],
            window_begin=at,
            window_end=at,
            entries=sum(map(len, entries)),
            skipped=self.account.not_understood,
            source=self._source,
        ))  # fmt: skip


PAGE_OWNER: Final = Format(
    name="page_owner",
    phrase="a page_owner dump",
    line=re.compile(rb"Page allocated via order \d+, mask 0x"),
    opens=lambda stream, kernel: PageOwnerFile(stream, source=stream.source),
)
