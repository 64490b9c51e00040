"""A stream whose bytes are made in steps: decompressed, decoded, rewritten or merged ones."""

import io
from abc import abstractmethod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Buffer


class Stepped(io.RawIOBase):
    """The bytes that ``_step`` makes, one step after another, until it sets ``_ended``."""

    def __init__(self) -> None:
        self._waiting = memoryview(b"")
        self._ended = False

    @abstractmethod
    def _step(self) -> bytes:
        """Return some more bytes, maybe none; set ``_ended`` at the end."""

    def readable(self) -> bool:
        """Return True: it is there to be read."""
        return True

    def readinto(self, buffer: "Buffer", /) -> int:
        """Fill *buffer* with what comes next; return how many bytes, 0 at the end."""
        target = memoryview(buffer).cast("B")
        while not self._waiting and not self._ended:
            self._waiting = memoryview(self._step())
        count = min(len(target), len(self._waiting))
        target[:count] = self._waiting[:count]
        self._waiting = self._waiting[count:]
        return count
