"""perf script: what it prints of a perf.data with kmem tracepoints, with and without call chains."""

import re
from pathlib import PurePosixPath
from typing import Final

from pagetrail.producers.formats.format import Format
from pagetrail.producers.formats.text import text_jit as tk
from pagetrail.producers.formats.text.perf_jit import LEAST_DIGITS, scan_perf
from pagetrail.producers.formats.text.reader import TextReader
from pagetrail.producers.formats.tracer import PERF
from pagetrail.producers.meaning import gap_of_unknown_cpu
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
# tools/perf/util/event.c (Linux 6.1), perf_event__fprintf_lost; printed with --show-lost-events
_LOST: Final = re.compile(rb"PERF_RECORD_LOST lost ([0-9]{1,18})\s*")
_RECORD: Final = re.compile(rb"(PERF_RECORD_[A-Z_0-9]+)\b.*", re.DOTALL)
_HEAD: Final = re.compile(
    rb".*? (?:-1|[0-9]{1,9})(?:/(?:-1|[0-9]{1,9}))? +(?:\[([0-9]{1,5})\] +)?([0-9]{1,10})\.([0-9]{9}|[0-9]{6}): +",
    re.DOTALL,
)
_REASON: Final = "perf says PERF_RECORD_LOST"
_KERNEL_DSO: Final = ("[kernel.kallsyms]", "[kernel.vmlinux]", "[guest.kernel.kallsyms]", "[kernel]", "inlined")


class PerfScript(TextReader):
    """The output of ``perf script``, as a ``parsed.Parser``. It keeps the kernel's part of call chains."""

    _scanner = staticmethod(scan_perf)
    _late_stacks = False
    _odd_line = -1
    _chained = False

    def _odd(self, line: bytes) -> bool:
        number = int(self._state[tk.LINE])
        follows = number == self._odd_line + 1
        chained = line.startswith(b"\t") or (follows and self._chained and _SOURCE.fullmatch(line) is not None)
        if chained and not follows:
            return False
        self._odd_line, self._chained = number, chained
        if chained:  # the chain of a line that was no event
            return True
        if len(line) > tk.MAX_LINE:
            return False
        return line.startswith(b"#") or self._record(line) or not line.strip()

    def _record(self, line: bytes) -> bool:
        """Take a record that is no sample, as --show-lost-events and the like print them."""
        head = _HEAD.match(line)
        if head is None:
            return False
        cpu = int(head[1] or absent("cpu"))
        record = _RECORD.fullmatch(line, head.end())
        if cpu >= tk.MAX_CPUS or record is None:
            return False
        lost = _LOST.fullmatch(line, head.end())
        if lost is None:
            name = record[1].decode()
            self.account.events[name] += 1
            self.account.ignored[name] += 1
            return True
        if cpu >= 0:
            self._lose(cpu, int(lost[1]), _REASON)
        else:
            at = int(head[2]) * 10**9 + int(head[3].ljust(9, b"0"))
            self.account.lost_events += int(lost[1])
            self._rows.append(gap_of_unknown_cpu(at, int(lost[1]), _REASON))
        return True

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


def _frame(address: str, symbol: str, dso: str) -> str:
    """Return a frame as ftrace prints it: the symbol, or the address where there is none; and the module."""
    name = f"0x{address}" if address and symbol in ("", "[unknown]") else symbol
    if dso in ("", "[unknown]", *_KERNEL_DSO) or PurePosixPath(dso).name.startswith("vmlinux"):
        return name
    if dso.startswith("["):
        return f"{name} {dso}"
    module = PurePosixPath(dso).name.partition(".ko")[0].replace("-", "_")
    return f"{name} [{module}]"


PERF_SCRIPT: Final = Format(
    name="perf-script",
    phrase="the output of perf script",
    # "comm tid [cpu] ts: [period] system:event: "
    line=re.compile(rb"\s*.{1,16}?\s+-?\d+(?:/-?\d+)?\s+(?:\[\d+\]\s+)?\d+\.\d+:\s+(?:\d+\s+)?[\w-]+:\w+:"),
    opens=lambda stream, kernel: PerfScript(stream, source=stream.source, kernel=kernel),
    tracer=PERF,
    trace_names=("perf-script.txt",),
)
