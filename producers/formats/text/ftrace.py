"""ftrace text: what ``cat trace`` and ``cat trace_pipe`` of tracefs print, with and without stacks, TGID and flags."""

import re
from functools import cached_property
from typing import BinaryIO, Final

from pagetrail.producers.formats.format import Format, Opener, Origin
from pagetrail.producers.formats.prefixed import ANY_PREFIX, JOURNAL, without_prefix
from pagetrail.producers.formats.rewritten import other_blanks, rewritten, with_blanks
from pagetrail.producers.formats.text import text_jit as tk
from pagetrail.producers.formats.text.blocks import Survey
from pagetrail.producers.formats.text.forms import KERNEL_LOG, LATENCY, LINES, Form, form_of
from pagetrail.producers.formats.text.ftrace_jit import scan_ftrace
from pagetrail.producers.formats.text.odd_lines import (
    COMMENT,
    COUNT_OF_ENTRIES,
    LOSS_REPORT,
    Known,
    Odd,
    ftrace_line,
    is_joined,
)
from pagetrail.producers.formats.text.reader import TextReader
from pagetrail.producers.formats.text.stated import RingCounts, Stated, ring_loss, ring_statistic
from pagetrail.producers.formats.text.ticks import counts
from pagetrail.producers.formats.tracer import FTRACE
from pagetrail.producers.inputs import Input
from pagetrail.producers.meaning import RecordedKernel
from pagetrail.schemas.linux.trace_clock import TICKS

# kernel/trace/trace.c (Linux 6.1): print_event_info; later comments: test_cpu_buff_start
_ENTRIES: Final = re.compile(rb"# entries-in-buffer/entries-written: *([0-9]{1,18})/([0-9]{1,18}) +#P:([0-9]{1,5})\s*")
_COMMENT: Final = re.compile(rb"#[ -~\t]*\r?")
_HEAD_BYTES: Final = 1 << 16
"""How much of a text is looked at for its form."""


class FtraceText(TextReader):
    """A trace in the format of tracefs, as a ``parsed.Parser``.

    Its stacks belong to the last event of their CPU, which other CPUs' lines may separate from them.
    """

    _scanner = staticmethod(scan_ftrace)
    _late_stacks = True
    _empty_is_loss = True
    _in_buffer = 0
    _overwritten = 0

    @cached_property
    def _ring_counts(self) -> RingCounts:
        return RingCounts()

    def _odd(self, line: bytes) -> Odd | Stated:
        if len(line) <= tk.MAX_LINE:
            if line.startswith(b"#") and (comment := self._comment(line)):
                return comment
            lost = ring_loss(line)
            if lost is not None and lost.cpu is not None and lost.cpu < tk.MAX_CPUS:
                return lost
            if (statistic := ring_statistic(line)) is not None:
                if statistic.lost:
                    self._lose_everywhere(statistic)
                return LOSS_REPORT
            if (left := self._ring_counts.take(line)) is not None:
                self._lose_everywhere(left)
                return LOSS_REPORT
        return ftrace_line(line)

    def _comment(self, line: bytes) -> Known | None:
        """Take what a comment says; null when it is none, as an event is in it, or bytes that no comment has."""
        if _COMMENT.fullmatch(line) is None or is_joined(line):
            return None
        entries = _ENTRIES.fullmatch(line)
        if entries is not None:
            self._begin(*(int(group) for group in entries.groups()))
        return None if entries is None and COUNT_OF_ENTRIES.search(line) else COMMENT

    def _begin(self, in_buffer: int, written: int, cpus: int) -> None:
        """Take a header's count of entries: those that are not in the buffer any more were lost before the first ones.

        The file of one CPU counts the entries of all CPUs; where such files are merged, all headers precede the first event.

        Source: kernel/trace/trace.c, get_total_entries (Linux 6.1).
        """
        lost = written - in_buffer
        if self._entries():
            self._in_buffer += in_buffer
        else:
            self._in_buffer = max(self._in_buffer, in_buffer)
            self._overwritten, lost = max(self._overwritten, lost), lost - self._overwritten
        if lost <= 0:
            return
        reason = f"the header says entries-in-buffer/entries-written: {in_buffer}/{written}"
        self.account.lost_events += lost
        self.account.notes.append(
            f"{lost:,} events were overwritten in the ring before the first ones that are there; "
            f"nothing is certain before an event of each of the {cpus} CPUs was read"
        )
        self._gaps.begin_late(cpus, lost, reason)

    def _compare_counts(self) -> None:
        self._compare_ring_counts()
        missing = self._in_buffer - self._entries()
        if missing > 0:
            reason = f"the header counts {self._in_buffer:,} entries, and {missing:,} of them are missing"
            self._lose_everywhere(Stated(reason=reason, lost=missing))

    def _compare_ring_counts(self) -> None:
        """Hold the lines of each CPU against what trace-cmd says that it read of its ring."""
        counts = self._ring_counts.read
        if missing := self.account.missing_of(counts):
            reason = (
                f"trace-cmd read {sum(counts.values()):,} events of the rings, and {missing:,} of them are missing, or the report "
                "was filtered"
            )
            self._lose_everywhere(Stated(reason=reason, lost=missing))

    def _stack_text(self, raw: bytes) -> str:
        lines = raw.decode("utf-8", "backslashreplace").split("\n")
        return "\n".join(line.strip().removeprefix("=>").strip() for line in lines if line.strip())

    def _goes_on(self, tail: bytes) -> bool:
        start = tail.lstrip(b" \t")[:2]
        return bool(tail) and b"=>".startswith(start)


_COMMON: Final = re.compile(
    # "comm-pid (tgid) [cpu] flags ts: event: ", TGID and flags by the tracer's options; or what trace_pipe says of a loss.
    rb"# tracer: |# entries-in-buffer/entries-written: |CPU:\d+ \[(?:LOST \d+ EVENTS|(?:\d+ )?EVENTS DROPPED)\]$"
    rb"|\s*.{1,16}-\d+\s+(?:\(\s*(?:\d+|-+)\)\s+)?\[\d+\]\s+(?:[^\s:]{1,12}\s+)?\d+(?:\.\d+)?: +"
    rb"(?:[\w.+/]+(?: <[0-9a-f]+>)?: |<|[\w.]+ <-)"
)


def _opened(stream: Input, kernel: RecordedKernel) -> FtraceText:
    head = stream.peek(_HEAD_BYTES)[:_HEAD_BYTES]
    form = form_of(head, _COMMON)
    rewrite = form.rewrite(stream.source) if form else without_prefix(head.split(b"\n"), _COMMON)
    text: BinaryIO = rewritten(stream, rewrite) if rewrite else stream
    ticks = rewrite is None and counts(head)
    if form is None:
        lines = head.split(b"\n") if rewrite is None else [rewrite(line) for line in head.split(b"\n")]
        if other_blanks(lines, _COMMON):
            text = rewritten(text, with_blanks)
            ticks = counts(b"\n".join([with_blanks(line) for line in lines]))
    return FtraceText(text, source=stream.source, kernel=kernel, ticks=ticks)


def _origin(head: bytes) -> Origin:
    """Return what the header of the latency format says of the kernel.

    Source: kernel/trace/trace.c (Linux 6.1), print_trace_header.
    """
    said = _LATENCY_HEADER.search(head)
    return Origin(release=said[1].decode() if said else None, trace_clock=TICKS if counts(head) else None)


_LATENCY_HEADER: Final = re.compile(rb"^# \S+ latency trace v\S+ on ([!-~]+)", re.MULTILINE)

FTRACE_TEXT: Final = Format(
    name="ftrace-text",
    phrase="ftrace text",
    magics=(b"<!DOCTYPE html", b"<!doctype html", b"<!DOCTYPE HTML", b"<html"),  # systrace
    line=re.compile(
        b"|".join([_COMMON.pattern, *LINES, b"(?:%b|%b)(?:%b)" % (ANY_PREFIX, JOURNAL.pattern, _COMMON.pattern)]),
        re.DOTALL,
    ),
    opens=_opened,
    origin=_origin,
    survey=Survey,
    tracer=FTRACE,
    trace_names=("trace.txt", "trace_pipe.txt", "trace"),
)


def _opened_from_start(form: Form, note: str) -> Opener:
    """Return what opens a text of *form*, whose times count from the start of the ring's buffer."""

    def opened(stream: Input, kernel: RecordedKernel) -> FtraceText:
        found = form_of(stream.peek(_HEAD_BYTES)[:_HEAD_BYTES], _COMMON) or form
        parser = FtraceText(rewritten(stream, found.rewrite(stream.source)), source=stream.source, kernel=kernel)
        parser.account.notes.append(f"its times count from the start of the ring's buffer, in microseconds{note}")
        return parser

    return opened


FTRACE_LATENCY: Final = Format(
    name="ftrace-latency",
    phrase="ftrace text in the latency format",
    line=re.compile(LATENCY.line.pattern, re.DOTALL),
    opens=_opened_from_start(LATENCY, ""),
    origin=_origin,
    from_start=True,
    tracer=FTRACE,
    trace_names=("trace_latency.txt",),
)
FTRACE_DUMP: Final = Format(
    name="ftrace-dump",
    phrase="a kernel log in which the ftrace buffer was dumped",
    line=KERNEL_LOG.line,
    within=True,
    opens=_opened_from_start(KERNEL_LOG, "; of the kernel's log, only what was dumped of that buffer is read"),
    from_start=True,
    tracer=FTRACE,
    trace_names=("ftrace_dump.txt",),
)
