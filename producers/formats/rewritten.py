"""A text whose lines are rewritten one by one into the form that its reader takes: it keeps the number of lines."""

import io
from collections.abc import Callable
from typing import BinaryIO, Final

from pagetrail.producers.stepped import Stepped

Rewrite = Callable[[bytes], bytes]
"""Returns a line, without its newline, in the common form."""

READ_BYTES: Final = 1 << 20


class Rewritten(Stepped):
    """The lines of *stream* as *rewrite* returns them; a last line without an end as it is."""

    def __init__(self, stream: BinaryIO, rewrite: Rewrite) -> None:
        super().__init__()
        self._stream, self._rewrite = stream, rewrite
        self._begun: list[bytes] = []  # the line that has no end yet

    def _step(self) -> bytes:
        data = self._stream.read(READ_BYTES)
        if not data:
            self._ended = True
            return b"".join(self._begun)
        *whole, tail = data.split(b"\n")
        if whole:
            whole[0] = b"".join([*self._begun, whole[0]])
            self._begun = []
        self._begun.append(tail)
        return b"".join([self._rewrite(line) + b"\n" for line in whole])


def rewritten(stream: BinaryIO, rewrite: Rewrite) -> BinaryIO:
    """Return *stream* as ``Rewritten``, with a buffer."""
    return io.BufferedReader(Rewritten(stream, rewrite), buffer_size=READ_BYTES)
