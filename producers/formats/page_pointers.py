"""Hold ``page=`` against ``pfn=``: an event prints its page twice, and where it is known how the two relate, a line may be wrong.

The kernel prints the address of the struct page, which is ``base + pfn * size`` in a memory map of one piece (SPARSEMEM_VMEMMAP).
tools/lib/traceevent (Linux 5.10), which prints for perf and trace-cmd, does not know the kernel's base and size: there page is pfn.
Addresses that are hashed (lib/vsprintf.c, ptr_to_id, Linux 4.15 and later) or not printed relate to no pfn, and prove nothing.
"""

import re
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

LEAST_PAGES: Final = 8
"""So many pages show how pointer and pfn relate."""

MOST_OTHERS: Final = 4
"""At most one page in so many may relate otherwise: it is damaged, or the memory map has several pieces."""

LARGEST_PAGE: Final = 1 << 10
"""Bytes of a struct page at most: 64 in Linux 6.1 on x86_64, and none has had as many as 256."""

_KERNEL_HALF: Final = 1 << 63
_POINTERS: Final = 1 << 64
_PAIR: Final = re.compile(rb"\bpage=(?:0x)?([0-9a-f]{1,16}) pfn=(0x[0-9a-f]{1,15}|[0-9]{1,18})(?![^ \r\n])")


@dataclass(frozen=True, slots=True, kw_only=True)
class PagePointers:
    """How a recording prints the page of each pfn: ``base + pfn * size``, modulo 2^64."""

    size: int
    base: int

    def contradict(self, payload: bytes) -> bool:
        """Return whether *payload*, the text behind an event's name, has a page and a pfn that are not those of one page."""
        found = _PAIR.search(payload)
        if found is None:
            return False
        page, pfn = _values(found[1], found[2])
        no_page = page == pfn == 0  # an allocation that failed
        return not no_page and page != (self.base + pfn * self.size) % _POINTERS


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
    told = size == 1 and base == 0
    if agreeing < LEAST_PAGES or MOST_OTHERS * (len(pairs) - agreeing) > len(pairs):
        return None
    return PagePointers(size=size, base=base) if told or (size > 1 and base >= _KERNEL_HALF) else None


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
