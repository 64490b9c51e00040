"""Recognise the format of a file by its content; its name is only for messages."""

from typing import Final

from pagetrail.producers.archives import archive_kind
from pagetrail.producers.formats.format import Format, Opener
from pagetrail.producers.formats.rewritten import with_blanks
from pagetrail.producers.formats.table import FORMATS
from pagetrail.producers.inputs import HEAD_BYTES, Source
from pagetrail.schemas.errors import InputError, UnrecognisedInput

LINES_LOOKED_AT: Final = 400
FORMS: Final = "each plain, .zst, .gz, .xz or .bz2, or in a tar or zip archive"
_LINE_BYTES: Final = 1 << 12
_SHOWN: Final = 60
BINARY_BYTES: Final = 512
"""A NUL within so many bytes makes it binary: a tar of dumps is no dump. Later ones may be damage in a text."""


def recognised(source: Source, formats: tuple[Format, ...] = FORMATS) -> tuple[Format, bytes]:
    """Return which of *formats* a file has, and its head.

    Where the head is of no format that is read, the rest of a text is searched for lines that decide wherever they stand: the
    kernel's log may be longer before them than any head.

    Raises
    ------
    UnrecognisedInput
        It has none of them.
    InputError
        It cannot be read.
    """
    head = source.head()
    try:
        found = recognise(head, source.name, formats)
    except UnrecognisedInput:
        if (later := _behind_head(source, head, formats)) is None:
            raise
        return later, head
    unread = found.opens is None and found.line is not None and not found.within
    return (unread and _behind_head(source, head, formats)) or found, head


def recognise(head: bytes, name: str, formats: tuple[Format, ...] = FORMATS) -> Format:
    """Return which of *formats* a file has that begins with *head* (uncompressed; ``HEAD_BYTES`` of it, or all).

    Raises
    ------
    UnrecognisedInput
        It has none of them; the message says what it looks like.
    """
    for found in formats:
        if found.begins and found.begins.match(head):
            return found
    for found in formats:
        if head.startswith(found.magics):
            return found
    if not head:
        raise _unrecognised(name, "nothing: was the recording stopped too early?", formats)
    if archive := archive_kind(head):
        raise _unrecognised(
            name, f"a {archive} archive within another file: unpack it, and give what it holds", formats
        )
    if b"\0" in head[:BINARY_BYTES]:
        raise _unrecognised(name, f"binary data that begins with {head[:8].hex(' ')}", formats)
    lines = _lines(head)
    winner = _most_voted(lines, formats)
    if winner is None or not winner.tracer:
        winner = next((found for found in formats if found.within and _lines_of(found, lines)), winner)
    if winner is None:
        traces = tuple(found for found in formats if found.tracer and found.opens)
        winner = _most_voted([with_blanks(line) for line in lines], traces)
    if winner is None:
        raise _unrecognised(name, f"text that begins with {_first_line(head)!r}", formats)
    return winner


def _most_voted(lines: list[bytes], formats: tuple[Format, ...]) -> Format | None:
    """Return the one of *formats* that the most of *lines* are of; null: none of them is of any."""
    votes = [0] * len(formats)
    for line in lines[:LINES_LOOKED_AT]:
        for place, candidate in enumerate(formats):
            if candidate.line and candidate.line.match(line):
                votes[place] += 1
                break
    most = max(votes, default=0)
    return formats[votes.index(most)] if most else None


def _behind_head(source: Source, head: bytes, formats: tuple[Format, ...]) -> Format | None:
    """Return the format of the first line behind the head of a text that decides; null: there is none."""
    if len(head) < HEAD_BYTES or b"\0" in head[:BINARY_BYTES] or archive_kind(head):
        return None
    decide = [found for found in formats if found.within and found.opens and found.line]
    with source.open(text=True) as stream:
        stream.read(head.rfind(b"\n") + 1)
        while line := stream.readline(_LINE_BYTES):
            for found in decide:
                if found.line and found.line.match(line):
                    return found
    return None


def opener(found: Format, name: str, formats: tuple[Format, ...] = FORMATS, head: bytes = b"") -> Opener:
    """Return what opens the file *name* of format *found*; *head* is its beginning, for the message.

    Raises
    ------
    InputError
        Such files are not read by themselves; with what to do.
    """
    if found.opens is None:
        raise InputError(
            f"{name}: expected {_expected(formats)}; found {found.name}{_sighted(found, head)}, which is not read as it is: "
            f"{found.instead}"
        )
    return found.opens


def _lines(head: bytes) -> list[bytes]:
    """Return the beginnings of the lines of *head*: patterns look at no more of a line."""
    return [line[:_LINE_BYTES] for line in head.splitlines()]


def _lines_of(found: Format, lines: list[bytes]) -> list[int]:
    """Return which of *lines* are of a format, from 1."""
    return [number for number, line in enumerate(lines, 1) if found.line and found.line.match(line)]


def _sighted(found: Format, head: bytes) -> str:
    """Return how many lines of *head* are of a format, and the first of them, for a message."""
    lines = _lines(head)
    numbers = _lines_of(found, lines)
    if not numbers:
        return ""
    first = lines[numbers[0] - 1][:_SHOWN].decode(errors="backslashreplace")
    return f" ({len(numbers)} of its first {len(lines)} lines, the first is line {numbers[0]}: {first!r})"


def _unrecognised(name: str, found: str, formats: tuple[Format, ...]) -> UnrecognisedInput:
    return UnrecognisedInput(source=name, found=found, expected=_expected(formats))


def _expected(formats: tuple[Format, ...]) -> str:
    *others, last = [found.phrase for found in formats if found.opens]
    return f"{', '.join([*others, f'or {last}'])} ({FORMS})"


def _first_line(head: bytes) -> str:
    line = next((line for line in head.splitlines() if line.strip()), b"")
    return line[:_SHOWN].decode(errors="backslashreplace")
