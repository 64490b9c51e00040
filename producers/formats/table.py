"""The formats, each with one line: where two fit a file equally, the first counts, and so do its names of traces."""

from typing import Final

from pagetrail.producers.formats.format import Format
from pagetrail.producers.formats.page_owner.alone import PAGE_OWNER, PAGE_TRACKING
from pagetrail.producers.formats.page_owner.reports import PAGE_REPORTS
from pagetrail.producers.formats.perf_data.perf_data import PERF_DATA
from pagetrail.producers.formats.text.ftrace import FTRACE_DUMP, FTRACE_LATENCY, FTRACE_TEXT
from pagetrail.producers.formats.text.perf_script import PERF_SCRIPT, PERF_WITHOUT_TIME
from pagetrail.producers.formats.trace_dat.trace_dat import TRACE_DAT
from pagetrail.producers.formats.unread import (
    BPFTRACE,
    CHROME_JSON,
    COUNTERS,
    DIFF,
    DMESG,
    FUNCTION_GRAPH,
    GIT_LFS,
    JOURNAL_JSON,
    KERNELSHARK,
    LTTNG,
    PACKED,
    PAGE_OWNER_SORT,
    PAGE_OWNER_STACKS,
    PERF_KMEM,
    PERF_REPORT,
    PERF_TRACE,
    PERF_WITHOUT_EVENT,
    VERBOSE_LATENCY,
)

FORMATS: Final[tuple[Format, ...]] = (
    FTRACE_TEXT,
    FTRACE_LATENCY,
    FTRACE_DUMP,
    PERF_SCRIPT,
    PAGE_OWNER_SORT,
    DIFF,
    PAGE_OWNER,
    PAGE_TRACKING,
    PAGE_REPORTS,
    PERF_DATA,
    TRACE_DAT,
    *PACKED,
    CHROME_JSON,
    KERNELSHARK,
    GIT_LFS,
    JOURNAL_JSON,
    DMESG,
    PERF_WITHOUT_TIME,
    FUNCTION_GRAPH,
    VERBOSE_LATENCY,
    PAGE_OWNER_STACKS,
    PERF_TRACE,
    PERF_WITHOUT_EVENT,
    PERF_KMEM,
    PERF_REPORT,
    LTTNG,
    BPFTRACE,
    COUNTERS,
)
