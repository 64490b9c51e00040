"""Version 4, the current one: losses that name their pages, views that say whether they are whole, lines that add up.

Splits have an old order, migrations a reason, and allocations of contiguous ranges are events. The fields that rare kinds have
beyond the columns come from ``v4_details.py``, inline: the event *marker* has the field ``text``. Both files are closed: they
import nothing that may change.
"""

from typing import Annotated, Final, Literal

from pydantic import ConfigDict, Field, TypeAdapter

from pagetrail.schemas.versions import v4_details as details
from pagetrail.schemas.versions.fields import Contract, GfpMask, Int8, Int16, Int32, Int64, NrPages, Order, Pfn, Seq
from pagetrail.schemas.versions.v4_columns import ARROW_SCHEMA as ARROW_SCHEMA
from pagetrail.schemas.versions.v4_columns import KINDS as KINDS
from pagetrail.schemas.versions.v4_columns import VERSION as VERSION


class Occurrence(Contract):
    """What every event has. What was not recorded is null."""

    schema_version: Literal[4]
    seq: Seq = Field(description="position in the recording: a total order, from 0, without holes")
    trace_ts_nsec: Int64 = Field(description="trace clock, ns; never decreases with seq")
    raw_ts_nsec: Int64 | None = Field(default=None, description="as it was read, ns, where trace_ts_nsec was clamped")
    cpu: Int16 | None = None
    pid: Int32 | None = Field(default=None, description="thread id")
    tgid: Int32 | None = Field(default=None, description="process id")
    comm: str | None = Field(default=None, description="command name; advisory: a trace looks it up late")
    node: Int16 | None = Field(default=None, description="NUMA node")
    stack: str | None = Field(default=None, description="raw stack, innermost first, one frame a line")
    user_stack: str | None = Field(default=None, description="raw stack of user space, innermost first")
    cgroup: str | None = Field(default=None, description="memory cgroup")


class RecordingBegin(Occurrence, details.RecordingBegin):
    """The first event of a recording."""

    kind: Literal["recording_begin"]


class RecordingEnd(Occurrence, details.RecordingEnd):
    """The last event of a recording."""

    kind: Literal["recording_end"]


class Boot(Occurrence, details.Boot):
    """Constants of the boot."""

    kind: Literal["boot"]


class Clock(Occurrence, details.Clock):
    """One reading of several clocks."""

    kind: Literal["clock"]


class Coverage(Occurrence, details.Coverage):
    """Which kinds the recording sees completely, from this event's time on."""

    kind: Literal["coverage"]


class Gap(Occurrence, details.Gap):
    """Known loss: of the pages that are named (migrate: of both blocks), else of all."""

    kind: Literal["gap"]
    pfn: Pfn | None = None
    order: Order | None = None
    nr_pages: NrPages | None = None
    src_pfn: Pfn | None = Field(default=None, description="the old block of a migration that was lost")


class Marker(Occurrence, details.Marker):
    """Somebody wrote into trace_marker."""

    kind: Literal["marker"]


class Alloc(Occurrence):
    """A block was allocated."""

    kind: Literal["alloc"]
    pfn: Pfn
    order: Order
    gfp_mask: GfpMask | None = None
    migratetype: Int8 | None = None


class Free(Occurrence):
    """A block was freed."""

    kind: Literal["free"]
    pfn: Pfn
    order: Order
    migratetype: Int8 | None = None


class Split(Occurrence):
    """A block became blocks of a lower order."""

    kind: Literal["split"]
    pfn: Pfn
    nr_pages: NrPages | None = None
    order: Order | None = Field(default=None, description="the new order")
    old_order: Order | None = Field(default=None, description="the order of the block that was split")


class Migrate(Occurrence):
    """The owner of one block was copied to another."""

    kind: Literal["migrate"]
    pfn: Pfn = Field(description="the new block")
    src_pfn: Pfn = Field(description="the old block")
    order: Order | None = None
    nr_pages: NrPages | None = None
    migrate_reason: Int8 | None = None


class Isolate(Occurrence):
    """Free pages were taken out of the buddy allocator by compaction or CMA."""

    kind: Literal["isolate"]
    pfn: Pfn
    order: Order
    gfp_mask: GfpMask | None = None
    migratetype: Int8 | None = None


class Drain(Occurrence):
    """A block went from a per-cpu list to the buddy allocator: it is not allocated."""

    kind: Literal["drain"]
    pfn: Pfn
    order: Order
    migratetype: Int8 | None = None


class Refill(Occurrence):
    """A block went from the buddy allocator to a per-cpu list: it is not allocated yet."""

    kind: Literal["refill"]
    pfn: Pfn
    order: Order
    migratetype: Int8 | None = None


class Extfrag(Occurrence, details.Extfrag):
    """A block was taken from another migratetype's free lists."""

    kind: Literal["extfrag"]
    pfn: Pfn
    order: Order
    migratetype: Int8 | None = None
    block_migratetype: Int8 | None = None


class Hotplug(Occurrence, details.Hotplug):
    """What was observed of memory hotplug."""

    kind: Literal["hotplug"]
    pfn: Pfn | None = None
    nr_pages: NrPages | None = None
    ret: Int32 | None = Field(default=None, description="result of the call: 0 or -errno")


class ContigRange(Occurrence, details.ContigRange):
    """A range of pages is allocated as a whole: by CMA, for gigantic pages, by a driver."""

    kind: Literal["contig_range"]
    pfn: Pfn | None = None
    nr_pages: NrPages | None = None
    gfp_mask: GfpMask | None = None
    migratetype: Int8 | None = None
    ret: Int32 | None = Field(default=None, description="result of the call: 0 or -errno")


class BaselineBegin(Occurrence, details.BaselineBegin):
    """A whole view of memory by the kernel itself begins."""

    kind: Literal["baseline_begin"]


class BaselineEntry(Occurrence):
    """One record of that view: a block (order) or a range (nr_pages)."""

    kind: Literal["baseline_entry"]
    pfn: Pfn
    order: Order | None = None
    nr_pages: NrPages | None = None
    gfp_mask: GfpMask | None = None
    migratetype: Int8 | None = None
    ts_nsec: Int64 | None = Field(default=None, description="allocation time, ns of local_clock")
    free_ts_nsec: Int64 | None = Field(default=None, description="time of the last free, ns of local_clock")
    block_migratetype: Int8 | None = None
    migrate_reason: Int8 | None = None
    page_flags: Int64 | None = Field(default=None, description="64 bits, as a signed number")
    page_flag_names: str | None = Field(default=None, description="what a dump has in brackets behind the page flags")
    memcg_flags: Int8 | None = Field(default=None, description="1 a slab page, 2 via objcg, 4 offline; summed")


class BaselineEnd(Occurrence, details.BaselineEnd):
    """The view ends."""

    kind: Literal["baseline_end"]


class _Flagged(Occurrence):
    pfn: Pfn
    order: Order | None = None
    nr_pages: NrPages | None = None


class Poison(_Flagged):
    """Pages were filled with poison."""

    kind: Literal["poison"]


class Unpoison(_Flagged):
    """The poison of pages was checked and taken away."""

    kind: Literal["unpoison"]


class Guard(_Flagged):
    """Pages became guard pages (debug_guardpage)."""

    kind: Literal["guard"]


class Unguard(_Flagged):
    """Pages are guard pages no more."""

    kind: Literal["unguard"]


AnyEvent = (
    RecordingBegin | RecordingEnd | Boot | Clock | Coverage | Gap | Marker
    | Alloc | Free | Split | Migrate | Isolate | Drain | Refill | Extfrag | Hotplug | ContigRange
    | BaselineBegin | BaselineEntry | BaselineEnd
    | Poison | Unpoison | Guard | Unguard
)  # fmt: skip
Event = Annotated[AnyEvent, Field(discriminator="kind")]
ADAPTER: Final[TypeAdapter[AnyEvent]] = TypeAdapter(Event, config=ConfigDict(defer_build=True))
