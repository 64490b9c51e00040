"""What tools say of events that they lost, each in its own words."""

import re
from dataclasses import dataclass
from typing import Final

# kernel/trace/trace.c (Linux 6.1), print_trace_line; trace-cmd, tracecmd/trace-read.c, trace_show_data
_LOST: Final = re.compile(
    rb"\s*CPU:([0-9]{1,5}) \[(?:LOST(?: ([0-9]{1,18}))? EVENTS|(?:([0-9]{1,18}) )?EVENTS DROPPED)\]\s*"
)
LOST_WORDS: Final = (b" [LOST ", b"EVENTS DROPPED]")
"""One of these is in every such line."""
# trace-cmd, tracecmd/trace-record.c, tracecmd_stat_cpu: from per_cpu/cpu*/stats
_STATISTICS: Final = re.compile(rb"\s*(overrun|commit overrun|dropped events): ([0-9]{1,18})\s*")
# the same, behind the number of a CPU: what was left in its ring when it was read for the last time, and what had been read
_RING_COUNT: Final = re.compile(rb"\s*(CPU|entries|read events): ([0-9]{1,18})\s*")
# tools/perf/util/session.c (Linux 6.1), perf_session__warn_about_errors
_PERF_WARNINGS: Final = (
    re.compile(rb"Processed [0-9]{1,18} samples and lost [0-9.]{1,18}%!\s*"),
    re.compile(rb"([0-9]{1,18}) samples with id not present in the header\s*"),
    re.compile(rb"([0-9]{1,18}) out of [0-9]{1,18} events were discarded for this reason\.\s*"),
    re.compile(rb"([0-9]{1,18}) unprocessable samples recorded\.\s*"),
    re.compile(rb"Found ([0-9]{1,18}) unknown events!\s*"),
)
_PERF_CHUNKS: Final = re.compile(rb"Processed [0-9]{1,18} events and lost ([0-9]{1,18}) chunks!\s*")
# tools/perf/builtin-record.c (Linux 6.1), __cmd_record; before 4.8 the number was an estimate, "(~N samples)"
_PERF_SAMPLES: Final = re.compile(rb"\[ perf record: Captured and wrote .* \(([0-9]{1,18}) samples\) \]\s*")
# tools/perf/util/event.c (Linux 6.1 and later), perf_event__fprintf
_PERF_RECORD: Final = re.compile(
    rb"(PERF_RECORD_(?:LOST(?:_SAMPLES)?|THROTTLE))\b(?: lost ([0-9]{1,18}))?(?: \(BPF\))?\s*"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stated:
    """A loss as a tool states it: how many events, and of which CPU; null where it does not say."""

    reason: str
    lost: int | None
    cpu: int | None = None


def ring_loss(line: bytes) -> Stated | None:
    """Return the loss of a CPU's ring that a line of the kernel's or of trace-cmd's states; null if it is no such line."""
    found = _LOST.fullmatch(line)
    if found is None:
        return None
    count = found[2] or found[3]
    reason = f"the trace says {line.strip().decode()}"
    return Stated(reason=reason, lost=None if count is None else int(count), cpu=int(found[1]))


def ring_statistic(line: bytes) -> Stated | None:
    """Return the loss that a line of trace-cmd's statistics of a ring states, 0 events too; null if it is no such line."""
    found = _STATISTICS.fullmatch(line)
    return None if found is None else Stated(reason=f"trace-cmd says {line.strip().decode()}", lost=int(found[2]))


class RingCounts:
    """trace-cmd's statistics of each CPU's ring: what it counts there must be in its report.

    Source: trace-cmd, lib/trace-cmd/trace-input.c, tracecmd_print_stats.
    """

    def __init__(self) -> None:
        self.read: dict[int, int] = {}
        self._cpu: int | None = None

    def take(self, line: bytes) -> Stated | None:
        """Take a line; return the loss that it states: events that stayed in the ring are not in the report."""
        found = _RING_COUNT.fullmatch(line)
        if found is None:
            return None
        name, count = found[1], int(found[2])
        if name == b"CPU":
            self._cpu = count
        elif name == b"read events" and self._cpu is not None:
            self.read[self._cpu] = self.read.get(self._cpu, 0) + count
        elif name == b"entries" and self._cpu is not None and count:
            return Stated(
                reason=f"trace-cmd says that {count:,} entries of CPU {self._cpu} stayed in the ring", lost=count
            )
        return None


def perf_record_loss(text: bytes) -> Stated | None:
    """Return the loss that a record of perf's states; null if *text* is no such record.

    While perf throttles an event it takes no samples of it.
    """
    found = _PERF_RECORD.fullmatch(text)
    if found is None:
        return None
    return Stated(reason=f"perf says {found[1].decode()}", lost=None if found[2] is None else int(found[2]))


def perf_warning(line: bytes) -> Stated | None:
    """Return the loss of samples that a warning of perf's states; null if it is no such line."""
    for pattern in _PERF_WARNINGS:
        if found := pattern.fullmatch(line):
            count = int(found[1]) if pattern.groups else None
            return Stated(reason=f"perf says {line.strip().decode()}", lost=count)
    return None


def perf_chunks(line: bytes) -> int | None:
    """Return how many PERF_RECORD_LOST a warning of perf's counts; null if it is no such line."""
    found = _PERF_CHUNKS.fullmatch(line)
    return None if found is None else int(found[1])


def perf_samples(line: bytes) -> int | None:
    """Return how many samples perf record says that it wrote; null if it is no such line."""
    found = _PERF_SAMPLES.fullmatch(line)
    return None if found is None else int(found[1])
