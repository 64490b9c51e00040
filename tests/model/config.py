"""What kind of machine the model kernel is, and the words it speaks: tasks, blocks, gfp masks."""

from dataclasses import dataclass, field
from typing import Final, Literal

from pagetrail.schemas.details import Covered

EVERYTHING: Final[tuple[Covered, ...]] = ("alloc", "free", "split", "migrate", "isolate", "drain", "refill", "hotplug")

# gfp_t of Linux 6.1 (include/linux/gfp_types.h).
GFP_KERNEL: Final = 0xCC0
GFP_HIGHUSER_MOVABLE: Final = 0x100CCA
GFP_TRANSHUGE: Final = 0x3D24CA
GFP_EXACT: Final = 0xDC0
GFP_MIGRATION_TARGET: Final = 0x102CCA

EARLY_STACK: Final = "register_early_stack\ninit_page_owner\nstart_kernel"

MIGRATE_UNMOVABLE: Final = 0
MIGRATE_MOVABLE: Final = 1

MR_COMPACTION: Final = 0
MR_MEMORY_HOTPLUG: Final = 2
MR_NUMA: Final = 5
MR_CONTIG: Final = 6
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
    dumps_across_hotplug
        A dump may be read while a memory block comes or goes.
    hotplug_across_begin
        A memory block may be coming or going when the recording begins.
    memory_model
        SPARSEMEM, or FLATMEM: one node, of which no memory comes or goes, whatever ``hotplug_sections`` says.
    flags
        Poison and guard events, as kernels do that are made to tell of them.
    release
        The kernel whose rules it follows: see ``since_6_12``.
    weights
        Of what happens, by the name of the act, beside the default ones (``bulk``: allocations without an event, as there are
        before page_owner starts).
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
    dumps_across_hotplug: bool = True
    hotplug_across_begin: bool = True
    memory_model: Literal["SPARSEMEM", "FLATMEM"] = "SPARSEMEM"
    flags: bool = False
    stacks: bool = True
    coverage: tuple[Covered, ...] = EVERYTHING
    owner_clock_offset: int = 37_000_123
    release: str = "6.1.0"
    weights: dict[str, float] = field(default_factory=dict)

    @property
    def since_6_12(self) -> bool:
        """Whether migrations write all pages, splits are to any order, and ranges and isolated pages are stamped in another way.

        Source: mm/page_owner.c, mm/compaction.c and mm/page_alloc.c (Linux 6.12), against those of 6.1.
        """
        return self._version >= (6, 12)

    @property
    def dumps_have_times(self) -> bool:
        """Whether page_owner's file says who allocated a page, and when. Source: mm/page_owner.c, print_page_owner (Linux 5.10)."""
        return self._version > (5, 10)

    @property
    def _version(self) -> tuple[int, int]:
        major, minor = (int(part) for part in self.release.split(".")[:2])
        return major, minor

    @property
    def pages_per_section(self) -> int:
        """Pages of one section."""
        return 1 << (self.section_size_bits - self.page_shift)

    @property
    def nr_pages(self) -> int:
        """Pages that the machine can have at most."""
        hotplug = 0 if self.memory_model == "FLATMEM" else self.hotplug_sections
        return (self.boot_sections + hotplug) * self.pages_per_section


@dataclass(slots=True, eq=False)
class Task:
    """A thread of a process."""

    pid: int
    tgid: int
    comm: int
    blocks: "dict[int, Block]" = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class Block:
    """An allocation as its user knows it: page_ext may say another order."""

    pfn: int
    order: int
    movable: bool
    owner: Task
    busy: bool = False  # under migration, or on its way out
