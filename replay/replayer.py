"""Replay: from the log into segments and tips, going on where it stopped."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from pagetrail.replay import checkpoint
from pagetrail.replay.cut import Cut, read_cut, replay_lock, write_cut
from pagetrail.replay.engine import FoldOptions, StreamEngine
from pagetrail.replay.segment import Stretch
from pagetrail.schemas.errors import FrameDamaged, SchemaTooNew
from pagetrail.schemas.frames import decode_frame
from pagetrail.schemas.log import MAX_READ_BYTES, LogReader, LogRecord
from pagetrail.schemas.store import stream_directory

TIP_SECONDS = 60.0
"""A stream in which nothing was sealed for so long gets a tip: questions see it, and a stop costs no more than that."""

POLL_SECONDS = 0.5

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


class Replayer:
    """Folds the log of one trail. Used as a context manager: it holds the trail's replay lock."""

    def __init__(
        self,
        trail: Path,
        reader: LogReader,
        *,
        options: FoldOptions | None = None,
        read_bytes: int = MAX_READ_BYTES,
        on_progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> None:
        self.trail, self.reader = trail, reader
        self.options = options or FoldOptions()
        self.fold = self.options.name
        self.read_bytes, self.on_progress = read_bytes, on_progress
        self.streams: dict[StreamKey, OpenStream] = {}
        self.report = ReplayReport()
        self._cut = Cut()
        self._halted_at: dict[StreamKey, int] = {}

    def run(self, *, follow: bool = False, stop: Callable[[], bool] = lambda: False) -> ReplayReport:
        """Replay to the end of the log, or with *follow* until *stop*; what was folded is kept in any case.

        Raises
        ------
        TrailBusy
            Another replay of this fold is running on the trail.
        StorageFull
            No space left; sealed segments are whole, the same command goes on from them.
        """
        with replay_lock(self.trail, self.fold):
            for partition in self.reader.partitions():
                self._partition(partition, follow, stop)
        return self.report

    def _partition(self, partition: int, follow: bool, stop: Callable[[], bool]) -> None:
        self._cut = self._trusted(read_cut(self.trail, self.fold))
        self.report.refused.update(self._cut.refused)
        start = offset = max(self._cut.offset, self.reader.low_watermark(partition))
        while not stop():
            try:
                records = self.reader.read(partition, offset, self.read_bytes)
            except FrameDamaged as error:
                if error.stream is None:
                    raise
                self._halt(error.stream, offset, error)
                offset += 1
                continue
            for record in records:
                self._record(record)
                offset = record.offset + 1
                self.on_progress(offset - start, self.reader.high_watermark(partition) - start)
                if stop():
                    break
            self._tips(offset, everything=not records)
            if not records and not follow:
                break
            if not records:
                time.sleep(POLL_SECONDS)
        self._tips(offset, everything=True)

    def _trusted(self, cut: Cut) -> Cut:
        """Return a cut; one at the log's beginning when segments that it builds on are gone."""
        for key, seq in cut.streams.items():
            last = checkpoint.resumable(stream_directory(self.trail, *key, self.fold))
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
        if key in self.report.halted:
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
            directory = stream_directory(self.trail, *key, self.fold)
            checkpoint.sweep(directory)
            engine = checkpoint.load(directory, host=key[0], boot_id=key[1], options=self.options)
            self.streams[key] = OpenStream(engine, directory, offset, offset, engine.last_seq)
        return self.streams[key]

    def _overlaps(self, engine: StreamEngine, record: LogRecord) -> bool:
        """Whether a frame is folded already, or of a recording of the boot that does not come after the ones before it."""
        header = record.header
        if header.recording in self.report.refused:
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
        self.report.refused[header.recording] = (
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

    def _tips(self, offset: int, *, everything: bool) -> None:
        """Write the tips that are due, and say from where in the log a resume has to read."""
        now = time.monotonic()
        for stream in self.streams.values():
            due = everything or now - stream.written > TIP_SECONDS
            if stream.changed and due:
                self._tip(stream)
        unsaved = [stream.resume_offset for stream in self.streams.values() if stream.changed]
        reached = {key: stream.saved_seq for key, stream in self.streams.items()}
        self._cut = Cut(
            offset=min([offset, *unsaved, *self._halted_at.values()]),
            streams=self._cut.streams | reached,
            refused=self.report.refused,
        )
        write_cut(self.trail, self.fold, self._cut)

    def _tip(self, stream: OpenStream) -> None:
        """Write the state as a tip, unless a segment ends exactly here, or a dump is only half read."""
        stream.written = time.monotonic()
        if stream.engine.baseline is not None:
            return
        if stream.engine.last_seq >= stream.engine.segment_first_seq:
            checkpoint.write(stream.directory, Stretch(stream.engine, tip=True))
        stream.resume_offset, stream.saved_seq = stream.next_offset, stream.engine.last_seq
        stream.changed = False
