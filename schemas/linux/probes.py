"""The kprobes for acts without a tracepoint: their names in recordings, their functions, their arguments and what they show.

The names are pagetrail's own; docs/guide.md says how to set the probes. Functions and registers are those of x86_64; where they
differ from release to release, there is a probe for each.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from pagetrail.schemas.linux.gfp import GFP_MOVABLE
from pagetrail.schemas.linux.kmem_events import PageAct

VMEMMAP_BASE: Final = "base"
"""An argument that probes may record besides, as ``base=@vmemmap_base:x64``: where the struct page of pfn 0 is, for pointers that
KASLR moved."""
_VMEMMAP_BASE_AT: Final = "@vmemmap_base"
"""Memory at a symbol. Source: Documentation/trace/kprobetrace.rst; arch/x86/kernel/head64.c, vmemmap_base (Linux 6.1)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """One probe.

    Attributes
    ----------
    group, name
        Group and name of its events.
    function
        The function that it probes, at entry or return.
    arguments
        The arguments that it records, in the syntax of kprobe_events.
    shows
        The act that a recording sees completely if every probe of that act is on and missed no hit.
    at_return
        Whether it is at the function's return.
    filter
        The filter of its events; empty: none.
    """

    group: str
    name: str
    function: str
    arguments: str
    shows: PageAct
    at_return: bool = False
    filter: str = ""

    def fits(self, function: str, arguments: Mapping[str, str]) -> bool:
        """Return whether a probe on *function* that records *arguments* (name to register) is this one.

        It may record the base of the vmemmap too.
        """
        own = {name: source for name, source in arguments.items() if (name, source) != (VMEMMAP_BASE, _VMEMMAP_BASE_AT)}
        return function == self.function and own == registers(self.arguments)

    @property
    def event(self) -> str:
        """The name of its events in set_event."""
        return f"{self.group}:{self.name}"

    @property
    def definition(self) -> str:
        """Its line in kprobe_events."""
        return f"{'r' if self.at_return else 'p'}:{self.group}/{self.name} {self.function} {self.arguments}"


def registers(arguments: str) -> dict[str, str]:
    """Return the register of each argument of a probe's definition, by name; the type in which it is printed does not matter."""
    return {name: source.partition(":")[0] for name, _, source in (word.partition("=") for word in arguments.split())}


PAGE_OWNER_GROUP: Final = "po"
HOTPLUG_GROUP: Final = "hp"

# Source: mm/page_owner.c (Linux 6.1).
COPY_OWNER: Final = Probe(
    group=PAGE_OWNER_GROUP, name="copy_owner", function="__folio_copy_owner", arguments="new=%di:x64 old=%si:x64",
    shows="migrate",
)  # fmt: skip
SPLIT_OWNER: Final = Probe(
    group=PAGE_OWNER_GROUP, name="split_owner", function="__split_page_owner", arguments="page=%di:x64 nr=%si:u32",
    shows="split",
)  # fmt: skip
ISO_OWNER: Final = Probe(
    group=PAGE_OWNER_GROUP, name="iso_owner", function="__set_page_owner",
    arguments="page=%di:x64 order=%si:u16 gfp=%dx:x32", shows="isolate", filter=f"gfp == {GFP_MOVABLE}",
)  # fmt: skip
"""Only isolated free pages are allocated with __GFP_MOVABLE alone. Source: mm/compaction.c, split_map_pages (Linux 6.1)."""

COPY_OWNER_5_10: Final = dataclasses.replace(
    COPY_OWNER, function="__copy_page_owner", arguments="new=%si:x64 old=%di:x64"
)
"""The old page comes first. Source: mm/page_owner.c (Linux 5.10)."""

SPLIT_ORDERS: Final = Probe(
    group=PAGE_OWNER_GROUP, name="split_orders", function="__split_page_owner",
    arguments="page=%di:x64 old_order=%si:u32 new_order=%dx:u32", shows="split",
)  # fmt: skip
"""Source: mm/page_owner.c (Linux 6.12, 7.2)."""

MIGRATE_REASON: Final = Probe(
    group=PAGE_OWNER_GROUP, name="migrate_reason", function="__set_page_owner_migrate_reason",
    arguments="page=%di:x64 reason=%si:s32", shows="migrate",
)  # fmt: skip
"""Why the page that was migrated to was migrated; beside ``COPY_OWNER``. Source: mm/page_owner.c (Linux 5.10, 6.1, 6.12)."""
MIGRATE_REASON_7_2: Final = dataclasses.replace(MIGRATE_REASON, function="__folio_set_owner_migrate_reason")
"""Source: mm/page_owner.c (Linux 7.2)."""

# Source: mm/page_alloc.c (Linux 6.12, 7.2). Pages of a contiguous range are stamped without a tracepoint.
CONTIG_RANGE: Final = Probe(
    group=PAGE_OWNER_GROUP, name="contig_range", function="alloc_contig_range_noprof",
    arguments="start=%di:x64 end=%si:x64 migratetype=%dx:u32 gfp=%cx:x32", shows="contig_range",
)  # fmt: skip
CONTIG_RANGE_7_2: Final = dataclasses.replace(
    CONTIG_RANGE, function="alloc_contig_frozen_range_noprof",
    arguments="start=%di:x64 end=%si:x64 acr_flags=%dx:u32 gfp=%cx:x32",
)  # fmt: skip
CONTIG_RANGE_RET: Final = Probe(
    group=PAGE_OWNER_GROUP, name="contig_range_ret", function=CONTIG_RANGE.function, arguments="ret=$retval:s32",
    shows="contig_range", at_return=True,
)  # fmt: skip
CONTIG_RANGE_RET_7_2: Final = dataclasses.replace(CONTIG_RANGE_RET, function=CONTIG_RANGE_7_2.function)

# Source: mm/memory_hotplug.c (Linux 6.1).
_RANGE: Final = "pfn=%di:x64 nr_pages=%si:u64"
_RESULT: Final = "ret=$retval:s32"
ONLINE_PAGES: Final = Probe(
    group=HOTPLUG_GROUP, name="online_pages", function="online_pages", arguments=_RANGE, shows="hotplug"
)
ONLINE_PAGES_RET: Final = Probe(
    group=HOTPLUG_GROUP,
    name="online_pages_ret",
    function="online_pages",
    arguments=_RESULT,
    shows="hotplug",
    at_return=True,
)
OFFLINE_PAGES: Final = Probe(
    group=HOTPLUG_GROUP, name="offline_pages", function="offline_pages", arguments=_RANGE, shows="hotplug"
)
OFFLINE_PAGES_RET: Final = Probe(
    group=HOTPLUG_GROUP,
    name="offline_pages_ret",
    function="offline_pages",
    arguments=_RESULT,
    shows="hotplug",
    at_return=True,
)

PAGE_OWNER_PROBES: Final = (SPLIT_OWNER, COPY_OWNER, ISO_OWNER)
"""Those of Linux 6.1."""

PROBES_OF: Final[Mapping[str, tuple[Probe, ...]]] = MappingProxyType(
    {
        "5.10": (SPLIT_OWNER, COPY_OWNER_5_10, ISO_OWNER),
        "6.1": PAGE_OWNER_PROBES,
        "6.12": (SPLIT_ORDERS, COPY_OWNER, ISO_OWNER, CONTIG_RANGE, CONTIG_RANGE_RET),
        "7.2": (SPLIT_ORDERS, COPY_OWNER, ISO_OWNER, CONTIG_RANGE_7_2, CONTIG_RANGE_RET_7_2),
    }
)
"""By release: the probes that show what it does without a tracepoint."""

MIGRATE_REASON_OF: Final[Mapping[str, Probe]] = MappingProxyType(
    dict.fromkeys(("5.10", "6.1", "6.12"), MIGRATE_REASON) | {"7.2": MIGRATE_REASON_7_2}
)
"""By release: the probe on why a page is migrated. Migrations are seen without it, so it is needed for nothing else."""

# Functions that a kernel without page_owner has too. Their events have the names, arguments and meaning of those above.
MIGRATE_FLAGS: Final = dataclasses.replace(COPY_OWNER, function="folio_migrate_flags")
"""It ends with folio_copy_owner of the same folios. Source: mm/migrate.c, folio_migrate_flags (Linux 6.1, 6.12, 7.2)."""

MIGRATE_STATES_5_10: Final = dataclasses.replace(COPY_OWNER, function="migrate_page_states")
"""The new page comes first. Source: mm/migrate.c, migrate_page_states (Linux 5.10)."""

SPLIT_MEMCG: Final = dataclasses.replace(SPLIT_OWNER, function="split_page_memcg")
"""It is called wherever split_page_owner is, with the same arguments, if the kernel has memory cgroups.

Source: mm/huge_memory.c, __split_huge_page; mm/page_alloc.c, split_page and make_alloc_exact (Linux 5.10, 6.1).
"""

SPLIT_MEMCG_ORDERS: Final = dataclasses.replace(SPLIT_ORDERS, function=SPLIT_MEMCG.function)
"""The same, but for hugetlb pages that are demoted. Source: mm/hugetlb.c, demote_free_hugetlb_folios (Linux 6.12)."""

SPLIT_FOLIO_MEMCG: Final = dataclasses.replace(SPLIT_ORDERS, function="folio_split_memcg_refs")
SPLIT_PAGE: Final = dataclasses.replace(
    SPLIT_OWNER, name="split_page", function=SPLIT_MEMCG.function, arguments="page=%di:x64 order=%si:u32"
)
"""These two are called where split_page_owner is, but for hugetlb pages that are demoted: for folios, and for other blocks, which
become single pages. Source: mm/huge_memory.c, __split_unmapped_folio; mm/page_alloc.c, __split_page (Linux 7.2)."""

PROBES_WITHOUT_PAGE_OWNER: Final[Mapping[str, tuple[Probe, ...]]] = MappingProxyType(
    {
        "5.10": (SPLIT_MEMCG, MIGRATE_STATES_5_10),
        "6.1": (SPLIT_MEMCG, MIGRATE_FLAGS),
        "6.12": (SPLIT_MEMCG_ORDERS, MIGRATE_FLAGS),
        "7.2": (SPLIT_FOLIO_MEMCG, SPLIT_PAGE, MIGRATE_FLAGS),
    }
)
"""By release: the probes that show an act of a kernel that is built without page_owner, all of them together. Ranges that are taken
as a whole have the probes above. No probe shows an owner of pages that compaction isolates, or that are allocated in bulk."""

HOTPLUG_PROBES: Final = (ONLINE_PAGES, ONLINE_PAGES_RET, OFFLINE_PAGES, OFFLINE_PAGES_RET)
