"""The tracepoints of pages, and the acts that a recording sees when they are on.

Source: include/trace/events/kmem.h.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal

PageAct = Literal[
    "alloc", "free", "split", "thp_split", "migrate", "isolate", "drain", "refill", "hotplug", "contig_range"
]
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
MM_PAGE_FREE_BATCHED: Final = "mm_page_free_batched"
"""Comes in addition to mm_page_free. Source: mm/page_alloc.c, free_unref_page_list (Linux 6.1)."""

# Source: include/trace/events/kmem.h (Linux 2.6.32 to 3.2). Linux 3.3 renamed them mm_page_free and mm_page_free_batched.
MM_PAGE_FREE_DIRECT: Final = "mm_page_free_direct"
MM_PAGEVEC_FREE: Final = "mm_pagevec_free"
"""A free of one page. Until 2.6.35 it is the only event of it; then mm_page_free_direct follows: mm/page_alloc.c, __pagevec_free.

Where both are on, each page is freed twice, and the second free finds it free: the answer is right, and not certain."""

TRACEPOINTS: Final[Mapping[PageAct, str]] = MappingProxyType(
    {
        "alloc": f"{KMEM}:{MM_PAGE_ALLOC}",
        "free": f"{KMEM}:{MM_PAGE_FREE}",
        "drain": f"{KMEM}:{MM_PAGE_PCPU_DRAIN}",
        "refill": f"{KMEM}:{MM_PAGE_ALLOC_ZONE_LOCKED}",
    }
)
"""The tracepoint that shows every occurrence of an act, as set_event names it."""
