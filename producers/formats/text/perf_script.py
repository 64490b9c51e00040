"""perf script: what it prints of a perf.data with kmem tracepoints, with and without call chains."""

import re
from dataclasses import replace
from pathlib import PurePosixPath
from typing import BinaryIO, Final

import numpy as np

from pagetrail.producers.formats.format import Format, Origin
from pagetrail.producers.formats.prefixed import ANY_PREFIX, JOURNAL, without_prefix
from pagetrail.producers.formats.rewritten import Rewrite, other_blanks, rewritten, with_blanks
from pagetrail.producers.formats.text import text_jit as tk
from pagetrail.producers.formats.text.blocks import Survey
from pagetrail.producers.formats.text.odd_lines import (
    COMMENT,
    LOSS_REPORT,
    OF_FTRACE,
    Known,
    Odd,
    Unread,
    is_joined,
    perf_line,
)
from pagetrail.producers.formats.text.perf_jit import LEAST_DIGITS, scan_perf
from pagetrail.producers.formats.text.reader import TextReader
from pagetrail.producers.formats.text.stated import Stated, perf_chunks, perf_record_loss, perf_samples, perf_warning
from pagetrail.producers.formats.tracer import PERF
from pagetrail.producers.gaps import gap_of_unknown_cpu
from pagetrail.producers.inputs import Input
from pagetrail.producers.meaning import RecordedKernel
from pagetrail.schemas.batch import EventBatch
from pagetrail.schemas.columns import absent

# tools/perf/util/evsel_fprintf.c (Linux 6.1), sample__fprintf_callchain: address, symbol+offset, (dso), each by -F; then, on a
# line of its own that has no tab, the source line
_FRAME: Final = re.compile(rf"\t *(?:([0-9a-f]{{{LEAST_DIGITS},}})(?=\s|$))? ?(.*?)(?: ?\(([^()]*)\))?\s*", re.ASCII)
_SOURCE: Final = re.compile(rb"  [^ ]+(?: \(.*)?", re.DOTALL)
# The outermost function of the kernel, by architecture, where nothing else tells what is the process's:
# arch/x86/entry/entry_64.S, arch/arm64/kernel/entry.S, arch/arm/kernel/entry-common.S, arch/s390/kernel/entry.S (Linux 6.1)
_ENTRIES: Final = re.compile(
    r"entry_SYSCALL|entry_INT80|asm_exc_|asm_sysvec_|asm_common_interrupt|ret_from_fork|el[01]t?_|ret_fast_syscall|__system_call"
)
_RECORD: Final = re.compile(rb"(PERF_RECORD_[A-Z_0-9]+)\b.*", re.DOTALL)
_HEAD: Final = re.compile(
    rb"((?:.*? )??)(?:-1|[0-9]{1,9})(?:/(?:-1|[0-9]{1,9}))? +(?:\[(?:-0?1|([0-9]{1,5}))\] +)?([0-9]{1,10})\.([0-9]{9}|[0-9]{6}): +",
    re.DOTALL,
)
_LOST: Final = "PERF_RECORD_LOST"
_CHAIN: Final = Known(kind="stack")  # of a line that was no event
_KERNEL_DSO: Final = ("[kernel.kallsyms]", "[kernel.vmlinux]", "[guest.kernel.kallsyms]", "[kernel]", "inlined")


class PerfScript(TextReader):
    """The output of ``perf script``, as a ``parsed.Parser``. It keeps the kernel's part of call chains."""

    _scanner = staticmethod(scan_perf)
    _late_stacks = False
    _empty_is_loss = False
    _odd_line = -1
    _chained = False
    _located = 0
    _chunks = 0
    _samples = 0

    def _odd(self, line: bytes) -> Odd | Stated:
        number = int(self._state[tk.LINE])
        follows = number == self._odd_line + 1
        tab = line.startswith(b"\t")
        chained = follows and (tab or (self._chained and _SOURCE.fullmatch(line) is not None))
        if len(line) > tk.MAX_LINE or (tab and not chained):
            return perf_line(line)
        self._odd_line, self._chained = number, chained
        if is_joined(line) and (chained or line.startswith(b"#")):
            return Unread(kind="sample behind another line")
        if chained:
            return _CHAIN
        return COMMENT if line.startswith(b"#") else self._record(line) or self._warning(line) or perf_line(line)

    def _record(self, line: bytes) -> Odd | Stated | None:
        """Take a record that is no sample, as --show-lost-events and the like print them; null when it is none."""
        head = _HEAD.match(line)
        if head is None or len(head[1].strip()) > tk.MAX_COMM:
            return None
        cpu = int(head[2] or absent("cpu"))
        record = _RECORD.fullmatch(line, head.end())
        if cpu >= tk.MAX_CPUS or record is None or is_joined(line[head.end() :]) or b"\0" in line:
            return None
        lost = perf_record_loss(line[head.end() :])
        name = record[1].decode()
        if lost is None:
            return None if name.startswith(_LOST) else self._ignored(name)
        at = int(head[3]) * 10**9 + int(head[4].ljust(9, b"0"))
        self._located += name == _LOST
        if at == 0:  # perf record made it at its end, without time or CPU: builtin-record.c, record__read_lost_samples
            self._lose_everywhere(lost)
            return LOSS_REPORT
        if cpu >= 0:
            return replace(lost, cpu=cpu)
        self.account.lost_events += lost.lost or 0
        self._rows.append(gap_of_unknown_cpu(at, lost.lost, lost.reason))
        return LOSS_REPORT

    def _ignored(self, name: str) -> Known:
        self.account.events[name] += 1
        self.account.ignored[name] += 1
        return Known(kind=name, what="nothing_new")

    def _warning(self, line: bytes) -> Odd | None:
        """Take a total of perf's; null when the line is none."""
        warning, chunks, samples = perf_warning(line), perf_chunks(line), perf_samples(line)
        if warning is not None:
            self._lose_everywhere(warning)
        self._chunks += chunks or 0
        self._samples += samples or 0
        return LOSS_REPORT if warning or chunks or samples else None

    def _compare_counts(self) -> None:
        if self._chunks > self._located:
            self._lose_everywhere(Stated(reason=f"perf says that it lost {self._chunks:,} chunks", lost=None))
        missing = self._samples - self._entries()
        if missing > 0:
            reason = f"perf record wrote {self._samples:,} samples, and {missing:,} of them are missing"
            self._lose_everywhere(Stated(reason=reason, lost=missing))

    def _stack_text(self, raw: bytes) -> str | None:
        frames = []
        for line in raw.decode("utf-8", "backslashreplace").split("\n"):
            found = _FRAME.fullmatch(line)
            if found is None:
                continue
            address, symbol, dso = (part or "" for part in found.groups())
            if not address and not symbol:
                continue
            frames.append(_frame(address, symbol, dso))
            if not address and not dso and _ENTRIES.match(symbol):
                break
        return "\n".join(frames) or None

    def _goes_on(self, tail: bytes) -> bool:
        return tail.startswith((b"\t", b"  "))

    def _flush(self, *, final: bool) -> EventBatch:
        return _without_numbers(super()._flush(final=final))


def _without_numbers(batch: EventBatch) -> EventBatch:
    """Return *batch* without the name ``:7`` of thread 7, which perf prints where it knows none.

    Source: tools/perf/util/thread.c, thread__new (Linux 6.1).
    """
    numbers = {at: int(text[1:]) for at, text in enumerate(batch.texts.get("comm", ())) if _NUMBER.fullmatch(text)}
    if not numbers or "comm" not in batch.columns:
        return batch
    comms, pids = batch.columns["comm"], batch.column("pid")
    number_of = np.full(len(batch.texts["comm"]) + 1, -1, np.int64)  # the last one stands for -1
    number_of[list(numbers)] = list(numbers.values())
    unnamed = (number_of[comms] == pids) & (number_of[comms] >= 0)
    return replace(batch, columns={**batch.columns, "comm": np.where(unnamed, np.int32(-1), comms)})


_NUMBER: Final = re.compile(r":\d{1,10}", re.ASCII)


def _frame(address: str, symbol: str, dso: str) -> str:
    """Return a frame as ftrace prints it: the symbol, or the address where there is none; and the module."""
    name = f"0x{address}" if address and symbol in ("", "[unknown]") else symbol
    if dso in ("", "[unknown]", *_KERNEL_DSO) or PurePosixPath(dso).name.startswith("vmlinux"):
        return name
    if dso.startswith("["):
        return f"{name} {dso}"
    module = PurePosixPath(dso).name.partition(".ko")[0].replace("-", "_")
    return f"{name} [{module}]"


# tools/perf/builtin-script.c, perf_sample__fprintf_start and process_event (Linux 6.12): what -F puts before the event's fields.
# "comm [pid/]tid [cpu] misc date time: period system:event: "; all but time and event by choice, old ones without the system.
_IDS: Final = rb"-?\d+(?:/-?\d+)?"
_DATE: Final = rb"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+"
_TIME: Final = rb"\d+\.\d{6}(?:\d{3})?:"
_EVENT: Final = rb" +(?:\d+ +)?(?:[\w-]+:)?[\w/,=-]+(?::[a-zA-Z]+)?: "
_SHORT_HEAD: Final = re.compile(
    rb"(?P<comm>.{0,64}?)(?P<ids>(?:\A|\s)\s*%b)?(?P<cpu>\s+\[\d+\])?(?:(?<=[\]\d])\s+[A-Z]{1,3}[a-z]?)?(?:\s+%b)?"
    rb"(?:\A|\s)\s*(?P<rest>%b%b.*)" % (_IDS, _DATE, _TIME, _EVENT),
    re.DOTALL,
)
_WHOLE_HEAD: Final = re.compile(rb"\s*(?:.{1,16}?\s+)?%b\s+(?:\[\d+\]\s+)?%b%b" % (_IDS, _TIME, _EVENT))
_HEAD_BYTES: Final = 1 << 16
"""How much of a text is looked at for the fields that its heads have."""


def _with_whole_head(line: bytes) -> bytes:
    """Return a sample's line with the head that ``scan_perf`` reads: a thread that is not named is -1, as one that is gone."""
    found = None if line.startswith((b"\t", b"#")) or OF_FTRACE.match(line) else _SHORT_HEAD.fullmatch(line)
    if found is None:
        return line
    return b"%b %b%b %b" % (found["comm"], (found["ids"] or b"-1").strip(), found["cpu"] or b"", found["rest"])


# The same by perf script -L: "%8.8s %7d %3d ", the CPU without brackets; what precedes it may be stripped of its blanks
_LATENCY_IDS: Final = rb"(?:%b)(?:/\d+ *)?" % b"|".join(
    [b" " * (7 - n) + rb"\d{%d}" % n for n in range(1, 7)] + [rb"\d{7,10}"]
)
_LATENCY_HEAD: Final = re.compile(
    rb"(?:(?P<comm>.{8}) )?(?:(?P<ids>%b) )?(?P<cpu>  \d| \d\d|\d{3,5}) +(?P<rest>%b%b.*)"
    % (_LATENCY_IDS, _TIME, _EVENT),
    re.DOTALL,
)
_LATENCY_STRIPPED: Final = re.compile(
    rb"(?P<comm>\S.{0,7}) (?P<ids>%b) (?P<cpu>  \d| \d\d|\d{3,5}) +(?P<rest>%b%b.*)" % (_LATENCY_IDS, _TIME, _EVENT),
    re.DOTALL,
)
_TWO_NUMBERS: Final = re.compile(
    rb"\s*(?:\S.{0,15}? +)?\d{1,10}(?:/\d+)? (?: {0,5}\d| {0,4}\d\d| {0,3}\d{3}) +(?P<rest>%b%b.*)" % (_TIME, _EVENT),
    re.DOTALL,
)
"""What is left of such a head where blanks were lost: the last number is a CPU, or, behind a task's name, a thread."""


def _latency(line: bytes) -> re.Match[bytes] | None:
    return _LATENCY_HEAD.fullmatch(line) or _LATENCY_STRIPPED.fullmatch(line)


def _from_latency(line: bytes) -> bytes:
    """Return a sample's line of ``perf script -L`` with the head that ``scan_perf`` reads."""
    found = _latency(line)
    if found is None:
        return line
    ids = (found["ids"] or b"-1").strip()
    return b"%b %b [%b] %b" % (found["comm"] or b"", ids, found["cpu"].strip(), found["rest"])


def _without_thread(line: bytes) -> bytes:
    """Return a sample's line without its thread and CPU, where nothing tells which of two numbers is which."""
    found = _TWO_NUMBERS.fullmatch(line)
    return b" -1 " + found["rest"] if found else line


_UNSURE_THREADS: Final = (
    "its samples have two numbers before the time, and which of them is the thread cannot be told: none has a thread; give the "
    "output of perf script as it was printed, with its blanks, or run it with -F comm,pid,tid,cpu,time,event,trace"
)


def _head_rewrite(head: list[bytes]) -> Rewrite | None:
    """Return what gives samples, the first of which are among *head*, the head that ``scan_perf`` reads; null: they have it."""
    samples = [line for line in head if not (line.startswith((b"\t", b"#")) or OF_FTRACE.match(line))]
    samples = [line for line in samples if _SHORT_HEAD.match(line)]
    for match, rewrite in ((_latency, _from_latency), (_TWO_NUMBERS.fullmatch, _without_thread)):
        if 2 * sum(match(line) is not None for line in samples) > len(samples):
            return rewrite
    return None if samples and _WHOLE_HEAD.match(samples[0]) else _with_whole_head


def _with_blanks(line: bytes) -> bytes:
    """Return a line with plain blanks, and with the tab before a frame at its beginning."""
    plain, behind = with_blanks(line), line.lstrip(b" ")
    return b"\t" + with_blanks(behind[1:]) if behind.startswith(b"\t") and not _SHORT_HEAD.match(plain) else plain


_SURE_FRAME: Final = re.compile(rb" *[0-9a-f]{8,16} \S| *\S+ \(\S*\)$")


def _with_blanks_before_samples(line: bytes) -> bytes:
    """Return the same where samples begin with a tab too: what may be left of one is no frame."""
    plain = _with_blanks(line)
    return plain[1:] if plain.startswith(b"\t") and not _SURE_FRAME.match(plain, 1) else plain


def _opened(stream: Input, kernel: RecordedKernel) -> PerfScript:
    head = stream.peek(_HEAD_BYTES)[:_HEAD_BYTES].split(b"\n")
    text: BinaryIO = stream
    prefix = without_prefix(head, _WHOLE_HEAD)
    if prefix and (
        prefix(b"\t") or sum(line.startswith(b"\t\t") for line in head) * 2 > len(head)
    ):  # frames have a tab
        head, text = [prefix(line) for line in head], rewritten(text, prefix)
    frames = [line.startswith(b" ") for line in head if line.lstrip(b" ").startswith(b"\t")]
    if other_blanks(head, _SHORT_HEAD) or 2 * sum(frames) > len(frames):
        samples = [line for line in head if _SHORT_HEAD.match(with_blanks(line))]
        tabbed = any(line.startswith((b"\t", b" \t")) for line in samples)
        plain = _with_blanks_before_samples if tabbed else _with_blanks
        head, text = [plain(line) for line in head], rewritten(text, plain)
    if rewrite := _head_rewrite(head):
        text = rewritten(text, rewrite)
    parser = PerfScript(text, source=stream.source, kernel=kernel)
    if rewrite is _without_thread:
        parser.account.notes.append(_UNSURE_THREADS)
    return parser


def _origin(head: bytes) -> Origin:
    """Return what ``perf script --header`` says of the machine.

    Source: tools/perf/util/header.c (Linux 6.1), print_hostname and print_osrelease.
    """
    said = dict(_SAID.findall(head))
    return Origin(host=_text(said.get(b"hostname")), release=_text(said.get(b"os release")))


_SAID: Final = re.compile(rb"^# ([a-z ]+?) *: *([!-~]+)[ \r]*$", re.MULTILINE)


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode()


PERF_SCRIPT: Final = Format(
    name="perf-script",
    phrase="the output of perf script",
    line=re.compile(
        rb"\s{0,32}(?:.{1,16}?\s{1,32})??(?:%b\s{1,8})?(?:\[\d+\]\s{1,8})?(?:[A-Z]{1,3}[a-z]?\s{1,8})?(?:%b\s{1,8})?\s{0,8}%b%b"
        % (_IDS, _DATE, _TIME, _EVENT)
        + b"|(?:%b|%b)%b" % (ANY_PREFIX, JOURNAL.pattern, _WHOLE_HEAD.pattern)
    ),
    opens=_opened,
    origin=_origin,
    survey=lambda head: Survey(head, of_perf=True),
    tracer=PERF,
    trace_names=("perf-script.txt",),
)
PERF_WITHOUT_TIME: Final = Format(
    name="perf-script without times",
    line=re.compile(
        rb"(?!.*\d\.\d{6}(?:\d{3})?: )\s{0,32}(?:.{1,16}?\s{1,32})??(?:%b\s{1,8})?(?:\[\d+\]\s{1,8})?(?:\d+\s{1,8})?"
        rb"(?:kmem:)?mm_page_\w+: +(?:page|pfn|\[FAILED)" % _IDS
    ),
    instead="no time: add it with 'perf script -F +time' and give that output",
)
