"""page_ext: its clients, how a kernel's command line and config switch them on, and the bytes that they take for each page.

Source: mm/page_ext.c and include/linux/page_ext.h.
"""

from typing import Final

from pagetrail.schemas.linux.gfp import GFP_FLAGS_6_1
from pagetrail.schemas.linux.mmzone import NodeSpan

OWNER: Final = "owner"
PAGE_TABLE_CHECK: Final = "page_table_check"
DEBUG: Final = "debug"
"""pagetrail's names of the clients, in the order of mm/page_ext.c, page_ext_ops (Linux 6.1; *debug*: Linux 3.19)."""

PAGE_EXT_BYTES: Final = 8
"""struct page_ext: its flags. Source: include/linux/page_ext.h (Linux 6.1)."""

PAGE_TABLE_CHECK_BYTES: Final = 8
"""struct page_table_check: two counters. Source: mm/page_table_check.c (Linux 6.1)."""

PAGE_EXT_GFP: Final = GFP_FLAGS_6_1["GFP_KERNEL"] | GFP_FLAGS_6_1["__GFP_ZERO"] | GFP_FLAGS_6_1["__GFP_NOWARN"]
"""The mask with which a section's page_ext is allocated: 0x2dc0. Source: mm/page_ext.c, alloc_page_ext (Linux 6.1)."""


def clients_on(cmdline: str, config: str) -> tuple[str, ...]:
    """Return the clients that a kernel's command line and kernel.config switch on, in the order of page_ext_ops.

    Source: mm/page_owner.c, early_page_owner_param; mm/page_table_check.c, early_page_table_check_param (Linux 6.1).
    """
    words = cmdline.split()
    clients = []
    if "page_owner=on" in words or "page_owner=1" in words:
        clients.append(OWNER)
    if "CONFIG_PAGE_TABLE_CHECK_ENFORCED=y" in config or "page_table_check=on" in words:
        clients.append(PAGE_TABLE_CHECK)
    return tuple(clients)


def node_page_ext_bytes(bytes_a_page: int, span: NodeSpan, max_order_nr_pages: int) -> int:
    """Return the bytes of the one extension of a node in a FLATMEM kernel.

    Source: mm/page_ext.c, alloc_node_page_ext without CONFIG_SPARSEMEM (Linux 6.1): all pages that the node spans, and
    MAX_ORDER_NR_PAGES more unless it begins and ends at a multiple of them.
    """
    whole = span.start_pfn % max_order_nr_pages == 0 == span.stop_pfn % max_order_nr_pages
    return bytes_a_page * (span.stop_pfn - span.start_pfn + (0 if whole else max_order_nr_pages))
