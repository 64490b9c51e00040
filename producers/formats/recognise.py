"""Say what a file is, from its content; its name is only for messages."""

import enum
import re
from typing import Final

from pagetrail.schemas.errors import InputError, UnrecognisedInput

HEAD_BYTES: Final = 1 << 16
"""How much of the uncompressed file ``recognise`` wants to see."""

LINES_LOOKED_AT: Final = 400
BINARY_BYTES: Final = 512
"""A NUL within so many bytes makes it binary: a tar of dumps is no dump. Later ones may be damage in a text."""


class Format(enum.Enum):
    """The formats that we can name. ``READABLE`` are those that are a recording by themselves."""

    FTRACE_TEXT = "ftrace-text"
    PERF_SCRIPT = "perf-script"
    PAGE_OWNER = "page_owner"
    PERF_DATA = "perf.data"
    TRACE_DAT = "trace.dat"
    DMESG = "dmesg"


READABLE: Final = frozenset({Format.FTRACE_TEXT, Format.PERF_SCRIPT, Format.PAGE_OWNER})
EXPECTED: Final = "ftrace text, the output of perf script, or a page_owner dump (each plain, .zst or .gz)"

_MAGICS: Final = (
    (b"PERFILE2", Format.PERF_DATA),  # tools/perf/util/header.c, __perf_magic2
    (b"2ELIFREP", Format.PERF_DATA),  # the same, of a machine of the other byte order
    (b"\x17\x08\x44tracing", Format.TRACE_DAT),  # trace-cmd.dat(5)
)

# "comm-pid (tgid) [cpu] flags ts: event: ", TGID and flags by the tracer's options; or what trace_pipe says of a loss.
_FTRACE: Final = re.compile(
    rb"# tracer: |# entries-in-buffer/entries-written: |CPU:\d+ \[LOST \d+ EVENTS\]$"
    rb"|\s*.{1,16}-\d+\s+(?:\(\s*(?:\d+|-+)\)\s+)?\[\d+\]\s+(?:[^\s:]{1,6}\s+)?\d+\.\d+: (?:[\w.]+: |<)"
)
# "comm tid [cpu] ts: [period] system:event: "
_PERF: Final = re.compile(rb"\s*.{1,16}?\s+-?\d+(?:/-?\d+)?\s+(?:\[\d+\]\s+)?\d+\.\d+:\s+(?:\d+\s+)?[\w-]+:\w+:")
_PAGE_OWNER: Final = re.compile(rb"Page allocated via order \d+, mask 0x")
_DMESG: Final = re.compile(rb"(?:<\d+>)?\[\s*\d+\.\d{6}\]")
_TEXTS: Final = (
    (_PAGE_OWNER, Format.PAGE_OWNER),
    (_FTRACE, Format.FTRACE_TEXT),
    (_PERF, Format.PERF_SCRIPT),
    (_DMESG, Format.DMESG),
)

_REMEDIES: Final = {
    Format.PERF_DATA: "run 'perf script --ns -i FILE' on it (uncompressed) and give the output",
    Format.TRACE_DAT: "give the text of the same buffer, /sys/kernel/tracing/trace, saved while it held the events",
    Format.DMESG: "give the capture directory that it belongs to: dmesg is read with a trace, not alone",
}


def recognise(head: bytes, name: str) -> Format:
    """Return the format of a file that begins with *head* (uncompressed; ``HEAD_BYTES`` of it, or all).

    Raises
    ------
    UnrecognisedInput
        It is of no format that we can name; the message says what it looks like.
    """
    for magic, found in _MAGICS:
        if head.startswith(magic):
            return found
    if not head:
        raise UnrecognisedInput(source=name, found="nothing: was the recording stopped too early?", expected=EXPECTED)
    if b"\0" in head[:BINARY_BYTES]:
        start = head[:8].hex(" ")
        raise UnrecognisedInput(source=name, found=f"binary data that begins with {start}", expected=EXPECTED)
    votes = dict.fromkeys(Format, 0)
    for line in head.splitlines()[:LINES_LOOKED_AT]:
        for pattern, candidate in _TEXTS:
            if pattern.match(line):
                votes[candidate] += 1
                break
    best = max(votes, key=lambda candidate: votes[candidate])
    if not votes[best]:
        raise UnrecognisedInput(source=name, found=f"text that begins with {_first_line(head)!r}", expected=EXPECTED)
    return best


def check_readable(found: Format, name: str) -> None:
    """Raise when a file of format *found* is no recording that we can read by itself.

    Raises
    ------
    InputError
        With what was found, and what to do.
    """
    if found not in READABLE:
        raise InputError(
            f"{name}: expected {EXPECTED}; found {found.value}, which is not read as it is: {_REMEDIES[found]}"
        )


def _first_line(head: bytes) -> str:
    line = next((line for line in head.splitlines() if line.strip()), b"")
    return line[:60].decode(errors="backslashreplace")
