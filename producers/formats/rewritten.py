"""A text whose lines are rewritten one by one into the form that its reader takes: it keeps the number of lines."""

import io
import re
from collections.abc import Callable, Iterable
from typing import BinaryIO, Final

from pagetrail.producers.stepped import Stepped

Rewrite = Callable[[bytes], bytes]
"""Returns a line, without its newline, in the common form."""

READ_BYTES: Final = 1 << 20

_NO_BREAK: Final = "\u00a0".encode()


def with_blanks(line: bytes) -> bytes:
    """Return *line* with a blank for each tab and each no-break space, and without those that pad its end.

    No tool that records writes them: an editor, a page or a chat did. Behind a colon a blank stays: it ends the name of an event.
    """
    line = line.replace(_NO_BREAK, b" ").replace(b"\t", b" ")
    kept = line.rstrip(b" \r")
    return kept + b" " if kept.endswith(b":") and kept != line else kept


def other_blanks(lines: Iterable[bytes], common: re.Pattern[bytes]) -> bool:
    """Return whether of the *lines* that match *common* once they have plain blanks many, one of eight at least, have others."""
    changed = [plain != line.rstrip(b"\r") for line in lines if common.match(plain := with_blanks(line))]
    return any(changed) and 8 * sum(changed) >= len(changed)


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
