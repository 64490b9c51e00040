"""The formats, each with one line: where two fit a file equally, the first counts, and so do its names of traces."""

from typing import Final

from pagetrail.producers.formats.format import Format
from pagetrail.producers.formats.page_owner.dump import PAGE_OWNER
from pagetrail.producers.formats.text.ftrace import FTRACE_TEXT
from pagetrail.producers.formats.text.perf_script import PERF_SCRIPT, PERF_WITHOUT_TIME
from pagetrail.producers.formats.unread import DMESG, PERF_DATA, TRACE_DAT

FORMATS: Final[tuple[Format, ...]] = (
    FTRACE_TEXT,
    PERF_SCRIPT,
    PAGE_OWNER,
    TRACE_DAT,
    PERF_DATA,
    DMESG,
    PERF_WITHOUT_TIME,
)
