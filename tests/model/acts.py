"""What happens on the model kernel: acts of several steps, which other CPUs' acts come between. A ``yield`` is such a place."""

from collections.abc import Callable, Iterator
from typing import Final

from pagetrail.schemas.linux.gfp import GFP_MOVABLE
from tests.model.buddy import BlockType
from tests.model.config import (
    GFP_EXACT,
    GFP_HIGHUSER_MOVABLE,
    GFP_KERNEL,
    GFP_MIGRATION_TARGET,
    GFP_TRANSHUGE,
    MR_COMPACTION,
    MR_CONTIG,
    MR_NUMA,
    Block,
    Task,
)
from tests.model.machine import Machine

Act = Iterator[None]

DEFAULT_WEIGHTS: Final = {
    "allocate": 30.0, "release": 24.0, "exact": 3.0, "partial": 2.0, "huge": 3.0, "split_huge": 2.0, "gfp8": 1.0,
    "leave": 1.5, "migrate": 2.0, "compact": 3.0, "contiguous": 1.5, "drain": 1.0, "offline": 2.0, "online": 3.0,
    "dump": 0.5, "guards": 0.0, "bulk": 0.0,
}  # fmt: skip
"""How often what happens."""


def migrate_block(m: Machine, task: Task, old: Block, reason: int, new: Block | None = None) -> Iterator[None]:
    """Move a block, which nobody else may touch meanwhile, to *new*, or to one allocated for it; it may fail.

    Source: mm/migrate.c, unmap_and_move and folio_migrate_flags (Linux 6.1).
    """
    old.busy = True
    cpu = m.cpu
    if new is None:
        new = m.alloc(task, old.order, GFP_MIGRATION_TARGET, movable=True)
    if new is None:
        old.busy = False
        return
    new.busy = True
    yield
    m.cpu = cpu
    if m.rng.random() < 0.1:  # somebody held a reference
        old.busy = False
        m.free(task, new)
        return
    rest = m.copy_owner(task, new, old, reason)
    yield
    m.cpu = cpu
    m.free(task, rest)


class Acts:
    """The acts of one machine, by name."""

    def __init__(self, m: Machine, hotplug: Callable[[str], Act], dump: Callable[[], Act]) -> None:
        self.m, self._hotplug, self.dump = m, hotplug, dump
        weights = DEFAULT_WEIGHTS | m.config.weights
        if not m.config.raised_refs:
            weights["partial"] = 0.0
        if not m.config.hotplug_sections or m.config.memory_model == "FLATMEM":
            weights["online"] = weights["offline"] = 0.0
        self._names, self._weights = list(weights), list(weights.values())

    def choose(self) -> Act:
        """Return what begins next."""
        name = self.m.rng.choices(self._names, self._weights)[0]
        act: Act = getattr(self, name)()
        return act

    # -- one process -----------------------------------------------------------------------------------------------------

    def _task(self) -> Task:
        return self.m.rng.choice(self.m.tasks)

    def _one(self, task: Task, *, movable: bool = False, huge: bool = False) -> Block | None:
        """Return one of the task's blocks."""
        own = [
            b for b in task.blocks.values()
            if not b.busy and (b.movable or not movable) and (b.order or not huge)
        ]  # fmt: skip
        return self.m.rng.choice(own) if own else None

    def allocate(self) -> Act:
        """A task allocates a block or a few."""
        task, rng = self._task(), self.m.rng
        for _ in range(rng.choice((1, 1, 2, 5))):
            movable = rng.random() < 0.6
            order = min(rng.choice((0, 0, 0, 0, 0, 0, 1, 1, 2, 3)), self.m.config.max_order - 1)
            self.m.alloc(task, order, GFP_HIGHUSER_MOVABLE if movable else GFP_KERNEL, movable=movable)
            if rng.random() < 0.3:
                yield

    def release(self) -> Act:
        """A task frees a block or a few; another task may do it for it."""
        task, rng = self._task(), self.m.rng
        for _ in range(rng.choice((1, 1, 2, 6))):
            if block := self._one(task):
                self.m.free(task if rng.random() < 0.8 else self._task(), block)
        yield

    def bulk(self) -> Act:
        """Allocate pages off a per-cpu list, without an event: only while page_owner is off (__alloc_pages_bulk)."""
        task = self._task()
        for _ in range(self.m.rng.randrange(1, 4)):
            if not self.m.truth.started:
                self.m.alloc_unseen(task)
        yield

    def exact(self) -> Act:
        """Allocate a block, split it, and free what is too much (alloc_pages_exact)."""
        task = self._task()
        block = self.m.alloc(task, self.m.rng.randrange(1, 4), GFP_EXACT, movable=False)
        if block is None:
            return
        pages = self.m.split(task, block)
        for page in pages[self.m.rng.randrange(1, len(pages) + 1) :]:
            self.m.free(task, page)
        yield

    def partial(self) -> Act:
        """Free a block whose first page somebody else still holds: that page stays, and keeps its order.

        Source: mm/page_alloc.c, __free_pages (Linux 6.1): the upper halves are freed one by one, without split_page_owner.
        """
        task = self._task()
        block = self.m.alloc(task, self.m.rng.randrange(1, 4), GFP_KERNEL, movable=False)
        if block is None:
            return
        block.busy = True
        yield
        self.m.drop(block)
        self.m.hold(Block(block.pfn, 0, False, task))
        for order in range(block.order - 1, -1, -1):
            self.m.free_pages(task, block.pfn + (1 << order), order)

    def huge(self) -> Act:
        """A task gets a huge page."""
        self.m.alloc(self._task(), self.m.config.pageblock_order, GFP_TRANSHUGE, movable=True)
        yield

    def split_huge(self) -> Act:
        """A movable block of several pages is split (__split_huge_page)."""
        task = self._task()
        if block := self._one(task, movable=True, huge=True):
            self.m.split(task, block, self.m.rng.randrange(block.order) if self.m.config.since_6_12 else 0)
        yield

    def gfp8(self) -> Act:
        """An allocation whose mask is that of an isolated free page."""
        self.m.alloc(self._task(), self.m.rng.randrange(2), GFP_MOVABLE, movable=True)
        yield

    def leave(self) -> Act:
        """A process ends, and another one comes in its place."""
        task = self._task()
        self.m.tasks[self.m.tasks.index(task)] = self.m.new_task()
        while task.blocks:
            if block := self._one(task):
                self.m.free(task, block)
            if block is None or self.m.rng.random() < 0.3:
                yield
            if block is None and self.m.rng.random() < 0.2:
                self.m.tasks.append(task)  # what is under migration is freed another time
                return

    # -- migration, compaction, contiguous ranges -------------------------------------------------------------------------

    def migrate(self) -> Act:
        """A task's block moves to a new one."""
        task = self._task()
        if block := self._one(task, movable=True):
            yield from migrate_block(self.m, self._task(), block, MR_NUMA)

    def compact(self) -> Act:
        """Movable pages move into free ones, which were isolated for them (compact_zone)."""
        if self.m.config.since_6_12:
            yield from self._compact_since_6_12()
            return
        m, task = self.m, self.m.rng.choice([self.m.kcompactd, self._task()])
        cpu, usable = m.cpu, (BlockType.NORMAL, BlockType.MOVABLE, BlockType.CMA)
        free = [(p, o) for p, o in m.buddy.free_blocks(0, m.config.nr_pages) if m.buddy.type_of(p) in usable and o < 4]
        targets: list[Block] = []
        for pfn, order in m.rng.sample(free, min(len(free), 2)):
            m.buddy.remove(pfn)
            targets += m.isolate(task, pfn, order)
        yield
        movable = [b for b in m.blocks.values() if b.movable and not b.busy and b.order == 0]
        for old in m.rng.sample(movable, min(len(movable), len(targets), 3)):
            if not old.busy and m.blocks.get(old.pfn) is old:
                yield from migrate_block(m, task, old, MR_COMPACTION, targets.pop())
                m.cpu = cpu
        for page in targets:
            m.free(task, page)
            if m.rng.random() < 0.2:
                yield
                m.cpu = cpu

    def _compact_since_6_12(self) -> Act:
        """Blocks of any order move; free ones are not stamped while they are isolated (compaction_alloc, release_free_list)."""
        m, task = self.m, self.m.rng.choice([self.m.kcompactd, self._task()])
        cpu, usable = m.cpu, (BlockType.NORMAL, BlockType.MOVABLE, BlockType.CMA)
        free = [(p, o) for p, o in m.buddy.free_blocks(0, m.config.nr_pages) if m.buddy.type_of(p) in usable and o < 4]
        isolated = m.rng.sample(free, min(len(free), 2))
        for pfn, _ in isolated:
            m.buddy.remove(pfn)
        yield
        movable = [b for b in m.blocks.values() if b.movable and not b.busy]
        for old in m.rng.sample(movable, min(len(movable), 3)):
            m.cpu = cpu
            target = next((one for one in isolated if one[1] >= old.order), None)
            if target is None or old.busy or m.blocks.get(old.pfn) is not old:
                continue
            isolated.remove(target)
            pfn, order = target
            while order > old.order:
                order -= 1
                isolated.append((pfn + (1 << order), order))
            new = m.isolate_as_it_is(task, pfn, order)
            yield from migrate_block(m, task, old, MR_COMPACTION, new)
        m.cpu = cpu
        for pfn, order in isolated:
            m.free(task, m.isolate_as_it_is(task, pfn, order))

    def contiguous(self) -> Act:
        """A task claims a range of CMA: what is in it moves away, what is free is isolated (alloc_contig_range)."""
        m, task, cpu = self.m, self._task(), self.m.cpu
        if m.buddy.type_of(m.cma.start) is not BlockType.CMA:
            return
        start, stop = sorted(m.rng.sample(range(m.cma.start, m.cma.stop + 1), 2))
        if m.config.since_6_12:
            m.contig_range(task, "entry", pfn=start, nr_pages=stop - start, gfp_mask=GFP_KERNEL)
        m.buddy.retype(m.cma.start, m.cma.stop, BlockType.ISOLATE)
        m.drain(task, range(m.config.cpus))
        for block in [b for b in m.blocks.values() if b.pfn < stop and b.pfn + (1 << b.order) > start]:
            if block.movable and not block.busy and m.blocks.get(block.pfn) is block:
                yield from migrate_block(m, task, block, MR_CONTIG)
                m.cpu = cpu
        held = m.buddy.in_buddy(m.cma.start, m.cma.stop)
        ready = all(held[start - m.cma.start : stop - m.cma.start])
        if m.config.since_6_12:
            around = [
                (p, o) for p, o in m.buddy.free_blocks(m.cma.start, m.cma.stop) if p < stop and p + (1 << o) > start
            ]
            for pfn, _ in around if ready else ():
                m.buddy.remove(pfn)
            if ready:
                m.take_range(task, start, stop, around)
            else:
                m.contig_range(task, "return", ret=-16)
        elif ready:
            for pfn, order in m.buddy.free_blocks(m.cma.start, m.cma.stop):
                if pfn < stop and pfn + (1 << order) > start:
                    m.buddy.remove(pfn)
                    for page in m.isolate(task, pfn, order):
                        page.busy = False
                        if not start <= page.pfn < stop:
                            m.free(task, page)
        yield
        m.buddy.retype(m.cma.start, m.cma.stop, BlockType.CMA)

    # -- the rest --------------------------------------------------------------------------------------------------------

    def drain(self) -> Act:
        """All per-CPU lists are emptied."""
        self.m.drain(self._task(), range(self.m.config.cpus))
        yield

    def guards(self) -> Act:
        """A free page is a guard page for a while."""
        m, task = self.m, self._task()
        pfn = m.buddy.take(0, (BlockType.NORMAL,))
        if pfn is not None:
            m.guard(task, pfn, on=True)
            for _ in range(3):
                yield
            m.guard(task, pfn, on=False)
            m.buddy.give(pfn, 0)

    def online(self) -> Act:
        """A memory block comes."""
        return self._hotplug("online")

    def offline(self) -> Act:
        """A memory block goes."""
        return self._hotplug("offline")
