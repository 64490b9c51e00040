"""perf script: what it prints of a perf.data with kmem tracepoints, with and without call chains."""

import re
from pathlib import PurePosixPath
from typing import Final

from pagetrail.producers import text_kernels as tk
from pagetrail.producers.perf_kernels import scan_perf
from pagetrail.producers.text_reader import TextReader

# tools/perf/util/evsel_fprintf.c (Linux 6.1), sample__fprintf_callchain: address, symbol+offset, (dso)
_FRAME: Final = re.compile(r"\t *([0-9a-f]+) (.*?)(?: \(([^()]*)\))?\s*")
# tools/perf/util/event.c (Linux 6.1), perf_event__fprintf_lost; printed with --show-lost-events
_LOST: Final = re.compile(rb".*?(?:\[([0-9]{1,5})\] +)?([0-9]{1,10})\.([0-9]{6}|[0-9]{9}): +PERF_RECORD_LOST lost ([0-9]{1,18})\s*")
_RECORD: Final = re.compile(rb".*?[0-9]+\.[0-9]+: +(PERF_RECORD_[A-Z_0-9]+)\b.*")
_KERNEL_DSO: Final = ("[kernel.kallsyms]", "[kernel.vmlinux]", "[guest.kernel.kallsyms]", "[kernel]", "inlined")


class PerfScript(TextReader):
    """The output of ``perf script``, as a ``parsed.Parser``. Of call chains, the kernel's part is kept."""

    header: None = None  # perf script prints none unless asked to; its lines begin with '#'

    def _scan(self, size: int, final: bool, cut: bool) -> int:
        texts = self._texts
        return int(
            scan_perf(
                self._data,
                self._newlines,
                size,
                final,
                cut,
                self._state,
                texts.slots,
                texts.notes,
                texts.arena,
                texts.fill,
                self._cpus,
                self._rows.rows,
            )
        )

    def _odd(self, line: bytes) -> bool:
        if len(line) > tk.MAX_LINE:
            return False
        if line.startswith(b"#"):
            return True
        lost = _LOST.fullmatch(line)
        if lost is not None and lost[1] is not None and int(lost[1]) < tk.MAX_CPUS:
            self.account.lost_events += int(lost[4])
            self._lose(int(lost[1]), int(lost[4]), "perf says PERF_RECORD_LOST")
            return True
        record = _RECORD.fullmatch(line)
        if lost is None and record is not None:
            name = record[1].decode()
            self.account.events[name] += 1
            self.account.ignored[name] += 1
            return True
        return not line.strip()

    def _stack_text(self, raw: bytes) -> str | None:
        frames = []
        for line in raw.decode("utf-8", "backslashreplace").split("\n"):
            found = _FRAME.fullmatch(line)
            if found is not None:
                frames.append(_frame(found[1], found[2], found[3] or ""))
        return "\n".join(frames) or None

    def _goes_on(self, tail: bytes) -> bool:
        return tail.startswith(b"\t")


def _frame(address: str, symbol: str, dso: str) -> str:
    """Return a frame as ftrace prints it: the symbol, or the address where there is none; and the module."""
    name = f"0x{address}" if symbol == "[unknown]" else symbol
    if dso in ("", "[unknown]", *_KERNEL_DSO) or PurePosixPath(dso).name.startswith("vmlinux"):
        return name
    if dso.startswith("["):
        return f"{name} {dso}"
    module = PurePosixPath(dso).name.partition(".ko")[0].replace("-", "_")
    return f"{name} [{module}]"
