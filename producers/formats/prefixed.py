"""Texts with something before each line: quotes of a mail, numbers of lines, times of a console, of adb or of journald, colours.

A text has one kind of prefix. A line without it stays as it is, so that it is counted and shown as it was written.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable
from typing import Final

from pagetrail.producers.encodings import ESCAPE
from pagetrail.producers.formats.rewritten import Rewrite

_PRINTK: Final = rb"\[ *\d+\.\d{1,9}\](?:\[ *[TC]\d+\])? "  # kernel/printk/printk.c, info_print_prefix (Linux 6.1)
_PROGRAM: Final = rb"[\w.-]+ [\w./-]+(?:\[\d+\])?: "
_INDENTED: Final = rb"[ \t]+(?=#[ \t]|#$)"  # the comments of a text that was indented; its events may be so
_KINDS: Final = (
    rb"(?:%b\r?)+" % ESCAPE.pattern,
    rb"(?:> ?)+",
    rb"\t+",
    _INDENTED,
    rb" {0,8}\d{1,9}(?:\t|\. )",  # cat -n; a list
    rb"\d{1,9}[:-]",  # grep -n
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
    """Return what takes away the prefix behind which most lines stand that match *common*; null: they stand behind none.

    A task's name may look like a prefix, but not those of most tasks. Comments count where no other line does.
    """
    events, comments = Counter[re.Pattern[bytes] | None](), Counter[re.Pattern[bytes] | None]()
    for line in lines:
        behind = (
            (kind, prefix) for kind in _PATTERNS if (prefix := kind.match(line)) and common.match(line, prefix.end())
        )
        kind, prefix = next(behind, (None, None))
        if kind or common.match(line):
            is_comment = line.startswith(b"#", prefix.end() if prefix else 0)
            (comments if is_comment else events)[kind] += 1
    kind = (events or comments).most_common(1)[0][0] if events or comments else None
    if kind is None and comments[_INDENT]:
        kind = _INDENT
    if kind is None:
        return None
    return message_of if kind is JOURNAL else _Unprefixed(kind)


def message_of(line: bytes) -> bytes:
    """Return the text of a line of ``journalctl -o json``; a line that is none as it is."""
    if not line.startswith(b"{"):
        return line
    try:
        message = json.loads(line)["MESSAGE"]
        if isinstance(message, str):
            message = message.encode()
        elif isinstance(message, list):  # bytes that are no UTF-8, as numbers
            message = bytes(message)
        return message.replace(b"\n", b" ") if isinstance(message, bytes) else line
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


_INDENT: Final = re.compile(_INDENTED)
_PATTERNS: Final = (JOURNAL, *(_INDENT if kind is _INDENTED else re.compile(kind) for kind in _KINDS))
