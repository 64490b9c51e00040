"""One partition of the log on its way into segments and tips: what is open, what is due, from where a resume reads."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from pagetrail.replay.rules.engine import FoldOptions, StreamEngine
from pagetrail.replay.run import holes
from pagetrail.replay.run.open_stream import OpenStream
from pagetrail.replay.store import publish, restore
from pagetrail.replay.store.cut import Cut, cut_name, part_name, read_cut, write_cut
from pagetrail.replay.store.place import StreamPlace
from pagetrail.schemas.errors import ForeignMessage, FrameDamaged, OffsetGap, SchemaTooNew
from pagetrail.schemas.frames import RecordingKey, decode_frame
from pagetrail.schemas.log.contract import ANY_BOOT, EMBEDDED_LOG, MAX_READ_BYTES, LogReader, LogRecord
from pagetrail.schemas.store.contract import Store
from pagetrail.schemas.store.names import stream_name

TIP_SECONDS = 60.0
"""A stream in which nothing was sealed for so long gets a tip: questions see it, and a stop costs no more than that."""

IDLE_SECONDS = 60.0
"""A stream of which no frame came for so long leaves memory: its tip brings it back."""

MEMORY_BYTES = 2 << 30
"""What a partition's streams in memory take, about, before the one that has been silent longest leaves it."""

KEPT_LOSSES = 20
"""Of the losses that a log was found to have, so many are kept in the cut."""

_LOOKS = 3
"""How often a read is tried again where the log says that an offset is not there, and yet nothing is lost."""

StreamKey = tuple[str, str]


@dataclass(slots=True)
class ReplayReport:
    """What a replay did."""

    events: int = 0
    frames: int = 0
    segments: int = 0
    halted: dict[StreamKey, str] = field(default_factory=dict)
    refused: dict[RecordingKey, str] = field(default_factory=dict)
    waiting: dict[StreamKey, str] = field(default_factory=dict)
    losses: list[str] = field(default_factory=list)
    foreign: int = 0
    """Messages that are nobody's frame, stepped over."""
    last_foreign: str = ""
    """Where the last of them is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplaySettings:
    """What is folded into which store, by which rules, how much is read at once, and how much is kept in memory for how long."""

    store: Store
    options: FoldOptions = field(default_factory=FoldOptions)
    read_bytes: int = MAX_READ_BYTES
    tip_seconds: float = TIP_SECONDS
    idle_seconds: float = IDLE_SECONDS
    memory_bytes: int = MEMORY_BYTES

    @property
    def fold(self) -> str:
        """The folder of the fold."""
        return self.options.name


class PartitionReplay:
    """Folds one partition. Whoever owns the partition makes one, calls ``step`` as long as it owns it, and ``save`` at the end.

    Nothing is lost without ``save``: what was not written is read again. Two that fold one partition write the same facts.
    """

    def __init__(self, reader: LogReader, partition: int, settings: ReplaySettings, report: ReplayReport) -> None:
        self.reader, self.partition, self.settings, self.report = reader, partition, settings, report
        self.streams: dict[StreamKey, OpenStream] = {}
        self._part = part_name(reader.log_id, partition)
        self._alone = reader.log_id == EMBEDDED_LOG
        self._halted: dict[StreamKey, tuple[int, str]] = {}
        settings.store.sweep(cut_name(settings.fold, self._part), alone=self._alone)
        self._cut = self._trusted(read_cut(settings.store, settings.fold, self._part))
        self._refused = dict(self._cut.refused)
        report.refused.update(self._refused)
        self._seen = self._cut.seen
        self._losses, self._lost = list(self._cut.losses), 0
        self.offset = self._cut.offset
        low = reader.low_watermark(partition)
        if self.offset < low:
            self._overtaken(low)
        elif (why := self._forked()) is not None:
            self._fork(why, low)
        self.start = self.offset

    @property
    def name(self) -> str:
        """What names the partition in the store: see ``part_name``."""
        return self._part

    @property
    def resume_offset(self) -> int:
        """Where a resume reads from, as it was written last: below it, nothing of the log is needed any more."""
        return self._cut.offset

    def step(self, stop: Callable[[], bool] = lambda: False, on_record: Callable[[], None] = lambda: None) -> bool:
        """Read once and fold it, until *stop*; write what is due. Return whether there was anything."""
        records = self._read()
        for record in records:
            self._record(record)
            self.offset = record.offset + 1
            self._seen = (record.offset, record.digest.hex())
            on_record()
            if stop():
                break
        self._tips(everything=not records)
        return bool(records)

    def save(self) -> None:
        """Write a tip of each stream that has moved, and the cut."""
        self._tips(everything=True)

    # -- reading ---------------------------------------------------------------------------------------------------------

    def _read(self) -> list[LogRecord]:
        looks = 0
        while True:
            try:
                return self.reader.read(self.partition, self.offset, self.settings.read_bytes)
            except ForeignMessage as error:
                self.report.foreign += 1
                self.report.last_foreign = error.where
                self.offset += 1
            except FrameDamaged as error:
                if error.stream is None:
                    raise
                self._halt(error.stream, self.offset, error)
                self.offset += 1
            except OffsetGap:
                looks += 1
                low, high = self.reader.low_watermark(self.partition), self.reader.high_watermark(self.partition)
                if self.offset < low:
                    self._overtaken(low)
                elif (why := self._forked()) is not None or self.offset > high:
                    self._fork(why or f"it ends at offset {high}, and was read up to {self.offset}", low)
                elif looks > _LOOKS:
                    raise

    def _forked(self) -> str | None:
        """Return how the log differs from what was read of it; null where it does not, or the place is gone."""
        if self._seen is None:
            return None
        offset, digest = self._seen
        low, high = self.reader.low_watermark(self.partition), self.reader.high_watermark(self.partition)
        if offset < low:
            return None
        if offset >= high:
            return f"it ends at offset {high}, and a frame at offset {offset} had been read"
        for _ in range(_LOOKS):  # after an election a consumer may refuse an offset once, for its leader's epoch
            try:
                found = self.reader.read(self.partition, offset, 1)
            except OffsetGap:
                continue
            except FrameDamaged:
                break
            if found and (found[0].offset, found[0].digest.hex()) == (offset, digest):
                return None
            if found:
                break
        return f"another frame stands at offset {offset} than the one that was read there, or none"

    def _overtaken(self, low: int) -> None:
        """Retention was faster: what is missing shows as a gap of its recordings."""
        self._lose(f"offsets {self.offset} to {low - 1} were removed by its retention before they were replayed")
        self.offset = low

    def _fork(self, why: str, low: int) -> None:
        """The log lost frames that it had acknowledged, and others took their offsets: read all of it, and skip what is known."""
        self._lose(f"{why}: it lost frames that had been acknowledged (an unclean election, or a log put back)")
        self.offset, self._seen = low, None

    def _lose(self, what: str) -> None:
        said = f"partition {self.partition}: {what}"
        self._lost += 1
        self._losses = [*self._losses, said][-KEPT_LOSSES:]
        self.report.losses.append(said)

    def _trusted(self, cut: Cut) -> Cut:
        """Return a cut; one at the log's beginning when segments that it builds on are gone."""
        for key, seq in cut.streams.items():
            last = restore.resumable(self._place(key))
            if seq > (-1 if last is None else last.last_seq):
                return Cut(losses=cut.losses)
        return cut

    def _place(self, key: StreamKey) -> StreamPlace:
        return StreamPlace(self.settings.store, stream_name(*key, self.settings.fold))

    # -- one frame -------------------------------------------------------------------------------------------------------

    def _record(self, record: LogRecord) -> None:
        key = (record.header.host, record.header.boot_id)
        if key in self._halted or (key[0], ANY_BOOT) in self._halted:
            return
        stream = self._stream(key, record.offset)
        if holes.is_waiting(stream.waiting, record.header):
            return
        stream.waiting.append(record)
        while stream.waiting and key not in self._halted:
            lost = self._alone or stream.losses_known < self._lost
            following = holes.take(stream.engine, stream.waiting, lost=lost)
            if following is None:
                return
            self._fold(key, stream, following)

    def _fold(self, key: StreamKey, stream: OpenStream, record: LogRecord) -> None:
        if self._overlaps(stream.engine, record):
            return
        try:
            found, batch = decode_frame(record.payload, f"log offset {record.offset}")
        except (SchemaTooNew, FrameDamaged) as error:
            self._halt(key, min(r.offset for r in (record, *stream.waiting)), error)
            stream.waiting.clear()
            return
        before = stream.engine.last_seq
        stream.resume_offset = min(stream.resume_offset, record.offset) if stream.changed else record.offset
        for stretch in stream.engine.apply(found, batch):
            stream.seal(stretch)
            self.report.segments += 1
            stream.resume_offset = record.offset
        stream.changed |= stream.engine.last_seq > before
        stream.losses_known, stream.touched = self._lost, time.monotonic()
        self.report.events += stream.engine.last_seq - before
        self.report.frames += 1

    def _halt(self, key: StreamKey, offset: int, error: SchemaTooNew | FrameDamaged) -> None:
        """Fold no more of a stream: what comes after a frame that cannot be read would be folded onto a wrong state."""
        self.report.halted[key] = str(error)
        self._halted.setdefault(key, (offset, str(error)))

    def _stream(self, key: StreamKey, offset: int) -> OpenStream:
        if key not in self.streams:
            place = self._place(key)
            publish.sweep(place, alone=self._alone)
            found = restore.load(place, host=key[0], boot_id=key[1], options=self.settings.options)
            self.streams[key] = OpenStream(found.engine, found.link, place, offset, found.engine.last_seq)
        return self.streams[key]

    def _overlaps(self, engine: StreamEngine, record: LogRecord) -> bool:
        """Whether a frame is folded already, or of a recording of the boot that does not come after the ones before it."""
        header = record.header
        if header.recording_key in self._refused:
            return True
        parts = engine.state.facts.recordings
        known = next((part for part in parts if part.recording == header.recording), None)
        if known is not None:
            if header.last_seq < known.next_seq:
                return True
            if known is parts[-1]:
                return False
        elif engine.last_ts is None or header.first_ts > engine.last_ts:
            return False
        self._refused[header.recording_key] = self.report.refused[header.recording_key] = (
            f"recording {header.recording} of {header.host} {header.boot_id} has events at {header.first_ts} ns, which is "
            f"not after the end of another recording of the same boot ({engine.last_ts} ns): two views of one time are "
            "never merged; ingest it into another trail"
        )
        return True

    # -- tips and the cut ------------------------------------------------------------------------------------------------

    def _tips(self, *, everything: bool) -> None:
        """Write the tips that are due, let go of silent streams, and say from where in the log a resume has to read."""
        now = time.monotonic()
        for stream in self.streams.values():
            due = everything or now - stream.written > self.settings.tip_seconds
            if stream.changed and due:
                stream.tip()
        reached = {key: stream.saved_seq for key, stream in self.streams.items()}
        rates = {key: stream.measure(now) for key, stream in self.streams.items()}
        self._let_go(now)
        self._write_cut(reached, rates)

    def _write_cut(self, reached: dict[StreamKey, int], rates: dict[StreamKey, float]) -> None:
        needed = [offset for stream in self.streams.values() if (offset := stream.needs_offset) is not None]
        waiting = {key: s for key, s in self.streams.items() if s.waiting}
        for key in self.streams:
            self.report.waiting.pop(key, None)
        self.report.waiting.update({key: holes.told(s.engine, s.waiting) for key, s in waiting.items()})
        held = {
            key: (s.waiting[0].offset, holes.told(s.engine, s.waiting)) for key, s in waiting.items()
        } | self._halted
        cut = Cut(
            offset=min([self.offset, *needed, *(offset for offset, _ in self._halted.values())]),
            streams=self._cut.streams | reached, refused=dict(self._refused), reached=self.offset, seen=self._seen,
            held=held, losses=tuple(self._losses), rates={key: rate for key, rate in rates.items() if rate},
            written=time.time(),
        )  # fmt: skip
        if cut != self._cut:
            write_cut(self.settings.store, self.settings.fold, cut, self._part)
            self._cut = cut

    def _let_go(self, now: float) -> None:
        """Drop the streams that have been silent, and of the others the ones silent longest where they take too much."""
        silent = sorted((s.touched, key) for key, s in self.streams.items() if not s.waiting)
        taken = sum(stream.nbytes for stream in self.streams.values())
        for touched, key in silent:
            if now - touched <= self.settings.idle_seconds and taken <= self.settings.memory_bytes:
                return
            stream = self.streams[key]
            if stream.changed:
                stream.tip()
            taken -= stream.nbytes
            del self.streams[key]
