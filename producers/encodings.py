"""Text as UTF-8, whatever encoding its file has: UTF-16 and UTF-32 (what PowerShell's ``>`` writes), and byte order marks."""

import codecs
import io
import re
from typing import TYPE_CHECKING, Final

from pagetrail.producers.stepped import Stepped

if TYPE_CHECKING:
    from typing_extensions import Buffer

ESCAPE: Final = re.compile(rb"\x1b(?:\[[0-9;?]*[A-Za-z]|\][^\x07\x1b]*(?:\x07|\x1b\\))")
"""What a terminal takes for a colour, a movement or its title (ECMA-48; xterm's OSC): ``script`` keeps it in a text."""

SNIFFED_BYTES: Final = 1 << 17
"""Bytes of the beginning that are read at once: what recognises a format by its beginning sees as many of UTF-16."""

STEP_BYTES: Final = 1 << 20

_MARKS: Final = (
    (codecs.BOM_UTF8, ""),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16's, with which it begins
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_PRINTED: Final = frozenset(b"\t\r\n") | frozenset(range(0x20, 0x7F))
_LEAST_SNIFFED: Final = 16
_MOST_SNIFFED: Final = 64


def encoding_of(head: bytes) -> tuple[str, int]:
    """Return the encoding of a text that begins with *head*, and the bytes of its mark; an empty name: it is read as it is.

    UTF-16 without a mark is recognised by its first characters: all of them are ASCII.
    """
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            return encoding, len(mark)
    pairs = min(len(head), _MOST_SNIFFED) // 2
    for encoding, low, high in (("utf-16-le", 0, 1), ("utf-16-be", 1, 0)):
        printed, empty = head[low : 2 * pairs : 2], head[high : 2 * pairs : 2]
        if 2 * pairs >= _LEAST_SNIFFED and not any(empty) and _PRINTED.issuperset(printed):
            return encoding, 0
    return "", 0


class Utf8Text(Stepped):
    """The bytes of *raw* as UTF-8 without a byte order mark. What its encoding does not allow becomes U+FFFD."""

    def __init__(self, raw: io.RawIOBase) -> None:
        super().__init__()
        self._raw = raw
        head = b""
        while len(head) < SNIFFED_BYTES and (part := raw.read(SNIFFED_BYTES - len(head))):
            head += part
        encoding, mark = encoding_of(head)
        self._decoder = codecs.getincrementaldecoder(encoding)("replace") if encoding else None
        self._waiting = memoryview(self._encoded(head[mark:], final=False))

    def readinto(self, buffer: "Buffer", /) -> int:
        """Fill *buffer*; return how many bytes were put into it, 0 at the end. What needs no decoding is not copied."""
        if self._decoder is None and not self._waiting:
            return self._raw.readinto(buffer) or 0
        return super().readinto(buffer)

    def _step(self) -> bytes:
        data = self._raw.read(STEP_BYTES) or b""
        self._ended = not data
        return self._encoded(data, final=self._ended)

    def close(self) -> None:
        """Close *raw* too."""
        if not self.closed:
            self._raw.close()
        super().close()

    def _encoded(self, data: bytes, *, final: bool) -> bytes:
        return data if self._decoder is None else self._decoder.decode(data, final).encode()
