"""Dumps that another program changed throughout: HTML, strings with escaped newlines, colours, lines that end with CR alone.

Each is turned back into the kernel's lines before it is read. What a program changed, it may also have filtered.
"""

import io
import re
from collections.abc import Callable
from html import unescape
from typing import BinaryIO, Final, cast

from pagetrail.producers.encodings import ESCAPE
from pagetrail.producers.formats.prefixed import JOURNAL, message_of
from pagetrail.producers.formats.rewritten import READ_BYTES, Rewrite, Rewritten
from pagetrail.producers.stepped import Stepped
from pagetrail.schemas.errors import TruncatedInput

HEAD_BYTES: Final = 1 << 16

_COLOUR: Final = rb"(?:\x1b\[[\d;]*[mK])*"
_BLANK: Final = _COLOUR + rb"(?: |&nbsp;|\xc2\xa0)" + _COLOUR
HEADER: Final = (
    rb"Page" + _BLANK + rb"allocated" + _BLANK + rb"via" + _BLANK + rb"order" + _BLANK + rb"\d+" + _COLOUR + rb","
)
"""The beginning of a record's first line as other programs write it, too."""

HTML_PAGE: Final = re.compile(rb"\s*<(?:!doctype html|html)(?:(?!# tracer: ).)*?" + HEADER, re.IGNORECASE | re.DOTALL)
"""A page of HTML with a record, and no trace of ftrace's before it."""

_HTML: Final = re.compile(
    rb"\s*<(?:!doctype html|html)\b|</?(?:pre|code|div|p|span|br|td|li)\b[^<>\n]*>|&(?:lt|gt|amp|nbsp|quot);",
    re.IGNORECASE,
)
_LINE_ENDS: Final = re.compile(rb"<br\s*/?>|</(?:div|p|li|tr|pre)>", re.IGNORECASE)
_TAG: Final = re.compile(
    rb"</?(?:html|head|body|title|meta|pre|code|div|span|p|br|td|tr|th|table|tbody|a|b|i|font|li|ul|ol|tt|samp)\b[^<>]*>|<!doctype[^<>]*>",
    re.IGNORECASE,
)
_ESCAPED: Final = re.compile(HEADER + rb"[^\n]{0,400}?(?:\\r)?\\nPFN")
_ESCAPES: Final = re.compile(rb"""\\(?:([\\"'/])|(n)|(r)|(t)|u00([0-7][0-9a-fA-F])|x([0-7][0-9a-fA-F]))""")
_LONGEST_ESCAPE: Final = 6
_CR_ALONE: Final = re.compile(HEADER + rb"[^\n\r]{0,400}\rPFN")
_MARK: Final = rb"(?:\x1b|\xc2\xa0)"
_MARKED: Final = re.compile(rb"(?m)^%b|%b\[[\d;]*[mK]\r?$|(?!Page allocated via order \d+,)%b" % (_MARK, _MARK, HEADER))
"""A comm may have these bytes, too."""


def undisguised(stream: BinaryIO) -> tuple[BinaryIO, str | None]:
    """Return *stream* with the lines of the kernel, and what was changed in them, in words; null: nothing, or line ends alone."""
    if not isinstance(stream, io.BufferedReader):
        stream = _Changed(cast(io.RawIOBase, stream), stream)
    head = stream.peek(HEAD_BYTES)[:HEAD_BYTES]
    if JOURNAL.match(head):
        return _by_lines(stream, message_of), None
    if _ESCAPED.search(head):
        return _replaced(stream, _unescaped, _LONGEST_ESCAPE), "a program wrote it as a string with escaped newlines"
    if _HTML.search(head):
        return _by_lines(stream, _without_tags), "a program wrote it as HTML"
    if _CR_ALONE.search(head):
        return _replaced(stream, lambda data: data.replace(b"\r", b"\n"), 0), None
    if _MARKED.search(head):
        return _by_lines(stream, _unmarked), "a program coloured it, or changed its blanks"
    return stream, None


class _Replaced(Stepped):
    """The bytes of *stream* as *replace* returns them; what it looks at together has at most *longest* bytes."""

    def __init__(self, stream: BinaryIO, replace: Callable[[bytes], bytes], longest: int) -> None:
        super().__init__()
        self._stream, self._replace, self._longest = stream, replace, longest
        self._rest = b""

    def _step(self) -> bytes:
        data = self._stream.read(READ_BYTES)
        self._ended = not data
        data = self._rest + data
        place = -1 if self._ended or not self._longest else data.find(b"\\", max(0, len(data) - self._longest))
        while place > 0 and data[place - 1 : place] == b"\\":  # an escape does not begin within another one
            place -= 1
        data, self._rest = (data, b"") if place < 0 else (data[:place], data[place:])
        return self._replace(data)


class _Changed(io.BufferedReader):
    """The bytes of *raw*, which are made of those of *stream*, and end where it does."""

    def __init__(self, raw: io.RawIOBase, stream: BinaryIO) -> None:
        super().__init__(raw, buffer_size=READ_BYTES)
        self._of = stream

    @property
    def truncated(self) -> TruncatedInput | None:
        """Why the stream ended in the middle, if it did."""
        found: TruncatedInput | None = getattr(self._of, "truncated", None)
        return found


def _by_lines(stream: BinaryIO, rewrite: Rewrite) -> BinaryIO:
    return _Changed(Rewritten(stream, rewrite), stream)


def _replaced(stream: BinaryIO, replace: Callable[[bytes], bytes], longest: int) -> BinaryIO:
    return _Changed(_Replaced(stream, replace, longest), stream)


def _unescaped(data: bytes) -> bytes:
    """Return bytes of a string of JSON, C or Python without its escapes."""
    return _ESCAPES.sub(_meant, data)


def _meant(escape: re.Match[bytes]) -> bytes:
    sign, newline, carriage_return, tab, *codes = escape.groups()
    if sign is not None:
        return sign
    if newline or carriage_return:
        return b"\n" if newline else b""
    return b"\t" if tab else bytes([int(next(filter(None, codes)), 16)])


def _without_tags(line: bytes) -> bytes:
    """Return a line of HTML as a browser shows it; where it shows several lines, as those."""
    text = _TAG.sub(b"", _LINE_ENDS.sub(b"\n", line).rstrip(b"\r\n"))
    if b"&" in text:
        text = unescape(text.decode(errors="surrogateescape")).encode(errors="surrogateescape")
    return text.replace(b"\xc2\xa0", b" ")


def _unmarked(line: bytes) -> bytes:
    return ESCAPE.sub(b"", line).replace(b"\xc2\xa0", b" ")
