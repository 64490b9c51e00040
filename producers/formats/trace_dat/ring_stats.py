"""What the kernel counted of each CPU's ring, as trace-cmd wrote it at the end: what is not in the file was lost.

Source: kernel/trace/trace.c, tracing_stats_read (Linux 6.1); trace-cmd, tracecmd/trace-record.c, record_stats, add_buffer_stat.
"""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

_LINE: Final = re.compile(r"(CPU|entries|overrun|commit overrun|dropped events|read events|Buffer): *(\S{1,256})\s*")
_LOST: Final = ("commit overrun", "dropped events")


@dataclass(slots=True, kw_only=True)
class RingStats:
    """The counts of some buffers, by the buffer's name and the CPU.

    Attributes
    ----------
    overrun
        Events that were overwritten: the pages behind them tell of these.
    lost
        Events that were not written, of which no page tells.
    written
        Those that were read of the ring before, and those that were in it then: trace-cmd may count before it reads the rest.
    """

    overrun: Counter[tuple[str, int]] = field(default_factory=Counter)
    lost: Counter[tuple[str, int]] = field(default_factory=Counter)
    written: Counter[tuple[str, int]] = field(default_factory=Counter)


def ring_stats(texts: Iterable[str], buffers: Iterable[str]) -> RingStats:
    """Return what *texts*, the options of a file in their order, say of *buffers*."""
    found, wanted = RingStats(), set(buffers)
    buffer, cpu = "", -1
    for line in (line for text in texts for line in text.splitlines()):
        said = _LINE.fullmatch(line)
        if said is None:
            continue
        name, value = said[1], said[2]
        if name == "Buffer":
            buffer = value
            continue
        if not value.isascii() or not value.isdigit() or len(value) > 15:
            continue
        count = int(value)
        if name == "CPU":
            cpu = count
        elif buffer in wanted and cpu >= 0:
            if name == "overrun":
                found.overrun[buffer, cpu] += count
            elif name in _LOST:
                found.lost[buffer, cpu] += count
            else:
                found.written[buffer, cpu] += count
    return found
