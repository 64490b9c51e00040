"""Version 1: what page_owner kept when it was merged (Linux 3.19): order, gfp_mask, a stack of at most 8 entries.

Source: mm/page_owner.c and include/linux/page_ext.h (Linux 3.19), ``unsigned long trace_entries[8]``.
"""

from typing import Annotated, Final, Literal

from pydantic import ConfigDict, Field, TypeAdapter

from pagetrail.schemas.versions.fields import Contract, GfpMask, Microseconds, NrPages, Order, Pfn, Seq
from pagetrail.schemas.versions.v1_columns import ARROW_SCHEMA as ARROW_SCHEMA
from pagetrail.schemas.versions.v1_columns import KINDS as KINDS
from pagetrail.schemas.versions.v1_columns import STACK_DEPTH as STACK_DEPTH
from pagetrail.schemas.versions.v1_columns import VERSION as VERSION


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
