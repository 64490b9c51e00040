"""A stream in memory: its engine, where its files stand and reach, what a resume of it needs of the log; and how it is kept."""

import time
from dataclasses import dataclass, field

from pagetrail.replay.rules.engine import StreamEngine
from pagetrail.replay.store import publish as checkpoint
from pagetrail.replay.store.content import Stretch
from pagetrail.replay.store.place import StreamPlace
from pagetrail.schemas.log.contract import LogRecord

RATE_SECONDS = 5.0
"""Over so long, at least, a stream's rate is measured."""


@dataclass(slots=True)
class OpenStream:
    """A stream in memory.

    Attributes
    ----------
    resume_offset
        While *changed*: the least offset of the frames that its files do not hold whole.
    saved_seq, changed
        What its files reach; whether the engine has gone beyond.
    waiting
        Frames behind a hole, in the order of the log: see ``holes``.
    losses_known
        How many losses of the log had been found when it last moved.
    written, touched
        When a file of it was written, and when a frame of it came (monotonic clock).
    """

    engine: StreamEngine
    place: StreamPlace
    resume_offset: int
    saved_seq: int = -1
    changed: bool = False
    waiting: list[LogRecord] = field(default_factory=list)
    losses_known: int = 0
    written: float = field(default_factory=time.monotonic)
    touched: float = field(default_factory=time.monotonic)
    rate: float = 0.0
    _measured: tuple[float, int] = (0.0, -1)

    def __post_init__(self) -> None:
        self._measured = (self.touched, self.engine.last_seq)

    @property
    def needs_offset(self) -> int | None:
        """The least offset that a resume needs for its sake; null: none, all of it is in its files."""
        waits = [record.offset for record in self.waiting]
        return min([self.resume_offset, *waits] if self.changed else waits, default=None)

    @property
    def nbytes(self) -> int:
        """Return bytes of its state, about: its arrays, grown ones too, of which not all are used."""
        view = self.engine.view
        return sum(array.nbytes for array in self.engine.tables) + (0 if view is None else view.nbytes)

    def seal(self) -> None:
        """Write what is folded as a segment."""
        stretch = Stretch(self.engine, tip=False)
        checkpoint.write(self.place, stretch)
        self.engine.parent_digest, self.engine.ended = stretch.digest, stretch.ended
        self.written = time.monotonic()
        self.changed, self.saved_seq = False, stretch.last_seq

    def tip(self) -> None:
        """Write the state as a tip, unless a segment ends exactly here."""
        self.written = time.monotonic()
        if self.engine.last_seq >= self.engine.segment_first_seq:
            checkpoint.write(self.place, Stretch(self.engine, tip=True))
        self.changed, self.saved_seq = False, self.engine.last_seq

    def measure(self, now: float) -> float:
        """Return events a second, as of the last stretch of time that was long enough to tell."""
        since, seq = self._measured
        if now - since >= RATE_SECONDS:
            self.rate = (self.engine.last_seq - seq) / (now - since)
            self._measured = (now, self.engine.last_seq)
        return self.rate
