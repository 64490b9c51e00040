"""A stream in memory: its engine, the place and reach of its files, the offset from which a resume reads; and writing it."""

import time
from dataclasses import dataclass, field

from pagetrail.replay.rules.engine import StreamEngine
from pagetrail.replay.rules.stretch import Stretch
from pagetrail.replay.store import publish
from pagetrail.replay.store.content import Content, Link
from pagetrail.replay.store.place import StreamPlace
from pagetrail.schemas.log.contract import LogRecord

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
    losses_known
        Number of losses of the log that had been found when it last moved.
    written, touched
        Time of the last file written, and of the last frame folded (monotonic clock).
    """

    engine: StreamEngine
    link: Link
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
        """The least offset that a resume of this stream has to read; null: its files hold everything."""
        waits = [record.offset for record in self.waiting]
        return min([self.resume_offset, *waits] if self.changed else waits, default=None)

    @property
    def nbytes(self) -> int:
        """Return the approximate size in memory, in bytes."""
        return self.engine.state.nbytes

    def seal(self, stretch: Stretch) -> None:
        """Write a stretch that has ended as a segment."""
        self._write(stretch)

    def tip(self) -> None:
        """Write the state as a tip, unless a segment ends here."""
        if self.engine.last_seq >= self.engine.segment_first_seq:
            self._write(self.engine.stretch())
        self.changed, self.saved_seq, self.written = False, self.engine.last_seq, time.monotonic()

    def _write(self, stretch: Stretch) -> None:
        content = Content(stretch, self.link)
        publish.write(self.place, content)
        self.link = content.link
        self.changed, self.saved_seq, self.written = False, stretch.origin.last_seq, time.monotonic()

    def measure(self, now: float) -> float:
        """Return events a second, measured over the last period of at least ``RATE_SECONDS``."""
        since, seq = self._measured
        if now - since >= RATE_SECONDS:
            self.rate = (self.engine.last_seq - seq) / (now - since)
            self._measured = (now, self.engine.last_seq)
        return self.rate
