"""The addresses of struct pages: each one corresponds to a page frame number.

Source: include/asm-generic/memory_model.h, __page_to_pfn with CONFIG_SPARSEMEM_VMEMMAP.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

STRUCT_PAGE_BYTES: Final = 64
"""sizeof(struct page) on x86_64. Source: include/linux/mm_types.h (Linux 6.1)."""

VMEMMAP_BASE_L4: Final = 0xFFFFEA0000000000
VMEMMAP_BASE_L5: Final = 0xFFD4000000000000
"""vmemmap with 4 and 5 levels of page tables, without KASLR. Source: arch/x86/include/asm/pgtable_64_types.h (Linux 6.1)."""

VMEMMAP_BYTES: Final[Mapping[int, int]] = MappingProxyType({VMEMMAP_BASE_L5: 1 << 49, VMEMMAP_BASE_L4: 1 << 40})
"""Size of the vmemmap in bytes, by its base. Source: Documentation/x86/x86_64/mm.rst (Linux 6.1): half a PiB, and 1 TiB."""

VMEMMAP_LOWEST: Final = 0xFF11000000000000
"""KASLR puts the vmemmap behind the direct map and the area of vmalloc, never before where they begin.

Source: arch/x86/mm/kaslr.c, vaddr_start; arch/x86/include/asm/page_64_types.h, __PAGE_OFFSET_BASE_L5 (Linux 6.1).
"""

KASLR_STEP_BYTES: Final = 1 << 30
"""KASLR moves the vmemmap by multiples of this. Source: arch/x86/mm/kaslr.c, kernel_randomize_memory (Linux 6.1): PUD_MASK."""
