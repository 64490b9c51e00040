"""Hold ``page=`` against ``pfn=``: an event prints its page twice, and where it is known how the two relate, a line may be wrong.

The kernel prints the address of the struct page, which is ``base + pfn * size`` in a memory map of one piece (SPARSEMEM_VMEMMAP).
tools/lib/traceevent (Linux 5.10), which prints for perf and trace-cmd, does not know the kernel's base and size: there page is pfn.
Addresses that are hashed (lib/vsprintf.c, ptr_to_id, Linux 4.15 and later) or not printed relate to no pfn, and prove nothing.
"""

import enum
import re
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from pagetrail.schemas.linux.mmzone import PFN_LIMIT

LEAST_PAGES: Final = 8
"""So many pages show how pointer and pfn relate."""

MOST_OTHERS: Final = 4
"""At most one page in so many may relate otherwise: it is damaged, or the memory map has several pieces."""

LARGEST_PAGE: Final = 1 << 10
"""Bytes of a struct page at most: 64 in Linux 6.1 on x86_64, and none has had as many as 256."""

PIECE_PAGES: Final = 1 << 15
"""A memory map of several pieces has one a section (SPARSEMEM without VMEMMAP). Source: SECTION_SIZE_BITS (Linux 6.1, x86_64)."""

_HASHED: Final = 1 << 32
"""Hashed addresses have 32 bits. Source: lib/vsprintf.c, ptr_to_id (Linux 4.15 and later, 64 bits)."""

_KERNEL_HALF: Final = 1 << 63
_POINTERS: Final = 1 << 64
_PAIR: Final = re.compile(rb"\bpage=(?:0x)?([0-9a-f]{1,16}) pfn=(0x[0-9a-f]{1,15}|[0-9]{1,18})(?![^ \r\n])")


class Related(enum.Enum):
    """How the page of an event is related to its pfn."""

    SAME = enum.auto()
    """They are of one page, or the page proves nothing."""
    CONTRADICTED = enum.auto()
    """They are of two pages."""
    ELSEWHERE = enum.auto()
    """Neither is of a section that the beginning of the text shows: the memory map may have another piece there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PagePointers:
    """How a recording prints the page of each pfn: ``base + pfn * size``, modulo 2^64.

    Attributes
    ----------
    pages
        The pages of which this is known, in whole sections.
    """

    size: int
    base: int
    pages: range

    def related(self, payload: bytes) -> Related:
        """Return how the page and the pfn of *payload* are related, the text behind an event's name."""
        found = _PAIR.search(payload)
        if found is None:
            return Related.SAME
        page, pfn = _values(found[1], found[2])
        is_hashed = self.size > 1 and page < _HASHED  # so is that of an allocation that failed, which is null
        if is_hashed or page == (self.base + pfn * self.size) % _POINTERS:
            return Related.SAME
        its_pfn, rest = divmod((page - self.base) % _POINTERS, self.size)
        known = pfn in self.pages or (not rest and its_pfn in self.pages)
        return Related.CONTRADICTED if known else Related.ELSEWHERE


def pointers_of(head: bytes) -> PagePointers | None:
    """Return how pages and pfns relate in a text that begins with *head*; null where it does not show that for sure.

    A memory map of several pieces has a base a section (SPARSEMEM without VMEMMAP), and pointers of 32 bits are mostly of one.
    """
    pairs = {_values(*found) for found in _PAIR.findall(head)} - {(0, 0)}
    if len({pfn for _, pfn in pairs}) < LEAST_PAGES:
        return None
    size = _size_of(sorted(pairs, key=lambda pair: (pair[1], pair[0])))
    bases = Counter((page - pfn * size) % _POINTERS for page, pfn in pairs)
    base, agreeing = bases.most_common(1)[0]
    if size == 1 and base == 0:
        pages = range(PFN_LIMIT)
    else:
        shown = [pfn // PIECE_PAGES for page, pfn in pairs if (page - pfn * size) % _POINTERS == base]
        pages = range(min(shown) * PIECE_PAGES, (max(shown) + 1) * PIECE_PAGES)
    if agreeing < LEAST_PAGES or MOST_OTHERS * (len(pairs) - agreeing) > len(pairs):
        return None
    is_known = base == 0 if size == 1 else base >= _KERNEL_HALF
    return PagePointers(size=size, base=base, pages=pages) if is_known else None


def _size_of(pairs: list[tuple[int, int]]) -> int:
    """Return by how much pointers rise from one pfn to the next, by most neighbours of *pairs*; 1: by nothing that can be."""
    steps: Counter[int] = Counter()
    for (page, pfn), (next_page, next_pfn) in pairwise(pairs):
        size, rest = divmod(next_page - page, next_pfn - pfn) if next_pfn > pfn else (0, 0)
        if not rest and 0 < size <= LARGEST_PAGE:
            steps[size] += 1
    return steps.most_common(1)[0][0] if steps else 1


def _values(page: bytes, pfn: bytes) -> tuple[int, int]:
    return int(page, 16), int(pfn, 16 if pfn.startswith(b"0x") else 10)
