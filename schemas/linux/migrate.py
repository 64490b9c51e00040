"""The reasons of migrations: MR_*, and how page_owner prints them.

Source: include/linux/migrate_mode.h, enum migrate_reason.
"""

from collections.abc import Sequence
from typing import Final

MIGRATE_REASON_NAMES: Final = (
    "compaction", "memory_failure", "memory_hotplug", "syscall_or_cpuset", "mempolicy_mbind", "numa_misplaced",
    "contig_range", "longterm_pin", "demotion",
)  # fmt: skip
"""MR_*, by number. Source: mm/debug.c, migrate_reason_names; include/trace/events/migrate.h, MIGRATE_REASON (Linux 6.1)."""

MIGRATE_REASON_NAMES_5_10: Final = MIGRATE_REASON_NAMES[:7]
"""Source: include/linux/migrate.h, enum migrate_reason (Linux 5.10)."""

MIGRATE_REASON_NAMES_6_12: Final = (*MIGRATE_REASON_NAMES, "damon")
"""Source: include/linux/migrate_mode.h, enum migrate_reason (Linux 6.12, 7.2)."""

MR_CONTIG_RANGE: Final = MIGRATE_REASON_NAMES.index("contig_range")
MR_CONTIG_RANGE_BEFORE_5_10: Final = "cma"
"""Name of MR_CONTIG_RANGE before Linux 5.10."""


def migrate_reason_name(reason: int, names: Sequence[str]) -> str:
    """Return the name of a reason; ``unknown (N)`` for a number without a name in *names*.

    The kernel cannot print such a number: print_page_owner (mm/page_owner.c, Linux 6.1) reads the table without a check. No kernel
    prints ``unknown (N)``, so a reader of dumps treats it as an unknown reason, and keeps the record.
    """
    return names[reason] if 0 <= reason < len(names) else f"unknown ({reason})"
