"""Version 1: what page_owner kept when it was merged (Linux 3.19): order, gfp_mask, a stack of at most 8 entries.

Source: mm/page_owner.c and include/linux/page_ext.h (Linux 3.19), ``unsigned long trace_entries[8]``.
"""

from typing import Annotated, Final, Literal

import pyarrow as pa
from pydantic import ConfigDict, Field, TypeAdapter

from pagetrail.schemas.versions.fields import Contract, GfpMask, Microseconds, NrPages, Order, Pfn, Seq, field

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


class Occurrence(Contract):
    """What every event of version 1 has."""

    schema_version: Literal[1]
    seq: Seq = Field(description="position in the recording: a total order, from 0, without holes")
    trace_ts_usec: Microseconds = Field(description="trace clock, us")


class Alloc(Occurrence):
    """A block was allocated."""

    kind: Literal["alloc"]
    pfn: Pfn
    order: Order
    gfp_mask: GfpMask
    stack: Annotated[tuple[str, ...], Field(min_length=1, max_length=STACK_DEPTH)] | None = None


class Free(Occurrence):
    """A block was freed."""

    kind: Literal["free"]
    pfn: Pfn
    order: Order


class Hotplug(Occurrence):
    """A range of memory came or went."""

    kind: Literal["hotplug"]
    action: Literal["online", "offline"]
    start_pfn: Pfn
    nr_pages: NrPages


Event = Annotated[Alloc | Free | Hotplug, Field(discriminator="kind")]
ADAPTER: Final[TypeAdapter[Alloc | Free | Hotplug]] = TypeAdapter(Event, config=ConfigDict(defer_build=True))
