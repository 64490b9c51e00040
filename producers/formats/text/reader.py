"""What the text parsers have in common: chunks in, lines to the kernel, rare lines to Python, batches out."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from typing import BinaryIO, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from pagetrail.producers.formats.interning import new_interner
from pagetrail.producers.formats.interning_jit import ACTION, COUNT, MASK
from pagetrail.producers.formats.text import text_jit as tk
from pagetrail.producers.formats.text.payloads import Event, EventReader, FailedAlloc, NothingNew, Refused, action_of
from pagetrail.producers.formats.text.rows import RowBuilder
from pagetrail.producers.parsed import ReadAccount
from pagetrail.schemas.batch import EventBatch
from pagetrail.schemas.details import Gap
from pagetrail.schemas.errors import BadArgument
from pagetrail.schemas.linux.gfp import GFP_FLAGS_6_1, parse_gfp

CHUNK_BYTES: Final = 1 << 20  # stays in the cache; larger ones cost page faults and win nothing


class TextReader(ABC):
    """One text, opened. Subclasses know what its lines look like."""

    _kernel: ClassVar[Callable[..., int]]
    _late_stacks: ClassVar[bool]
    """Whether other lines may come between an event and its stack."""

    def __init__(
        self,
        stream: BinaryIO,
        *,
        source: str,
        gfp_flags: Mapping[str, int] | None = None,
        vmemmap_base: int | None = None,
        chunk_bytes: int = CHUNK_BYTES,
    ) -> None:
        self.account = ReadAccount()
        self.source = source
        self._stream, self._chunk_bytes = stream, chunk_bytes
        self._gfp_flags = GFP_FLAGS_6_1 if gfp_flags is None else gfp_flags
        self._texts = new_interner(1 << 14, 1 << 22)
        self._cpus = np.full((tk.CPU_FIELDS, tk.MAX_CPUS), -1, np.int64)
        self._cpus[tk.GAP_IS_DUE] = 0
        self._state = np.zeros(tk.STATE_SIZE, np.int64)
        self._state[tk.LINE] = 1
        self._gaps: dict[int, tuple[int, int | None, str]] = {}  # by CPU: t_lo, lost, reason
        self._rows = RowBuilder(self._state, self._cpus, self._stack_text)
        self._events = EventReader(self._gfp_flags, vmemmap_base, self._rows.highest_pfn)
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
                line = self._data[self._state[tk.POS] : self._state[tk.STOP]].tobytes()
                if not self._odd(line):
                    self._note(line)
                self._next_line()
            elif reason == tk.EVENT:
                self._event()
            elif reason == tk.GAP_DUE:
                self._put_gap(int(self._state[tk.CPU]), int(self._state[tk.TS]))
            else:
                self._learn(reason)

    def _scan(self, size: int, final: bool, cut: bool) -> int:
        """Run the kernel over the buffer; return why it stopped."""
        texts = self._texts
        where = (self._data, self._newlines, size, final, cut, self._state)
        into = (texts.slots, texts.notes, texts.arena, texts.fill, self._cpus, self._rows.rows)
        return int(self._kernel(*where, *into))

    def _next_line(self) -> None:
        self._state[tk.POS] = self._state[tk.NEXT]
        self._state[tk.LINE] += self._state[tk.LINES]

    def _note(self, line: bytes, reason: str = "") -> None:
        text = line[:200].decode("utf-8", "backslashreplace")
        self.account.note_line(int(self._state[tk.LINE]), f"{reason}: {text}" if reason else text)

    def _learn(self, reason: int) -> None:
        """Decide about a name or a text of gfp flags that is new, or give the full table more room."""
        texts, state = self._texts, self._state
        if reason == tk.NEW_NAME:
            name = int(state[tk.NAME])
            texts.notes[ACTION, name] = action_of(texts.text(name).decode())
        elif reason == tk.NEW_GFP:
            gfp = int(state[tk.GFP])
            try:
                texts.notes[MASK, gfp] = parse_gfp(texts.text(gfp).decode(), self._gfp_flags) + 1
            except BadArgument:
                texts.notes[MASK, gfp] = tk.UNKNOWN_GFP
        else:
            texts.grow()

    def _event(self) -> None:
        """Read, by the general path, the event whose head is in the state."""
        state, cpus = self._state, self._cpus
        cpu = int(state[tk.CPU])
        name = int(state[tk.NAME])
        payload = self._data[state[tk.PAYLOAD] : state[tk.STOP]].tobytes()
        outcome = self._events.read(self._texts.text(name).decode(), payload.decode("latin-1"), int(state[tk.PID]))
        row = tk.NO_ROW
        line = self._data[state[tk.POS] : state[tk.STOP]].tobytes()
        if isinstance(outcome, Refused):
            self._note(line, outcome.reason)
        else:
            if cpu >= 0 and cpus[tk.GAP_IS_DUE, cpu]:
                self._put_gap(cpu, int(state[tk.TS]))
            if isinstance(outcome, FailedAlloc):
                state[tk.FAILED] += 1
            elif isinstance(outcome, NothingNew):
                state[tk.STRAIGHT] += 1
            else:
                row = self._put_event(outcome, line)
            self._texts.notes[COUNT, name] += 1
            if cpu >= 0:
                cpus[tk.LAST_TS, cpu] = state[tk.TS]
        if self._late_stacks:
            tk.wait_for_stack(cpus, cpu, row)
        self._next_line()

    def _put_event(self, event: Event, line: bytes) -> int:
        if event.unknown_gfp:
            self._note(line, event.unknown_gfp)
        start, stop = int(self._state[tk.COMM_START]), int(self._state[tk.COMM_STOP])
        return self._rows.put(event, self._texts.find(self._data[start:stop].tobytes()))

    def _lose(self, cpu: int, lost: int | None, reason: str) -> None:
        """Remember that events of *cpu* were lost after the last one read and before the next.

        Where none has been read, everything before may have been lost: the gap begins at 0.
        """
        t_lo = max(0, int(self._cpus[tk.LAST_TS, cpu]))
        if cpu in self._gaps:
            before = self._gaps[cpu][1]
            lost = None if lost is None or before is None else lost + before
        self._gaps[cpu] = (t_lo, lost, reason)
        self._cpus[tk.GAP_IS_DUE, cpu] = 1
        self._cpus[[tk.WAITING, tk.INTERRUPTED], cpu] = tk.NONE  # a stack that comes now is that of a lost event

    def _put_gap(self, cpu: int, t_hi: int) -> None:
        t_lo, lost, reason = self._gaps.pop(cpu)
        self._cpus[tk.GAP_IS_DUE, cpu] = 0
        detail = Gap(t_lo=min(t_lo, t_hi), t_hi=t_hi, lost=lost, reason=reason).model_dump_json()
        self._rows.put_gap(cpu, t_hi, detail)

    def _flush(self, *, final: bool) -> EventBatch:
        self._settle()
        return self._rows.flush(self._texts, final=final)

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
        last = max(0, int(self._cpus[tk.LAST_TS].max()))
        for cpu in sorted(self._gaps):
            if self._rows.full():
                yield self._flush(final=False)
            self._put_gap(cpu, last)
        self._settle()
        if self._state[tk.ROWS]:
            yield self._flush(final=True)
