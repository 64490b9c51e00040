"""page_ext: which clients have an extension of each page, and how many bytes it takes.

Source: mm/page_ext.c (Linux 6.1): page_ext_size is sizeof(struct page_ext) and the size of every client that is needed.
"""

from typing import Final, NamedTuple

import numpy as np

from pagetrail.replay.clients import CLIENTS
from pagetrail.replay.section_kernels import apply_split
from pagetrail.replay.tables import Tables, with_room
from pagetrail.schemas.details import Boot, Zone
from pagetrail.schemas.owner import How, State

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


# -- page_ext's own memory -------------------------------------------------------------------------------------------------

_EXACT_GFP: Final = 0x2DC0
"""GFP_KERNEL | __GFP_ZERO | __GFP_NOWARN. Source: mm/page_ext.c, alloc_page_ext (Linux 6.1)."""


def split_own_blocks(t: Tables, boot: Boot | None, seq: int, ts: int) -> Tables:
    """Split the blocks that page_ext took for itself before page_owner started; return the tables.

    Source: mm/page_ext.c, alloc_page_ext calls alloc_pages_exact_nid; mm/page_alloc.c, make_alloc_exact calls split_page (Linux
    6.1). No probe can see that, it is too early in boot. So it is derived, and only when it fits exactly: the kernel said how
    many bytes of page_ext it took, and just as many blocks with that order and gfp mask, from before page_owner started
    (the kernel's view has them as early), are owned.
    """
    each = bytes_a_page(boot)
    if boot is None or boot.page_ext_bytes is None or each is None or boot.memory_model == "FLATMEM":
        return t
    table_bytes = each * t.owner.shape[1]
    order = (table_bytes >> boot.page_shift).bit_length() - 1
    if table_bytes != 1 << (order + boot.page_shift) or order < 1 or boot.page_ext_bytes % table_bytes:
        return t
    blocks = [
        (int(slot), section_nr, first)
        for section_nr, slot in ((int(nr), t.slot[nr]) for nr in np.flatnonzero(t.slot >= 0))
        for first in _own_blocks(t, int(slot), order)
    ]
    if len(blocks) != boot.page_ext_bytes // table_bytes:
        return t
    for slot, section_nr, first in blocks:
        t = with_room(t, 2 << order)
        base, generation = section_nr * t.owner.shape[1], int(t.generation[section_nr])
        apply_split(t, slot, base, generation, first, first + (1 << order), seq, ts, int(How.SPLIT_BY_PAGE_EXT))
    return t


def _own_blocks(t: Tables, slot: int, order: int) -> list[int]:
    """Return the first pages (in their section) of whole blocks that look like page_ext's own, all stamped as early."""
    size = 1 << order
    handles = t.owner[slot].reshape(-1, size)
    whole = (handles == handles[:, :1]).all(axis=1) & (handles[:, 0] >= 0)
    early = (t.kernel[slot].reshape(-1, size) >= 0).all(axis=1)
    records = t.records[np.maximum(handles[:, 0], 0)]
    fits = (records["state"] == State.OWNED) & (records["order"] == order) & (records["gfp_mask"] == _EXACT_GFP)
    return [int(i) * size for i in np.flatnonzero(whole & early & fits)]
