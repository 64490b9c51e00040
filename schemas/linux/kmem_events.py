"""The tracepoints of pages, and the acts that a recording sees when they are on.

Source: include/trace/events/kmem.h.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal

PageAct = Literal["alloc", "free", "split", "thp_split", "migrate", "isolate", "drain", "refill", "hotplug"]
"""What the kernel does to pages: a recording declares which of these acts it sees completely.

thp_split: splits of transparent huge pages only, which vmstat counts; split: all splits.
"""

KMEM: Final = "kmem"
"""The group of the tracepoints, as set_event names it."""

# Source: include/trace/events/kmem.h (Linux 6.1).
MM_PAGE_ALLOC: Final = "mm_page_alloc"
MM_PAGE_FREE: Final = "mm_page_free"
MM_PAGE_PCPU_DRAIN: Final = "mm_page_pcpu_drain"
MM_PAGE_ALLOC_ZONE_LOCKED: Final = "mm_page_alloc_zone_locked"
MM_PAGE_ALLOC_EXTFRAG: Final = "mm_page_alloc_extfrag"

NOTHING_NEW: Final = frozenset(
    {
        "kfree", "kmalloc", "kmalloc_node", "kmem_cache_alloc", "kmem_cache_alloc_node", "kmem_cache_free",
        "mm_page_free_batched", "mm_page_alloc_extfrag", "mm_page_alloc_zone_locked",
        "mm_migrate_pages", "mm_migrate_pages_start", "mm_compaction_migratepages", "mm_alloc_contig_migrate_range_info",
    }
)  # fmt: skip
"""Events whose names say alloc, free or migrate, and that change no page's owner, or repeat what another event says.

Source: include/trace/events/kmem.h, migrate.h and compaction.h (Linux 6.1 and 6.12).
"""

_CHANGES: Final = ("alloc", "free", "migrate", "lost")


def may_change_ownership(name: str) -> bool:
    """Return whether an event of which only the *name* is known (without its group) may have changed a page's owner."""
    return name not in NOTHING_NEW and any(word in name.lower() for word in _CHANGES)


TRACEPOINTS: Final[Mapping[PageAct, str]] = MappingProxyType(
    {
        "alloc": f"{KMEM}:{MM_PAGE_ALLOC}",
        "free": f"{KMEM}:{MM_PAGE_FREE}",
        "drain": f"{KMEM}:{MM_PAGE_PCPU_DRAIN}",
        "refill": f"{KMEM}:{MM_PAGE_ALLOC_ZONE_LOCKED}",
    }
)
"""The tracepoint that shows every occurrence of an act, as set_event names it."""
