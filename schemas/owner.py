"""The words of answers and their codes in segments: states of a page, kinds of evidence, how a span began or ended."""

import enum
from typing import Final

import numpy as np


class State(enum.IntEnum):
    """State of a page whose section is present."""

    UNKNOWN = 0
    OWNED = 1
    FREE = 2


class Evidence(enum.IntEnum):
    """How a state is known: observed in an event, taken from a baseline, or inferred from something else."""

    NONE = 0
    OBSERVED = 1
    BASELINE = 2
    INFERRED = 3


class How(enum.IntEnum):
    """What began or ended a span. The numbers are in segments: never reuse one (15 was used)."""

    OPEN = 0
    ALLOC = 1
    FREE = 2
    DRAIN = 3
    SPLIT = 4
    SPLIT_IMPLIED = 5
    MIGRATE = 6
    ISOLATE = 7
    BASELINE = 8
    CONFIRMED = 9
    CORRECTED = 10
    EARLY = 11
    LOST_FREE = 12
    LOST_ALLOC = 13
    OFFLINED = 14
    SPLIT_BY_PAGE_EXT = 16
    REFILL = 17
    UNORDERED = 18
    UNLISTED = 19
    CONTIG_RANGE = 21
    MIGRATE_REASON = 22


class Anomaly(enum.IntEnum):
    """Something that replay noticed: an event that implies another one, contradicts what was known, or is impossible.

    The numbers are in segments: never reuse one (25 was used).
    """

    FREE_UNSEEN_BOOT = 1
    FREE_UNSEEN_ONLINING = 2
    FREE_UNSEEN_LOSS = 3
    FREE_OF_FREE = 4
    PARTIAL_FREE = 5
    ALLOC_OVER_OWNED = 6
    DRAIN_OF_OWNED = 7
    SECTION_OPENED = 8
    MIGRATE_FROM_UNKNOWN = 9
    USE_OF_FREE = 10
    REFILL_OF_OWNED = 11
    UNALIGNED = 20
    BEYOND_MACHINE = 21
    BAD_ORDER = 22
    HOTPLUG_UNPAIRED = 23
    HOTPLUG_ON_FLATMEM = 24
    NOT_AN_EVENT = 26
    SECTION_GONE = 27


ANOMALY_TEXT: Final = {
    Anomaly.FREE_UNSEEN_BOOT: "freed, never seen allocated: boot memory, or allocated before the recording",
    Anomaly.FREE_UNSEEN_ONLINING: "freed by onlining, never allocated: memory that comes online",
    Anomaly.FREE_UNSEEN_LOSS: "freed, never seen allocated, after events were lost",
    Anomaly.FREE_OF_FREE: "freed while known free: an allocation was not seen (inferred)",
    Anomaly.PARTIAL_FREE: "only some pages of a block were freed: it had been split (inferred)",
    Anomaly.ALLOC_OVER_OWNED: "allocated while owned: a free was not seen (inferred)",
    Anomaly.DRAIN_OF_OWNED: "drained from a per-cpu list while owned: a free was not seen, or the owner was a ghost (inferred)",
    Anomaly.REFILL_OF_OWNED: "taken off the free lists while owned: a free was not seen, or the owner was a ghost (inferred)",
    Anomaly.SECTION_OPENED: "an event in a section not known to be online: the section is online (inferred)",
    Anomaly.USE_OF_FREE: "split, or migrated to, while known free: an allocation was not seen (inferred)",
    Anomaly.MIGRATE_FROM_UNKNOWN: "migrated from a page without a known owner",
    Anomaly.UNALIGNED: "quarantined: the block is not aligned to its order",
    Anomaly.BEYOND_MACHINE: "quarantined: a page frame number beyond what the machine can have",
    Anomaly.BAD_ORDER: "quarantined: an order that no block has",
    Anomaly.HOTPLUG_UNPAIRED: "a hotplug call returned, and its entry was not seen",
    Anomaly.HOTPLUG_ON_FLATMEM: "quarantined: hotplug on a kernel without SPARSEMEM",
    Anomaly.NOT_AN_EVENT: "quarantined: an event of an unknown kind, or with a detail that is invalid for its kind",
    Anomaly.SECTION_GONE: "quarantined: an event in a section that went offline; its return would have been recorded",
}
"""One line for each kind, for people."""

QUARANTINED: Final = frozenset(
    kind for kind in Anomaly if kind >= Anomaly.UNALIGNED and kind != Anomaly.HOTPLUG_UNPAIRED
)

SAME_TS_NSEC: Final = 20_000_000
"""Largest difference between page_owner's stamp and the trace's event of one allocation, ns (3 ms was the most measured)."""

# One owner, or one free period, of a block.
RECORD_DTYPE: Final = np.dtype(
    [
        ("block_pfn", np.int64),  # first page of the block as it was allocated
        ("alloc_ts", np.int64),  # trace clock of the allocation, ns; absent when only a dump shows it
        ("ts_nsec", np.int64),  # page_owner's stamp, ns; absent until a dump gives it
        ("free_ts_nsec", np.int64),
        ("begin_seq", np.int64),  # stream_seq of the event that began this span
        ("begin_ts", np.int64),  # its trace clock, ns
        (
            "evidence_ts",
            np.int64,
        ),  # time of the evidence: a split or a migration passes it on
        ("src_pfn", np.int64),  # migrated from
        ("gfp_mask", np.int64),
        ("pid", np.int32),
        ("tgid", np.int32),
        ("comm", np.int32),  # dense id in the stream's table
        ("stack", np.int32),
        ("free_pid", np.int32),  # thread that freed it (of a free block)
        ("free_tgid", np.int32),
        ("free_comm", np.int32),
        ("free_stack", np.int32),
        ("order", np.int8),
        ("cpu", np.int16),  # of the event that began it; absent: no event of a CPU began it
        ("migratetype", np.int8),
        ("state", np.int8),
        ("evidence", np.int8),
        ("how", np.int8),
        ("migrate_reason", np.int8),
        ("unordered", np.int8),  # 1: unknown which of two CPUs' events came last
    ],
    align=True,
)

# The pages of a record and its end: one run.
RUN_DTYPE: Final = np.dtype(
    [
        ("pfn", np.int64),
        ("nr_pages", np.int64),
        ("end_seq", np.int64),
        ("end_ts", np.int64),
        ("generation", np.int32),
        ("end_how", np.int8),
        ("kernel_view", np.int8),  # 1: the kernel's own record, where it is known to be wrong
    ],
    align=True,
)

DOUBT_DTYPE: Final = np.dtype(
    [
        ("pfn", np.int64),
        ("nr_pages", np.int64),
        ("from_ts", np.int64),  # last evidence before the contradiction, trace clock ns
        ("to_ts", np.int64),  # end of the doubt: the time at which it was noticed, or open
        ("noticed_ts", np.int64),  # time at which it was noticed
        ("seq", np.int64),  # stream_seq of the event that showed it
        ("reason", np.int8),  # Anomaly, or one of those below
    ],
    align=True,
)

DOUBT_BASELINE: Final = 100
"""Doubt's reason: a baseline disagreed."""
DOUBT_ORDER: Final = 102
"""Doubt's reason: another CPU's event, within the skew of their clocks, may have come before."""
DOUBT_HOTPLUG: Final = 101
"""Doubt's reason: a hotplug call was in progress."""

DOUBT_LOST: Final = 103
"""Doubt's reason: an event of these very pages was lost. It concerns all evidence from before it was noticed."""

DOUBT_RANGE: Final = 105
"""Doubt's reason: a range of pages was being taken as a whole, by alloc_contig_range."""

DOUBT_MIGRATED: Final = 106
"""Doubt's reason: the owner was copied by a migration from a page that was in doubt."""

DOUBTS_OF_CALLS: Final = (DOUBT_HOTPLUG, DOUBT_RANGE)
"""Those of a call; where they have no end, it had not returned when they were stored, and newer facts say how it went on."""

DOUBT_TEXT: Final = {
    DOUBT_BASELINE: "the kernel's own dump disagreed later",
    DOUBT_ORDER: "an event of another CPU, within the skew of their clocks, may have come before",
    DOUBT_HOTPLUG: "memory was being onlined or offlined",
    DOUBT_LOST: "an event of this page was lost",
    DOUBT_RANGE: "a range of pages around it was being allocated as a whole",
    DOUBT_MIGRATED: "its owner was migrated from a page that was in doubt",
} | {int(kind): text for kind, text in ANOMALY_TEXT.items()}

ABSENT64: Final = int(np.iinfo(np.int64).min)
ABSENT32: Final = int(np.iinfo(np.int32).min)
ABSENT16: Final = int(np.iinfo(np.int16).min)
ABSENT8: Final = int(np.iinfo(np.int8).min)
OPEN_END: Final = int(np.iinfo(np.int64).max)
"""end_seq and end_ts of a span that has not ended."""

# A run of pages whose span ended, as the jit functions keep it.
ENDED_RUN_DTYPE: Final = np.dtype(
    [
        ("pfn", np.int64),
        ("nr_pages", np.int32),
        ("begin_event", np.int32),  # rows of the events of the stretch
        ("end_event", np.int32),
        ("generation", np.int32),
        ("kernel_view", np.int8),
    ],
    align=True,
)

ACT_FIELDS: Final = (
    "state", "evidence", "how", "cpu", "order", "unordered", "free_pid", "free_tgid", "free_comm", "free_stack",
)  # fmt: skip
"""What an act says: what happened, and by whose free. These fields of a record have few values together."""

OWNER_FIELDS: Final = ("pid", "tgid", "comm", "gfp_mask", "migratetype", "stack", "migrate_reason")
"""What an owner says: whose pages they are, and how they were asked for."""

DETAIL_FIELDS: Final = ("block_pfn", "evidence_ts", "ts_nsec", "free_ts_nsec", "src_pfn")
"""What only some events have: a value is absent where it follows from others."""

# A value that a page_ext client (other than owner) held for a run of pages, and its beginning and end.
VALUE_DTYPE: Final = np.dtype(
    [
        ("pfn", np.int64),
        ("nr_pages", np.int64),
        ("value", np.int64),
        ("begin_seq", np.int64),  # stream_seq of the event that reported it
        ("begin_ts", np.int64),  # its trace clock, ns
        ("end_seq", np.int64),
        ("end_ts", np.int64),
        ("generation", np.int32),
        ("field", np.int16),  # index into the fields that the stream's clients hold
        ("evidence", np.int8),
    ],
    align=True,
)

# What a dump said of a page beside its owner. Texts are indexes into a table; -1: it said nothing of it.
VALUE_SAID_DTYPE: Final = np.dtype(
    [
        ("seq", np.int64),  # stream_seq of the end of the dump
        ("ts", np.int64),  # its trace clock, ns
        ("window_begin", np.int64),  # when its reading began, trace clock, ns
        ("page_flags", np.int64),
        ("page_flag_names", np.int32),  # text
        ("cgroup", np.int32),  # text
        ("comm", np.int32),  # text: the name of the owner, where the span has another
        ("stack", np.int32),  # text: the stack as the dump has it, where the span has another form of it
        ("tgid", np.int32),  # process id of the owner, where the span has another
        ("memcg_flags", np.int8),
        ("block_migratetype", np.int8),
        ("migrate_reason", np.int8),
    ],
    align=True,
)

# The times of a page in a dump, where its span has others.
STAMP_DTYPE: Final = np.dtype(
    [("pfn", np.int64), ("seq", np.int64), ("ts_nsec", np.int64), ("free_ts_nsec", np.int64)], align=True
)
