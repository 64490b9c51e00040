"""A model of a kernel that allocates pages: seeded, it emits the events of a recording, and knows the truth beside.

What happens is in ``model_acts.py``, free memory in ``model_buddy.py``, page_ext and the truth in ``model_page_ext.py``.
Here is the machine: its constants, its tasks and blocks, and the primitives that emit an event and move the truth at once.
"""

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from pagetrail.producers.model_buddy import FOR_MOVABLE, FOR_UNMOVABLE, BlockType, Buddy
from pagetrail.producers.model_events import EventLog
from pagetrail.producers.model_page_ext import Journal, Stamp, Truth
from pagetrail.schemas.batch import EventBatch
from pagetrail.schemas.columns import Kind
from pagetrail.schemas.details import Boot, Clock, Coverage, Covered, Marker, Zone
from pagetrail.schemas.owner import GFP_MOVABLE

EVERYTHING: Final[tuple[Covered, ...]] = ("alloc", "free", "split", "migrate", "isolate", "drain", "hotplug")

# gfp_t of Linux 6.1 (include/linux/gfp_types.h).
GFP_KERNEL: Final = 0xCC0
GFP_HIGHUSER_MOVABLE: Final = 0x100CCA
GFP_TRANSHUGE: Final = 0x3D24CA
GFP_EXACT: Final = 0xDC0
GFP_MIGRATION_TARGET: Final = 0x102CCA

MIGRATE_UNMOVABLE: Final = 0
MIGRATE_MOVABLE: Final = 1

MR_COMPACTION: Final = 0
MR_MEMORY_HOTPLUG: Final = 2
MR_NUMA: Final = 5
MR_CONTIG: Final = 7
"""Source: include/linux/migrate_mode.h, enum migrate_reason (Linux 6.1)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    """What kind of machine, and what happens on it. Sizes are in pages unless they say otherwise.

    Attributes
    ----------
    boot_sections, hotplug_sections
        Sections that are there from the beginning, and that may come and go, a memory block at a time.
    block_sections
        Sections of one memory block.
    untraced_steps
        Steps before the recording begins.
    page_owner_step
        The step, from the begin of the recording on, at which page_owner starts; null: before everything.
    boot_memory
        Share of the memory that was allocated for good before the first step.
    raised_refs
        Blocks may be freed while somebody holds their first page: it keeps its order (``__free_pages``).
    flags
        Poison and guard events, as kernels do that are made to tell of them.
    weights
        Of what happens, by the name of the act, beside the default ones.
    """

    cpus: int = 2
    page_shift: int = 12
    section_size_bits: int = 18
    boot_sections: int = 4
    hotplug_sections: int = 2
    block_sections: int = 1
    max_order: int = 6
    pageblock_order: int = 4
    pcp_high: int = 6
    tasks: int = 5
    untraced_steps: int = 0
    page_owner_step: int | None = None
    boot_memory: float = 0.1
    raised_refs: bool = True
    flags: bool = False
    stacks: bool = True
    coverage: tuple[Covered, ...] = EVERYTHING
    owner_clock_offset: int = 37_000_123
    weights: dict[str, float] = field(default_factory=dict)

    @property
    def pages_per_section(self) -> int:
        """Pages of one section."""
        return 1 << (self.section_size_bits - self.page_shift)

    @property
    def nr_pages(self) -> int:
        """Pages that the machine can have at most."""
        return (self.boot_sections + self.hotplug_sections) * self.pages_per_section


@dataclass(slots=True, eq=False)
class Task:
    """A thread of a process."""

    pid: int
    tgid: int
    comm: int
    blocks: "list[Block]" = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Block:
    """An allocation as its user knows it: page_ext may say another order."""

    pfn: int
    order: int
    movable: bool
    owner: Task
    busy: bool = False  # under migration, or on its way out


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What happened: events as a parser yields them, and the truth after each."""

    events: EventBatch
    journal: Journal
    config: ModelConfig

    def truth_at(self, row: int) -> Truth:
        """Return the truth just after event *row*; -1 is the begin of the recording."""
        return self.journal.truth_at(row)


Act = Iterator[None]


class ModelKernel:
    """The machine. Every primitive is one atomic step of the kernel; acts interleave them on several CPUs."""

    def __init__(self, seed: int, *, config: ModelConfig | None = None) -> None:
        self.config = c = config or ModelConfig()
        self.rng = random.Random(seed)
        self.log = EventLog()
        self.journal = Journal(c.nr_pages)
        self.truth = Truth(c.nr_pages)
        self.buddy = Buddy(
            nr_pages=c.nr_pages, max_order=c.max_order, pageblock_order=c.pageblock_order, cpus=c.cpus, pcp_high=c.pcp_high
        )
        self.now = 1_000_000_000 + self.rng.randrange(1_000_000)
        self.tracing = False
        self.blocks: dict[int, Block] = {}
        self.guarded: list[int] = []
        self.extensions: dict[int, list[Block]] = {}
        self.hotplug_lock = self.dump_lock = False
        self.dumps = 0
        self.cpu = 0
        self._pid = 100
        self.init = Task(1, 1, self._text(self.log.comms, "swapper/0"))
        self.kcompactd = Task(40, 40, self._text(self.log.comms, "kcompactd0"))
        self.shell = Task(90, 90, self._text(self.log.comms, "sh"))
        self.tasks = [self.new_task() for _ in range(c.tasks)]
        self._running: list[Act | None] = [None] * c.cpus
        self._memory()

    def run(self, steps: int, *, settle: bool = True) -> History:
        """Let *steps* things happen; *settle*: let what has begun come to its end, too."""
        from pagetrail.producers.model_acts import Acts  # acts are written on top of the machine

        acts, c = Acts(self), self.config
        self._steps(acts, c.untraced_steps)
        self._begin_recording()
        if c.page_owner_step is not None:
            self._steps(acts, c.page_owner_step)
            self._start_page_owner()
            steps -= c.page_owner_step
        self._finish(acts.dump())
        self._steps(acts, max(steps, 0))
        if settle:
            for cpu in range(c.cpus):
                self._advance(cpu, to_the_end=True)
            self._finish(acts.dump())
        return History(events=self.log.batch(), journal=self.journal, config=c)

    def _steps(self, acts: Any, steps: int) -> None:
        for _ in range(steps):
            self.now += self.rng.choice((0, 700, 5_000, 90_000, 2_000_000, 60_000_000))
            cpu = self.rng.randrange(self.config.cpus)
            if self._running[cpu] is None:
                self._running[cpu] = acts.choose()
            self._advance(cpu)

    def _advance(self, cpu: int, *, to_the_end: bool = False) -> None:
        self.cpu = cpu
        act = self._running[cpu]
        for _ in act or ():
            if not to_the_end:
                return
        self._running[cpu] = None

    def _finish(self, act: Act) -> None:
        for _ in act:
            pass

    # -- what there is at the beginning ----------------------------------------------------------------------------------

    def _memory(self) -> None:
        c = self.config
        boot = c.boot_sections * c.pages_per_section
        self._op(-1, "online", 0, boot)
        largest = 1 << (c.max_order - 1)
        self.cma = range(boot - largest, boot)
        for block in range(boot >> c.pageblock_order):
            cma = block << c.pageblock_order in self.cma
            self.buddy.block_type[block] = BlockType.CMA if cma else BlockType.NORMAL
        for pfn in range(boot - largest, -1, -largest):
            self.buddy.give(pfn, c.max_order - 1)
        if c.page_owner_step is None:
            self._op(-1, "start")
        for _ in range(int(boot * c.boot_memory)):
            self.alloc(self.init, 0, GFP_KERNEL, movable=False)

    def _begin_recording(self) -> None:
        """Say what a recording says before its first event: constants, clocks, coverage."""
        c, pages = self.config, self.config.pages_per_section
        present = c.boot_sections * pages
        boot = Boot(
            release="6.1.0-model", arch="x86_64", page_shift=c.page_shift, section_size_bits=c.section_size_bits,
            memory_block_bytes=c.block_sections << c.section_size_bits, pageblock_order=c.pageblock_order,
            max_order=c.max_order, memory_model="SPARSEMEM", page_ext_clients=("owner", "debug") if c.flags else ("owner",),
            nodes=(0,), zones=(Zone(node=0, name="Normal", start_pfn=0, stop_pfn=present),), present=((0, present),),
        )  # fmt: skip
        self.tracing = True
        self.log.say(Kind.BOOT, self.now, boot)
        clock = Clock(ts_nsec=self.now + c.owner_clock_offset, monotonic=self.now, valid_from=0, source="the model")
        self.log.say(Kind.CLOCK, self.now, clock)
        if c.coverage:
            self.log.say(Kind.COVERAGE, self.now, Coverage(kinds=c.coverage, declared_by="the model"))

    def _start_page_owner(self) -> None:
        """Start page_owner late: all that is not in the buddy allocator then gets its own stamp, ghosts too."""
        boot = self.config.boot_sections * self.config.pages_per_section
        held = self.buddy.in_buddy(0, boot)
        found = [pfn for pfn in range(boot) if not held[pfn] and pfn not in self.guarded]
        stack = self._text(self.log.stacks, "register_early_stack\ninit_page_owner\nstart_kernel")
        stamp = Stamp(
            order=0, gfp_mask=0, pid=1, tgid=1, comm=self.init.comm, stack=stack, ts_nsec=self.stamp_time(), early=True
        )
        row = self.log.say(Kind.MARKER, self.tick(), Marker(text="page_owner started"))
        self._op(row, "start")
        self._op(row, "early", found, stamp)

    def new_task(self) -> Task:
        """Return a thread of a new process, or of one that is there."""
        self._pid += self.rng.randrange(1, 4)
        tgid = self._pid if self.rng.random() < 0.7 else self._pid - 1
        return Task(self._pid, tgid, self._text(self.log.comms, f"proc-{tgid % 7}"))

    # -- primitives: an event and its truth ------------------------------------------------------------------------------

    def alloc(self, task: Task, order: int, gfp: int, *, movable: bool) -> Block | None:
        """Allocate a block for *task*; null where there is none."""
        kinds = FOR_MOVABLE if movable else FOR_UNMOVABLE
        small = order < self.buddy.pcp_orders
        pfn = self.buddy.take_from_cpu(self.cpu, order, kinds) if small else self.buddy.take(order, kinds)
        if pfn is None:
            return None
        migratetype = MIGRATE_MOVABLE if movable else MIGRATE_UNMOVABLE
        stack = self._stack(task, movable)
        stamp = self._stamp(task, order, gfp, stack, migratetype)
        if gfp == GFP_MOVABLE:  # a probe on __set_page_owner takes it for an isolated free page
            self._op(self._trace(Kind.ISOLATE, task, stack, pfn=pfn, order=order, gfp_mask=gfp), "set_owner", pfn, 1 << order, stamp)
        row = self._trace(
            Kind.ALLOC, task, stack, pfn=pfn, order=order, gfp_mask=gfp, migratetype=migratetype
        )  # fmt: skip
        self._op(row, "set_owner", pfn, 1 << order, stamp)
        self._flag(task, pfn, order, Kind.UNPOISON)
        return self.hold(Block(pfn, order, movable, task))

    def isolate(self, task: Task, pfn: int, order: int) -> list[Block]:
        """Make a block that was just taken off its free list single pages of *task* (split_map_pages)."""
        stamp = self._stamp(task, order, GFP_MOVABLE, -1, MIGRATE_MOVABLE)
        row = self._trace(Kind.ISOLATE, task, -1, pfn=pfn, order=order, gfp_mask=GFP_MOVABLE)
        self._op(row, "set_owner", pfn, 1 << order, stamp)
        block = self.hold(Block(pfn, order, False, task, busy=True))
        return self.split(task, block) if order else [block]

    def split(self, task: Task, block: Block) -> list[Block]:
        """Split a block into single pages."""
        nr_pages = 1 << block.order
        row = self._trace(Kind.SPLIT, task, pfn=block.pfn, order=0, nr_pages=nr_pages)
        self._op(row, "split_owner", block.pfn, nr_pages)
        self.drop(block)
        return [self.hold(Block(block.pfn + i, 0, block.movable, block.owner, block.busy)) for i in range(nr_pages)]

    def copy_owner(self, task: Task, new: Block, old: Block, reason: int) -> None:
        """Let *old*'s user go on with the pages of *new*, whose record becomes the old one: that of its head."""
        row = self._trace(Kind.MIGRATE, task, pfn=new.pfn, src_pfn=old.pfn)
        self._op(row, "copy_owner", new.pfn, old.pfn)
        self._op(row, "migrate_reason", new.pfn, reason)
        self.drop(new)
        self.drop(old)
        moved, rest = Block(new.pfn, old.order, old.movable, old.owner), Block(old.pfn, old.order, False, task, busy=True)
        self.hold(moved)
        self.hold(rest)

    def free(self, task: Task, block: Block) -> None:
        """Free a whole block."""
        self.drop(block)
        self.free_pages(task, block.pfn, block.order)

    def free_pages(self, task: Task, pfn: int, order: int) -> None:
        """Free pages that no block holds any more: they go to a per-CPU list or to the buddy allocator."""
        stack = self._text(self.log.stacks, "free_unref_page\nexit_mmap\ndo_exit") if self.config.stacks else -1
        row = self._trace(Kind.FREE, task, stack, pfn=pfn, order=order)
        self._op(row, "reset_owner", pfn, 1 << order, self.stamp_time())
        self._flag(task, pfn, order, Kind.POISON)
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
            self._op(self._trace(Kind.DRAIN, task, pfn=pfn, order=order), "drained", pfn, 1 << order)
            self.buddy.give(pfn, order)

    def guard(self, task: Task, pfn: int, on: bool) -> None:
        """Make a page that is free, and off its list, a guard page, or no longer."""
        row = self._trace(Kind.GUARD if on else Kind.UNGUARD, task, pfn=pfn, order=0)
        self._op(row, "set_flag", pfn, 1, "guard", on)

    def _flag(self, task: Task, pfn: int, order: int, kind: Kind) -> None:
        if self.config.flags:
            row = self._trace(kind, task, pfn=pfn, order=order)
            self._op(row, "set_flag", pfn, 1 << order, "poison", kind is Kind.POISON)
