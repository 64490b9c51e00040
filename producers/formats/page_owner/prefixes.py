"""What consoles and tools put before each line of a dump: ``[  100.001] ``, ``<6>``, logcat's and syslog's words, grep's names.

The prefix of a record's first line is the pattern for those of its other lines: the same signs, with other words and numbers
between them. So no list of tools is needed.
"""

import re
from collections.abc import Callable, Iterable
from functools import lru_cache

from pagetrail.producers.encodings import ESCAPE

Strip = Callable[[bytes], bytes]
"""Returns a line without its prefix; a line that has none as it is."""

_PART = re.compile(rb"[^\W_]+|\s+|.", re.DOTALL)

_SUFFIX = re.compile(rb"\s*(?:\^M|[$\"',;|\\])+\s*\Z")  # cat -A; strings of JSON and of programs; tables


def stripper(prefix: bytes) -> Strip:
    """Return what takes a prefix in the form of *prefix* from lines; blanks alone are no prefix."""
    prefix = ESCAPE.sub(b"", prefix)
    if not prefix.strip():
        return plain
    *parts, last = _PART.findall(prefix)
    end = rb"\s{0,%d}" % len(last) if last.isspace() else b""  # what is more is the indent of a stack's line
    pattern = _pattern(_shape(parts if end else [*parts, last]) + end)

    def strip(line: bytes) -> bytes:
        line = plain(line)
        found = pattern.match(line)
        return line[found.end() :] if found else line

    return strip


def without_suffix(lines: list[bytes]) -> list[bytes]:
    """Return the lines of a record without what a tool wrote behind each of them: signs with which no header ends."""
    found = _SUFFIX.search(lines[0])
    if found is None or not any(line.endswith(found[0]) for line in lines[1:]):
        return lines
    return [line.removesuffix(found[0]) for line in lines]


def plain(line: bytes) -> bytes:
    """Return a line without a terminal's escapes."""
    return ESCAPE.sub(b"", line) if b"\x1b" in line else line


def _shape(parts: Iterable[bytes]) -> bytes:
    """Return the pattern of the parts of a prefix. Where two words stand side by side there are blanks, elsewhere there may be."""
    found, behind_word = [], False
    for part in parts:
        if part.isspace():
            continue
        word = part.isalnum()
        found.append(rb"\s+" if word and behind_word else rb"\s*")
        if word:
            found.append(rb"[^\W_]+")
        else:  # grep -A writes FILE:12: before a line that matches, FILE-13- before the others
            found.append(rb"[:-]" if part in b":-" else re.escape(part))
        behind_word = word
    return b"".join(found)


@lru_cache(maxsize=256)
def _pattern(shape: bytes) -> re.Pattern[bytes]:
    return re.compile(shape)
