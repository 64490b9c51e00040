"""Version 2: who allocated (pid, tgid, comm), where (cpu, node, migratetype), stacks of frees, times in ns.

A stack is one text from here on: frames innermost first, one a line; a last line ``...`` says that it was cut off.
"""

from typing import Annotated, Final, Literal

import pyarrow as pa
from pydantic import ConfigDict, Field, TypeAdapter

from pagetrail.schemas.versions.fields import (
    TEXT,
    Contract,
    GfpMask,
    Int8,
    Int16,
    Int32,
    Int64,
    NrPages,
    Order,
    Pfn,
    Seq,
    field,
)

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


class Occurrence(Contract):
    """What every event of version 2 has."""

    schema_version: Literal[2]
    seq: Seq = Field(description="position in the recording: a total order, from 0, without holes")
    trace_ts_nsec: Int64 = Field(description="trace clock, ns")
    cpu: Int16 | None = None
    node: Int16 | None = None
    pid: Int32 | None = None
    tgid: Int32 | None = None
    comm: str | None = None


class Alloc(Occurrence):
    """A block was allocated."""

    kind: Literal["alloc"]
    pfn: Pfn
    order: Order
    gfp_mask: GfpMask
    migratetype: Int8 | None = None
    stack: str | None = None


class Free(Occurrence):
    """A block was freed."""

    kind: Literal["free"]
    pfn: Pfn
    order: Order
    stack: str | None = None


class Hotplug(Occurrence):
    """A range of memory came or went."""

    kind: Literal["hotplug"]
    action: Literal["online", "offline"]
    start_pfn: Pfn
    nr_pages: NrPages


Event = Annotated[Alloc | Free | Hotplug, Field(discriminator="kind")]
ADAPTER: Final[TypeAdapter[Alloc | Free | Hotplug]] = TypeAdapter(Event, config=ConfigDict(defer_build=True))
