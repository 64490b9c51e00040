"""One partition of the log on its way into segments and tips: what is open, what is due, from where a resume reads."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from pagetrail.replay import checkpoint
from pagetrail.replay.cut import Cut, part_name, read_cut, write_cut
from pagetrail.replay.engine import FoldOptions, StreamEngine
from pagetrail.replay.segment import Stretch
from pagetrail.schemas.errors import FrameDamaged, OffsetGap, SchemaTooNew
from pagetrail.schemas.frames import decode_frame
from pagetrail.schemas.log import ANY_BOOT, MAX_READ_BYTES, LogReader, LogRecord
from pagetrail.schemas.store import fold_name, stream_directory

TIP_SECONDS = 60.0
"""A stream in which nothing was sealed for so long gets a tip: questions see it, and a stop costs no more than that."""

StreamKey = tuple[str, str]


@dataclass(slots=True)
class ReplayReport:
    """What a replay did."""

    events: int = 0
    frames: int = 0
    segments: int = 0
    halted: dict[StreamKey, str] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class OpenStream:
    """A stream in memory: its engine, where its segments stand and reach, and the least offset that a resume needs."""

    engine: StreamEngine
    directory: Path
    resume_offset: int
    next_offset: int
    saved_seq: int = -1
    changed: bool = False
    written: float = field(default_factory=time.monotonic)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplaySettings:
    """What is folded by which rules, and how much is read at once."""

    trail: Path
    options: FoldOptions = field(default_factory=FoldOptions)
    read_bytes: int = MAX_READ_BYTES

    @property
    def fold(self) -> str:
        """The folder of the fold."""
        return fold_name(correct=self.options.correct)


class PartitionReplay:
    """Folds one partition. Whoever owns the partition makes one, calls ``step`` as long as it owns it, and ``save`` at the end.

    Nothing is lost without ``save``: what was not written is read again. Two that fold one partition write the same facts.
    """

    def __init__(self, reader: LogReader, partition: int, settings: ReplaySettings, report: ReplayReport) -> None:
        self.reader, self.partition, self.settings, self.report = reader, partition, settings, report
        self.streams: dict[StreamKey, OpenStream] = {}
        self._part = part_name(reader.log_id, partition)
        self._halted_at: dict[StreamKey, int] = {}
        self._cut = self._trusted(read_cut(settings.trail, settings.fold, self._part))
        self._refused = dict(self._cut.refused)
        report.refused.update(self._refused)
        self.start = self.offset = max(self._cut.offset, reader.low_watermark(partition))

    @property
    def name(self) -> str:
        """What names the partition in the store: see ``part_name``."""
        return self._part

    def step(self, stop: Callable[[], bool] = lambda: False, on_record: Callable[[], None] = lambda: None) -> bool:
        """Read once and fold it, until *stop*; write what is due. Return whether there was anything."""
        records = self._read()
        for record in records:
            self._record(record)
            self.offset = record.offset + 1
            on_record()
            if stop():
                break
        self._tips(everything=not records)
        return bool(records)

    def save(self) -> None:
        """Write a tip of each stream that has moved, and the cut."""
        self._tips(everything=True)

    def _read(self) -> list[LogRecord]:
        while True:
            try:
                return self.reader.read(self.partition, self.offset, self.settings.read_bytes)
            except FrameDamaged as error:
                if error.stream is None:
                    raise
                self._halt(error.stream, self.offset, error)
                self.offset += 1
            except OffsetGap:
                low = self.reader.low_watermark(self.partition)
                if low <= self.offset:
                    raise
                self.offset = low  # retention was faster: what is missing shows as a gap of its recordings

    def _trusted(self, cut: Cut) -> Cut:
        """Return a cut; one at the log's beginning when segments that it builds on are gone."""
        for key, seq in cut.streams.items():
            last = checkpoint.resumable(stream_directory(self.settings.trail, *key, self.settings.fold))
            if seq > (-1 if last is None else last.last_seq):
                return Cut()
        return cut

    def _halt(self, key: StreamKey, offset: int, error: SchemaTooNew | FrameDamaged) -> None:
        """Fold no more of a stream: what comes after a frame that cannot be read would be folded onto a wrong state."""
        if key not in self.report.halted:
            self.report.halted[key] = str(error)
            self._halted_at[key] = offset

    # -- one frame -------------------------------------------------------------------------------------------------------

    def _record(self, record: LogRecord) -> None:
        header = record.header
        key = (header.host, header.boot_id)
        if key in self.report.halted or (key[0], ANY_BOOT) in self.report.halted:
            return
        where = f"log offset {record.offset}"
        stream = self._stream(key, record.offset)
        if self._overlaps(stream.engine, record):
            return
        try:
            found, batch = decode_frame(record.payload, where)
        except (SchemaTooNew, FrameDamaged) as error:
            self._halt(key, record.offset, error)
            return
        before = stream.engine.last_seq
        for _ in stream.engine.apply(found, batch):
            self._seal(stream)
            stream.resume_offset = record.offset
        stream.next_offset = record.offset + 1
        stream.changed |= stream.engine.last_seq > before
        self.report.events += stream.engine.last_seq - before
        self.report.frames += 1

    def _stream(self, key: StreamKey, offset: int) -> OpenStream:
        if key not in self.streams:
            directory = stream_directory(self.settings.trail, *key, self.settings.fold)
            checkpoint.sweep(directory)
            engine = checkpoint.load(directory, host=key[0], boot_id=key[1], options=self.settings.options)
            self.streams[key] = OpenStream(engine, directory, offset, offset, engine.last_seq)
        return self.streams[key]

    def _overlaps(self, engine: StreamEngine, record: LogRecord) -> bool:
        """Whether a frame is folded already, or of a recording of the boot that does not come after the ones before it."""
        header = record.header
        if header.recording in self._refused:
            return True
        parts = engine.facts.recordings
        known = next((part for part in parts if part.recording == header.recording), None)
        if known is not None:
            if header.last_seq < known.next_seq:
                return True
            if known is parts[-1]:
                return False
        elif engine.last_ts is None or header.first_ts > engine.last_ts:
            return False
        self._refused[header.recording] = self.report.refused[header.recording] = (
            f"recording {header.recording} of {header.host} {header.boot_id} has events at {header.first_ts} ns, which is "
            f"not after the end of another recording of the same boot ({engine.last_ts} ns): two views of one time are "
            "never merged; ingest it into another trail"
        )
        return True

    # -- segments and tips -----------------------------------------------------------------------------------------------

    def _seal(self, stream: OpenStream) -> None:
        stretch = Stretch(stream.engine, tip=False)
        checkpoint.write(stream.directory, stretch)
        stream.engine.parent_digest = stretch.digest
        stream.written = time.monotonic()
        stream.changed, stream.saved_seq = False, stretch.last_seq
        self.report.segments += 1

    def _tips(self, *, everything: bool) -> None:
        """Write the tips that are due, and say from where in the log a resume has to read."""
        now = time.monotonic()
        for stream in self.streams.values():
            due = everything or now - stream.written > TIP_SECONDS
            if stream.changed and due:
                self._tip(stream)
        unsaved = [stream.resume_offset for stream in self.streams.values() if stream.changed]
        reached = {key: stream.saved_seq for key, stream in self.streams.items()}
        cut = Cut(
            offset=min([self.offset, *unsaved, *self._halted_at.values()]),
            streams=self._cut.streams | reached,
            refused=dict(self._refused),
        )
        if cut != self._cut:
            write_cut(self.settings.trail, self.settings.fold, cut, self._part)
            self._cut = cut

    def _tip(self, stream: OpenStream) -> None:
        """Write the state as a tip, unless a segment ends exactly here, or a dump is only half read."""
        stream.written = time.monotonic()
        if stream.engine.baseline is not None:
            return
        if stream.engine.last_seq >= stream.engine.segment_first_seq:
            checkpoint.write(stream.directory, Stretch(stream.engine, tip=True))
        stream.resume_offset, stream.saved_seq = stream.next_offset, stream.engine.last_seq
        stream.changed = False
