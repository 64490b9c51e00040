"""Replay: from the log into segments and tips, going on where it stopped."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from pagetrail.replay import checkpoint
from pagetrail.replay.cut import read_cut, replay_lock, write_cut
from pagetrail.replay.engine import FoldOptions, StreamEngine
from pagetrail.replay.segment import Stretch
from pagetrail.schemas.errors import FrameDamaged, SchemaTooNew
from pagetrail.schemas.frames import decode_frame
from pagetrail.schemas.log import MAX_READ_BYTES, LogReader, LogRecord
from pagetrail.schemas.store import fold_name, stream_directory

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
    """A stream in memory: its engine, where its segments stand, and the least offset that a resume from them needs."""

    engine: StreamEngine
    directory: Path
    resume_offset: int
    next_offset: int
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
        self.fold = fold_name(correct=self.options.correct)
        self.read_bytes, self.on_progress = read_bytes, on_progress
        self.streams: dict[StreamKey, OpenStream] = {}
        self.report = ReplayReport()

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
        start = offset = max(read_cut(self.trail, self.fold), self.reader.low_watermark(partition))
        while not stop():
            records = self.reader.read(partition, offset, self.read_bytes)
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
            self.report.halted[key] = str(error)
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
            self.streams[key] = OpenStream(engine, directory, offset, offset)
        return self.streams[key]

    def _overlaps(self, engine: StreamEngine, record: LogRecord) -> bool:
        """Whether a frame is of a second recording of the boot that does not come after the ones before it."""
        header = record.header
        if header.recording in self.report.refused:
            return True
        parts = engine.facts.recordings
        known = next((part for part in parts if part.recording == header.recording), None)
        if known is not None:
            return known is not parts[-1] or header.last_seq < known.next_seq
        if engine.last_ts is None or header.first_ts >= engine.last_ts:
            return False
        self.report.refused[header.recording] = (
            f"recording {header.recording} of {header.host} {header.boot_id} begins at {header.first_ts} ns, before the end "
            f"of another recording of the same boot ({engine.last_ts} ns): two views of one time are never merged; "
            "ingest it into another trail"
        )
        return True

    # -- segments and tips -----------------------------------------------------------------------------------------------

    def _seal(self, stream: OpenStream) -> None:
        stretch = Stretch(stream.engine, tip=False)
        checkpoint.write(stream.directory, stretch)
        stream.engine.parent_digest = stretch.digest
        stream.written = time.monotonic()
        stream.changed = False
        self.report.segments += 1

    def _tips(self, offset: int, *, everything: bool) -> None:
        """Write the tips that are due, and say from where in the log a resume has to read."""
        now = time.monotonic()
        for stream in self.streams.values():
            due = everything or now - stream.written > TIP_SECONDS
            if stream.changed and due:
                self._tip(stream)
        unsaved = [stream.resume_offset for stream in self.streams.values() if stream.changed]
        write_cut(self.trail, self.fold, min([offset, *unsaved]))

    def _tip(self, stream: OpenStream) -> None:
        """Write the state as a tip, unless a segment ends exactly here, or a dump is only half read."""
        stream.written = time.monotonic()
        if stream.engine.baseline is not None:
            return
        if stream.engine.last_seq >= stream.engine.segment_first_seq:
            checkpoint.write(stream.directory, Stretch(stream.engine, tip=True))
        stream.resume_offset = stream.next_offset
        stream.changed = False
