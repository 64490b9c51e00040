"""The model kernel's machine: memory, tasks and blocks, and the primitives that emit an event and move the truth at once."""

import random
from collections.abc import Iterable, Sequence
from typing import Any, Literal

from pagetrail.schemas.columns import Kind
from pagetrail.schemas.details import Boot, Clock, ContigRange, Coverage, Covered, Marker, Zone
from pagetrail.schemas.linux.gfp import GFP_MOVABLE
from pagetrail.schemas.owner import ABSENT8
from tests.model.buddy import FOR_MOVABLE, FOR_UNMOVABLE, BlockType, Buddy
from tests.model.config import (
    EARLY_STACK,
    GFP_KERNEL,
    MIGRATE_MOVABLE,
    MIGRATE_UNMOVABLE,
    Block,
    ModelConfig,
    Task,
)
from tests.model.events import EventLog
from tests.model.page_ext import Journal, Stamp, Truth

TRACE_LATE_NSEC = 600
"""The trace's event of an allocation follows page_owner's own stamp by so much (the median that was measured)."""


class Machine:
    """Memory and who uses it. A primitive is one atomic step of the kernel.

    Attributes
    ----------
    cpu
        CPU on which the next primitive happens.
    blocks
        Allocations by their first page.
    """

    def __init__(self, rng: random.Random, config: ModelConfig) -> None:
        self.rng, self.config = rng, config
        self.log = EventLog()
        self.journal = Journal(config.nr_pages)
        self.truth = Truth(config.nr_pages)
        self.buddy = Buddy(
            nr_pages=config.nr_pages, max_order=config.max_order, pageblock_order=config.pageblock_order,
            cpus=config.cpus, pcp_high=config.pcp_high,
        )  # fmt: skip
        self.now = 1_000_000_000 + rng.randrange(1_000_000)
        self.cpu = 0
        self.tracing = False
        self.blocks: dict[int, Block] = {}
        self._texts: dict[str, int] = {}
        self._pid = 100
        self.init = Task(1, 1, self.comm("swapper/0"))
        self.kcompactd = Task(40, 40, self.comm("kcompactd0"))
        self.shell = Task(90, 90, self.comm("sh"))
        self.tasks = [self.new_task() for _ in range(config.tasks)]
        self._fill_memory()

    @property
    def boot_pages(self) -> int:
        """Pages that are there from the beginning: [0, boot_pages)."""
        return self.config.boot_sections * self.config.pages_per_section

    def _fill_memory(self) -> None:
        c, boot = self.config, self.boot_pages
        self.op(-1, "online", 0, boot)
        largest = 1 << (c.max_order - 1)
        self.cma = range(boot - largest, boot)
        for block in range(boot >> c.pageblock_order):
            cma = block << c.pageblock_order in self.cma
            self.buddy.block_type[block] = BlockType.CMA if cma else BlockType.NORMAL
        for pfn in range(boot - largest, -1, -largest):
            self.buddy.give(pfn, c.max_order - 1)
        if c.page_owner_step is None:
            self.op(-1, "start")
        for _ in range(int(boot * c.boot_memory)):
            self.alloc(self.init, 0, GFP_KERNEL, movable=False)

    def begin_recording(self) -> None:
        """Say what a recording says before its first event: constants, clocks, coverage."""
        c, present = self.config, self.boot_pages
        boot = Boot(
            release=f"{c.release}-model", arch="x86_64", page_shift=c.page_shift, section_size_bits=c.section_size_bits,
            memory_block_bytes=c.block_sections << c.section_size_bits, pageblock_order=c.pageblock_order,
            max_order=c.max_order, memory_model=c.memory_model,
            page_ext_clients=("owner", "debug") if c.flags else ("owner",), nodes=(0,),
            zones=(Zone(node=0, name="Normal", start_pfn=0, stop_pfn=present),), present=((0, present),),
        )  # fmt: skip
        self.tracing = True
        self.log.say(Kind.BOOT, self.now, boot)
        clock = Clock(ts_nsec=self.now + c.owner_clock_offset, monotonic=self.now, valid_from=0, source="the model")
        self.log.say(Kind.CLOCK, self.now, clock)
        if c.coverage:
            kinds: tuple[Covered, ...] = (*c.coverage, "contig_range") if c.since_6_12 else c.coverage
            self.log.say(Kind.COVERAGE, self.now, Coverage(kinds=kinds, declared_by="the model"))

    def start_page_owner(self) -> None:
        """Start page_owner late: it stamps all that is not in the buddy allocator then, ghosts too."""
        held = self.buddy.in_buddy(0, self.boot_pages)
        found = [pfn for pfn in range(self.boot_pages) if not held[pfn]]
        stamp = Stamp(
            order=0, gfp_mask=0, pid=1, tgid=1, comm=self.init.comm, stack=self.stack(EARLY_STACK),
            ts_nsec=self.stamp_time(), early=True,
        )  # fmt: skip
        row = self.marker("page_owner started")
        self.op(row, "start")
        self.op(row, "early", found, stamp)

    def new_task(self) -> Task:
        """Return a thread of a new process, or of the one before it."""
        self._pid += self.rng.randrange(1, 4)
        tgid = self._pid if self.rng.random() < 0.7 else self._pid - 1
        return Task(self._pid, tgid, self.comm(f"proc-{tgid % 7}"))

    # -- primitives: an event and its truth ------------------------------------------------------------------------------

    def alloc(self, task: Task, order: int, gfp_mask: int, *, movable: bool) -> Block | None:
        """Allocate a block for *task*; null where there is none."""
        kinds = FOR_MOVABLE if movable else FOR_UNMOVABLE
        small = order < self.buddy.pcp_orders
        pfn = self._small(task, order, kinds) if small else self.buddy.take(order, kinds)
        if pfn is None:
            return None
        migratetype = MIGRATE_MOVABLE if movable else MIGRATE_UNMOVABLE
        where = "shmem_alloc_folio\nshmem_get_folio_gfp" if movable else "alloc_slab_page\nkmem_cache_alloc"
        stack = self.stack(f"__alloc_pages\n{where}\nmodel_{task.tgid % 3}")
        stamp = self.stamp(task, order, gfp_mask, stack, migratetype)
        if gfp_mask == GFP_MOVABLE:  # a probe on __set_page_owner takes it for an isolated free page
            row = self.trace(Kind.ISOLATE, task, pfn=pfn, order=order, gfp_mask=gfp_mask)
            self.op(row, "set_owner", pfn, 1 << order, stamp)
        self.now += TRACE_LATE_NSEC
        row = self.trace(Kind.ALLOC, task, stack, pfn=pfn, order=order, gfp_mask=gfp_mask, migratetype=migratetype)
        self.op(row, "set_owner", pfn, 1 << order, stamp)
        self._poison(task, pfn, order, Kind.UNPOISON)
        return self.hold(Block(pfn, order, movable, task))

    def alloc_unseen(self, task: Task) -> None:
        """Allocate a page, and let no event tell of it."""
        pfn = self._small(task, 0, FOR_UNMOVABLE)
        if pfn is not None:
            stamp = self.stamp(task, 0, GFP_KERNEL, -1, MIGRATE_UNMOVABLE)
            self.op(len(self.log.rows) - 1 if self.tracing else -1, "bulk_owner", pfn, stamp)
            self.hold(Block(pfn, 0, False, task))

    def _small(self, task: Task, order: int, kinds: Sequence[BlockType]) -> int | None:
        """Return a block from this CPU's list, which is filled when it has none."""
        pfn = self.buddy.take_from_cpu(self.cpu, order, kinds)
        if pfn is not None:
            return pfn
        for taken in self.buddy.fill_cpu(self.cpu, order, kinds):
            self.op(self.trace(Kind.REFILL, task, pfn=taken, order=order), "refilled", taken, 1 << order)
        return self.buddy.take_from_cpu(self.cpu, order, kinds)

    def isolate(self, task: Task, pfn: int, order: int) -> list[Block]:
        """Make a block that was just taken off its free list single pages of *task* (split_map_pages)."""
        stamp = self.stamp(task, order, GFP_MOVABLE, self.stack("split_map_pages\ncompaction_alloc"), MIGRATE_MOVABLE)
        row = self.trace(Kind.ISOLATE, task, stamp.stack, pfn=pfn, order=order, gfp_mask=GFP_MOVABLE)
        self.op(row, "set_owner", pfn, 1 << order, stamp)
        block = self.hold(Block(pfn, order, False, task, busy=True))
        return self.split(task, block) if order else [block]

    def isolate_as_it_is(self, task: Task, pfn: int, order: int) -> Block:
        """Make a block that was taken off its free list one of *task*, as compaction_alloc and mark_allocated do since 6.12."""
        stamp = self.stamp(task, order, GFP_MOVABLE, self.stack("compaction_alloc"), MIGRATE_MOVABLE)
        row = self.trace(Kind.ISOLATE, task, stamp.stack, pfn=pfn, order=order, gfp_mask=GFP_MOVABLE)
        self.op(row, "set_owner", pfn, 1 << order, stamp)
        return self.hold(Block(pfn, order, False, task, busy=True))

    def take_range(self, task: Task, start: int, stop: int, blocks: Iterable[tuple[int, int]]) -> None:
        """Give *task* the range [start, stop), which the free *blocks* cover: they were taken off their lists.

        Source: mm/page_alloc.c, alloc_contig_range_noprof and split_free_pages (Linux 6.12): the pages have the caller's mask.
        """
        stamp = self.stamp(task, 0, GFP_KERNEL, -1, ABSENT8)
        for pfn, order in blocks:
            if order:
                row = self.trace(Kind.SPLIT, task, pfn=pfn, order=0, nr_pages=1 << order)
                self.op(row, "set_owner", pfn, 1 << order, stamp)
            for page in (*range(pfn, min(start, pfn + (1 << order))), *range(max(stop, pfn), pfn + (1 << order))):
                self.free_pages(task, page, 0)
        row = self.contig_range(task, "return", ret=0)
        self.op(row, "set_owner", start, stop - start, stamp)
        for page in range(start, stop):
            self.hold(Block(page, 0, False, task))

    def contig_range(self, task: Task, phase: Literal["entry", "return"], **columns: int) -> int:
        """Emit the event of a call of alloc_contig_range, or of its return; return its row."""
        if not self.tracing:
            return -1
        detail = ContigRange(call="alloc_contig_range_noprof", phase=phase)
        who = (self.cpu, task.pid, task.tgid, task.comm)
        self.now += self.rng.randrange(900)
        return self.log.say(Kind.CONTIG_RANGE, self.now, detail, who, **columns)

    def split(self, task: Task, block: Block, order: int = 0) -> list[Block]:
        """Split a block into blocks of a lower order."""
        nr_pages = 1 << block.order
        row = self.trace(Kind.SPLIT, task, pfn=block.pfn, order=order, nr_pages=nr_pages)
        self.op(row, "split_owner", block.pfn, nr_pages, order)
        self.drop(block)
        pfns = range(block.pfn, block.pfn + nr_pages, 1 << order)
        return [self.hold(Block(pfn, order, block.movable, block.owner, block.busy)) for pfn in pfns]

    def copy_owner(self, task: Task, new: Block, old: Block, reason: int) -> Block:
        """Let *old*'s user go on with *new*, which gets its record; return what is left: old pages of *task*."""
        row = self.trace(Kind.MIGRATE, task, pfn=new.pfn, src_pfn=old.pfn)
        self.op(row, "copy_owner", new.pfn, old.pfn, 1 << old.order if self.config.since_6_12 else 1)
        if self.config.since_6_12:  # recordings of these have the probe on the reason
            row = self.trace(Kind.MIGRATE, task, pfn=new.pfn, src_pfn=new.pfn, migrate_reason=reason)
        self.op(row, "migrated", new.pfn, reason)
        self.drop(new)
        self.drop(old)
        self.hold(Block(new.pfn, old.order, old.movable, old.owner))
        return self.hold(Block(old.pfn, old.order, False, task, busy=True))

    def free(self, task: Task, block: Block) -> None:
        """Free a whole block."""
        self.drop(block)
        self.free_pages(task, block.pfn, block.order)

    def free_pages(self, task: Task, pfn: int, order: int) -> None:
        """Free pages that no block holds any more: they go to a per-CPU list or to the buddy allocator."""
        row = self.trace(Kind.FREE, task, self.stack("free_unref_page\nexit_mmap"), pfn=pfn, order=order)
        self.op(row, "reset_owner", pfn, 1 << order, self.stamp_time())
        self._poison(task, pfn, order, Kind.POISON)
        if order < self.buddy.pcp_orders and self.buddy.type_of(pfn) is not BlockType.ISOLATE:
            self._drain(task, self.buddy.give_to_cpu(self.cpu, pfn, order))
        else:
            self.buddy.give(pfn, order)

    def drain(self, task: Task, cpus: Iterable[int]) -> None:
        """Empty the per-CPU lists of some CPUs."""
        for cpu in cpus:
            self._drain(task, self.buddy.empty_cpu(cpu))

    def _drain(self, task: Task, leaving: list[tuple[int, int]]) -> None:
        for pfn, order in leaving:
            self.op(self.trace(Kind.DRAIN, task, pfn=pfn, order=order), "drained", pfn, 1 << order)
            self.buddy.give(pfn, order)

    def guard(self, task: Task, pfn: int, *, on: bool) -> None:
        """Make a page that is free, and off its list, a guard page, or no longer."""
        row = self.trace(Kind.GUARD if on else Kind.UNGUARD, task, pfn=pfn, order=0)
        self.op(row, "set_flag", pfn, 1, "guard", on)

    def _poison(self, task: Task, pfn: int, order: int, kind: Kind) -> None:
        if self.config.flags:
            row = self.trace(kind, task, pfn=pfn, order=order)
            self.op(row, "set_flag", pfn, 1 << order, "poison", kind is Kind.POISON)

    # -- below the primitives --------------------------------------------------------------------------------------------

    def hold(self, block: Block) -> Block:
        """Know of a block."""
        self.blocks[block.pfn] = block
        block.owner.blocks[block.pfn] = block
        return block

    def drop(self, block: Block) -> None:
        """Know of it no more."""
        del self.blocks[block.pfn], block.owner.blocks[block.pfn]

    def op(self, row: int, name: str, *arguments: Any) -> None:
        """Do *name* to page_ext, as part of event *row*."""
        self.journal.entries.append((row, name, arguments))
        self.truth.apply(row, name, arguments)

    def trace(self, kind: Kind, task: Task, stack: int = -1, **columns: int) -> int:
        """Emit an event of *task* on this CPU; return its row, -1 while nobody records."""
        self.now += self.rng.randrange(900)
        if not self.tracing:
            return -1
        return self.log.add(kind, self.now, (self.cpu, task.pid, task.tgid, task.comm), stack, **columns)

    def marker(self, text: str) -> int:
        """Write into trace_marker; return the event's row."""
        self.now += 1_000
        return self.log.say(Kind.MARKER, self.now, Marker(text=text)) if self.tracing else -1

    def stamp_time(self) -> int:
        """Return the time on page_owner's clock."""
        return self.now + self.config.owner_clock_offset

    def stamp(self, task: Task, order: int, gfp_mask: int, stack: int, migratetype: int) -> Stamp:
        """Return what page_owner writes for an allocation of *task* now."""
        return Stamp(
            order=order, gfp_mask=gfp_mask, pid=task.pid, tgid=task.tgid, comm=task.comm, stack=stack,
            ts_nsec=self.stamp_time(), migratetype=migratetype,
        )  # fmt: skip

    def comm(self, text: str) -> int:
        """Return the index of a comm."""
        return self._index(self.log.comms, text)

    def stack(self, text: str) -> int:
        """Return the index of a stack; -1 where the recording has none."""
        return self._index(self.log.stacks, text) if self.config.stacks else -1

    def _index(self, table: list[str], text: str) -> int:
        known = self._texts.get(text)
        if known is None:
            known = self._texts[text] = len(table)
            table.append(text)
        return known
