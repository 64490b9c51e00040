"""The columns of an event, for batches: names, types, units; and the codes of its kinds (schema version 3, the current one).

A batch never makes a Python object per event: on the wire it is one Arrow record batch, in memory NumPy columns in which
*absent* is the smallest value of the column's type (``ABSENT``), or -1 for indices into the batch's comms and stacks.
"""

import enum
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa

SCHEMA_NAME: Final = "pagetrail.events"
SCHEMA_VERSION: Final = 3


class Kind(enum.IntEnum):
    """What an event says. The numbers are on the wire: never reuse one."""

    RECORDING_BEGIN = 1
    RECORDING_END = 2
    BOOT = 3
    CLOCK = 4
    COVERAGE = 5
    GAP = 6
    MARKER = 7
    ALLOC = 10
    FREE = 11
    SPLIT = 12
    MIGRATE = 13
    ISOLATE = 14
    DRAIN = 15
    EXTFRAG = 16
    REFILL = 17
    HOTPLUG = 20
    BASELINE_BEGIN = 30
    BASELINE_ENTRY = 31
    BASELINE_END = 32
    POISON = 40
    UNPOISON = 41
    GUARD = 42
    UNGUARD = 43


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its Arrow type on the wire, whether it may be absent, and what it means (with its unit)."""

    name: str
    type: pa.DataType
    nullable: bool
    doc: str


_TEXT: Final = pa.dictionary(pa.int32(), pa.utf8())

COLUMNS: Final = (
    Column("seq", pa.int64(), False, "position in the recording: a total order, from 0, without holes"),
    Column("trace_ts_nsec", pa.int64(), False, "trace clock, ns; never decreases with seq"),
    Column("raw_ts_nsec", pa.int64(), True, "the timestamp as it was read, ns, where trace_ts_nsec had to be clamped"),
    Column("kind", pa.int8(), False, "what the event says: see Kind"),
    Column("cpu", pa.int16(), True, "CPU on which it happened"),
    Column("pid", pa.int32(), True, "thread id (the kernel's task->pid)"),
    Column("tgid", pa.int32(), True, "process id (the kernel's task->tgid)"),
    Column("comm", _TEXT, True, "command name; advisory: a trace looks it up late"),
    Column("pfn", pa.int64(), True, "page frame number of the first page (migrate: the new block; hotplug: start_pfn)"),
    Column("order", pa.int8(), True, "the block is 2^order pages (split: the new order)"),
    Column("gfp_mask", pa.int64(), True, "gfp_t of the allocation, as the bits of the recording's kernel"),
    Column("migratetype", pa.int8(), True, "MIGRATE_* of the allocation, as the number of the recording's kernel"),
    Column("nr_pages", pa.int64(), True, "pages of a range that is no block (split, hotplug, runs of kpageflags)"),
    Column("src_pfn", pa.int64(), True, "migrate: page frame number of the old block"),
    Column("ts_nsec", pa.int64(), True, "baseline: allocation time as page_owner prints it, ns (local_clock)"),
    Column(
        "free_ts_nsec", pa.int64(), True, "baseline: time of the last free as page_owner prints it, ns (local_clock)"
    ),
    Column("node", pa.int16(), True, "NUMA node"),
    Column("stack", _TEXT, True, "raw stack, innermost first, one frame a line, as the recording had it"),
    Column("block_migratetype", pa.int8(), True, "migratetype of the pageblock (baseline, extfrag)"),
    Column(
        "migrate_reason", pa.int8(), True, "last migrate reason of the page (baseline), MR_* of the recording's kernel"
    ),
    Column("page_flags", pa.int64(), True, "struct page flags (page_owner dump) or the u64 of kpageflags, bit by bit"),
    Column("cgroup", _TEXT, True, "memory cgroup, where a recording has it"),
    Column("ret", pa.int32(), True, "hotplug: the call's result; 0 or -errno"),
    Column("detail", pa.utf8(), True, "JSON of what a rare kind says beyond these columns: see its model in events.py"),
)

COLUMN: Final = {column.name: column for column in COLUMNS}

ARROW_SCHEMA: Final = pa.schema(
    [pa.field(column.name, column.type, column.nullable, metadata={"doc": column.doc}) for column in COLUMNS]
)

TEXT_COLUMNS: Final = ("comm", "stack", "cgroup")
"""Columns whose NumPy form is an int32 index into the batch's own table of texts; -1 is absent."""

NUMPY_DTYPES: Final = {
    column.name: np.dtype(np.int32) if column.name in TEXT_COLUMNS else np.dtype(column.type.to_pandas_dtype())
    for column in COLUMNS
    if column.name != "detail"
}


def absent(name: str) -> int:
    """Return the value that says *absent* in the NumPy form of column *name*."""
    if name in TEXT_COLUMNS:
        return -1
    return int(np.iinfo(NUMPY_DTYPES[name]).min)
