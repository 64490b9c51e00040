"""page_ext: which clients have an extension of each page, and how many bytes it takes.

Source: mm/page_ext.c (Linux 6.1): page_ext_size is sizeof(struct page_ext) and the size of every client that is needed.
"""

from typing import Final, NamedTuple

from pagetrail.replay.rules.clients import CLIENTS
from pagetrail.schemas.details import Boot, Zone

PAGE_EXT_BYTES: Final = 8
"""struct page_ext: its flags. Source: include/linux/page_ext.h (Linux 6.1)."""


def bytes_a_page(boot: Boot | None) -> int | None:
    """Return the size of the extension of one page, by the clients that are needed; null where none is known to be.

    Source: mm/page_ext.c, invoke_need_callbacks (Linux 6.1): without a client that is needed, there is no page_ext.
    """
    if boot is None or not boot.page_ext_clients:
        return None
    return PAGE_EXT_BYTES + sum(client.size for client in CLIENTS if client.need(boot))


# -- FLATMEM ---------------------------------------------------------------------------------------------------------------


class NodeSpan(NamedTuple):
    """The pages that a node spans, holes in it too."""

    node: int
    start_pfn: int
    stop_pfn: int


def max_order_nr_pages(boot: Boot) -> int:
    """Return MAX_ORDER_NR_PAGES, in units of which a node of a FLATMEM kernel has its extension; 1024 if it was not recorded."""
    return 1 << (min(max(boot.max_order or 11, 1), 25) - 1)


def node_spans(boot: Boot) -> list[NodeSpan]:
    """Return what each node spans, by its zones; of a recording without zones, one node of all that is present."""
    zones = boot.zones or tuple(Zone(node=0, name="", start_pfn=low, stop_pfn=high) for low, high in boot.present)
    found: dict[int, NodeSpan] = {}
    for zone in zones:
        was = found.get(zone.node, NodeSpan(zone.node, zone.start_pfn, zone.stop_pfn))
        found[zone.node] = NodeSpan(
            zone.node, max(min(was.start_pfn, zone.start_pfn), 0), max(was.stop_pfn, zone.stop_pfn)
        )
    return sorted(span for span in found.values() if span.start_pfn < span.stop_pfn)


def node_page_ext_bytes(boot: Boot, span: NodeSpan) -> int | None:
    """Return the bytes of a node's one extension.

    Source: mm/page_ext.c, alloc_node_page_ext without CONFIG_SPARSEMEM (Linux 6.1): all that the node spans, and
    MAX_ORDER_NR_PAGES more when it does not begin and end at a multiple of them.
    """
    each, unit = bytes_a_page(boot), max_order_nr_pages(boot)
    if each is None:
        return None
    extra = unit if span.start_pfn % unit or span.stop_pfn % unit else 0
    return each * (span.stop_pfn - span.start_pfn + extra)
