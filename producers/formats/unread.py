"""Formats that are recognised and not read, with what to give instead.

Those without pages add up what page_owner or a trace says of each page: no question about a page can be answered from them.
"""

import re
from typing import Final

from pagetrail.producers.formats.format import Format

PACKED: Final = tuple(
    Format(name=name, magics=magics, instead=f"unpack it with {program}, and give what was in it")
    for name, program, magics in (
        ("a 7z archive", "7z x", (b"7z\xbc\xaf\x27\x1c",)),
        ("a rar archive", "unrar x", (b"Rar!\x1a\x07",)),
        ("lz4 data", "lz4 -d", (b"\x04\x22\x4d\x18", b"\x02\x21\x4c\x18")),
        ("lzma data", "lzma -d", (b"\x5d\0\0",)),
        ("zlib data", "zlib-flate -uncompress", (b"\x78\x9c", b"\x78\xda", b"\x78\x01")),
        ("lzip data", "lzip -d", (b"LZIP",)),
        ("lzop data", "lzop -d", (b"\x89LZO\0\r\n\x1a\n",)),
        ("compress data", "gzip -d", (b"\x1f\x9d",)),
        ("a cpio archive", "cpio -i", (b"070701", b"070702", b"070707")),
    )
)
"""Archives and compressions that are not read, by the magics of file(1)."""

DMESG: Final = Format(
    name="dmesg",
    line=re.compile(rb"(?:<\d+>)?\[\s*\d+\.\d{6}\]"),
    instead="give the capture directory that it belongs to: dmesg is read with a trace, and alone only for "
    "reports of pages ('page_owner tracks the page as ...'), of which it has none",
)
FUNCTION_GRAPH: Final = Format(
    name="a function graph without times",
    # kernel/trace/trace_functions_graph.c (Linux 6.1), without the option funcgraph-abstime
    line=re.compile(rb"\s*\d{1,5}\)\s[^|]*\|\s*(?:[\w.]+\(.*\)(?:;| \{)|\}|/\* )"),
    instead="no time: run 'echo 1 > /sys/kernel/tracing/options/funcgraph-abstime' and record again, or with the tracer nop",
)

_DUMP_INSTEAD: Final = "give /sys/kernel/debug/page_owner of the same boot, as the kernel prints it"
_TRACE_INSTEAD: Final = (
    "record with 'perf record -e kmem:mm_page_alloc -e kmem:mm_page_free' and give what 'perf script --ns' prints"
)

PAGE_OWNER_SORT: Final = Format(
    name="output of page_owner_sort, which holds one page of each group of records, or none",
    line=re.compile(rb"\d+ times(?:, \d+ pages.*|:)\s*$"),  # tools/mm/page_owner_sort.c, main (Linux 5.0 to 6.12)
    within=True,
    instead="give the file that page_owner_sort was given: " + _DUMP_INSTEAD,
)
PAGE_OWNER_STACKS: Final = Format(
    name="page_owner_stacks (show_stacks, show_handles or show_stacks_handles), which holds sums of pages and no page",
    line=re.compile(
        rb"\s*(?:nr_base_pages|stack_count|handle): \d+\s*$"
    ),  # mm/page_owner.c, stack_print (Linux 6.9 to 7.2)
    instead=_DUMP_INSTEAD
    + "; give show_stacks_handles in one command with a dump that has handles in place of stacks; "
    "'pagetrail audit --show-stacks FILE --at TIME' compares the sums with a replay",
)
PERF_TRACE: Final = Format(
    name="output of perf trace, which has no time that can be compared and leaves out fields",
    line=re.compile(
        rb"\s*\d+\.\d{3} (?:\(.*?\):? )?(?:.*?/\d+ )?kmem:\w+\("
    ),  # tools/perf/builtin-trace.c, trace__event_handler
    instead=_TRACE_INSTEAD,
)
PERF_WITHOUT_EVENT: Final = Format(
    name="output of perf script without the names of the events",
    line=re.compile(rb".{0,200}?\d\.\d{6}(?:\d{3})?: +(?:\d+ +)?page=\S+ pfn=\S+ order=\d"),
    instead="whether a page was allocated or freed is not said: add it with 'perf script -F +event' and give that output",
)
PERF_REPORT: Final = Format(
    name="a report or a sum of perf's, which holds no event",
    line=re.compile(
        rb"# Overhead +|# To display the perf\.data header info| Performance counter stats for |\{\"headers\": "
    ),
    instead="give what 'perf script --ns' prints of the same perf.data",
)
LTTNG: Final = Format(
    name="a trace of LTTng, as babeltrace prints it",
    line=re.compile(rb"\[[\d:.]+\] \(\+[\d?.]+\) (?:\S+ )?kmem_mm_page_\w+: \{"),
    instead=_TRACE_INSTEAD,
)
KERNELSHARK: Final = Format(
    name="a table of KernelShark",
    magics=(b"#,CPU,Time Stamp,",),
    instead="give what 'trace-cmd report' prints of the same trace.dat",
)
GIT_LFS: Final = Format(
    name="a pointer of Git LFS in place of the file",
    magics=(b"version https://git-lfs.github.com/spec/",),
    instead="run 'git lfs pull', and give the file itself",
)
PERF_KMEM: Final = Format(
    name="output of perf kmem, which holds sums and no page's owner",
    line=re.compile(rb"SUMMARY \((?:page|SLAB) allocator\)| (?:PFN|Page|Callsite) +\|| Total allocation requests +:"),
    instead="give what 'perf script --ns' prints of the same perf.data",
)
BPFTRACE: Final = Format(
    name="output of bpftrace, whose form its script decides",
    line=re.compile(
        rb"(?:Attaching|Attached) \d+ probes?|@\w*\[.*\]: |\{\"type\": \"(?:attached_probes|map|printf|hist)\""
    ),
    instead=_TRACE_INSTEAD,
)
COUNTERS: Final = Format(
    name="a file of the kernel's counters, which holds sums and no page",
    line=re.compile(
        rb"allocinfo - version|slabinfo - version|(?:Mem(?:Total|Free|Available)|Cached|Slab): +\d+ kB|nr_free_pages \d+$"
        rb"|Page block order: \d+$|Node +\d+, zone +\S+(?: +\d+){8,}\s*$|unreferenced object 0x"
        rb"|Node \d+, zone +\S+\s*$|0x[0-9a-f]+-0x[0-9a-f]+ +\d+ \S+\+0x|[0-9a-f]+-[0-9a-f]+ [r-][w-][x-][ps] "
        rb"|Cache \S+\s*$|# event histogram|name: mm_page_\w+\s*$"
    ),
    instead=_DUMP_INSTEAD + "; 'pagetrail audit --allocinfo FILE --at TIME' compares /proc/allocinfo with a replay",
)
DIFF: Final = Format(
    name="a difference of two texts, as diff prints it",
    magics=(b"diff --git ", b"diff -"),
    begins=re.compile(rb"--- .+\n\+\+\+ .+\n@@ -|\*\*\* .+\n--- .+\n\*{15}"),
    line=re.compile(rb"@@ -\d+(?:,\d+)? \+\d+(?:,\d+)? @@"),
    within=True,
    instead="its lines are of both, and lines that are the same may be left out: give the two texts, each as a file of its own",
)
CHROME_JSON: Final = Format(
    name="a trace in the JSON of Chrome or Perfetto",
    magics=(b'{"traceEvents":', b'{ "traceEvents":', b'{"displayTimeUnit":'),
    instead="give the text of the trace itself, /sys/kernel/tracing/trace, or the page of HTML that atrace wrote",
)
JOURNAL_JSON: Final = Format(
    name="journald's messages in JSON, without events or records",
    line=re.compile(rb"\{.*\"(?:__REALTIME_TIMESTAMP|__CURSOR|MESSAGE)\" ?: ?"),
    instead="give them as text: 'journalctl -k -o short-monotonic' or 'journalctl -o cat'",
)
VERBOSE_LATENCY: Final = Format(
    name="ftrace text with the options latency-format and verbose",
    # kernel/trace/trace_output.c (Linux 6.1), trace_print_lat_context
    line=re.compile(rb".{16}\s+\d+ +\d+ +\d+ [0-9a-f]{8} [0-9a-f]{8,16} \[[0-9a-f]{8,16}\] "),
    instead="run 'echo 0 > /sys/kernel/tracing/options/latency-format' and record again",
)
