"""Version 2: who allocated (pid, tgid, comm), where (cpu, node, migratetype), stacks of frees, times in ns.

A stack is one text from here on: frames innermost first, one a line; a last line ``...`` says that it was cut off.
"""

from typing import Annotated, Final, Literal

from pydantic import ConfigDict, Field, TypeAdapter

from pagetrail.schemas.versions.fields import Contract, GfpMask, Int8, Int16, Int32, Int64, NrPages, Order, Pfn, Seq
from pagetrail.schemas.versions.v2_columns import ARROW_SCHEMA as ARROW_SCHEMA
from pagetrail.schemas.versions.v2_columns import KINDS as KINDS
from pagetrail.schemas.versions.v2_columns import VERSION as VERSION


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
