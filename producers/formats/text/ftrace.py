"""ftrace text: what ``cat trace`` and ``cat trace_pipe`` of tracefs print, with and without stacks, TGID and flags."""

import re
from dataclasses import dataclass, replace
from typing import Final

from pagetrail.producers.formats.format import Format, Origin
from pagetrail.producers.formats.text import text_jit as tk
from pagetrail.producers.formats.text.blocks import Survey
from pagetrail.producers.formats.text.forms import LINES, form_of, rewritten
from pagetrail.producers.formats.text.ftrace_jit import scan_ftrace
from pagetrail.producers.formats.text.reader import TextReader
from pagetrail.producers.formats.tracer import FTRACE
from pagetrail.producers.inputs import Input
from pagetrail.producers.meaning import RecordedKernel

# kernel/trace/trace.c (Linux 6.1): print_event_info and print_func_help_header; later comments: test_cpu_buff_start
_ENTRIES: Final = re.compile(rb"# entries-in-buffer/entries-written: *([0-9]{1,18})/([0-9]{1,18}) +#P:([0-9]{1,5})\s*")
_COLUMNS: Final = re.compile(rb"#[ \t]+TASK-(?:PID|TID)\b(.*)")
_COMMENT: Final = re.compile(rb"#[ -~\t]*\r?")
# kernel/trace/trace_output.c (Linux 6.1), print_trace_line
_LOST: Final = re.compile(rb"CPU:([0-9]{1,5}) \[LOST(?: ([0-9]{1,18}))? EVENTS\]\s*")

# trace-cmd's tracecmd/trace-read.c says these before the events (3.2), atrace (frameworks/native/cmds/atrace) the last two
_BEFORE: Final = re.compile(rb"version = \d+|cpus=\d+|CPU \d+ is empty|capturing trace\.\.\. ?(?:done)?|TRACE:")
# kernel/trace/trace_output.c (Linux 6.1), trace_fn_trace: a call that the function tracer saw
_CALL: Final = re.compile(
    rb".*-\d+ +(?:\( *[-\d]+\) *)?\[\d+\] +(?:[^ \d][^ ]* +)?\d+\.\d+: +[\w.]+(?:\+0x[0-9a-f/x]+)?(?: \[\w+\])?"
    rb"(?: <[0-9a-f]+>)? <-[\w.]+(?:\+0x[0-9a-f/x]+)?(?: \[\w+\])?(?: <[0-9a-f]+>)?",
    re.DOTALL,
)
_HEAD_BYTES: Final = 1 << 16
"""How much of a text is looked at for its form."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FtraceHeader:
    """What the lines that begin with '#' say; None where they do not."""

    entries_in_buffer: int | None = None
    entries_written: int | None = None
    """More than in the buffer: the ring has overwritten its oldest events, and no line says so."""
    cpus: int | None = None
    has_tgid: bool | None = None


class FtraceText(TextReader):
    """A trace in the format of tracefs, as a ``parsed.Parser``.

    Its stacks belong to the last event of their CPU, which other CPUs' lines may separate from them.
    """

    _scanner = staticmethod(scan_ftrace)
    _late_stacks = True
    header: FtraceHeader | None = None

    def _odd(self, line: bytes) -> bool:
        if len(line) > tk.MAX_LINE:
            return False
        if line.startswith(b"#"):
            return self._comment(line)
        lost = _LOST.fullmatch(line)
        if lost is None:
            return not line.strip() or bool(_BEFORE.fullmatch(line) or _CALL.fullmatch(line))
        cpu = int(lost[1])
        if cpu >= tk.MAX_CPUS:
            return False
        count = None if lost[2] is None else int(lost[2])
        self._lose(cpu, count, f"the trace says {line.strip().decode()}")
        return True

    def _comment(self, line: bytes) -> bool:
        entries = _ENTRIES.fullmatch(line)
        columns = _COLUMNS.match(line)
        if entries is not None:
            in_buffer, written, cpus = (int(group) for group in entries.groups())
            self.header = replace(
                self.header or FtraceHeader(), entries_in_buffer=in_buffer, entries_written=written, cpus=cpus
            )
        elif columns is not None:
            self.header = replace(self.header or FtraceHeader(), has_tgid=b"TGID" in columns[1])
        return _COMMENT.fullmatch(line) is not None

    def _stack_text(self, raw: bytes) -> str:
        lines = raw.decode("utf-8", "backslashreplace").split("\n")
        return "\n".join(line.strip().removeprefix("=>").strip() for line in lines if line.strip())

    def _goes_on(self, tail: bytes) -> bool:
        start = tail.lstrip(b" \t")[:2]
        return bool(tail) and b"=>".startswith(start)


_COMMON: Final = re.compile(
    # "comm-pid (tgid) [cpu] flags ts: event: ", TGID and flags by the tracer's options; or what trace_pipe says of a loss.
    rb"# tracer: |# entries-in-buffer/entries-written: |CPU:\d+ \[LOST \d+ EVENTS\]$"
    rb"|\s*.{1,16}-\d+\s+(?:\(\s*(?:\d+|-+)\)\s+)?\[\d+\]\s+(?:[^\s:]{1,12}\s+)?\d+\.\d+: +"
    rb"(?:[\w.+/]+(?: <[0-9a-f]+>)?: |<|[\w.]+ <-)"
)


def _opened(stream: Input, kernel: RecordedKernel) -> FtraceText:
    form = form_of(stream.peek(_HEAD_BYTES)[:_HEAD_BYTES], _COMMON)
    text = rewritten(stream, form.rewrite(stream.source)) if form else stream
    return FtraceText(text, source=stream.source, kernel=kernel)


def _origin(head: bytes) -> Origin:
    """Return what the header of the latency format says of the kernel.

    Source: kernel/trace/trace.c (Linux 6.1), print_trace_header.
    """
    said = _LATENCY_HEADER.search(head)
    return Origin(release=said[1].decode() if said else None)


_LATENCY_HEADER: Final = re.compile(rb"^# \S+ latency trace v\S+ on ([!-~]+)", re.MULTILINE)

FTRACE_TEXT: Final = Format(
    name="ftrace-text",
    phrase="ftrace text",
    magics=(b"<!DOCTYPE html", b"<!doctype html", b"<!DOCTYPE HTML", b"<html"),  # systrace
    line=re.compile(b"|".join([_COMMON.pattern, *LINES]), re.DOTALL),
    opens=_opened,
    origin=_origin,
    survey=Survey,
    tracer=FTRACE,
    trace_names=("trace.txt", "trace_pipe.txt", "trace"),
)
