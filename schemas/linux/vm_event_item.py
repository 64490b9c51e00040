"""Counters of /proc/vmstat that increase whenever the kernel does something to pages.

Source: include/linux/vm_event_item.h.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from pagetrail.schemas.linux.kmem_events import PageAct

VM_EVENTS: Final[Mapping[PageAct, tuple[str, ...]]] = MappingProxyType(
    {
        "migrate": ("pgmigrate_success", "pgmigrate_fail"),
        "isolate": ("compact_free_scanned", "compact_isolated", "cma_alloc_success", "cma_alloc_fail"),
        "thp_split": ("thp_split_page",),
    }
)
"""The counters of an act: if none of them increased, the act did not happen.

Source: include/linux/vm_event_item.h; counted in mm/migrate.c, migrate_pages; mm/compaction.c, isolate_freepages_block; mm/cma.c,
cma_alloc; mm/huge_memory.c, split_huge_page_to_list (Linux 6.1).
"""

MAY_BE_MISSING: Final = frozenset({"cma_alloc_success", "cma_alloc_fail"})
"""Counters of features that a kernel may be built without: such a kernel never does what they count."""
