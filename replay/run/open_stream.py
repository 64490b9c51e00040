"""A stream in memory: its engine, the place and reach of its files, the offset from which a resume reads; and writing it."""

import time
from dataclasses import dataclass, field
from functools import partial

from pagetrail.replay.rules.engine import StreamEngine
from pagetrail.replay.rules.stretch import Stretch
from pagetrail.replay.run.harm import harming_one
from pagetrail.replay.run.memory import Memory
from pagetrail.replay.run.sealing import Sealing
from pagetrail.replay.store import publish
from pagetrail.replay.store.content import Content, Link
from pagetrail.replay.store.packed.sums import spans_sums
from pagetrail.replay.store.place import StreamPlace
from pagetrail.schemas.errors import SegmentDamaged, SegmentsDiffer
from pagetrail.schemas.log.contract import LogRecord
from pagetrail.schemas.store.memory import forget

RATE_SECONDS = 5.0
"""Shortest time over which a stream's rate is measured."""


@dataclass(slots=True)
class OpenStream:
    """A stream in memory.

    Attributes
    ----------
    link
        The link from the next file of its chain to the present last one.
    resume_offset
        While *changed*: the least offset of the frames that its files do not hold completely.
    saved_seq, changed
        The last stream_seq in its files; whether the engine has gone beyond.
    waiting
        Frames behind a hole, in the order of the log: see ``holes``.
    sealing
        The thread that writes its segments, and those of the other streams of its partition.
    memory
        How much memory the replay may take.
    harm
        What went wrong while a segment was written: the stream is halted.
    losses_known
        Number of losses of the log that had been found when it last moved.
    failed
        Why nothing more is written of it: what is in the place of a file is in the way.
    remade
        Damaged files in whose places others were written.
    written, touched
        Time of the last file written, and of the last frame folded (monotonic clock).
    """

    engine: StreamEngine
    link: Link
    place: StreamPlace
    resume_offset: int
    sealing: Sealing
    memory: Memory
    saved_seq: int = -1
    changed: bool = False
    waiting: list[LogRecord] = field(default_factory=list)
    harm: Exception | None = None
    losses_known: int = 0
    written: float = field(default_factory=time.monotonic)
    touched: float = field(default_factory=time.monotonic)
    rate: float = 0.0
    failed: SegmentDamaged | SegmentsDiffer | None = None
    remade: list[SegmentDamaged] = field(default_factory=list)
    _measured: tuple[float, int] = (0.0, -1)
    _sealed_from: int | None = None

    def __post_init__(self) -> None:
        self._measured = (self.touched, self.engine.last_seq)

    @property
    def needs_offset(self) -> int | None:
        """The least offset that a resume of this stream has to read; null: its files hold everything."""
        needed = [record.offset for record in self.waiting]
        needed += [self.resume_offset] if self.changed else []
        sealed_from = self._sealed_from  # the thread may set it to null meanwhile
        return min([*needed, *([] if sealed_from is None else [sealed_from])], default=None)

    @property
    def nbytes(self) -> int:
        """Return the approximate size in memory, in bytes."""
        return self.engine.state.nbytes

    def seal(self, stretch: Stretch, resume_offset: int) -> None:
        """Write a stretch that has ended as a segment, in the thread of *sealing*; a resume from it reads from *resume_offset*.

        It is written at once where there is no memory for one segment more, and at the end of a recording: nothing may follow that
        is worth that memory.
        """
        sums = spans_sums(stretch)  # here: writing takes longer than folding
        self.finish()
        if self.failed is not None:
            return
        self._sealed_from, self.resume_offset, self.changed = self.resume_offset, resume_offset, False
        if stretch.facts.recordings[-1].complete or not self.memory.has_room(stretch.nbytes):
            self._write(stretch, sums)
        else:
            self.sealing.begin(partial(self._write_beside, stretch, sums))

    def tip(self) -> None:
        """Write the state as a tip, unless a segment ends here."""
        self.finish()
        if self.engine.last_seq >= self.engine.segment_first_seq:
            self._write(self.engine.stretch())
        self.changed, self.written = False, time.monotonic()

    def finish(self) -> None:
        """Return when nothing of the partition is being written any more; raise what went wrong with this stream's segments."""
        self.sealing.finish()
        if self.harm is not None:
            raise self.harm

    def _write_beside(self, stretch: Stretch, sums: tuple[int, int]) -> None:
        """Write in the thread: what goes wrong with this stream alone must not be raised at another one's work."""

        def note(error: Exception) -> None:
            self.harm = error

        with harming_one(note):
            self._write(stretch, sums)

    def _write(self, stretch: Stretch, sums: tuple[int, int] | None = None) -> None:
        if self.failed is not None:
            return
        content = Content(stretch, self.link, sums)
        if not stretch.origin.tip:
            forget(stretch.runs)  # the file's are sorted; the state has others
        try:
            publish.write(self.place, content, self.remade.append)
        except (SegmentDamaged, SegmentsDiffer) as error:
            self.failed = error
            return
        self.link = content.link
        self.saved_seq, self.written = stretch.origin.last_seq, time.monotonic()
        self._sealed_from = None

    def measure(self, now: float) -> float:
        """Return events a second, measured over the last period of at least ``RATE_SECONDS``."""
        since, seq = self._measured
        if now - since >= RATE_SECONDS:
            self.rate = (self.engine.last_seq - seq) / (now - since)
            self._measured = (now, self.engine.last_seq)
        return self.rate
