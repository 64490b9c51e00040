"""Lines of traces, and what is read of a text: shared by the laws of forms."""

import io

from pagetrail.producers.formats.recognise import opener, recognise
from pagetrail.producers.inputs import Input
from pagetrail.producers.meaning import UNKNOWN_KERNEL
from pagetrail.producers.parsed import Parser
from pagetrail.schemas.columns import Kind
from tests.oracles.text.reading import Row, rows_of

ALLOC = "mm_page_alloc: page=00000000d2be5665 pfn=0x7a120 order=2 migratetype=1 gfp_flags=GFP_KERNEL"
FREE = "mm_page_free: page=00000000d2be5665 pfn=0x7a120 order=2"
HEAD = "            appd-500     [001] d..1. 100.000000: "
PERF_ALLOC = "kmem:mm_page_alloc: page=0x7a120 pfn=0x7a120 order=2 migratetype=1 gfp_flags=GFP_KERNEL"
BLOCK = {"kind": Kind.ALLOC, "pfn": 0x7A120, "order": 2, "migratetype": 1, "gfp_mask": 0xCC0}
TASK = {"trace_ts_nsec": 100_000_000_000, "cpu": 1, "pid": 500, "comm": "appd"}
BOTH = [TASK | BLOCK, TASK | BLOCK | {"trace_ts_nsec": 100_000_001_000}]
LATENCY = "    appd-500       1d..1. 100000000us{mark}: {event}\n"
PERF_TASK = TASK | {"trace_ts_nsec": 22_498_450_000}
CHAIN = ["__alloc_pages+0x10", "pipe_write+0x12", "do_syscall_64+0x15"]
FTRACE_FORMS = f"""\
cpus=4
{HEAD}mm_page_alloc:        page=0x3070e0 pfn=3174624 order=0 migratetype=0 gfp_flags=GFP_KERNEL_ACCOUNT|__GFP_ZERO
{HEAD}kernel_stack:         <stack trace >
=> __alloc_pages (ffffffffc065ed5c)
=> alloc_pages (ffffffffc065ed5d)
{HEAD}mm_page_alloc: page=00000000d2be5665 pfn=970744 order=0 migratetype=1 nr_free=3650 gfp_flags=GFP_HIGHUSER|__GFP_ZERO
{HEAD}mm_page_free:         [FAILED TO PARSE] pfn=3174624 order=0
{HEAD}tracing_mark_write.llvm.8232844412049014381: B|992|x
{HEAD}print: hello
{HEAD}alloc_pages <-pipe_write
{HEAD}{FREE}
"""
PERF_FORMS = f"""\
            appd   500 [001]    22.498450:          1 {PERF_ALLOC}
\t        c0100000 __alloc_pages+0x10 ([kernel.kallsyms])
  page_alloc.c:1544
\t        c0100100 pipe_write+0x12 ([ext4])
  pipe.c:15

6429/6429  [000]    22.498450: mm_page_free: page=0x7a120 pfn=0x7a120 order=2
\t__free_pages ([kernel.kallsyms])
\tmain (/usr/bin/appd)
"""


def opened(text: str) -> Parser:
    data = text.encode()
    found = recognise(data, "test")
    return opener(found, "test")(Input(io.BytesIO(data), "test"), UNKNOWN_KERNEL)


def twice(line: str) -> str:
    """Return *line*, and the same a microsecond later: at the same time it would be a repeat."""
    return line + line.replace("100.000000", "100.000001")


def rows(text: str) -> list[Row]:
    """Return the rows of *text*, every line of which has to be understood."""
    parser = opened(text)
    found = rows_of(parser.batches())
    assert parser.account.not_understood == 0, parser.account.examples
    return found


def refused(text: str) -> int:
    """Return how many lines of *text* are not understood."""
    parser = opened(text)
    list(parser.batches())
    return parser.account.not_understood
