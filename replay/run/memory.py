"""The memory that the open streams of a replay take, and how much they may."""

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Final

from pagetrail.schemas.store.memory import machine_bytes

MEMORY_BYTES: Final = 2 << 30
"""How much open streams may take by default."""


@dataclass(slots=True, kw_only=True)
class Memory:
    """What the open streams of all partitions take, approximately, and the most that they may take together.

    A stream says what it takes when that changes. To ask all of them after each frame would take longer, the more hosts there are.

    Attributes
    ----------
    most
        Bytes. Above it, streams that have been idle longest leave memory, and segments are no longer written beside the fold.
    strict
        Whether *most* was given: a stream that takes more by itself is halted. Otherwise it may take half of the machine's memory.
    """

    most: int = MEMORY_BYTES
    strict: bool = False
    _taken: dict[Hashable, int] = field(default_factory=dict)
    _total: int = 0

    @property
    def most_of_stream(self) -> int:
        """The most bytes that one stream, or the pages of its sections, may take: those given, or half of the machine's memory."""
        return self.most if self.strict else machine_bytes() // 2

    def take(self, stream: Hashable, nbytes: int) -> None:
        """Note what a stream takes now, whatever it took before."""
        self._total += nbytes - self._taken.get(stream, 0)
        self._taken[stream] = nbytes

    def leave(self, stream: Hashable) -> None:
        """Note that a stream is no longer in memory."""
        self._total -= self._taken.pop(stream, 0)

    def has_room(self, nbytes: int = 0) -> bool:
        """Return whether so many bytes more are within the limit."""
        return self._total + nbytes <= self.most
