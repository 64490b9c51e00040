"""Other forms of ftrace text, each rewritten line by line into the common one: what ftrace.py then reads.

A form keeps the number of lines: a line that only the form has becomes a comment, and a line that it does not know stays as it is,
so that it is counted and shown as it was written.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from html import unescape
from typing import Final

from pagetrail.producers.formats.rewritten import Rewrite
from pagetrail.producers.formats.text.text_jit import MAX_LINE
from pagetrail.schemas.errors import InputError

_LINE_BYTES: Final = 1 << 12
"""How much of a line is looked at for its form."""
COMMENT: Final = b"#"
"""Stands for a line that says nothing of an event. An empty line in a trace may be what is left of one."""
NO_PID: Final = b"<...>-?"
"""Stands for ``comm-pid`` where the form has neither; no kernel prints it."""

# kernel/trace/trace_output.c (Linux 6.1), lat_print_generic, trace_print_lat_fmt and lat_print_timestamp; trace-cmd report -l
# prints the time as it does without -l
_LATENCY: Final = re.compile(
    rb"(?P<task>\s*.{1,16}-\d+)\s+(?P<cpu>\d{1,5})(?P<flags>[^\s\d]\S*)\s+"
    rb"(?:(?P<us>\d{1,15})us[^\w\s]?\s*|(?P<time>\d+\.\d{6}(?:\d{3})?)): (?P<rest>.+)",
    re.DOTALL,
)
_LATENCY_TIMED: Final = re.compile(rb"\s*.{1,16}-\d+\s+\d{1,5}[^\s\d]\S*\s+\d+\.\d{6}(?:\d{3})?: .")
# What printk puts before a line (kernel/printk/printk.c, info_print_prefix, Linux 6.1), behind what syslog and journalctl do.
_PRINTK: Final = re.compile(rb"(?:<\d+>)?(?:[^\[]* kernel: )?\[ *\d+\.\d{6}\](?:\[ *[TC]\d+\])? ?")
# kernel/trace/trace.c, ftrace_dump (Linux 6.1; an instance is named since 6.12)
_DUMP_BEGINS: Final = re.compile(rb"Dumping ftrace (?:instance \S+ )?buffer:|\(ftrace buffer empty\)")
_DUMP_RULE: Final = re.compile(rb"-{20,}\s*")
# kernel/trace/trace_functions_graph.c (Linux 6.1), print_graph_comment; the time by funcgraph-abstime, the task by funcgraph-proc
_GRAPH: Final = re.compile(
    rb"\s*(?P<s>\d{1,10})\.(?P<f>\d{1,9}) +\| +(?P<cpu>\d{1,5})\) +(?:(?P<comm>\S.{0,15}?)-(?P<pid>\d+) +\| +)?"
    rb"(?:[^|/]*\| +){1,2}/\* (?P<text>.*) \*/\s*",
    re.DOTALL,
)
_GRAPH_TIMED: Final = re.compile(rb"\s*\d{1,10}\.\d{1,9} +\| ")
# print_graph_entry_leaf, print_graph_entry_nested, print_graph_return, print_graph_irq, and the lines around a switch of tasks
_GRAPH_CALL: Final = re.compile(
    rb"[^/]*\|\s*(?:[\w.]+(?: \[\w+\])?\(.*\)\s*[{;].*|\}.*)|.*(?:={10}>|<={10})[ |]*|\s*-{10,}\s*|\s*",
    re.DOTALL,
)
_GRAPH_SWITCH: Final = re.compile(
    rb"\s*(?:\d+\.\d+ +\| +)?(?P<cpu>\d{1,5})\) .*=> +(?P<comm>\S.{0,15}?)-(?P<pid>\d+)\s*", re.DOTALL
)
_EVENT: Final = re.compile(rb"[\w.]+: ")
# trace-cmd's tracecmd/trace-read.c, print_handle_file: with several inputs, the name of the file before each line; grep's -H and -n
_FILE: Final = re.compile(
    rb" *(?:(?P<file>[^\s:]*\.[^\s:]*):(?: |\d+:)?|\d+:)(?P<rest>.{16,}-\d+\s+(?:\(\s*[-\d]+\)\s+)?\[\d+\] .*)",
    re.DOTALL,
)
_FILE_COMMENT: Final = re.compile(
    rb" *(?:(?P<file>[^\s:]*\.[^\s:]*):(?: |\d+:)?|\d+:)(?P<rest>#.*|[ \t]*=>.*|)", re.DOTALL
)
# the same, trace_show_data: report --ts-diff
_SINCE: Final = re.compile(rb"(?P<head>.*\[\d+\] .*\d\.\d{6}(?:\d{3})?:) +\(\+\d+\) +(?P<rest>[\w.]+: .*)", re.DOTALL)
_HTML: Final = re.compile(rb"\s*(?:<!doctype html|<html)", re.IGNORECASE)
_TRACE_BEGINS: Final = re.compile(rb"(?:.*>)?\s*(?=# tracer: )", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """One form.

    Attributes
    ----------
    line
        Matches lines that only this form has.
    rewrite
        Makes what rewrites the lines of one text; it is called with the text's name.
    """

    line: re.Pattern[bytes]
    rewrite: Callable[[str], Rewrite]


def form_of(head: bytes, common: re.Pattern[bytes]) -> Form | None:
    """Return the form of a text that begins with *head*; null where its first line of any form matches *common*."""
    if _HTML.match(head):
        return HTML
    for line in (line[:_LINE_BYTES] for line in head.split(b"\n")):
        for form in _BY_LINES:
            if form.line.match(line):
                return form
        if common.match(line) and not line.startswith(b"#"):
            return None
    return None


def _matched(pattern: re.Pattern[bytes], line: bytes) -> re.Match[bytes] | None:
    """Return how *pattern* matches the whole *line*; one that no kernel prints is not looked at, but stays as it is."""
    return None if len(line) > MAX_LINE else pattern.fullmatch(line)


def _in_latency_format(line: bytes) -> bytes:
    found = _matched(_LATENCY, line)
    if found is None:
        return line
    time = found["time"] or b"%d.%06d" % divmod(int(found["us"]), 1_000_000)
    return b"%b [%b] %b %b: %b" % (found["task"], found["cpu"], found["flags"], time, found["rest"])


class _InKernelLog:
    """What ftrace_dump_on_oops printed into the kernel's log, in the latency format; the log's other lines say nothing here."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._inside = self._read = False

    def __call__(self, line: bytes) -> bytes:
        prefix = _PRINTK.match(line)
        text = line[prefix.end() :] if prefix else line
        event = _in_latency_format(text)
        if event is not text:
            self._inside = self._read = True
            return event
        if _DUMP_RULE.fullmatch(text) or _DUMP_BEGINS.match(text):
            # a rule before the first event, and one behind the last
            self._inside = not (self._inside and self._read)
            self._read = False
            return COMMENT
        return text if self._inside else COMMENT


class _OfFiles:
    """Lines behind the name of the file that they are from."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._file: bytes | None = None

    def __call__(self, line: bytes) -> bytes:
        found = _matched(_FILE, line) or _matched(_FILE_COMMENT, line)
        if found is None:
            return line
        if found["file"] is not None and self._file not in (None, found["file"]):
            names = [name.decode(errors="backslashreplace") for name in (self._file or b"", found["file"])]
            raise InputError(
                f"{self._source}: expected the events of one machine, found those of several files: "
                f"{' and '.join(names)}; run 'trace-cmd report -i FILE' for each and ingest them one by one, with --host"
            )
        self._file = found["file"] or self._file
        return found["rest"]


def _without_difference(line: bytes) -> bytes:
    found = _matched(_SINCE, line)
    return line if found is None else b"%b %b" % (found["head"], found["rest"])


class _InGraph:
    """Events among the calls of the function_graph tracer, as comments of C; who runs is told where that changes."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._tasks: dict[bytes, bytes] = {}

    def __call__(self, line: bytes) -> bytes:
        found = _matched(_GRAPH, line)
        if found is None:
            switch = _matched(_GRAPH_SWITCH, line)
            if switch is not None:
                self._tasks[switch["cpu"]] = b"%b-%b" % (switch["comm"], switch["pid"])
            elif not _matched(_GRAPH_CALL, line):
                self._tasks.clear()  # it may have said that another task runs
                return line
            return COMMENT
        task = b"%b-%b" % (found["comm"], found["pid"]) if found["pid"] else self._tasks.get(found["cpu"], NO_PID)
        digits = 6 if len(found["f"]) <= 6 else 9
        text = found["text"] if _EVENT.match(found["text"]) else b"tracing_mark_write: " + found["text"]
        where = (task, found["cpu"], found["s"], found["f"].ljust(digits, b"0"), text)
        return b"%16b [%b] ..... %b.%b: %b" % where


class _InHtml:
    """The trace within a page: in a script of systrace, as it is; else with the entities of HTML. The rest of the page shows it."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._inside = self._in_script = False

    def __call__(self, line: bytes) -> bytes:
        if not self._inside:
            begins = _TRACE_BEGINS.match(line) if b"# tracer: " in line else None
            self._inside = begins is not None
            if b"<script" in line or b"</script>" in line:
                self._in_script = line.rfind(b"<script") > line.rfind(b"</script>")
            return line[begins.end() :] if begins else COMMENT
        end = b"</script>" if self._in_script else b"</pre>"
        if end in line:
            self._inside = self._in_script = False
            line = line.partition(end)[0].rstrip(b" ")
        if not line.strip():
            return COMMENT
        return (
            line if self._in_script or b"&" not in line else unescape(line.decode("latin-1")).encode("utf-8", "replace")
        )


LATENCY: Final = Form(line=_LATENCY, rewrite=lambda _: _in_latency_format)
KERNEL_LOG: Final = Form(
    line=re.compile(
        b"(?:%b)?(?:%b)|%b%b" % (_PRINTK.pattern, _DUMP_BEGINS.pattern, _PRINTK.pattern, _LATENCY.pattern), re.DOTALL
    ),
    rewrite=_InKernelLog,
)
FILES: Final = Form(line=_FILE, rewrite=_OfFiles)
SINCE: Final = Form(line=_SINCE, rewrite=lambda _: _without_difference)
GRAPH: Final = Form(line=_GRAPH_TIMED, rewrite=_InGraph)
HTML: Final = Form(line=_HTML, rewrite=_InHtml)
_BY_LINES: Final = (KERNEL_LOG, LATENCY, FILES, SINCE, GRAPH)
LINES: Final = (
    _LATENCY_TIMED.pattern,
    _GRAPH_TIMED.pattern,
    *(re.sub(rb"\(\?P<\w+>", b"(?:", pattern.pattern) for pattern in (_FILE, _SINCE)),
)
"""Patterns, without groups, of the lines by which a text is recognised that is all of one form and has the trace clock's times."""
