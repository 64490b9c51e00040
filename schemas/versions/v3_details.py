"""Version 3: what its rare kinds say beyond the columns, one model each. Closed, as v3.py is."""

from typing import Literal

from pydantic import Field

from pagetrail.schemas.versions.fields import Contract

Covered = Literal["alloc", "free", "split", "thp_split", "migrate", "isolate", "drain", "refill", "hotplug"]
"""thp_split: splits of transparent huge pages alone, which vmstat counts; split: all of them."""


class RecordingBegin(Contract):
    """The first event of a recording (seq 0)."""

    source: str = Field(
        description="the trace's name within a capture directory, else the format; never a path: copies are one"
    )
    format: str = Field(description="ftrace-text, perf-script, capture-directory, page_owner, workload-model, live")
    trace_clock: str | None = Field(default=None, description="name of the trace clock: local, global, mono, perf, ...")
    options: dict[str, str] = Field(default_factory=dict, description="producer's options that shaped the events")


class NotUnderstood(Contract):
    """A line that no rule of the producer matched."""

    line: int = Field(description="line number in the uncompressed file, from 1")
    text: str = Field(description="its beginning")


class RecordingEnd(Contract):
    """The last event of a recording: what was read, and what was left out."""

    events: dict[str, int] = Field(description="events read, by their name in the source")
    ignored: dict[str, int] = Field(
        default_factory=dict, description="of those, by name: read and not stored, as they say nothing new"
    )
    not_understood: int = Field(default=0, description="lines that no rule matched")
    examples: tuple[NotUnderstood, ...] = Field(default=(), description="the first of them")
    failed_allocs: int = Field(default=0, description="mm_page_alloc events of failed allocations (pfn 0 or -1)")
    clamped: int = Field(default=0, description="timestamps that went backwards and were clamped")
    lost_events: int = Field(default=0, description="events that the source itself says were lost")
    truncated: str | None = Field(default=None, description="why the source ended in the middle, if it did")


class Zone(Contract):
    """A zone of a node, as pages [start_pfn, stop_pfn)."""

    node: int
    name: str
    start_pfn: int
    stop_pfn: int


class Boot(Contract):
    """Constants of the boot. What was not recorded is null."""

    release: str | None = Field(default=None, description="uname -r")
    arch: str | None = None
    page_shift: int = 12
    section_size_bits: int | None = Field(default=None, description="SECTION_SIZE_BITS: 27 on x86_64")
    memory_block_bytes: int | None = Field(default=None, description="/sys/devices/system/memory/block_size_bytes")
    pageblock_order: int | None = None
    max_order: int | None = Field(default=None, description="MAX_ORDER as orders 0 .. max_order - 1 (6.1: 11)")
    memory_model: Literal["SPARSEMEM", "FLATMEM"] | None = None
    page_ext_clients: tuple[str, ...] = ()
    page_ext_bytes: int | None = Field(default=None, description="dmesg: allocated N bytes of page_ext")
    vmemmap_base: int | None = None
    nodes: tuple[int, ...] = ()
    zones: tuple[Zone, ...] = ()
    present: tuple[tuple[int, int], ...] = Field(
        default=(), description="present memory as pages [start_pfn, stop_pfn)"
    )
    gfp_flags: dict[str, int] = Field(
        default_factory=dict, description="names that the recording's kernel prints, to their bits"
    )
    cmdline: str | None = None


class Clock(Contract):
    """One reading of several clocks at the event's trace_ts_nsec. All in ns; null where not read."""

    ts_nsec: int | None = Field(default=None, description="page_owner's clock (local_clock)")
    monotonic: int | None = None
    monotonic_raw: int | None = None
    boottime: int | None = None
    realtime: int | None = None
    error: int = Field(default=0, description="bound of the readings' error, ns")
    valid_from: int | None = Field(default=None, description="trace clock: the relation is constant from here on")
    source: str = ""


class Coverage(Contract):
    """Which kinds the recording sees completely: from this event's time on; or, with ``since``, over a stretch that is past."""

    kinds: tuple[Covered, ...]
    cpus: tuple[int, ...] | None = Field(default=None, description="null: all CPUs")
    begins: bool = Field(default=True, description="false: coverage of these kinds ends here")
    since: int | None = Field(default=None, description="trace clock: a stretch that is past began here ...")
    until: int | None = Field(default=None, description="... and ended here")
    declared_by: str = Field(description="what says so: set_event.txt and ring_stats.txt, the operator, ...")


class Gap(Contract):
    """Known loss: nothing that happened in [t_lo, t_hi] is sure to be in the log."""

    t_lo: int = Field(description="the last event read from that CPU before the loss; trace clock, ns")
    t_hi: int = Field(description="the first event read after the loss")
    lost: int | None = Field(default=None, description="events lost, where the source says")
    reason: str


class Marker(Contract):
    """Somebody wrote into trace_marker."""

    text: str


class Extfrag(Contract):
    """An allocation fell back on the free lists of another migratetype; the rest is in columns. Null: not recorded.

    Source: include/trace/events/kmem.h, mm_page_alloc_extfrag (Linux 6.1).
    """

    fallback_order: int | None = Field(default=None, description="order of the block that was taken")
    pageblock_order: int | None = None
    fragmenting: int | None = Field(default=None, description="1: the block was smaller than a pageblock")
    change_ownership: int | None = Field(default=None, description="1: its pageblock changed its migratetype")


class Hotplug(Contract):
    """What was observed of memory hotplug; the range is pfn and nr_pages, a return's result is ret."""

    call: Literal["online_pages", "offline_pages"]
    phase: Literal["entry", "return", "notified"] = Field(
        description="notified: a uevent or a reading of sysfs, after the fact"
    )
    source: str = ""


class BaselineBegin(Contract):
    """A whole view of memory by the kernel itself begins; its entries and its end follow at once."""

    name: str = Field(description="name of the snapshot or dump")
    view: Literal["page_owner", "kpageflags"] = "page_owner"
    window_begin: int = Field(
        description="trace clock: when the kernel began to be read; pages touched after that prove nothing"
    )
    window_end: int
    entries: int
    skipped: int = Field(default=0, description="records of the dump that could not be read")
    source: str = ""


class BaselineEnd(Contract):
    """The view ends."""

    name: str
    entries: int
