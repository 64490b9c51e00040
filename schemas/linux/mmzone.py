"""Pages, sections, nodes, orders and migratetypes.

Source: include/linux/mmzone.h, unless a line names another file.
"""

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final, Literal, NamedTuple

from pagetrail.schemas.errors import BadArgument

PAGE_SHIFT: Final = 12
"""log2 of a page's bytes on x86_64. Source: arch/x86/include/asm/page_types.h (Linux 6.1)."""

FIXED_PAGE_SHIFTS: Final[Mapping[str, int]] = MappingProxyType(
    dict.fromkeys(("x86_64", "i386", "i486", "i586", "i686", "s390x", "armv6l", "armv7l", "riscv32", "riscv64"), 12)
    | {"alpha": 13, "sparc64": 13}
)
"""log2 of a page's bytes, by ``uname -m``, where a machine has pages of one size only.

Source: PAGE_SHIFT in arch/*/include/asm/page*.h, and arch/arm/Kconfig (Linux 6.1).
"""

LARGEST_PAGE_BYTES: Final = 1 << 18
"""The largest pages of any architecture: 256 KiB on powerpc and Hexagon. Source: arch/Kconfig, PAGE_SIZE_256KB (Linux 6.12)."""

PFN_LIMIT: Final = 1 << (64 - PAGE_SHIFT)
"""Every page frame number is lower: addresses have 64 bits, and no architecture has smaller pages than x86_64."""

NODES_LIMIT: Final = 1 << 10
"""Every node has a lower number: MAX_NUMNODES. Source: mm/Kconfig and arch/*/Kconfig, NODES_SHIFT (Linux 6.1)."""

SECTION_SIZE_BITS: Final[Mapping[str, int]] = MappingProxyType({"x86_64": 27})
"""log2 of a section's bytes, by ``uname -m``. Source: arch/x86/include/asm/sparsemem.h (Linux 6.1)."""

MAX_SECTION_ORDER: Final = 24
"""Upper limit for log2 of a section's pages; the largest known is 18 (arm64 with 4 KiB pages, before Linux 5.12)."""

MAX_ORDER: Final = 11
"""The buddy allocator has blocks of orders 0 to MAX_ORDER - 1. Source: include/linux/mmzone.h (Linux 6.1)."""

MAX_FOLIO_ORDER: Final = 22
"""No block is larger: 16 GiB of 4 KiB pages. Those above the buddy allocator's are allocated as contiguous ranges with __GFP_COMP.

Source: include/linux/mm.h, MAX_FOLIO_ORDER (Linux 6.18); mm/page_alloc.c, alloc_contig_range_noprof (Linux 6.12).
"""

PAGEBLOCK_ORDER: Final = 9
"""pageblock_order on x86_64: that of a huge page. Source: include/linux/pageblock-flags.h (Linux 6.1)."""

MIGRATETYPE_NAMES: Final = ("Unmovable", "Movable", "Reclaimable", "HighAtomic", "CMA", "Isolate")
"""MIGRATE_*, by number, with CONFIG_CMA and CONFIG_MEMORY_ISOLATION.

Source: include/linux/mmzone.h, enum migratetype; mm/page_alloc.c, migratetype_names (Linux 6.1).
"""

MIGRATE_UNMOVABLE: Final = 0
MIGRATE_MOVABLE: Final = 1
MIGRATE_RECLAIMABLE: Final = 2
"""Numbers of the first three of ``MIGRATETYPE_NAMES``, which gfp flags ask for. Source: include/linux/mmzone.h (Linux 6.1)."""

MemoryModel = Literal["SPARSEMEM", "FLATMEM"]


class NodeSpan(NamedTuple):
    """The pages [start_pfn, stop_pfn) that a zone or a node spans, including its holes."""

    node: int
    start_pfn: int
    stop_pfn: int


def memory_model(arch: str | None, config: str) -> MemoryModel | None:
    """Return the memory model of a kernel from its ``uname -m`` and its kernel.config; null: neither shows it.

    Source: arch/x86/Kconfig (Linux 6.1): ARCH_FLATMEM_ENABLE needs X86_32, so x86_64 has only SPARSEMEM.
    """
    return "SPARSEMEM" if arch == "x86_64" or "CONFIG_SPARSEMEM=y" in config else None


def pages_per_section(section_size_bits: int, page_shift: int) -> int:
    """Return PAGES_PER_SECTION."""
    return 1 << (section_size_bits - page_shift)


def pfn_to_section_nr(pfn: int, pages_per_section: int) -> int:
    """Return the section that holds *pfn*. Source: include/linux/mmzone.h, pfn_to_section_nr (Linux 6.1)."""
    return pfn // pages_per_section


def section_nr_to_pfn(section_nr: int, pages_per_section: int) -> int:
    """Return the first page of a section. Source: include/linux/mmzone.h, section_nr_to_pfn (Linux 6.1)."""
    return section_nr * pages_per_section


def sections_of(pfn: int, nr_pages: int, pages_per_section: int) -> range:
    """Return the sections of a range: from SECTION_ALIGN_DOWN of its start to SECTION_ALIGN_UP of its end."""
    return range(pfn_to_section_nr(pfn, pages_per_section), -(-(pfn + nr_pages) // pages_per_section))


def max_order_nr_pages(max_order: int) -> int:
    """Return MAX_ORDER_NR_PAGES, the pages of the largest block, for orders 0 to *max_order* - 1; at most a section's."""
    return 1 << (min(max(max_order, 1), MAX_SECTION_ORDER + 1) - 1)


def node_spans(zones: Iterable[NodeSpan]) -> list[NodeSpan]:
    """Return the span of each node, from the spans of its zones; nodes without pages are left out.

    Source: mm/page_alloc.c, calculate_node_totalpages (Linux 6.1): node_start_pfn and node_spanned_pages.
    """
    found: dict[int, NodeSpan] = {}
    for zone in zones:
        was = found.get(zone.node, zone)
        low, high = min(was.start_pfn, zone.start_pfn), max(was.stop_pfn, zone.stop_pfn)
        found[zone.node] = NodeSpan(zone.node, max(low, 0), high)
    return sorted(span for span in found.values() if span.start_pfn < span.stop_pfn)


_NUMBER: Final = re.compile(r"\d{1,99}|0[xX][0-9a-fA-F]{1,99}", re.ASCII)


def parse_pfn(text: str, *, page_shift: int | None = None) -> int:
    """Return a page frame number: *text* is one, decimal or 0x hex; with *page_shift* it is a physical address.

    Raises
    ------
    BadArgument
        It is neither.
    """
    value = -1
    if _NUMBER.fullmatch(text):
        value = int(text, 16 if text[:2] in ("0x", "0X") else 10)
    limit = PFN_LIMIT << (page_shift or 0)
    if not 0 <= value < limit:
        what = "a page frame number" if page_shift is None else "a physical address"
        raise BadArgument(f"{text!r}: expected {what} of 64-bit memory, decimal or 0x hex: 0 to {limit - 1:#x}")
    return value >> (page_shift or 0)
