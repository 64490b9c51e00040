"""The tools that record tracepoints, and what they leave in a capture directory beside their trace."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Tracer:
    """A tool that records tracepoints.

    Attributes
    ----------
    clock_file, clock_pattern
        The file that names the trace clock, and where its name is: group 1.
    clock_names
        Other names of clocks in that file, to the kernel's.
    default_clock
        The trace clock that applies unless the capture names another.
    keeps_markers
        Whether its trace has what was written into trace_marker.
    declares_coverage
        Whether set_event.txt and ring_stats.txt speak of it.
    """

    clock_file: str
    clock_pattern: re.Pattern[str]
    clock_names: Mapping[str, str] = field(default_factory=dict)
    default_clock: str
    keeps_markers: bool
    declares_coverage: bool

    def clock(self, text: str | None) -> str:
        """Return the name of the trace clock, by *text*, what ``clock_file`` holds; null where there is none."""
        chosen = self.clock_pattern.search(text or "")
        return self.clock_names.get(chosen[1], chosen[1]) if chosen else self.default_clock


FTRACE: Final = Tracer(
    clock_file="trace_clock.txt",
    clock_pattern=re.compile(r"\[(\w[\w-]*)\]"),
    default_clock="local",
    keeps_markers=True,
    declares_coverage=True,
)
PERF: Final = Tracer(
    clock_file="perf-command.txt",
    clock_pattern=re.compile(r"(?:^| )(?:-k|--clockid)[ =]?(\w+)"),
    clock_names={"monotonic": "mono"},
    default_clock="perf",  # local_clock()
    keeps_markers=False,  # the snapshots keep their own
    declares_coverage=False,
)
