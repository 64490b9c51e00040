"""Texts with something before each line: quotes of a mail, numbers of lines, times of a console, of adb or of journald, colours.

A text has one kind of prefix. A line without it stays as it is, so that it is counted and shown as it was written.
"""

import json
import re
from collections.abc import Iterable
from typing import Final

from pagetrail.producers.encodings import ESCAPE
from pagetrail.producers.formats.rewritten import Rewrite

_PRINTK: Final = rb"\[ *\d+\.\d{1,9}\](?:\[ *[TC]\d+\])? "  # kernel/printk/printk.c, info_print_prefix (Linux 6.1)
_PROGRAM: Final = rb"[\w.-]+ [\w./-]+(?:\[\d+\])?: "
_KINDS: Final = (
    rb"(?:%b\r?)+" % ESCAPE.pattern,
    rb"(?:> ?)+",
    rb"\t+",
    rb"[ \t]+(?=#)",  # the comments of a text that was indented
    rb" {0,8}\d{1,9}(?:\t|\. )",  # cat -n; a list
    # a terminal's program, ts, docker and its like, syslog, journald
    rb"\[?\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z|[+-]\d\d:?\d\d)?\]? (?:std(?:out|err) F )?(?:%b)?(?:%b)?"
    % (_PROGRAM, _PRINTK),
    rb"[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d %b(?:%b)?" % (_PROGRAM, _PRINTK),  # syslog
    rb"\[?\d\d:\d\d:\d\d(?:[.,]\d{1,9})?\]? ",
    rb"\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} +\d+ +\d+ [VDIWEF] [^:]{0,32}: ",  # logcat -v threadtime
    rb"[VDIWEF]/[^(]{1,32}\( *\d+\): ",  # logcat -v brief
    rb"(?:<\d+>)?%b" % _PRINTK,
)
ANY_PREFIX: Final = rb"(?:%b)" % b"|".join(_KINDS)
"""The pattern of all of them, without groups."""

JOURNAL: Final = re.compile(rb'\{.*"MESSAGE" ?: ?"')
"""A line of ``journalctl -o json``, up to its text."""


def without_prefix(lines: Iterable[bytes], common: re.Pattern[bytes]) -> Rewrite | None:
    """Return what takes away the prefix behind which the first line stands that matches *common*; null: it stands behind none."""
    for line in lines:
        for kind in _PATTERNS:
            found = kind.match(line)
            if found and common.match(line, found.end()):
                return message_of if kind is JOURNAL else _Unprefixed(kind)
        if common.match(line) and not line.startswith(b"#"):
            return None
    return None


def message_of(line: bytes) -> bytes:
    """Return the text of a line of ``journalctl -o json``; a line that is none as it is."""
    if not line.startswith(b"{"):
        return line
    try:
        message = json.loads(line)["MESSAGE"]
        return (
            message.encode() if isinstance(message, str) else bytes(message)
        )  # bytes that are no UTF-8 are a list of numbers
    except (ValueError, TypeError, LookupError, RecursionError):
        return line


class _Unprefixed:
    """Takes one kind of prefix from lines, and a terminal's escapes."""

    def __init__(self, kind: re.Pattern[bytes]) -> None:
        self._kind = kind

    def __call__(self, line: bytes) -> bytes:
        """Return *line* without them."""
        found = self._kind.match(line)
        if found:
            line = line[found.end() :]
        return ESCAPE.sub(b"", line) if b"\x1b" in line else line


_PATTERNS: Final = (JOURNAL, *(re.compile(kind) for kind in _KINDS))
