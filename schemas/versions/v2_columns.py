"""The columns of events of version 2, and the numbers of their kinds. This file is closed."""

from typing import Final

import pyarrow as pa

from pagetrail.schemas.versions.arrow_fields import TEXT, field

VERSION: Final = 2
KINDS: Final = {"alloc": 10, "free": 11, "hotplug": 20}

ARROW_SCHEMA: Final = pa.schema(
    [
        field("seq", pa.int64(), False, "position in the recording: a total order, from 0, without holes"),
        field("trace_ts_nsec", pa.int64(), False, "trace clock, ns"),
        field("kind", pa.int8(), False, "what the event says: 10 alloc, 11 free, 20 hotplug"),
        field("cpu", pa.int16(), True, "CPU on which it happened"),
        field("node", pa.int16(), True, "NUMA node"),
        field("pid", pa.int32(), True, "thread id (the kernel's task->pid)"),
        field("tgid", pa.int32(), True, "process id (the kernel's task->tgid)"),
        field("comm", TEXT, True, "command name; advisory: a trace looks it up late"),
        field("pfn", pa.int64(), True, "alloc, free: page frame number of the block's first page"),
        field("order", pa.int8(), True, "alloc, free: the block is 2^order pages"),
        field("gfp_mask", pa.int64(), True, "alloc: gfp_t, as the bits of the recording's kernel"),
        field("migratetype", pa.int8(), True, "alloc: MIGRATE_* as the number of the recording's kernel"),
        field("stack", TEXT, True, "innermost first, one frame a line"),
        field("action", pa.utf8(), True, "hotplug: online or offline"),
        field("start_pfn", pa.int64(), True, "hotplug: first page frame number of the range"),
        field("nr_pages", pa.int64(), True, "hotplug: pages of the range"),
    ]
)
