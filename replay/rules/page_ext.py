"""page_ext of a recording's kernel: the bytes of an extension, and the spans of its nodes.

Source: mm/page_ext.c (Linux 6.1): page_ext_size is sizeof(struct page_ext) plus the size of every needed client.
"""

from pagetrail.replay.rules.clients import CLIENTS
from pagetrail.schemas.details import Boot
from pagetrail.schemas.linux import mmzone
from pagetrail.schemas.linux.mmzone import NodeSpan
from pagetrail.schemas.linux.page_ext import OWNER
from pagetrail.schemas.linux.releases import KernelRules, rules_of


def bytes_a_page(boot: Boot | None, rules: KernelRules | None = None) -> int | None:
    """Return the page_ext bytes of one page, from the needed clients; null if none is needed, or their size is unknown.

    *rules* are those of the kernel; null: of its release.

    Source: mm/page_ext.c, invoke_need_callbacks (Linux 6.1): without a needed client, there is no page_ext.
    """
    if boot is None or not boot.page_ext_clients:
        return None
    rules = rules or rules_of(boot.release)
    if rules.page_owner_bytes is None:
        return None
    sizes = {OWNER: rules.page_owner_bytes}
    needed = (client for client in CLIENTS if client.need(boot))
    return rules.page_ext_bytes + sum(sizes.get(client.name, client.size) for client in needed)


def max_order_nr_pages(boot: Boot | None) -> int:
    """Return MAX_ORDER_NR_PAGES: the largest block, and the unit in which a FLATMEM kernel allocates the extension of a node."""
    told = boot.max_order if boot is not None else None
    return mmzone.max_order_nr_pages(told or rules_of(boot.release if boot is not None else None).max_order)


def node_spans(boot: Boot) -> list[NodeSpan]:
    """Return the span of each node, from its zones; for a recording without zones, one node with all present memory."""
    zones = [NodeSpan(zone.node, zone.start_pfn, zone.stop_pfn) for zone in boot.zones]
    return mmzone.node_spans(zones or [NodeSpan(0, start, stop) for start, stop in boot.present])
