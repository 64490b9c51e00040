"""Bytes of a file from any place, behind any compression."""

import os
import weakref
from collections.abc import Callable
from typing import BinaryIO

from pagetrail.producers.inputs import Input, blocks
from pagetrail.producers.spool import filled

ReadAt = Callable[[int, int], bytes]
"""Returns so many bytes from an offset on, or what there is of them."""


class HeldBytes:
    """The uncompressed bytes of a file, from any place: those of the file itself, or of a copy that vanishes with this object.

    Parameters
    ----------
    what
        As the copy is named.
    """

    def __init__(self, stream: Input, what: str) -> None:
        plain = stream.plain_file()
        if plain is not None:
            self._descriptor = os.dup(plain.fileno())
        else:
            with filled(lambda copy: _copy(copy, stream), None, what) as copied:
                self._descriptor = os.dup(copied.fileno())
        weakref.finalize(self, os.close, self._descriptor)
        self.size = os.fstat(self._descriptor).st_size

    def read(self, at: int, size: int) -> bytes:
        """Return *size* bytes from *at* on, or what there is of them."""
        found = b""
        at, size = min(at, self.size), min(size, self.size)
        while len(found) < size and (part := os.pread(self._descriptor, size - len(found), at + len(found))):
            found += part
        return found


def _copy(copy: BinaryIO, stream: Input) -> None:
    for block in blocks(stream):
        copy.write(block)
