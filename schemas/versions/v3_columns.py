"""The columns of events of version 3, and the numbers of their kinds. This file is closed."""

from typing import Final

import pyarrow as pa

from pagetrail.schemas.versions.arrow_fields import TEXT, field

VERSION: Final = 3
KINDS: Final = {
    "recording_begin": 1,
    "recording_end": 2,
    "boot": 3,
    "clock": 4,
    "coverage": 5,
    "gap": 6,
    "marker": 7,
    "alloc": 10,
    "free": 11,
    "split": 12,
    "migrate": 13,
    "isolate": 14,
    "drain": 15,
    "extfrag": 16,
    "refill": 17,
    "hotplug": 20,
    "baseline_begin": 30,
    "baseline_entry": 31,
    "baseline_end": 32,
    "poison": 40,
    "unpoison": 41,
    "guard": 42,
    "unguard": 43,
}

ARROW_SCHEMA: Final = pa.schema(
    [
        field("seq", pa.int64(), False, "position in the recording: a total order, from 0, without holes"),
        field("trace_ts_nsec", pa.int64(), False, "trace clock, ns; never decreases with seq"),
        field(
            "raw_ts_nsec", pa.int64(), True, "the timestamp as it was read, ns, where trace_ts_nsec had to be clamped"
        ),
        field("kind", pa.int8(), False, "what the event says: see Kind"),
        field("cpu", pa.int16(), True, "CPU on which it happened"),
        field("pid", pa.int32(), True, "thread id (the kernel's task->pid)"),
        field("tgid", pa.int32(), True, "process id (the kernel's task->tgid)"),
        field("comm", TEXT, True, "command name; advisory: a trace looks it up late"),
        field(
            "pfn", pa.int64(), True, "page frame number of the first page (migrate: the new block; hotplug: start_pfn)"
        ),
        field("order", pa.int8(), True, "the block is 2^order pages (split: the new order)"),
        field("gfp_mask", pa.int64(), True, "gfp_t of the allocation, as the bits of the recording's kernel"),
        field("migratetype", pa.int8(), True, "MIGRATE_* of the allocation, as the number of the recording's kernel"),
        field("nr_pages", pa.int64(), True, "pages of a range that is no block (split, hotplug, runs of kpageflags)"),
        field("src_pfn", pa.int64(), True, "migrate: page frame number of the old block"),
        field("ts_nsec", pa.int64(), True, "baseline: allocation time as page_owner prints it, ns (local_clock)"),
        field(
            "free_ts_nsec",
            pa.int64(),
            True,
            "baseline: time of the last free as page_owner prints it, ns (local_clock)",
        ),
        field("node", pa.int16(), True, "NUMA node"),
        field("stack", TEXT, True, "raw stack, innermost first, one frame a line, as the recording had it"),
        field("block_migratetype", pa.int8(), True, "migratetype of the pageblock (baseline, extfrag)"),
        field(
            "migrate_reason",
            pa.int8(),
            True,
            "last migrate reason of the page (baseline), MR_* of the recording's kernel",
        ),
        field(
            "page_flags", pa.int64(), True, "struct page flags (page_owner dump) or the u64 of kpageflags, bit by bit"
        ),
        field("cgroup", TEXT, True, "memory cgroup, where a recording has it"),
        field("ret", pa.int32(), True, "hotplug: the call's result; 0 or -errno"),
        field(
            "detail", pa.utf8(), True, "JSON of what a rare kind says beyond these columns: see its model in events.py"
        ),
    ]
)
