"""Formats that are recognised and not read, with what to give instead."""

import re
from typing import Final

from pagetrail.producers.formats.format import Format
from pagetrail.producers.formats.tracer import FTRACE, PERF

TRACE_DAT: Final = Format(
    name="trace.dat",
    magics=(b"\x17\x08\x44tracing",),  # trace-cmd.dat(5)
    instead="give the text of the same buffer, /sys/kernel/tracing/trace, saved while it held the events",
    tracer=FTRACE,
    trace_names=("trace.dat",),
)
PERF_DATA: Final = Format(
    name="perf.data",
    magics=(b"PERFILE2", b"2ELIFREP"),  # tools/perf/util/header.c, __perf_magic2, in both byte orders
    instead="run 'perf script --ns -i FILE' on it (uncompressed) and give the output",
    tracer=PERF,
    trace_names=("perf.data",),
)
DMESG: Final = Format(
    name="dmesg",
    line=re.compile(rb"(?:<\d+>)?\[\s*\d+\.\d{6}\]"),
    instead="give the capture directory that it belongs to: dmesg is read with a trace, not alone",
)
FUNCTION_GRAPH: Final = Format(
    name="a function graph without times",
    # kernel/trace/trace_functions_graph.c (Linux 6.1), without the option funcgraph-abstime
    line=re.compile(rb"\s*\d{1,5}\)\s[^|]*\|\s*(?:[\w.]+\(.*\)(?:;| \{)|\}|/\* )"),
    instead="no time: run 'echo 1 > /sys/kernel/tracing/options/funcgraph-abstime' and record again, or with the tracer nop",
)
