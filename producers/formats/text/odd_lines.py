"""Lines that are no event: which words of a tool they are, or that they were not understood and may have been an event."""

import re
from dataclasses import dataclass, field
from typing import Final

from pagetrail.producers.formats.text import text_jit as tk
from pagetrail.producers.formats.text.payloads import JOINED
from pagetrail.producers.gaps import Pages
from pagetrail.schemas.details import LineKind

_JOINED: Final = re.compile(JOINED.pattern.encode())
# kernel/trace/trace_output.c (Linux 6.1), trace_stack_print and trace_fn_trace
_FRAME: Final = re.compile(rb"[ \t]*=>.*", re.DOTALL)
_CALL: Final = re.compile(
    rb"\s*.{0,15}-(?:\?|\d{1,9}) +(?:\( *(?:-+|\d{1,9})\) *)?\[\d{1,5}\] +(?:[!-/:-~][!-~]* +)?\d{1,10}\.(?:\d{9}|\d{6}): +"
    rb"[\w.]+(?:\+0x[0-9a-f/x]+)?(?: \[\w+\])?"
    rb"(?: <[0-9a-f]+>)? <-[\w.]+(?:\+0x[0-9a-f/x]+)?(?: \[\w+\])?(?: <[0-9a-f]+>)?",
    re.DOTALL,
)
# kernel/trace/trace_output.c (Linux 6.1), trace_raw_data: what was written to trace_marker_raw, without a name of an event
_RAW_MARKER: Final = re.compile(
    rb"\s*.{0,15}-(?:\?|\d{1,9}) +(?:\( *(?:-+|\d{1,9})\) *)?\[\d{1,5}\] +(?:[!-/:-~][!-~]* +)?\d{1,10}\.(?:\d{9}|\d{6}): +"
    rb"# [0-9a-f]{1,8} buf:(?: [0-9a-f]{2})*\s*",
    re.DOTALL,
)
# The thread and the CPU as the heads of both formats have them.
_FTRACE_CPU: Final = re.compile(rb"-[0-9]{1,9} +(?:\( *(?:-+|[0-9]{1,9})\) *)?\[([0-9]{1,5})\] ")
_PERF_CPU: Final = re.compile(rb" (?:-1|[0-9]{1,9})(?:/(?:-1|[0-9]{1,9}))? +\[([0-9]{1,5})\] ")

COUNT_OF_ENTRIES: Final = re.compile(rb"# ?entri|entries-(?:in-buffer|written)")
"""What is left of a header's line that counts entries (kernel/trace/trace.c, print_event_info, Linux 6.1)."""
# An event as the other of the two tools writes it: two texts were joined.
OF_FTRACE: Final = re.compile(rb".{1,16}" + _FTRACE_CPU.pattern + rb".*\d\.\d{6}(?:\d{3})?: +mm_page_", re.DOTALL)
_OF_PERF: Final = re.compile(rb".*\d\.\d{6}(?:\d{3})?: +(?:\d+ +)?kmem:mm_page_", re.DOTALL)

# What trace-cmd report prints beside events: tracecmd/trace-read.c, read_data_info; lib/trace-cmd/trace-input.c, init_cpu.
# The last two are atrace's (frameworks/native/cmds/atrace).
_TRACE_CMD: Final = re.compile(
    rb"(?:cpus|version) ?= ?[0-9]+|CPU [0-9]+ is empty|CPU: [0-9]+|(?:entries|bytes|read events): [0-9]+"
    rb"|(?:oldest event|now) ts: *[0-9.]+|Kernel buffer statistics:|capturing trace\.\.\. ?(?:done)?|TRACE:"
)
# What perf prints on standard error: tools/perf/util/session.c, perf_session__warn_about_errors; builtin-record.c (Linux 6.1)
_PERF: Final = re.compile(
    rb"Warning:|Check IO/CPU overload!|\[ perf record: .* \]|AUX data lost .*|Found invalid callchains!|Do you have a KVM guest .*"
    rb"|(?:Consider|reporting|If that is not the case, consider reporting).* to linux-kernel@vger\.kernel\.org\."
    rb"|Is this an older tool processing .*|[0-9]+ out of order events recorded\.|Couldn't synthesize bpf events\."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A line that is no event of pages; *entries*: of a ring, which it is."""

    kind: str
    what: LineKind = "bookkeeping"
    entries: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Unread:
    """A line that was not understood.

    Attributes
    ----------
    cpu
        Null where the line does not say it, or not for sure.
    is_loss
        Whether it may have been an event that tells of a page.
    pages
        The columns that name the pages of which it tells; empty: it may be any.
    elsewhere
        Why it is a loss at an unknown time; empty: it is one where it stands.
    """

    kind: str
    cpu: int | None = None
    is_loss: bool = True
    pages: Pages = field(default_factory=dict)
    elsewhere: str = ""


Odd = Known | Unread

EMPTY_LINE: Final = Known(kind="empty line")
LOSS_REPORT: Final = Known(kind="report of lost events")
COMMENT: Final = Known(kind="comment")
_OF_OTHERS: Final = Unread(
    kind="event as another tool writes it",
    elsewhere="it has events as another tool writes them, and when they were is not read",
)
_ENTRIES_LOST: Final = Unread(
    kind="garbled count of entries",
    elsewhere="its header counts what was overwritten, and cannot be read",
)
_TOO_LONG: Final = Unread(kind=f"longer than {tk.MAX_LINE:,} bytes")


def is_joined(line: bytes) -> bool:
    """Return whether the time of an event's head is in *line*, which is no event: an event was joined to it."""
    return _JOINED.search(line) is not None


def events_in(line: bytes) -> int:
    """Return how many events' times are in *line*."""
    return len(_JOINED.findall(line))


def ftrace_line(line: bytes) -> Odd:
    """Return what a line of an ftrace text is that is neither an event nor a comment, nor says that events were lost."""
    if len(line) > tk.MAX_LINE:
        return _TOO_LONG
    if not line.strip(b"\r"):
        return EMPTY_LINE
    if _TRACE_CMD.fullmatch(line.strip()):
        return Known(kind="trace-cmd's own line")
    if _CALL.fullmatch(line) and events_in(line) == 1:
        return Known(kind="function call", what="nothing_new", entries=1)
    if _RAW_MARKER.fullmatch(line):
        return Known(kind="raw marker", what="nothing_new", entries=1)
    if _OF_PERF.match(line):
        return _OF_OTHERS
    if COUNT_OF_ENTRIES.search(line):
        return _ENTRIES_LOST
    return _unread(line, _FTRACE_CPU, None if _FRAME.fullmatch(line) is None else "frame of no stack")


def perf_line(line: bytes) -> Odd:
    """Return what a line of perf script is that is neither a sample, a comment, a record, nor says that events were lost."""
    if len(line) > tk.MAX_LINE:
        return _TOO_LONG
    if not line.strip(b"\r"):
        return EMPTY_LINE
    if _PERF.fullmatch(line.strip()):
        return Known(kind="perf's own line")
    if OF_FTRACE.match(line):
        return _OF_OTHERS
    return _unread(line, _PERF_CPU, "call chain of no sample" if line.startswith(b"\t") else None)


def _unread(line: bytes, cpu_field: re.Pattern[bytes], frame: str | None) -> Unread:
    """Return what a line is that was not understood; *frame*: what it is called if it looks like a stack's."""
    if frame is not None and not is_joined(line) and b"\0" not in line:
        return Unread(kind=frame, is_loss=False)
    cpu = _cpu_of(line, cpu_field)
    if b"\0" in line:
        return Unread(kind="with bytes 0", cpu=cpu)
    if not line.strip():
        return Unread(kind="of blanks")
    if b"LOST" in line or b"DROPPED" in line:
        return Unread(kind="garbled report of lost events", cpu=cpu)
    return Unread(kind="no event in its form" if cpu is None else "event whose form is not its own", cpu=cpu)


def _cpu_of(line: bytes, cpu_field: re.Pattern[bytes]) -> int | None:
    """Return the CPU of a line's head; null unless there is exactly one, behind a name that a task can have."""
    found = list(cpu_field.finditer(line))
    if len(found) != 1 or len(line[: found[0].start()].strip()) > tk.MAX_COMM:
        return None
    cpu = int(found[0][1])
    return cpu if cpu < tk.MAX_CPUS else None
