"""trace.dat: the records of all CPUs in order of time, as a ``parsed.Parser``."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pagetrail.producers.formats.interning import new_interner
from pagetrail.producers.formats.rows import CAPACITY, NO_ROW, NONE, REPEATED, ROW_COLUMNS, RowBuilder
from pagetrail.producers.formats.trace_dat import events_jit as ej
from pagetrail.producers.formats.trace_dat import pages_jit as pj
from pagetrail.producers.formats.trace_dat.buffers import Choice, chosen, ring_pages
from pagetrail.producers.formats.trace_dat.layouts import MARKER, RecordLayouts, is_marker
from pagetrail.producers.formats.trace_dat.own_symbols import OwnSymbols
from pagetrail.producers.formats.trace_dat.parts import FileHeader
from pagetrail.producers.formats.trace_dat.ring_stats import RingStats, ring_stats
from pagetrail.producers.formats.trace_dat.streams import Streams
from pagetrail.producers.formats.tracepoints.addresses import Addresses
from pagetrail.producers.formats.tracepoints.held_bytes import ReadAt
from pagetrail.producers.formats.tracepoints.raw_fields import raw_fields
from pagetrail.producers.gaps import ORDER_FIELDS, Gaps
from pagetrail.producers.meaning import FailedAlloc, Meaning, NothingNew, Outcome, RecordedKernel, Refused, Row
from pagetrail.producers.parsed import ReadAccount
from pagetrail.schemas.batch import EventBatch
from pagetrail.schemas.columns import absent

_OFFSET: Final = (
    "the file asks for {:+,} ns to be added to its times (trace-cmd record --date or --ts-offset), as 'trace-cmd report' does; "
    "times here are those of the trace clock"
)
_BATCH: Final = 1 << 16


class TraceDat:
    """A trace.dat, opened: rows of its kmem tracepoints and probes, in order of time.

    Parameters
    ----------
    file
        Its header.
    read
        Returns bytes of the file.
    size
        Of the file, in bytes.
    kernel
        What is known of the recorded kernel, with what the file itself says.
    """

    def __init__(self, file: FileHeader, read: ReadAt, size: int, *, kernel: RecordedKernel) -> None:
        self.account = ReadAccount()
        self._file = file
        self._layouts = RecordLayouts(file.formats, file.address_bytes)
        self._pages = ring_pages(file)
        self._chosen: Choice = chosen(file, read, size, self._layouts, self._pages)
        self.account.trace_clock = self._chosen.clock or None
        self._streams = Streams(file, self._chosen.buffers, read, size)
        count = max(1, len(self._streams))
        self._state = np.zeros(ej.STATE, np.int64)
        self._heap = np.zeros(count, np.int64)
        self._texts = new_interner(1 << 14, 1 << 22)
        self._comm_of = np.full(ej.PIDS, -1, np.int32)
        for pid, comm in {0: b"<idle>", **file.comms}.items():
            if pid < ej.PIDS:
                self._comm_of[pid] = self._texts.find(comm)
        self._counts = np.zeros((len(self._layouts.array) + 1, ej.COUNTS), np.int64)
        self._last_ts, self._is_due = np.full(count, -1, np.int64), np.zeros(count, np.int64)
        self._entries, self._order = np.zeros(count, np.int64), np.zeros(ORDER_FIELDS, np.int64)
        self._gaps = Gaps(last_ts=self._last_ts, is_due=self._is_due, order=self._order)
        self._symbols = OwnSymbols(file.kallsyms, kernel.symbols)
        self._addresses = Addresses(self._symbols, file.address_bytes)
        self._waiting = np.full((2 * ej.WAITING, count), NONE, np.int64)
        self._rows = RowBuilder(
            self._texts,
            count=self._state[ej.S_ROWS : ej.S_ROWS + 1],
            waiting=self._waiting[: ej.WAITING],
            stack_text=self._addresses.text,
        )
        self._nothing: NDArray[np.int64] = np.array(
            [0 if name in ("trace_ts_nsec", "kind") else absent(name) for name in ROW_COLUMNS], np.int64
        )
        self._meaning = Meaning(kernel, self._rows.highest_pfn)
        self._located = np.zeros(count, np.int64)
        self._uncounted = np.zeros(
            count, np.bool_
        )  # streams with losses of which the ring does not say how many they were
        self._unread = np.zeros(count, np.int64)  # by stream: what was not understood

    def batches(self) -> Iterator[EventBatch]:
        """Yield the rows in order of time."""
        while (reason := self._merge()) != ej.ENDED:
            stream = int(self._state[ej.S_STREAM])
            if reason == pj.NEED_PAGES:
                self._streams.more(stream)
            elif reason == ej.FULL:
                yield self._rows.flush(final=False)
            elif reason == ej.GROW:
                self._texts.grow()
            elif reason == ej.GAP_DUE:
                yield from self._hear(stream)
            elif reason == pj.LOSS:
                self._lose(stream)
            elif reason == pj.HARM:
                self._harm(stream)
            else:
                yield from self._take(stream)
        yield from self._finish()

    def _merge(self) -> int:
        streams, rows, texts = self._streams, self._rows, self._texts
        found: int = ej.merge(
            streams.arena, streams.array, self._heap, self._pages, self._state, self._layouts.by_type, self._layouts.array,
            streams.cpus, self._comm_of, self._counts, rows.rows, min(CAPACITY - 2, _BATCH + len(rows)), self._nothing,
            self._waiting, self._last_ts, self._is_due, self._entries, self._order, texts.slots, texts.notes, texts.arena,
            texts.fill,
        )  # fmt: skip
        return found

    # -- what is lost --------------------------------------------------------------------------------------------------------

    def _hear(self, stream: int) -> Iterator[EventBatch]:
        """Append the gaps that the record at hand ends."""
        for gap in self._gaps.heard(stream, self._ts(stream)):
            yield from self._append(self._of_cpu(gap))

    def _of_cpu(self, gap: Row) -> Row:
        """Return a gap of a stream as one of its CPU."""
        stream = gap.columns["cpu"]
        return gap if stream < 0 else replace(gap, columns={**gap.columns, "cpu": int(self._streams.cpus[stream])})

    def _lose(self, stream: int) -> None:
        """Take what a page says of the events before it."""
        missed = int(self._streams.array[stream, pj.C_MISSED])
        if missed < 0:
            self._uncounted[stream] = True
        self._located[stream] += max(0, missed)
        self.account.lost_events += max(0, missed)
        self._gaps.lose(
            stream, None if missed < 0 else missed, "the ring says that events were overwritten before they were read"
        )
        self._rows.forget_stacks(stream)

    def _harm(self, stream: int) -> None:
        place = self._streams.place(stream, int(self._streams.array[stream, pj.C_HARM]))
        text = f"the records of CPU {self._streams.cpus[stream]} from byte {place} to the end of their page are damaged, or cut"
        self.account.note_line(0, text)
        self._unread[stream] += 1
        self._gaps.lose(stream, None, text)
        self._rows.forget_stacks(stream)

    def _not_understood(self, stream: int, name: str, reason: str) -> None:
        record = self._streams.array[stream]
        at = int(record[pj.C_AT] + record[pj.C_DATA] - record[pj.C_BASE])
        text = f"{name} of CPU {self._streams.cpus[stream]} at byte {self._streams.place(stream, at)}"
        self.account.note_line(0, f"{reason}: {text}")
        self._unread[stream] += 1
        self._gaps.lose(stream, None, f"{text} is not understood")

    # -- records that Python takes -------------------------------------------------------------------------------------------

    def _ts(self, stream: int) -> int:
        return int(self._streams.array[stream, pj.C_TS])

    def _take(self, stream: int) -> Iterator[EventBatch]:
        """Take the record at hand."""
        _, start, size = self._streams.array[stream, [pj.C_TS, pj.C_DATA, pj.C_BYTES]].tolist()
        raw = self._streams.arena[start : start + size].tobytes()
        layout = self._layouts.of(raw)
        self._state[ej.S_TAKEN] = 1
        if layout < 0:
            number = int.from_bytes(raw[:2], "little")
            self._not_understood(stream, f"event {number}", "the file has no format of it")
            self._wait(stream, NO_ROW, layout)
            return
        name = self._layouts.names[layout]
        outcome = self._outcome(layout, raw)
        if isinstance(outcome, Refused):
            self._not_understood(stream, name, outcome.reason or "its fields are not its own")
            self._wait(stream, NO_ROW, layout)
            return
        for gap in self._gaps.heard(stream, self._ts(stream)):
            yield from self._append(self._of_cpu(gap))
        self._entries[stream] += 1
        self._counts[layout, ej.N_READ] += 1
        self._counts[layout, ej.N_FAILED] += isinstance(outcome, FailedAlloc)
        self._counts[layout, ej.N_QUIET] += isinstance(outcome, NothingNew)
        row = NO_ROW
        if isinstance(outcome, Row):
            pid = self._layouts.pid(layout, raw)
            comm = int(self._comm_of[pid]) if 0 <= pid < ej.PIDS else -1
            head = {"trace_ts_nsec": self._ts(stream), "cpu": int(self._streams.cpus[stream]), "pid": pid, "comm": comm}
            yield from self._append(outcome, head)
            row = len(self._rows) - 1
        self._wait(stream, row, layout)

    def _wait(self, stream: int, row: int, layout: int) -> None:
        """Note the last event of a stream, whose stack may follow; *layout*: -1 if there is none."""
        of = np.int64(layout if layout >= 0 else len(self._counts) - 1)
        ej.wait_for_stack(self._waiting, stream, row, of, self._counts)

    def _outcome(self, layout: int, raw: bytes) -> Outcome:
        one = self._layouts.formats[layout]
        if len(raw) < int(self._layouts.array[layout, ej.L_LEAST]):
            return Refused(f"it has {len(raw)} bytes")
        fields = raw_fields(one, raw)
        if not is_marker(one):
            if int(self._layouts.array[layout, ej.L_ACTION]) in (ej.KERNEL_STACK, ej.USER_STACK, ej.IGNORED):
                return NothingNew()
            return self._meaning.outcome(one.name, fields, pid=self._layouts.pid(layout, raw))
        if not self._symbols.writes_markers(fields.get("ip")):
            return NothingNew()
        text = fields.get("buf")
        said = {"buf": text.removesuffix("\n")} if isinstance(text, str) else {}
        return self._meaning.outcome(MARKER, said, pid=self._layouts.pid(layout, raw))

    def _append(self, row: Row, head: dict[str, int] | None = None) -> Iterator[EventBatch]:
        if self._rows.full():
            yield self._rows.flush(final=False)
        self._rows.append(row, head or {})

    # -- the end -------------------------------------------------------------------------------------------------------------

    def _finish(self) -> Iterator[EventBatch]:
        for stream in range(len(self._streams)):
            if why := self._streams.cut(stream):
                text = f"CPU {self._streams.cpus[stream]}: {why}"
                self.account.truncated = self.account.truncated or text
                self._gaps.lose(stream, None, text)
        self.account.truncated = self._file.cut or self.account.truncated
        if self._file.missing:
            self._gaps.lose_everywhere(None, self._file.missing)
        self._compare()
        for gap in self._gaps.rest():
            yield from self._append(self._of_cpu(gap))
        if len(self._rows):
            yield self._rows.flush(final=True)
        self._tell()

    def _compare(self) -> None:
        """Hold what was read against what the kernel counted."""
        entries, cpus, read = self.account.entries, self._streams.cpus, Counter[tuple[str, int]]()
        for stream, buffer in enumerate(self._streams.buffers):
            cpu, count = int(cpus[stream]), int(self._entries[stream])
            read[buffer, cpu] += count + int(self._unread[stream])
            if count and not buffer:  # what is said beside a trace is said of the top buffer
                entries[cpu] = entries.get(cpu, 0) + count
        said = ring_stats(self._file.stats, {buffer.name for buffer in self._chosen.buffers})
        missing = self._missing(said)
        if missing > 0:
            self.account.lost_events += missing
            self._gaps.lose_everywhere(missing, "trace-cmd counts events that were lost: it does not say when")
        missing = (said.written - read).total()
        if missing > 0:
            self.account.lost_events += missing
            reason = (
                f"trace-cmd counts {said.written.total():,} events in the rings, and {missing:,} of them are missing"
            )
            self._gaps.lose_everywhere(missing, reason)

    def _missing(self, said: RingStats) -> int:
        """Return how many events were lost that no page tells of."""
        missing = said.lost.total()
        for ring, overrun in said.overrun.items():
            streams = self._streams.of(*ring)
            if not self._uncounted[streams].any():
                missing += max(0, overrun - int(self._located[streams].sum()))
        return missing

    def _tell(self) -> None:
        """Bring the account up to date."""
        account = self.account
        for number, name in enumerate(self._layouts.names):
            read, failed, quiet = (int(count) for count in self._counts[number, : ej.N_STACKED])
            action = int(self._layouts.array[number, ej.L_ACTION])
            if not read or action in (ej.KERNEL_STACK, ej.USER_STACK):
                continue
            account.events[name] += read
            account.failed_allocs += failed
            account.ignored[name] += read if action == ej.IGNORED else quiet
        account.ignored = +account.ignored
        if repeats := int(self._state[ej.S_REPEATS]):
            account.notes.append(REPEATED.format(f"{repeats:,} records"))
        if self._file.offset:
            account.notes.append(_OFFSET.format(self._file.offset))
        account.notes += [*self._chosen.notes, *self._addresses.notes]
