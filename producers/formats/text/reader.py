"""What the text parsers have in common: chunks in, lines to the jit function, rare lines to Python, batches out."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import BinaryIO, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from pagetrail.producers.formats.interning import new_interner
from pagetrail.producers.formats.interning_jit import ACTION, COUNT, MASK
from pagetrail.producers.formats.rows import NO_ROW, RowBuilder
from pagetrail.producers.formats.text import text_jit as tk
from pagetrail.producers.formats.text.payloads import action_of, bare_name, fields_of
from pagetrail.producers.meaning import (
    UNKNOWN_KERNEL,
    FailedAlloc,
    Gaps,
    Meaning,
    NothingNew,
    Outcome,
    RecordedKernel,
    Refused,
    Row,
)
from pagetrail.producers.parsed import ReadAccount, noted
from pagetrail.schemas.batch import EventBatch
from pagetrail.schemas.errors import BadArgument

CHUNK_BYTES: Final = 1 << 20  # stays in the cache; larger ones cost page faults and win nothing
_HEAD: Final = {"trace_ts_nsec": tk.TS, "cpu": tk.CPU, "pid": tk.PID, "tgid": tk.TGID, "stack": tk.STACK}


class TextReader(ABC):
    """One text, opened. Subclasses know what its lines look like."""

    _scanner: ClassVar[Callable[..., int]]
    _late_stacks: ClassVar[bool]
    """Whether other lines may come between an event and its stack."""

    def __init__(
        self,
        stream: BinaryIO,
        *,
        source: str,
        kernel: RecordedKernel = UNKNOWN_KERNEL,
        chunk_bytes: int = CHUNK_BYTES,
    ) -> None:
        self.account = ReadAccount()
        self.source = source
        self._stream, self._chunk_bytes = stream, chunk_bytes
        self._texts = new_interner(1 << 14, 1 << 22)
        self._cpus = np.full((tk.CPU_FIELDS, tk.MAX_CPUS), -1, np.int64)
        self._cpus[tk.GAP_IS_DUE] = 0
        self._state = np.zeros(tk.STATE_SIZE, np.int64)
        self._state[tk.LINE] = 1
        self._gaps = Gaps(last_ts=self._cpus[tk.LAST_TS], is_due=self._cpus[tk.GAP_IS_DUE])
        self._rows = RowBuilder(
            self._texts,
            count=self._state[tk.ROWS : tk.ROWS + 1],
            waiting=self._cpus[tk.WAITING : tk.INTERRUPTED + 1],
            stack_text=self._stack_text,
        )
        self._meaning = Meaning(kernel, self._rows.highest_pfn)
        self._data: NDArray[np.uint8] = np.zeros(0, np.uint8)
        self._newlines: NDArray[np.int64] = np.zeros(0, np.int64)

    @abstractmethod
    def _odd(self, line: bytes) -> bool:
        """Take a line that is no event; False when it is not understood."""

    @abstractmethod
    def _stack_text(self, raw: bytes) -> str | None:
        """Return the lines of a stack as the column wants them."""

    @abstractmethod
    def _goes_on(self, tail: bytes) -> bool:
        """Return whether *tail*, a line without an end, may be a frame of the stack before it."""

    def batches(self) -> Iterator[EventBatch]:
        """Yield the events in the order of the source, without ``seq``."""
        carry, offset, dropping = b"", 0, 0
        final = False
        while not final:
            chunk = self._stream.read(self._chunk_bytes)
            final = not chunk
            if len(carry) - carry.rfind(b"\n") - 1 > tk.MAX_LINE:  # in the middle of a line that no kernel prints
                newline = chunk.find(b"\n")
                skipped = len(chunk) if newline < 0 else newline
                chunk, dropping = chunk[skipped:], dropping + skipped
                if newline >= 0:
                    offset, dropping = offset + dropping, 0
            buffer = carry + chunk
            whole = buffer.rfind(b"\n") + 1
            tail = buffer[whole:]
            self._data = np.frombuffer(buffer, np.uint8)
            self._newlines = np.flatnonzero(self._data == ord("\n"))
            self._state[tk.FIRST_LINE] = self._state[tk.LINE]
            yield from self._draw(whole if final else len(buffer), final, final and self._goes_on(tail))
            if final and tail:
                line = int(self._state[tk.LINE])
                self.account.truncated = f"line {line}, at byte {offset + whole}, has no end; it was dropped"
            consumed = int(self._state[tk.POS])
            offset += consumed
            self._state[tk.POS] = 0
            carry = buffer[consumed : whole + tk.MAX_LINE + 1]
            dropping += max(0, len(tail) - tk.MAX_LINE - 1)
        yield from self._finish()

    def _draw(self, size: int, final: bool, cut: bool) -> Iterator[EventBatch]:
        """Read all whole lines of the buffer."""
        while (reason := self._scan(size, final, cut)) != tk.NEED_DATA:
            if reason == tk.FULL:
                yield self._flush(final=False)
            elif reason == tk.ODD:
                line = self._line()
                if not self._odd(line):
                    self._note(line)
                self._next_line()
            elif reason == tk.EVENT:
                self._event()
            elif reason == tk.GAP_DUE:
                self._hear()
            else:
                self._learn(reason)

    def _scan(self, size: int, final: bool, cut: bool) -> int:
        """Run the jit function over the buffer; return why it stopped."""
        texts = self._texts
        where = (self._data, self._newlines, size, final, cut, self._state)
        into = (texts.slots, texts.notes, texts.arena, texts.fill, self._cpus, self._rows.rows)
        return int(self._scanner(*where, *into))

    def _next_line(self) -> None:
        self._state[tk.POS] = self._state[tk.NEXT]
        self._state[tk.LINE] += self._state[tk.LINES]

    def _note(self, line: bytes, reason: str = "") -> None:
        text = noted(line)
        self.account.note_line(int(self._state[tk.LINE]), f"{reason}: {text}" if reason else text)

    def _learn(self, reason: int) -> None:
        """Decide about a name or a text of gfp flags that is new, or give the full table more room."""
        texts, state = self._texts, self._state
        if reason == tk.NEW_NAME:
            name = int(state[tk.NAME])
            texts.notes[ACTION, name] = action_of(bare_name(texts.text(name).decode()))
        elif reason == tk.NEW_GFP:
            gfp = int(state[tk.GFP])
            try:
                texts.notes[MASK, gfp] = self._meaning.gfp_mask(texts.text(gfp).decode()) + 1
            except BadArgument:
                texts.notes[MASK, gfp] = tk.UNKNOWN_GFP
        else:
            texts.grow()

    def _event(self) -> None:
        """Read, by the general path, the event whose head is in the state."""
        state = self._state
        outcome = self._outcome()
        row = NO_ROW
        if isinstance(outcome, Refused):
            self._note(self._line(), outcome.reason)
        else:
            self._hear()
            if isinstance(outcome, FailedAlloc):
                state[tk.FAILED] += 1
            elif isinstance(outcome, NothingNew):
                state[tk.STRAIGHT] += 1
            else:
                row = self._append(outcome)
            self._texts.notes[COUNT, state[tk.NAME]] += 1
        if self._late_stacks:
            tk.wait_for_stack(self._cpus, int(state[tk.CPU]), row)
        self._next_line()

    def _outcome(self) -> Outcome:
        state = self._state
        name = bare_name(self._texts.text(int(state[tk.NAME])).decode())
        payload = self._data[state[tk.PAYLOAD] : state[tk.STOP]].tobytes().decode("latin-1")
        fields = fields_of(name, payload)
        return Refused() if fields is None else self._meaning.outcome(name, fields, pid=int(state[tk.PID]))

    def _append(self, row: Row) -> int:
        """Append *row* with the head that is in the state; return its place."""
        state = self._state
        if row.unknown_gfp:
            self._note(self._line(), row.unknown_gfp)
        head = {name: int(state[at]) for name, at in _HEAD.items()}
        comm = self._data[state[tk.COMM_START] : state[tk.COMM_STOP]].tobytes()
        return self._rows.append(row, head | {"comm": self._texts.find(comm)})

    def _line(self) -> bytes:
        return self._data[self._state[tk.POS] : self._state[tk.STOP]].tobytes()

    def _hear(self) -> None:
        """Note that the CPU in the state was heard of; append the gap that this ends."""
        cpu = int(self._state[tk.CPU])
        if cpu >= 0 and (gap := self._gaps.heard(cpu, int(self._state[tk.TS]))):
            self._rows.append(gap)

    def _lose(self, cpu: int, lost: int | None, reason: str) -> None:
        """Take a report that events of *cpu* were lost."""
        self.account.lost_events += lost or 0
        self._gaps.lose(cpu, lost, reason)
        self._rows.forget_stacks(cpu)

    def _flush(self, *, final: bool) -> EventBatch:
        self._settle()
        return self._rows.flush(final=final)

    def _settle(self) -> None:
        """Bring the account up to date."""
        texts = self._texts
        self.account.failed_allocs = int(self._state[tk.FAILED])
        for k in np.flatnonzero(texts.notes[COUNT]):
            name, count = texts.text(int(k)).decode(), int(texts.notes[COUNT, k])
            self.account.events[name] = count
            if texts.notes[ACTION, k] == tk.IGNORE:
                self.account.ignored[name] = count
            elif texts.notes[ACTION, k] == tk.REFILL and self._state[tk.STRAIGHT]:
                self.account.ignored[name] = int(self._state[tk.STRAIGHT])

    def _finish(self) -> Iterator[EventBatch]:
        for gap in self._gaps.rest():
            if self._rows.full():
                yield self._flush(final=False)
            self._rows.append(gap)
        self._settle()
        if len(self._rows):
            yield self._flush(final=True)
