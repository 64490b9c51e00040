"""The model kernel's free memory: buddy lists by type of pageblock, and per-CPU lists before them.

Source: mm/page_alloc.c and mm/page_isolation.c (Linux 6.1), as far as page_ext can tell the difference.
"""

import enum
from collections.abc import Sequence

NOT_FREE = -1


class BlockType(enum.IntEnum):
    """What a pageblock may be used for."""

    OFFLINE = 0
    NORMAL = 1
    """Any allocation."""
    MOVABLE = 2
    """ZONE_MOVABLE: movable allocations only."""
    CMA = 3
    """Movable allocations, until somebody wants the range."""
    ISOLATE = 4
    """No allocation."""


FOR_MOVABLE = (BlockType.MOVABLE, BlockType.CMA, BlockType.NORMAL)
FOR_UNMOVABLE = (BlockType.NORMAL,)


class Buddy:
    """Free blocks of orders 0 .. max_order - 1. It hands out and takes back; who owns what is not its concern."""

    def __init__(self, *, nr_pages: int, max_order: int, pageblock_order: int, cpus: int, pcp_high: int) -> None:
        self.max_order, self.pageblock_order = max_order, pageblock_order
        self.pcp_high, self.pcp_batch, self.pcp_orders = pcp_high, max(1, pcp_high // 2), 2
        self.free_order = [NOT_FREE] * nr_pages
        self.block_type = [BlockType.OFFLINE] * (nr_pages >> pageblock_order)
        self._lists: dict[BlockType, list[dict[int, None]]] = {
            kind: [{} for _ in range(max_order)] for kind in BlockType
        }
        self.pcp: list[list[tuple[int, int]]] = [[] for _ in range(cpus)]

    def type_of(self, pfn: int) -> BlockType:
        """Return the type of the pageblock that holds a page."""
        return self.block_type[pfn >> self.pageblock_order]

    # -- buddy lists -----------------------------------------------------------------------------------------------------

    def take(self, order: int, kinds: Sequence[BlockType]) -> int | None:
        """Return a block of *order* from the buddy lists, split from the smallest that is large enough."""
        for kind in kinds:
            for larger in range(order, self.max_order):
                if self._lists[kind][larger]:
                    pfn = next(reversed(self._lists[kind][larger]))
                    self.remove(pfn)
                    for half in range(larger - 1, order - 1, -1):
                        self._insert(pfn + (1 << half), half)
                    return pfn
        return None

    def give(self, pfn: int, order: int) -> None:
        """Take a block back, merged with its buddies of the same type (__free_one_page)."""
        kind = self.type_of(pfn)
        while order < self.max_order - 1:
            buddy = pfn ^ (1 << order)
            if buddy >= len(self.free_order) or self.free_order[buddy] != order or self.type_of(buddy) != kind:
                break
            self.remove(buddy)
            pfn = min(pfn, buddy)
            order += 1
        self._insert(pfn, order)

    def remove(self, pfn: int) -> int:
        """Take the free block at *pfn* off its list; return its order."""
        order = self.free_order[pfn]
        del self._lists[self.type_of(pfn)][order][pfn]
        self.free_order[pfn] = NOT_FREE
        return order

    def _insert(self, pfn: int, order: int) -> None:
        self._lists[self.type_of(pfn)][order][pfn] = None
        self.free_order[pfn] = order

    def free_blocks(self, start: int, stop: int) -> list[tuple[int, int]]:
        """Return the free blocks whose heads are in a range: (pfn, order)."""
        return [(pfn, self.free_order[pfn]) for pfn in range(start, stop) if self.free_order[pfn] != NOT_FREE]

    def in_buddy(self, start: int, stop: int) -> list[bool]:
        """Return for each page of a range, which begins at no block's tail, whether a free block holds it."""
        held = [False] * (stop - start)
        for pfn, order in self.free_blocks(start, stop):
            for page in range(pfn, min(pfn + (1 << order), stop)):
                held[page - start] = True
        return held

    def retype(self, start: int, stop: int, kind: BlockType) -> None:
        """Make pageblocks another type, with their free blocks; the range holds largest blocks whole."""
        free = self.free_blocks(start, stop)
        for pfn, _ in free:
            self.remove(pfn)
        for block in range(start >> self.pageblock_order, stop >> self.pageblock_order):
            self.block_type[block] = kind
        if kind is not BlockType.OFFLINE:
            for pfn, order in free:
                self.give(pfn, order)

    # -- per-CPU lists ---------------------------------------------------------------------------------------------------

    def take_from_cpu(self, cpu: int, order: int, kinds: Sequence[BlockType]) -> int | None:
        """Return a small block from a CPU's list; null: it has none of that kind."""
        lists = self.pcp[cpu]
        for i in range(len(lists) - 1, -1, -1):
            pfn, had = lists[i]
            if had == order and self.type_of(pfn) in kinds:
                del lists[i]
                return pfn
        return None

    def fill_cpu(self, cpu: int, order: int, kinds: Sequence[BlockType]) -> list[int]:
        """Put blocks from the buddy lists on a CPU's list; return which (rmqueue_bulk)."""
        taken = []
        for _ in range(self.pcp_batch):
            if (pfn := self.take(order, kinds)) is None:
                break
            self.pcp[cpu].append((pfn, order))
            taken.append(pfn)
        return taken

    def give_to_cpu(self, cpu: int, pfn: int, order: int) -> list[tuple[int, int]]:
        """Put a small block on a CPU's list; return what has to leave it for the buddy lists."""
        lists = self.pcp[cpu]
        lists.append((pfn, order))
        if len(lists) <= self.pcp_high:
            return []
        leaving, self.pcp[cpu] = lists[: self.pcp_batch], lists[self.pcp_batch :]
        return leaving

    def empty_cpu(self, cpu: int) -> list[tuple[int, int]]:
        """Return all that is on a CPU's list, which is empty then (drain_pages)."""
        leaving, self.pcp[cpu] = self.pcp[cpu], []
        return leaving
