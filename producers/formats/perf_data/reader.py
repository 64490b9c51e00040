"""perf.data: its records in order of time, as a ``parsed.Parser``."""

import struct
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import zstandard

from pagetrail.producers.formats.interning import new_interner
from pagetrail.producers.formats.perf_data import perf_event as pe
from pagetrail.producers.formats.perf_data import records_jit as rj
from pagetrail.producers.formats.perf_data.chains import Chains
from pagetrail.producers.formats.perf_data.header import Header
from pagetrail.producers.formats.perf_data.layouts import Layouts
from pagetrail.producers.formats.perf_data.several import Records
from pagetrail.producers.formats.perf_data.waiting import ROWS, Waiting
from pagetrail.producers.formats.rows import (
    CAPACITY,
    NONE,
    R_CPU,
    R_KIND,
    R_PFN,
    R_PID,
    R_STACK,
    R_TGID,
    R_TS,
    REPEATED,
    RowBuilder,
)
from pagetrail.producers.formats.tracepoints.held_bytes import ReadAt
from pagetrail.producers.formats.tracepoints.page_events_jit import REFUSED
from pagetrail.producers.formats.tracepoints.raw_fields import raw_fields
from pagetrail.producers.gaps import ORDER_FIELDS, Gaps, gap_of_unknown_cpu, row_of
from pagetrail.producers.inputs import COMPRESSED_STEP, ZSTD_MAGIC
from pagetrail.producers.meaning import FailedAlloc, Meaning, NothingNew, RecordedKernel, Refused, Row
from pagetrail.producers.parsed import ReadAccount
from pagetrail.schemas.batch import EventBatch
from pagetrail.schemas.details import Gap

CHUNK_BYTES: Final = 1 << 19
"""Less than what is given back to the system as soon as it is free: see ``schemas.store.memory``."""

MOST_UNPACKED: Final = 1 << 26
"""Bytes that one compressed record of at most 64 KiB becomes, with what was left of the one before."""

TWICE: Final = "{} was recorded by {} events: of each hit, one sample is stored ({:,} others are ignored)"
_SETTLED_ROUNDS: Final = 2
_HEAD: Final = {"trace_ts_nsec": R_TS, "cpu": R_CPU, "pid": R_PID, "tgid": R_TGID, "stack": R_STACK}

_Taken = Generator[EventBatch, None, int]
"""Yields batches, and returns how many bytes were taken."""


@dataclass(slots=True)
class _Harm:
    """The records of a round that could not be read: they may be of any CPU, and of a time from *since* on."""

    place: int
    since: int
    latest: int
    records: int = 0

    def gap(self, until: int) -> Gap:
        """Return the gap that they are."""
        many = f"{self.records:,} records, the first of them" if self.records > 1 else "the record"
        reason = f"{many} at byte {self.place}, could not be read, and may have told of any page"
        return Gap(t_lo=min(self.since, until), t_hi=until, lost=None, reason=reason, count=max(1, self.records))


@dataclass(slots=True)
class _Stream:
    """Records one behind another: where the next is, the latest time, and what is left of those that were packed."""

    place: int
    stop: int
    latest: int = -1
    unpacker: "zstandard.ZstdDecompressionObj | None" = None
    rest: bytes = b""


class PerfData:
    """A perf.data, opened: rows of its kmem tracepoints and probes, in order of time.

    Parameters
    ----------
    header
        Its header: the first, where several files are one recording.
    parts
        Its records.
    read
        Returns bytes of the file.
    kernel
        What is known of the recorded kernel, with what the file itself says.
    """

    def __init__(
        self, header: Header, parts: Sequence[Records], read: ReadAt, *, source: str, kernel: RecordedKernel
    ) -> None:
        self.account = ReadAccount()
        self.account.trace_clock = header.clock
        self.header, self.parts, self._read = header, parts, read
        self._stream = _Stream(0, 0)
        self._layouts = Layouts(header, source)
        self._state = np.zeros(rj.STATE, np.int64)
        self._state[rj.S_LATEST] = -1
        self._waiting = Waiting(self._state)
        self._texts = new_interner(1 << 14, 1 << 22)
        self._comm_of = np.zeros(rj.PIDS, np.int32)  # pages of zeros that nobody writes to take no memory
        self._comm_of[0] = 1 + self._texts.find(b"swapper")  # of the idle tasks: no record names them
        self._counts = np.zeros((len(self._layouts), 3), np.int64)
        self._last_ts, self._is_due = np.full(rj.MAX_CPUS, -1, np.int64), np.zeros(rj.MAX_CPUS, np.int64)
        self._ring_ts = np.zeros(rj.MAX_CPUS, np.int64)
        self._entries, self._order = np.zeros(rj.MAX_CPUS, np.int64), np.zeros(ORDER_FIELDS, np.int64)
        self._gaps = Gaps(last_ts=self._last_ts, is_due=self._is_due, order=self._order)
        self._chains = Chains(kernel.symbols)
        self._chains.built(header.build_id)
        self._rows = RowBuilder(
            self._texts,
            count=self._state[rj.S_ROWS : rj.S_ROWS + 1],
            waiting=np.full((2, 1), NONE, np.int64),
            stack_text=self._chains.text,
        )
        self._meaning = Meaning(kernel, self._rows.highest_pfn)
        self._raw: dict[int, bytes] = {}  # of rare samples that wait, by their numbers
        self._rare = 0
        self._harms: dict[int, _Harm] = {}  # by round
        self._located: list[Gap] = []  # gaps that wait, by their numbers
        self._lost: Counter[str] = Counter()
        self._ended = False

    def batches(self) -> Iterator[EventBatch]:
        """Yield the rows in order of time."""
        stream = self._stream
        for part in self.parts:
            if part.header is None:
                continue
            stream.place, stream.stop = part.start, part.stop
            self._state[rj.S_SINCE] = max(0, int(self._state[rj.S_LATEST]))
            while stream.place < stream.stop and not self._ended:
                yield from self._read_on(stream)
            if part.cut and not self._ended:
                self._end(part.stop, part.cut)
        yield from self._merged([_Stream(part.start, part.stop) for part in self.parts if part.header is None])
        yield from self._finish()

    def _merged(self, streams: list[_Stream]) -> Iterator[EventBatch]:
        """Take the records of perf's threads, each of which is in order of time: on from the one that is behind the others."""
        waiting = self._waiting
        while not self._ended and (left := [stream for stream in streams if stream.place < stream.stop]):
            self._stream = min(left, key=lambda stream: stream.latest)
            waiting.limit = max(waiting.limit, self._stream.latest - 1)
            if len(waiting) >= ROWS // 2:
                yield from self._take_sorted(waiting.sort())
            self._state[rj.S_LATEST] = self._stream.latest
            yield from self._read_on(self._stream)
            self._stream.latest = int(self._state[rj.S_LATEST])
        self._state[rj.S_LATEST] = max([int(self._state[rj.S_LATEST]), *(stream.latest for stream in streams)])

    def _read_on(self, stream: _Stream) -> Iterator[EventBatch]:
        """Take the next records of a stream."""
        data = self._read(stream.place, min(CHUNK_BYTES, stream.stop - stream.place))
        taken = yield from self._records(data, stream.place)
        if not taken and not self._ended:
            self._end(stream.place, f"a record ends behind byte {stream.place + len(data)}, where the samples end")
        stream.place += taken

    def _end(self, place: int, why: str) -> None:
        """Stop reading at *place*: of the last rounds, the records of some rings are there, and those of others are not."""
        self._ended = True
        self.account.truncated = f"at byte {place}: {why}"
        self._lose(place)

    def _records(self, data: bytes, place: int, *, nested: bool = False) -> _Taken:
        """Take the whole records of *data*, which is at byte *place*; *nested*: it was packed in a record there."""
        array, state, texts = np.frombuffer(data, np.uint8), self._state, self._texts
        state[rj.S_POS], state[rj.S_BASE] = 0, place
        while not self._ended:
            reason = rj.scan(
                array, array.size, *self._layouts.ids, self._layouts.array, state, self._waiting.array, self._waiting.nothing,
                self._comm_of, self._ring_ts, texts.slots, texts.notes, texts.arena, texts.fill,
            )  # fmt: skip
            at = int(state[rj.S_POS])
            if reason == rj.NEED_DATA:
                break
            if reason == rj.GROW:
                texts.grow()
            elif reason == rj.ROUND:
                yield from self._end_round()
            elif reason == rj.FULL:
                if self._waiting.make_room():
                    yield from self._take_waiting(len(self._waiting) // 2)
            elif reason == rj.SAMPLE_TAKEN:
                self._keep_raw(data)
            elif reason == rj.BAD:
                self._leave_out(data, place + at)
            else:
                length = struct.unpack_from("<H", data, at + 6)[0]
                if at + length > len(data):
                    break
                state[rj.S_POS] = at + length
                yield from self._other(data[at : at + length], place + at, nested=nested)
        return int(state[rj.S_POS])

    def _keep_raw(self, data: bytes) -> None:
        """Keep the raw data of the last pending row, which is a rare sample."""
        start, size = int(self._state[rj.S_RAW]), int(self._state[rj.S_RAW_BYTES])
        self._waiting.array[len(self._waiting) - 1, R_PFN] = self._rare
        self._raw[self._rare] = data[start : start + size]
        self._rare += 1

    def _leave_out(self, data: bytes, place: int) -> None:
        """Leave out a record that is damaged; stop where not even its size can be one."""
        at = int(self._state[rj.S_POS])
        length = struct.unpack_from("<H", data, at + 6)[0]
        if length < pe.RECORD_HEAD:
            self._end(place, f"expected a record of at least {pe.RECORD_HEAD} bytes, found one of {length}")
            self._harm(place)
            return
        self._state[rj.S_POS] = min(at + length, len(data))
        self._harm(place)

    def _harm(self, place: int) -> None:
        self.account.note_line(0, f"the record at byte {place} is damaged")
        self._lose(place).records += 1

    def _lose(self, place: int) -> _Harm:
        new = _Harm(place, since=max(0, self._waiting.limit), latest=-1)
        harm = self._harms.setdefault(self._waiting.rounds, new)
        harm.latest = int(self._state[rj.S_LATEST])
        return harm

    # -- records that Python takes -------------------------------------------------------------------------------------------

    def _other(self, record: bytes, place: int, *, nested: bool) -> Iterator[EventBatch]:
        kind = struct.unpack_from("<I", record)[0]
        if kind in (pe.COMPRESSED, pe.COMPRESSED2) and not nested:
            yield from self._packed(record, place)
        elif kind in (pe.MMAP, pe.MMAP2):
            self._chains.take_map(record, second=kind == pe.MMAP2)
        elif kind == pe.THROTTLE:
            self._waiting.push(*self._layouts.trailer(record), rj.LOST, -1, place)
        elif kind in (pe.LOST_SAMPLES, pe.AUXTRACE) and len(record) >= 16:
            (number,) = struct.unpack_from("<Q", record, 8)
            if number >= pe.MOST_COUNTED:
                self._harm(place)
            elif kind == pe.LOST_SAMPLES:
                self._lost["in all"] += number
            elif not nested:  # so many bytes of data follow it
                self._state[rj.S_POS] += number

    def _packed(self, record: bytes, place: int) -> Iterator[EventBatch]:
        """Take the records in a compressed one: all of them are one stream, and one may begin in a record and end in the next."""
        packed = record[pe.RECORD_HEAD :]
        if struct.unpack_from("<I", record)[0] == pe.COMPRESSED2:  # with its size, and bytes that fill it up
            packed = packed[8:][: int.from_bytes(packed[:8], "little")]
        behind = int(self._state[rj.S_POS])
        base = place - (behind - len(record))
        stream = self._stream
        if stream.unpacker is None or packed.startswith(ZSTD_MAGIC):
            stream.unpacker = zstandard.ZstdDecompressor().decompressobj()
        data = bytearray(stream.rest)
        try:
            for at in range(0, len(packed), COMPRESSED_STEP):
                data += stream.unpacker.decompress(packed[at : at + COMPRESSED_STEP])
                if len(data) > MOST_UNPACKED:
                    raise zstandard.ZstdError(f"more than {MOST_UNPACKED:,} bytes in one record")
        except zstandard.ZstdError as error:
            self._end(place, f"expected a record that zstd compressed, found damage ({error})")
            self._harm(place)
            return
        taken = yield from self._records(bytes(data), place, nested=True)
        stream.rest = bytes(data[taken:])
        self._state[rj.S_POS], self._state[rj.S_BASE] = behind, base

    # -- rows in order of time -----------------------------------------------------------------------------------------------

    def _end_round(self) -> Iterator[EventBatch]:
        waiting = self._waiting
        waiting.end_round()
        self._settle_harms()
        if len(waiting) >= ROWS // 2:
            yield from self._take_sorted(waiting.sort())

    def _settle_harms(self, *, final: bool = False) -> None:
        """Let the gaps wait of damaged records that can no longer be behind the latest time."""
        latest = max(0, int(self._state[rj.S_LATEST]))
        for nr, harm in [*self._harms.items()]:
            if final or (self._waiting.rounds - nr > _SETTLED_ROUNDS and latest > harm.latest):
                self._waiting.push(latest, -1, rj.HARMED, len(self._located), harm.place)
                self._located.append(harm.gap(latest))
                del self._harms[nr]

    def _take_waiting(self, count: int) -> Iterator[EventBatch]:
        self._waiting.sort()
        yield from self._take_sorted(count)

    def _take_sorted(self, count: int) -> Iterator[EventBatch]:
        """Make rows of the first *count* of those that wait."""
        state, waiting, rows = self._state, self._waiting, self._rows
        state[rj.S_DONE] = 0
        while (
            reason := rj.emit(
                waiting.array, waiting.turns, count, state, rows.rows, CAPACITY - 2, self._comm_of, self._counts, self._last_ts,
                self._is_due, self._entries, self._order,
            )
        ) != rj.NEED_DATA:  # fmt: skip
            if reason == rj.FULL:
                yield rows.flush(final=False)
            elif reason == rj.GAP_DUE:
                yield from self._hear()
            else:
                yield from self._rarity()
                state[rj.S_DONE] += 1
        waiting.drop(count)
        if len(rows) >= ROWS // 2:
            yield rows.flush(final=False)

    def _hear(self) -> Iterator[EventBatch]:
        """Append the gaps that the row at hand ends."""
        row = self._waiting.next()
        for gap in self._gaps.heard(int(row[R_CPU]), int(row[R_TS])):
            yield from self._append(gap)

    def _append(self, row: Row, head: dict[str, int] | None = None) -> Iterator[EventBatch]:
        if self._rows.full():
            yield self._rows.flush(final=False)
        self._rows.append(row, head or {})

    def _rarity(self) -> Iterator[EventBatch]:
        """Take the row at hand, of which there are few."""
        row = self._waiting.next()
        if row[R_KIND] == rj.LOST:
            yield from self._loss(int(row[R_PFN]), int(row[R_TS]), int(row[R_CPU]))
            return
        if row[R_KIND] == rj.HARMED:
            yield from self._append(row_of(self._located[int(row[R_PFN])]))
            return
        raw, layout = self._raw.pop(int(row[R_PFN]), b""), int(row[rj.P_LAYOUT])
        one = self._layouts.formats[layout]
        outcome = Refused() if row[R_KIND] == REFUSED or one is None else self._meaning.outcome(
            one.name, raw_fields(one, raw), pid=int(row[R_PID])
        )  # fmt: skip
        if isinstance(outcome, Refused):
            self._not_understood(int(row[R_CPU]), int(row[rj.P_PLACE]), self._layouts.names[layout], outcome.reason)
            return
        yield from self._hear()
        self._counts[layout, 0] += 1
        self._counts[layout, 1] += isinstance(outcome, FailedAlloc)
        self._counts[layout, 2] += isinstance(outcome, NothingNew)
        cpu = int(row[R_CPU])
        if cpu >= 0:
            self._entries[cpu] += 1
        if isinstance(outcome, Row):
            tid = int(row[R_PID])
            head = {name: int(row[at]) for name, at in _HEAD.items()}
            head["comm"] = int(self._comm_of[tid]) - 1 if 0 <= tid < rj.PIDS else -1
            yield from self._append(outcome, head)

    def _loss(self, lost: int, ts: int, cpu: int) -> Iterator[EventBatch]:
        """Take a loss of so many records, or of an unknown number (-1)."""
        count = None if lost < 0 else lost
        reason = "perf says PERF_RECORD_THROTTLE" if count is None else "perf says PERF_RECORD_LOST"
        self._lost["located"] += count or 0
        self.account.lost_events += count or 0
        if cpu >= 0:
            self._gaps.lose(cpu, count, reason)
        else:
            yield from self._append(gap_of_unknown_cpu(ts, count, reason))

    def _not_understood(self, cpu: int, place: int, name: str, reason: str) -> None:
        text = f"{name} at byte {place}, whose fields are not its own"
        self.account.note_line(0, f"{reason}: {text}" if reason else text)
        self._gaps.lose(cpu if cpu >= 0 else None, None, f"{name} at byte {place} is not understood")

    # -- the end -------------------------------------------------------------------------------------------------------------

    def _finish(self) -> Iterator[EventBatch]:
        if self._stream.rest and not self._ended:
            self._end(self._stream.stop, "a record that was compressed has no end")
        self._settle_harms(final=True)
        yield from self._take_waiting(len(self._waiting))
        missing = self._lost["in all"] - self._lost["located"]
        if missing > 0:
            self.account.lost_events += missing
            self._gaps.lose_everywhere(missing, "perf says PERF_RECORD_LOST_SAMPLES: it does not say when")
        for gap in self._gaps.rest():
            yield from self._append(gap)
        if len(self._rows):
            yield self._rows.flush(final=True)
        self._tell()

    def _tell(self) -> None:
        """Bring the account up to date."""
        account = self.account
        account.entries = {int(cpu): int(self._entries[cpu]) for cpu in np.flatnonzero(self._entries)}
        for number, name in enumerate(self._layouts.names):
            read, failed, quiet = (int(count) for count in self._counts[number])
            if not read:
                continue
            account.events[name] += read
            account.failed_allocs += failed
            account.ignored[name] += read if self._layouts.array[number, rj.L_ACTION] == rj.IGNORED else quiet
        account.ignored = +account.ignored
        account.notes += self._read_twice()
        if repeats := int(self._state[rj.S_REPEATS]):
            account.notes.append(REPEATED.format(f"{repeats:,} samples"))
        account.notes += self._chains.notes

    def _read_twice(self) -> list[str]:
        """Return a note of each tracepoint that more than one event took."""
        layouts, notes = self._layouts, []
        for number in sorted(set(layouts.read_by)):
            alike = [one for one, by in enumerate(layouts.read_by) if by == number]
            if len(alike) > 1 and layouts.array[number, rj.L_ACTION] != rj.IGNORED:
                others = int(self._counts[alike, 0].sum() - self._counts[number, 0])
                notes.append(TWICE.format(layouts.names[number], len(alike), others))
        return notes
