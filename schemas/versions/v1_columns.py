"""The columns of events of version 1, and the numbers of their kinds. This file is closed."""

from typing import Final

import pyarrow as pa

from pagetrail.schemas.versions.arrow_fields import field

VERSION: Final = 1
STACK_DEPTH: Final = 8
KINDS: Final = {"alloc": 10, "free": 11, "hotplug": 20}

ARROW_SCHEMA: Final = pa.schema(
    [
        field("seq", pa.int64(), False, "position in the recording: a total order, from 0, without holes"),
        field("trace_ts_usec", pa.int64(), False, "trace clock, us"),
        field("kind", pa.int8(), False, "what the event says: 10 alloc, 11 free, 20 hotplug"),
        field("pfn", pa.int64(), True, "alloc, free: page frame number of the block's first page"),
        field("order", pa.int8(), True, "alloc, free: the block is 2^order pages"),
        field("gfp_mask", pa.int64(), True, "alloc: gfp_t, as the bits of the recording's kernel"),
        field("stack", pa.list_(pa.field("item", pa.utf8(), False)), True, "alloc: innermost first, at most 8 entries"),
        field("action", pa.utf8(), True, "hotplug: online or offline"),
        field("start_pfn", pa.int64(), True, "hotplug: first page frame number of the range"),
        field("nr_pages", pa.int64(), True, "hotplug: pages of the range"),
    ]
)
