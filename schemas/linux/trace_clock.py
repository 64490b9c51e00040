"""Trace clocks: most give nanoseconds; some only count.

Source: kernel/trace/trace.c, trace_clocks (Linux 6.1), those whose ``in_ns`` is 0, and ARCH_TRACE_CLOCKS of arch/x86 and
arch/powerpc. Their times are printed as integers (kernel/trace/trace_output.c, trace_print_context).
"""

from typing import Final

COUNTING: Final = frozenset({"counter", "uptime", "x86-tsc", "ppc-tb"})

TICKS: Final = "one that counts (x86-tsc, counter or uptime)"
"""The clock of a trace that has integers for times and does not say of which clock."""

DUMP_ORDER: Final = "the order of the dumps"
"""No clock of Linux: dumps without times are numbered as they were given, and when they were made is unknown."""

WALL_CLOCK: Final = "realtime"
"""The clock of dumps without times for which the user gives wall times: ns since 1970."""


def counts_only(trace_clock: str | None) -> bool:
    """Return whether the times of a trace clock are counts, of which nobody knows how long they last."""
    return trace_clock in COUNTING or trace_clock in (TICKS, DUMP_ORDER)
