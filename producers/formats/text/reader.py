"""What the text parsers have in common: chunks in, lines to the jit function, rare lines to Python, batches out."""

import io
from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Callable, Iterator
from typing import BinaryIO, ClassVar, Final, cast

import numpy as np
from numpy.typing import NDArray

from pagetrail.producers.formats.interning import new_interner
from pagetrail.producers.formats.interning_jit import ACTION, COUNT, FIRST, MASK, QUIET, QUIET_FIRST
from pagetrail.producers.formats.page_pointers import LEAST_PAGES, PagePointers, Related, pointers_of
from pagetrail.producers.formats.repeats_jit import repeated
from pagetrail.producers.formats.rows import NO_ROW, REPEATED, RowBuilder
from pagetrail.producers.formats.text import text_jit as tk
from pagetrail.producers.formats.text.lines_jit import find_newlines, take_repeat, wait_for_stack
from pagetrail.producers.formats.text.odd_lines import EMPTY_LINE, LOSS_REPORT, Odd, Unread, events_in
from pagetrail.producers.formats.text.payloads import (
    NO_FIELDS,
    FieldsOfEvents,
    action_of,
    added_fields,
    bare_name,
    fields_of,
    has_page,
    is_no_measure,
    pages_named,
)
from pagetrail.producers.formats.text.probes_jit import PROBE_ACTIONS
from pagetrail.producers.formats.text.stated import Stated
from pagetrail.producers.gaps import LATEST, ORDER_FIELDS, Gaps
from pagetrail.producers.meaning import (
    UNKNOWN_KERNEL,
    Meaning,
    Outcome,
    RecordedKernel,
    Refused,
    Row,
)
from pagetrail.producers.parsed import ReadAccount, noted
from pagetrail.schemas.batch import EventBatch
from pagetrail.schemas.errors import BadArgument

CHUNK_BYTES: Final = 1 << 20  # stays in the cache; larger ones cost page faults and win nothing
_HEAD_BYTES: Final = 1 << 18
"""How much of a text shows how its pages and pfns relate, and which fields a vendor added."""
_REPEAT: Final = "repeat of an event"
_REPEATED: Final = -3  # no row, but that of another line
_HEAD: Final = {"trace_ts_nsec": tk.TS, "cpu": tk.CPU, "pid": tk.PID, "tgid": tk.TGID, "stack": tk.STACK}


class TextReader(ABC):
    """One text, opened. Subclasses know what its lines look like."""

    _scanner: ClassVar[Callable[..., int]]
    _late_stacks: ClassVar[bool]
    """Whether other lines may come between an event and its stack."""
    _empty_is_loss: ClassVar[bool]
    """Whether the tool writes no empty lines: one between events is what is left of an event."""

    def __init__(
        self,
        stream: BinaryIO,
        *,
        source: str,
        kernel: RecordedKernel = UNKNOWN_KERNEL,
        ticks: bool = False,
        chunk_bytes: int = CHUNK_BYTES,
    ) -> None:
        self.account = ReadAccount()
        self.source = source
        self._stream, self._chunk_bytes = cast(io.BufferedIOBase, stream), chunk_bytes  # as much of one as is used
        self._texts = new_interner(1 << 14, 1 << 22)
        self._cpus = np.full((tk.CPU_FIELDS, tk.MAX_CPUS), -1, np.int64)
        self._cpus[[tk.GAP_IS_DUE, tk.ENTRIES]] = 0
        self._state = np.zeros(tk.STATE_SIZE, np.int64)
        self._state[tk.LINE], self._state[tk.TICKS] = 1, ticks
        if kernel.vmemmap_base is not None:
            base = kernel.vmemmap_base
            self._state[tk.VMEMMAP_GIVEN : tk.VMEMMAP_LOW + 1] = 1, base >> 32, base & 0xFFFFFFFF
        self._gaps = Gaps(
            last_ts=self._cpus[tk.LAST_TS],
            is_due=self._cpus[tk.GAP_IS_DUE],
            order=self._state[tk.ORDER_STATE : tk.ORDER_STATE + ORDER_FIELDS],
        )
        self._rows = RowBuilder(
            self._texts,
            count=self._state[tk.ROWS : tk.ROWS + 1],
            waiting=self._cpus[tk.WAITING : tk.INTERRUPTED + 1],
            stack_text=self._stack_text,
            side_count=self._state[tk.SIDE_ROWS : tk.SIDE_ROWS + 1],
            highest=self._state[tk.HIGHEST : tk.HIGHEST + 1],
        )
        self._meaning = Meaning(kernel, self._rows.highest_pfn)
        self._partly: Counter[int] = Counter()  # by name: events that were understood in part
        self._pointers: PagePointers | None = None
        self._pages_elsewhere = 0  # events whose page may be of another piece of the memory map
        self._own_fields: FieldsOfEvents = {}
        self._elsewhere: set[str] = set()  # why events at unknown times are lost, each told once
        self._undecided = -1  # a name that has been read in a joined line only
        self._data: NDArray[np.uint8] = np.zeros(0, np.uint8)
        self._newlines: NDArray[np.int64] = np.zeros(0, np.int64)
        self._room = bytearray()  # used again for each chunk: the pages of a new one would have to be cleared first
        self._ends: NDArray[np.int64] = np.zeros(0, np.int64)  # room for the newlines of a chunk
        self._head: deque[bytes] = deque()  # what was read of the text to look at it
        self._looked = False

    @abstractmethod
    def _odd(self, line: bytes) -> Odd | Stated:
        """Return what a line is that is no event."""

    @abstractmethod
    def _stack_text(self, raw: bytes) -> str | None:
        """Return the lines of a stack as the column wants them."""

    @abstractmethod
    def _goes_on(self, tail: bytes) -> bool:
        """Return whether *tail*, a line without an end, may be a frame of the stack before it."""

    def batches(self) -> Iterator[EventBatch]:
        """Yield the events in the order of the source, without ``seq``."""
        carried = offset = dropping = 0
        final = False
        while not final:
            count = self._fill(carried)
            size, final = carried + count, not count
            room = self._room
            if (
                carried - room.rfind(b"\n", 0, carried) - 1 > tk.MAX_LINE
            ):  # in the middle of a line that no kernel prints
                newline = room.find(b"\n", carried, size)
                skipped = (size if newline < 0 else newline) - carried
                room[carried : size - skipped] = room[carried + skipped : size]
                size, dropping = size - skipped, dropping + skipped
                if newline >= 0:
                    offset, dropping = offset + dropping, 0
            self._data = np.frombuffer(room, np.uint8, size)
            self._newlines = self._ends[: int(find_newlines(self._data, size, self._ends))]
            whole = int(self._newlines[-1]) + 1 if self._newlines.size else 0
            self._state[tk.FIRST_LINE] = self._state[tk.LINE]
            self._state[tk.HAS_NUL] = room.find(0, 0, size) >= 0
            yield from self._draw(whole if final else size, final, final and self._goes_on(bytes(room[whole:size])))
            if final and whole < size:
                line = int(self._state[tk.LINE])
                self.account.truncated = f"line {line}, at byte {offset + whole}, has no end; it was dropped"
            consumed = int(self._state[tk.POS])
            offset += consumed
            self._state[tk.POS] = 0
            carried = min(size, whole + tk.MAX_LINE + 1) - consumed
            room[:carried] = room[consumed : consumed + carried]
            dropping += max(0, size - whole - tk.MAX_LINE - 1)
        yield from self._finish()

    def _fill(self, carried: int) -> int:
        """Read the next bytes of the text behind *carried* ones of the room; return how many there are, 0 at the end."""
        if not self._looked:
            self._looked = True
            self._look()
        wanted = len(self._head[0]) if self._head else self._chunk_bytes
        if carried + wanted > len(self._room):
            self._room = self._room[:carried] + bytes(carried + wanted)
            self._ends = np.empty(len(self._room), np.int64)
        if self._head:
            self._room[carried : carried + wanted] = self._head.popleft()
            return wanted
        return self._stream.readinto(memoryview(self._room)[carried : carried + wanted])

    def _look(self) -> None:
        """Look at the head of the text as a whole, before any of it is read."""
        size = 0
        while size < _HEAD_BYTES and (piece := self._stream.read(self._chunk_bytes)):
            self._head.append(piece)
            size += len(piece)
        self._relate(b"".join(self._head)[:_HEAD_BYTES])

    def _relate(self, head: bytes) -> None:
        """Learn from the beginning of the text how its pages and pfns relate, and which fields a vendor added to its events."""
        self._own_fields = added_fields(head)
        self._pointers = pointers_of(head)
        if self._pointers is not None:
            size, base = self._pointers.size, self._pointers.base
            self._state[tk.PAGE_SIZE], self._state[tk.PAGE_BASE] = size, base - ((base >> 63) << 64)

    def _draw(self, size: int, final: bool, cut: bool) -> Iterator[EventBatch]:
        """Read all whole lines of the buffer."""
        while (reason := self._scan(size, final, cut)) != tk.NEED_DATA:
            if reason == tk.FULL:
                yield self._flush(final=False)
            elif reason == tk.ODD:
                self._take_odd(self._line())
                self._next_line()
            elif reason == tk.EVENT:
                yield from self._event()
            elif reason == tk.GAP_DUE:
                yield from self._hear()
            else:
                self._learn(reason)

    def _take_odd(self, line: bytes) -> None:
        """Take a line that is no event."""
        odd = self._odd(line)
        if isinstance(odd, Stated):
            self._lose(odd)
            odd = LOSS_REPORT
        if isinstance(odd, Unread):
            if odd.is_loss:
                self._rows.forget_stacks(odd.cpu)
            self._not_understood(odd, noted(line))
            return
        if odd is EMPTY_LINE and self._empty_is_loss and self._state[tk.ORDER_STATE + LATEST] >= 0:
            self._gaps.lose_line(None, int(self._state[tk.LINE]), "empty")
        self.account.further_entries += odd.entries
        self.account.count_lines(odd.what, odd.kind, int(self._state[tk.LINE]))

    def _not_understood(self, unread: Unread, text: str) -> None:
        """Count the line that begins at the state's position as not understood; it may be a loss."""
        line = int(self._state[tk.LINE])
        self.account.note_line(line, text)
        self.account.count_lines("not_understood", unread.kind, line, text=text)
        if unread.elsewhere and unread.elsewhere not in self._elsewhere:
            self._elsewhere.add(unread.elsewhere)
            self._gaps.lose_everywhere(None, unread.elsewhere)
        if unread.is_loss:
            self.account.further_entries += max(1, events_in(self._line()))
            if unread.cpu is not None:
                self.account.unread_entries[unread.cpu] += 1
            self._gaps.lose_line(unread.cpu, line, pages=unread.pages)

    def _scan(self, size: int, final: bool, cut: bool) -> int:
        """Run the jit function over the buffer; return why it stopped."""
        texts = self._texts
        where = (self._data, self._newlines, size, final, cut, self._state)
        into = (texts.slots, texts.notes, texts.arena, texts.fill, self._cpus, self._rows.rows, self._rows.side)
        return int(self._scanner(*where, *into))

    def _next_line(self) -> None:
        self._state[tk.POS] = self._state[tk.NEXT]
        self._state[tk.LINE] += self._state[tk.LINES]

    def _learn(self, reason: int) -> None:
        """Decide about a name or a text of gfp flags that is new, or give the full table more room."""
        texts, state = self._texts, self._state
        if reason == tk.NEW_NAME:
            name, payload = int(state[tk.NAME]), self._payload()
            bare = bare_name(texts.text(name).decode())
            if is_no_measure(bare, payload):  # a loss, which says nothing of the other events of that name
                self._undecided = name
                texts.notes[ACTION, name] = tk.RARE
            elif bare in PROBE_ACTIONS and self._meaning.is_plain(bare):
                texts.notes[ACTION, name] = PROBE_ACTIONS[bare]
            else:
                texts.notes[ACTION, name] = action_of(bare, payload)
        elif reason == tk.NEW_GFP:
            gfp = int(state[tk.GFP])
            try:
                texts.notes[MASK, gfp] = self._meaning.gfp_mask(texts.text(gfp).decode()) + 1
            except BadArgument:
                texts.notes[MASK, gfp] = tk.UNKNOWN_GFP
        else:
            texts.grow()

    def _event(self) -> Iterator[EventBatch]:
        """Read, by the general path, the event whose head is in the state."""
        state = self._state
        outcome = self._outcome()
        row = NO_ROW
        if self._undecided == state[tk.NAME]:
            self._texts.notes[ACTION, self._undecided] = tk.UNKNOWN
            self._undecided = -1
        if isinstance(outcome, Refused):
            text = noted(self._line())
            cpu = int(state[tk.CPU]) if state[tk.CPU] >= 0 else None
            contradicts = self._contradicts()
            kind = f"{self._name()} whose {'page and pfn contradict each other' if contradicts else 'fields are not its own'}"
            pages = {} if contradicts else pages_named(self._name(), self._payload())
            self._not_understood(
                Unread(kind=kind, cpu=cpu, pages=pages), f"{outcome.reason}: {text}" if outcome.reason else text
            )
        else:
            due = self._gaps.are_due(int(state[tk.CPU]))
            if due:
                yield from self._hear()
            if self._rows.full():
                yield self._flush(final=False)
            row = self._take(outcome)
            if row != _REPEATED and not due:
                yield from self._hear()
        if state[tk.LINES] > 1:
            state[tk.STACK_FIRST] = state[tk.STACK_FIRST] or state[tk.LINE] + 1
            state[tk.STACK_LINES] += state[tk.LINES] - 1
        if self._late_stacks and row != _REPEATED:
            wait_for_stack(self._cpus, int(state[tk.CPU]), row)
        self._next_line()

    def _take(self, outcome: Outcome) -> int:
        """Take an event that was understood; return its row, NO_ROW, or _REPEATED."""
        state, row = self._state, NO_ROW
        if isinstance(outcome, Row):
            row = self._append(outcome)
            if row == _REPEATED:
                return row
        else:
            self._count_name(QUIET, QUIET_FIRST)
        self._count_name(COUNT, FIRST)
        if state[tk.CPU] >= 0:
            self._cpus[tk.ENTRIES, state[tk.CPU]] += 1
        return row

    def _contradicts(self) -> bool:
        """Return whether the event in the state prints the page of another pfn than its own."""
        return self._related() is Related.CONTRADICTED

    def _related(self) -> Related:
        if self._pointers is None or not has_page(self._name()):
            return Related.SAME
        return self._pointers.related(self._payload().encode("latin-1"))

    def _note_elsewhere(self) -> None:
        """Note an event whose page may be of another piece of the memory map; after many of them, pages prove nothing."""
        self._pages_elsewhere += 1
        if self._pages_elsewhere == LEAST_PAGES:
            self._pointers, self._state[tk.PAGE_SIZE] = None, 0

    def _count_name(self, count: int, first: int) -> None:
        notes, name = self._texts.notes, self._state[tk.NAME]
        notes[first, name] = notes[first, name] or self._state[tk.LINE]
        notes[count, name] += 1

    def _name(self) -> str:
        return bare_name(self._texts.text(int(self._state[tk.NAME])).decode())

    def _payload(self) -> str:
        return self._data[self._state[tk.PAYLOAD] : self._state[tk.STOP]].tobytes().decode("latin-1")

    def _outcome(self) -> Outcome:
        name, related = self._name(), self._related()
        if related is Related.ELSEWHERE:
            self._note_elsewhere()
        contradicted = related is Related.CONTRADICTED
        fields = None if contradicted else fields_of(name, self._payload(), self._own_fields.get(name, NO_FIELDS))
        return Refused() if fields is None else self._meaning.outcome(name, fields, pid=int(self._state[tk.PID]))

    def _append(self, row: Row) -> int:
        """Append *row* with the head that is in the state; return its place, or _REPEATED where there is such a row already."""
        state = self._state
        head = {name: int(state[at]) for name, at in _HEAD.items()}
        comm = self._data[state[tk.COMM_START] : state[tk.COMM_STOP]].tobytes()
        place = self._rows.append(row, head | {"comm": self._texts.find(comm)})
        other = int(repeated(self._rows.rows, place))
        if other >= 0 and self._rows.same_rest(place, other):
            self._rows.take_back()
            take_repeat(self._cpus, self._rows.rows, self._late_stacks, self._state)
            return _REPEATED
        if row.unknown_gfp:
            self._unknown_gfp(row.unknown_gfp)
        return place

    def _unknown_gfp(self, why: str) -> None:
        """Count the event in the state as not understood, in part: its row has no mask."""
        line, name = int(self._state[tk.LINE]), self._name()
        text = f"{why}: {noted(self._line())}"
        if not self._partly:  # the first of them is told
            self.account.notes.append(why)
        self.account.note_line(line, text)
        self.account.count_lines("not_understood", f"{name} whose gfp flags are unknown", line, text=text)
        self._partly[int(self._state[tk.NAME])] += 1

    def _line(self) -> bytes:
        return self._data[self._state[tk.POS] : self._state[tk.STOP]].tobytes()

    def _hear(self) -> Iterator[EventBatch]:
        """Note that the CPU in the state was heard of; append the gaps that this ends."""
        self._state[tk.HEARD] = self._state[tk.LINE]
        for gap in self._gaps.heard(int(self._state[tk.CPU]), int(self._state[tk.TS])):
            if self._rows.full():
                yield self._flush(final=False)
            self._rows.append(gap)

    def _lose(self, stated: Stated) -> None:
        """Take a statement that events were lost."""
        self.account.lost_events += stated.lost or 0
        self._gaps.lose(stated.cpu, stated.lost, stated.reason)
        if stated.cpu is not None:
            self._rows.forget_stacks(stated.cpu)

    def _lose_everywhere(self, stated: Stated) -> None:
        """Take a statement that events were lost at an unknown time."""
        self.account.lost_events += stated.lost or 0
        self._gaps.lose_everywhere(stated.lost, stated.reason)

    def _flush(self, *, final: bool) -> EventBatch:
        self._settle()
        return self._rows.flush(final=final)

    def _settle(self) -> None:
        """Bring the account up to date."""
        texts = self._texts
        quiet, action = texts.notes[QUIET], texts.notes[ACTION]
        self.account.failed_allocs = int(quiet[action == tk.ALLOC].sum())
        for k in np.flatnonzero(texts.notes[COUNT]):
            name, count = texts.text(int(k)).decode(), int(texts.notes[COUNT, k])
            self.account.events[name] = count
            if action[k] == tk.IGNORE:
                self.account.ignored[name] = count
            elif action[k] == tk.REFILL and quiet[k]:
                self.account.ignored[name] = int(quiet[k])

    def _finish(self) -> Iterator[EventBatch]:
        entries = self._cpus[tk.ENTRIES]
        self.account.entries = {int(cpu): int(entries[cpu]) for cpu in np.flatnonzero(entries)}
        self._compare_counts()
        for gap in self._gaps.rest():
            if self._rows.full():
                yield self._flush(final=False)
            self._rows.append(gap)
        self._settle()
        self._count_lines()
        if len(self._rows):
            yield self._flush(final=True)

    def _count_lines(self) -> None:
        """Add to the account what the jit function counted."""
        state, notes, account = self._state, self._texts.notes, self.account
        account.lines = int(state[tk.LINE]) - 1
        for k in np.flatnonzero(notes[COUNT]):
            name, quiet = self._texts.text(int(k)).decode(), int(notes[QUIET, k])
            told = int(notes[COUNT, k]) - quiet - self._partly[int(k)]
            known = notes[ACTION, k] != tk.IGNORE
            if told:
                account.count_lines("event" if known else "nothing_new", name, int(notes[FIRST, k]), lines=told)
            if quiet:
                account.count_lines("nothing_new", name, int(notes[QUIET_FIRST, k]), lines=quiet)
        for kind, count, first in (
            ("stack", tk.STACK_LINES, tk.STACK_FIRST), (EMPTY_LINE.kind, tk.EMPTY_LINES, tk.EMPTY_FIRST),
        ):  # fmt: skip
            if state[count]:
                account.count_lines("bookkeeping", kind, int(state[first]), lines=int(state[count]))
        if repeats := int(state[tk.REPEATS]):
            first_line = int(state[tk.REPEATS_FIRST])
            account.count_lines("nothing_new", _REPEAT, first_line, lines=repeats)
            account.notes.append(REPEATED.format(f"{repeats:,} lines, the first of them line {first_line:,},"))

    def _entries(self) -> int:
        """Return how many entries of a ring the lines are that were read, or may have been."""
        return int(self._texts.notes[COUNT].sum()) + int(self._state[tk.STACKS]) + self.account.further_entries

    @abstractmethod
    def _compare_counts(self) -> None:
        """Take as lost what the text's own totals count and its lines do not have."""
