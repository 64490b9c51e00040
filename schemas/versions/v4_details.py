"""Version 4: the fields that its rare kinds have beyond the columns, one model for each kind. Closed, as v4.py is.

What version 4 did not change is version 3's, which is closed too.
"""

from typing import Literal

from pydantic import Field

from pagetrail.schemas.versions import v3_details
from pagetrail.schemas.versions.fields import Contract
from pagetrail.schemas.versions.v3_details import (
    BaselineEnd,
    Clock,
    Extfrag,
    Hotplug,
    Marker,
    NotUnderstood,
    Zone,
)

__all__ = [
    "BaselineBegin",
    "BaselineEnd",
    "Boot",
    "Clock",
    "ContigRange",
    "Coverage",
    "Covered",
    "Extfrag",
    "Gap",
    "Hotplug",
    "LineKind",
    "LinesOfKind",
    "Marker",
    "NotUnderstood",
    "RecordingBegin",
    "RecordingEnd",
    "Zone",
]

Covered = Literal[
    "alloc", "free", "split", "thp_split", "migrate", "isolate", "drain", "refill", "hotplug", "contig_range", "bulk"
]
"""Kinds of changes that a recording can see completely.

thp_split: splits of transparent huge pages alone, which vmstat counts; split: all of them. contig_range: allocations of
alloc_contig_range. bulk: allocations of the bulk allocator, which no tracepoint reports while page_owner is off.
"""

LineKind = Literal["event", "bookkeeping", "nothing_new", "not_understood"]
"""What a line of a text was: an event; part of one, or a header; an event that says nothing new of ownership; or none of these."""


class RecordingBegin(v3_details.RecordingBegin):
    """The first event of a recording (seq 0)."""

    reader: int | None = Field(
        default=None, description="version of pagetrail's reader of the format; null: from before readers had one"
    )
    supersedes: str | None = Field(
        default=None, description="id of the recording of the same boot whose place it takes: an older reader made it"
    )
    gfp_read_for: str | None = Field(
        default=None, description="what gave symbolic gfp flags their bits: format file, Linux 6.1, --gfp-table, ..."
    )
    gfp_known: bool | None = Field(
        default=None, description="false: the bits are another kernel's, for want of the recorded kernel's own"
    )


class LinesOfKind(Contract):
    """How many lines of one kind a source had, and where the first one is."""

    kind: str = Field(description="the event's name, or what the line looked like")
    what: LineKind
    lines: int
    first_line: int | None = Field(default=None, description="line number in the uncompressed file, from 1")
    text: str | None = Field(default=None, description="the beginning of the first line, if it was not understood")


class RecordingEnd(v3_details.RecordingEnd):
    """The last event of a recording: what was read, and what was left out."""

    lines: int | None = Field(default=None, description="lines, or records of a binary file, that were read")
    lines_of_kinds: tuple[LinesOfKind, ...] = Field(default=(), description="their sum is lines, where that is there")
    records: int | None = Field(
        default=None, description="records of page_owner that were read; null where all were, or there are none"
    )
    records_unread: int | None = Field(default=None, description="those that could not be read; null: none")


class Boot(v3_details.Boot):
    """Constants of the boot. What was not recorded is null."""

    deferred_struct_pages: bool | None = Field(
        default=None, description="whether struct pages were initialised late: then page_ext starts late too"
    )


class Coverage(Contract):
    """Which kinds the recording sees completely: from this event's time on; or, with ``since``, over a stretch that is past."""

    kinds: tuple[Covered, ...]
    cpus: tuple[int, ...] | None = Field(default=None, description="null: all CPUs")
    begins: bool = Field(default=True, description="false: coverage of these kinds ends here")
    since: int | None = Field(default=None, description="trace clock: a stretch that is past began here ...")
    until: int | None = Field(default=None, description="... and ended here")
    declared_by: str = Field(description="what says so: set_event.txt and ring_stats.txt, the operator, ...")


class Gap(v3_details.Gap):
    """Known loss: nothing that happened in [t_lo, t_hi] to the pages that the columns name is sure to be in the log.

    If the columns name no pages, the loss concerns all pages.
    """

    count: int = Field(default=1, description="neighbouring losses that this one event stands for")
    line: int | None = Field(default=None, description="line number of the first of them, where a line was harmed")


class ContigRange(Contract):
    """A call that allocates a range of pages; the range is pfn and nr_pages, a return's result is ret."""

    call: str = Field(description="the function: alloc_contig_range, alloc_contig_range_noprof, ...")
    phase: Literal["entry", "return"]
    source: str = ""


class BaselineBegin(v3_details.BaselineBegin):
    """A view of memory by the kernel itself begins; its entries and its end follow at once."""

    extent: Literal["whole", "partial", "joined"] | None = Field(
        default=None,
        description="whole: what it does not list was not allocated; joined: one of several in one file; null: unknown",
    )
    partial_because: str | None = Field(default=None, description="why it is not whole")
