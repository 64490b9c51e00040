"""The memory that the open streams of a replay take, and how much they may."""

from dataclasses import dataclass, field
from typing import Final

MEMORY_BYTES: Final = 2 << 30
"""How much open streams may take by default."""


@dataclass(slots=True, kw_only=True)
class Memory:
    """What the open streams of each partition take, approximately, and the most that they may take together.

    Attributes
    ----------
    most
        Bytes. Above it, streams that have been idle longest leave memory, and segments are no longer written beside the fold.
    strict
        Whether a stream that takes more by itself is halted. Otherwise it goes on.
    """

    most: int = MEMORY_BYTES
    strict: bool = False
    _taken: dict[int, int] = field(default_factory=dict)

    def take(self, partition: int, nbytes: int) -> None:
        """Note what the streams of a partition take."""
        self._taken[partition] = nbytes

    def has_room(self, nbytes: int = 0) -> bool:
        """Return whether so many bytes more are within the limit."""
        return sum(self._taken.values()) + nbytes <= self.most
