"""Replay of one partition of the log into segments and tips: open streams, due tips, and the offset from which a resume reads."""

import dataclasses
import functools
import time
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from pagetrail.replay.rules.fold_options import FoldOptions
from pagetrail.replay.run import holes
from pagetrail.replay.run.admission import Admission, Verdict
from pagetrail.replay.run.harm import harming_one, reason_of, shown
from pagetrail.replay.run.memory import Memory
from pagetrail.replay.run.open_stream import OpenStream
from pagetrail.replay.run.remaking import held_frames, intact_records
from pagetrail.replay.run.report import ReplayReport, StreamKey
from pagetrail.replay.run.sealing import Sealing
from pagetrail.replay.run.superseding import last_successor
from pagetrail.replay.store import publish, restore
from pagetrail.replay.store.cut import Cut, Successor, cut_name, partition_name, read_cut, write_cut
from pagetrail.replay.store.place import StreamPlace
from pagetrail.replay.store.reading.chain import damaged_files, unbroken
from pagetrail.schemas.errors import (
    ForeignMessage,
    FrameDamaged,
    MemoryShort,
    OffsetGap,
    SchemaTooNew,
    SegmentDamaged,
    SegmentGone,
    TrailTooNew,
)
from pagetrail.schemas.frames import decode_frame
from pagetrail.schemas.log.contract import ANY_BOOT, EMBEDDED_LOG, MAX_READ_BYTES, LogReader, LogRecord
from pagetrail.schemas.store.contract import Store
from pagetrail.schemas.store.names import stream_name

TIP_SECONDS = 60.0
"""A stream without a new segment or tip for so long gets a tip: questions see it, and a stop loses no more work than that."""

IDLE_SECONDS = 60.0
"""A stream without a new frame for so long leaves memory: its tip restores it."""

KEPT_LOSSES = 20
"""Number of losses of a log, the latest ones, that are kept in the cut."""

_LOOKS = 3
"""How often a read is repeated when the log reports an offset as missing although nothing is lost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplaySettings:
    """The store and the fold's options, the bytes read at once, and the limits of time and memory for open streams.

    The replays of all partitions share the memory.
    """

    store: Store
    options: FoldOptions = field(default_factory=FoldOptions)
    read_bytes: int = MAX_READ_BYTES
    tip_seconds: float = TIP_SECONDS
    idle_seconds: float = IDLE_SECONDS
    memory: Memory = field(default_factory=Memory)

    @property
    def fold(self) -> str:
        """The folder of the fold."""
        return self.options.name


class PartitionReplay:
    """Folds one partition. The partition's owner makes one, calls ``step`` while it owns the partition, and ``save`` at the end.

    Nothing is lost without ``save``: unwritten events are read again. Two replays of one partition write the same facts.
    """

    def __init__(self, reader: LogReader, partition: int, settings: ReplaySettings, report: ReplayReport) -> None:
        self.reader, self.partition, self.settings, self.report = reader, partition, settings, report
        self.streams: dict[StreamKey, OpenStream] = {}
        self._name = partition_name(reader.log_id, partition)
        self._alone = reader.log_id == EMBEDDED_LOG
        self._halted: dict[StreamKey, tuple[int, str]] = {}
        settings.store.sweep(cut_name(settings.fold, self._name), alone=self._alone)
        self._cut = self._trusted(read_cut(settings.store, settings.fold, self._name))
        self._admission = Admission(self._cut, report, functools.partial(held_frames, reader, partition))
        self._seen = self._cut.seen
        self._losses, self._lost = list(self._cut.losses), 0
        self._anew = False
        self._sealing = Sealing()
        self._remade: set[StreamKey] = set()
        self.offset = self._cut.offset
        low = reader.low_watermark(partition)
        if self.offset < low:
            self._overtaken(low)
        elif (why := self._forked()) is not None:
            self._fork(why, low)
        self.start = self.offset

    @property
    def name(self) -> str:
        """The partition's name in the store: see ``partition_name``."""
        return self._name

    @property
    def resume_offset(self) -> int:
        """The offset from which a resume reads, as last written: no record below it is needed any more."""
        return self._cut.offset

    def step(self, stop: Callable[[], bool] = lambda: False, on_record: Callable[[], None] = lambda: None) -> bool:
        """Read once and fold the records, until *stop*; write due tips and the cut. Return whether there were records."""
        records = deque(self._read())
        anything = bool(records)
        while records:
            record = records.popleft()  # so that no more frames are held than are still to be folded
            self._record(record)
            if self._anew:
                self._anew = False
                break
            self.offset = record.offset + 1
            self._seen = (record.offset, record.digest.hex())
            on_record()
            if stop():
                break
        self._tips(everything=not anything)
        return anything

    def save(self) -> None:
        """Write a tip of each stream that has changed, and the cut."""
        self._tips(everything=True)

    def close(self) -> None:
        """Return when nothing is being written any more. The partition's owner calls it before another one may follow."""
        self._sealing.close()
        for key in self.streams:
            self.settings.memory.leave(key)

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
                    self._fork(why or f"the log ends at offset {high}, but was read up to {self.offset}", low)
                elif looks > _LOOKS:
                    raise

    def _forked(self) -> str | None:
        """Return how the log differs from the last frame that was read; null: it does not, or that offset is no longer kept."""
        if self._seen is None:
            return None
        offset, digest = self._seen
        low, high = self.reader.low_watermark(self.partition), self.reader.high_watermark(self.partition)
        if offset < low:
            return None
        if offset >= high:
            return f"the log ends at offset {high}, but a frame at offset {offset} was read"
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
        return f"offset {offset} no longer holds the frame that was read there"

    def _overtaken(self, low: int) -> None:
        """Continue at *low* because retention overtook replay: the missing frames show as gaps of their recordings."""
        self._lose(f"offsets {self.offset} to {low - 1} were removed by retention before they were replayed")
        self.offset = low

    def _fork(self, why: str, low: int) -> None:
        """Read the whole log again and skip known frames: it lost acknowledged frames, and others may have their offsets."""
        self._lose(
            f"{why}: the log lost acknowledged frames (an unclean election, or a log restored from an older copy)"
        )
        self.offset, self._seen = low, None

    def _lose(self, what: str) -> None:
        message = f"partition {self.partition}: {what}"
        self._lost += 1
        self._losses = [*self._losses, message][-KEPT_LOSSES:]
        self.report.losses.append(message)

    def _trusted(self, cut: Cut) -> Cut:
        """Return *cut*, or one at the log's beginning if segments that it relies on are gone."""
        for key, seq in cut.streams.items():
            try:
                chain = unbroken(self._place(key))
            except (SegmentGone, TrailTooNew) as error:
                self._halt(key, cut.offset, error)
                continue
            if seq <= (-1 if chain.last is None else chain.last.last_seq):
                continue
            if not chain.damaged or self._holds_everything():
                return Cut(losses=cut.losses)
            self._halt(key, cut.offset, next(iter(chain.damaged.values())))
        return cut

    def _holds_everything(self) -> bool:
        """Return whether the log still has its first frame: whatever was made of it can be made again."""
        return self.reader.low_watermark(self.partition) == 0

    def _place(self, key: StreamKey) -> StreamPlace:
        return StreamPlace(self.settings.store, stream_name(*key, self.settings.fold))

    # -- one frame -------------------------------------------------------------------------------------------------------

    def _record(self, record: LogRecord) -> None:
        key = (record.header.host, record.header.boot_id)
        if key not in self._halted and (key[0], ANY_BOOT) not in self._halted:
            with self._halting(key, record.offset):
                self._take(key, record)

    def _take(self, key: StreamKey, record: LogRecord) -> None:
        stream = self._stream(key, record.offset)
        if stream is None:
            return
        if self._arrival(key, stream, record) is not Verdict.FOLD or holes.is_waiting(stream.waiting, record.header):
            return
        stream.waiting.append(record)
        while stream.waiting and key not in self._halted:
            lost = self._alone or stream.losses_known < self._lost
            following = holes.take(stream.engine, stream.waiting, lost=lost)
            if following is None:
                return
            self._fold(key, stream, following)
            self._ask_again(key, stream)

    def _arrival(self, key: StreamKey, stream: OpenStream, record: LogRecord) -> Verdict:
        verdict = self._admission.on_arrival(stream.engine, record)
        if verdict is Verdict.ANEW:
            self._begin_anew(key, stream)
        return verdict

    def _ask_again(self, key: StreamKey, stream: OpenStream) -> None:
        """Decide again on frames that wait: with the frame that was folded, their recording may have been refused or set aside."""
        for record in sorted(stream.waiting, key=lambda waiting: waiting.header.first_seq):
            verdict = self._arrival(key, stream, record)
            if verdict is Verdict.ANEW:
                return
            if verdict is Verdict.SKIP:
                stream.waiting.remove(record)

    def _fold(self, key: StreamKey, stream: OpenStream, record: LogRecord) -> None:
        verdict = self._admission.in_turn(stream.engine, record)
        if verdict is Verdict.FOLD:
            self._apply(key, stream, record, record.offset)
        elif verdict is Verdict.SUCCESSOR:
            self._fold_successor(key, stream, record)
        elif verdict is Verdict.ANEW:
            self._begin_anew(key, stream)

    def _apply(self, key: StreamKey, stream: OpenStream, record: LogRecord, offset: int) -> None:
        """Fold a frame; a resume that needs it reads from *offset*."""
        try:
            found, batch = decode_frame(record.payload, f"log offset {record.offset}")
        except (SchemaTooNew, FrameDamaged) as error:  # the state is as it was: it is kept, as a tip
            self._halt(key, min([offset, *(r.offset for r in stream.waiting)]), error)
            stream.waiting.clear()
            return
        before = stream.engine.last_seq
        stream.resume_offset = min(stream.resume_offset, offset) if stream.changed else offset
        memory = self.settings.memory
        for stretch in stream.engine.apply(found, batch):
            stream.seal(stretch, offset)
            del stretch  # it holds arrays that the state gives up next
            self.report.segments += 1
        short = stream.engine.short
        stream.changed |= stream.engine.last_seq > before
        stream.losses_known, stream.touched = self._lost, time.monotonic()
        self.report.events += stream.engine.last_seq - before
        self.report.frames += short is None
        taken = stream.nbytes
        memory.take(key, taken)
        if short is not None:
            self._halt(key, min([offset, *(r.offset for r in stream.waiting)]), short)
            stream.waiting.clear()
        elif taken > (most := stream.engine.state.most_bytes):
            what = f"its {stream.engine.open_spans:,} open spans and the events of a segment"
            short = MemoryShort(what=what, needed=taken, limit=most)
            self._halt(key, min([record.offset + 1, *(r.offset for r in stream.waiting)]), short)
            stream.waiting.clear()

    def _begin_anew(self, key: StreamKey, stream: OpenStream) -> None:
        """Remove a stream's files, and read the log, which holds all that is in them, from its beginning.

        What was refused is found again.
        """
        stream.waiting.clear()
        self._sealing.finish()
        publish.remove(stream.place)
        self._leave(key)
        self._admission.begin_anew(*key)
        self._reread(key)
        self._remade.add(key)

    def _fold_successor(self, key: StreamKey, stream: OpenStream, record: LogRecord) -> None:
        """Fold what takes the place of a recording, where that one begins; nothing if it stands at its own place."""
        successor = last_successor(self._admission.superseded, record.header.recording_key)
        if successor.first_offset is None or successor.last_offset is None:
            return
        try:
            while self._pass_of(key, stream, successor, record.offset):
                pass
        except OffsetGap:
            self._lose(f"recording {successor.recording}, which takes an earlier place, is no longer there")

    def _pass_of(self, key: StreamKey, stream: OpenStream, successor: Successor, offset: int) -> bool:
        """Fold what follows of a successor, in the order of the log; return whether it was folded, and another pass has more."""
        name, folded = successor.recording, False
        first, last = successor.first_offset or 0, successor.last_offset or 0
        for part in intact_records(self.reader, self.partition, first, last, self.settings.read_bytes):
            header, wanted = part.header, holes.next_seq(stream.engine, name)
            if header.recording_key != (*key, name) or not header.first_seq <= wanted <= header.last_seq:
                continue
            if self._admission.on_arrival(stream.engine, part) is Verdict.FOLD:
                self._apply(key, stream, part, offset)
                folded = True
            if key in self._halted:
                return False
        return folded and not any(r.complete for r in stream.engine.state.facts.recordings if r.recording == name)

    def _halt(self, key: StreamKey, offset: int, error: Exception) -> None:
        """Stop folding a stream: frames after one that is not folded would be folded onto a wrong state."""
        why = f"{shown(key)}: {reason_of(error)}"
        self.report.halted[key] = why
        self._halted.setdefault(key, (offset, why))

    def _halting(self, key: StreamKey, offset: int | None = None) -> AbstractContextManager[None]:
        """Halt a stream, and no other, if what is done for it within the block fails: at the frame at *offset*, if at one.

        Its state may be half changed: it is dropped, and a later replay begins at its last file.
        """
        return harming_one(functools.partial(self._give_up, key, offset))

    def _give_up(self, key: StreamKey, offset: int | None, error: Exception) -> None:
        self._sealing.finish()
        stream = self.streams.get(key)
        needed = [] if stream is None else [stream.needs_offset]
        self._halt(key, min((at for at in (offset, *needed) if at is not None), default=self.offset), error)
        if stream is not None:
            self._leave(key)

    def _stream(self, key: StreamKey, offset: int) -> OpenStream | None:
        """Return a stream in memory; null: its files are damaged, and it is halted, or read from the log's beginning again."""
        if key not in self.streams:
            try:
                if self._mended(key):
                    return None
                self._open(key, offset)
            except (SegmentDamaged, TrailTooNew) as error:
                self._halt(key, offset, error)
                return None
        return self.streams[key]

    def _open(self, key: StreamKey, offset: int) -> None:
        place = self._place(key)
        publish.sweep(place, alone=self._alone)
        found = restore.load(
            place,
            host=key[0],
            boot_id=key[1],
            options=self.settings.options,
            most_bytes=self.settings.memory.most_of_stream,
        )
        self.streams[key] = stream = OpenStream(
            found.engine, found.link, place, offset, self._sealing, self.settings.memory, found.engine.last_seq
        )
        self.settings.memory.take(key, stream.nbytes)
        if key in self._remade and stream.engine.last_seq < 0:
            # what the log does not hold of its beginning will not come: it was missing before, too
            stream.losses_known = -1

    def _mended(self, key: StreamKey) -> bool:
        """Remove files of a stream that are damaged; return whether there were any, and the log is read from its beginning.

        Raises
        ------
        SegmentDamaged
            The log no longer holds all that they were made of: nothing is removed.
        """
        place, found = self._place(key), False
        while damaged := damaged_files(place):
            for name, error in damaged.items():
                if not self._holds_everything():
                    raise error
                place.store.remove(name)
                if place.store.version(name) is not None:
                    raise error
                self.report.remade[place.store.where(name)] = error.reason
            found = True
        if found:
            self._reread(key)
        return found

    def _reread(self, key: StreamKey) -> None:
        """Read the log from its beginning: files of a stream are gone. What other streams have folded is skipped."""
        self._cut = dataclasses.replace(self._cut, streams={k: seq for k, seq in self._cut.streams.items() if k != key})
        self.offset, self._anew = self.reader.low_watermark(self.partition), True

    # -- tips and the cut ------------------------------------------------------------------------------------------------

    def _tips(self, *, everything: bool) -> None:
        """Write due tips, drop idle streams, and write the cut with the offset from which a resume has to read."""
        if everything:
            self._sealing.finish()
        now = time.monotonic()
        for key, stream in list(self.streams.items()):
            due = everything or now - stream.written > self.settings.tip_seconds
            if (stream.changed and due) or stream.harm is not None:
                with self._halting(key):
                    stream.tip()
            self._note_damage(key, stream)
        reached = {key: stream.saved_seq for key, stream in self.streams.items()}
        rates = {key: stream.measure(now) for key, stream in self.streams.items()}
        self._drop_idle(now)
        self._write_cut(reached, rates)

    def _note_damage(self, key: StreamKey, stream: OpenStream) -> None:
        """Say which damaged files were replaced, and halt a stream that cannot be written."""
        self.report.remade |= {error.path: error.reason for error in stream.remade}
        stream.remade.clear()
        if stream.failed is not None and key not in self._halted:
            needed = stream.needs_offset
            self._halt(key, self.offset if needed is None else needed, stream.failed)
            stream.waiting.clear()

    def _write_cut(self, reached: dict[StreamKey, int], rates: dict[StreamKey, float]) -> None:
        needed = [offset for stream in self.streams.values() if (offset := stream.needs_offset) is not None]
        waiting = {key: s for key, s in self.streams.items() if s.waiting}
        for key in self.streams:
            self.report.waiting.pop(key, None)
        messages = {key: holes.waiting_message(s.engine, s.waiting) for key, s in waiting.items()}
        self.report.waiting.update(messages)
        held = {key: (s.waiting[0].offset, messages[key]) for key, s in waiting.items()} | self._halted
        for (host, boot_id, _), coming in self._admission.coming.items():
            self.report.waiting[host, boot_id] = coming.waiting_message()
            held[host, boot_id] = (coming.offset, coming.waiting_message())
        cut = Cut(
            offset=min([self.offset, *needed, *(offset for offset, _ in held.values())]),
            streams=self._cut.streams | reached, refused=dict(self._admission.refused), superseded=dict(self._admission.superseded),
            reached=self.offset, seen=self._seen,
            held=held, losses=tuple(self._losses), rates={key: rate for key, rate in rates.items() if rate},
            written=time.time(),
        )  # fmt: skip
        if cut != self._cut:
            try:
                write_cut(self.settings.store, self.settings.fold, cut, self._name)
            except SegmentDamaged as error:  # the next replay reads the log from its beginning
                self.report.unwritten = str(error)
            self._cut = cut

    def _drop_idle(self, now: float) -> None:
        """Drop idle streams; if the others take too much memory, also those that have been idle longest.

        The one that had the last frame stays: the next frame is likely to be its own, and to restore it takes long.
        """
        idle = sorted((s.touched, key) for key, s in self.streams.items() if not s.waiting)
        last = max((s.touched for s in self.streams.values()), default=now)
        for touched, key in idle:
            stays = touched == last or self.settings.memory.has_room()
            if now - touched <= self.settings.idle_seconds and stays:
                return
            with self._halting(key):
                if self.streams[key].changed:
                    self.streams[key].tip()
                self.streams[key].finish()
            if key in self.streams:
                self._leave(key)

    def _leave(self, key: StreamKey) -> None:
        """Drop a stream from memory."""
        del self.streams[key]
        self.settings.memory.leave(key)
