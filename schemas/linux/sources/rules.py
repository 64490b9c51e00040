"""Where the fields of ``KernelRules`` were read: for each field and release, the place, and what it does there."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from pagetrail.schemas.linux import probes
from pagetrail.schemas.linux.sources.place import Place

READ: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {"5.10": ("5.10.223", "5.10.262"), "6.1": ("6.1.192",), "6.12": ("6.12.117",), "7.2": ("7.2.13",)}
)
"""By release: the releases of its stable tree whose source was read."""

_OWNER: Final = "mm/page_owner.c"
_PAGES: Final = "mm/page_alloc.c"
_COMPACTION: Final = "mm/compaction.c"
_EXT: Final = "mm/page_ext.c"
_MODE: Final = "include/linux/migrate_mode.h"


def _all(file: str, function: str, does: str) -> Mapping[str, Place]:
    """Return one place for every release."""
    return dict.fromkeys(READ, Place(file=file, function=function, does=does))


def _each(file: str, **by_release: tuple[str, str]) -> Mapping[str, Place]:
    """Return a place of *file* for each release: ``r5_10=(function, does)`` and so on."""
    return {
        name.removeprefix("r").replace("_", "."): Place(file=file, function=function, does=does)
        for name, (function, does) in by_release.items()
    }


_TO_ZERO: Final = "order := 0 on nr pages"
_TO_ANY: Final = "order := new_order on 2^old_order pages"
_HEAD: Final = "copies to the head alone"
_ALL_PAGES: Final = "copies to 2^order pages through `__update_page_owner_handle`"
_SIXTEEN: Final = "order, last_migrate_reason, gfp_mask, two handles"
_LATE: Final = "order 0, mask 0, by the thread that runs page_ext_init"

PLACES: Final[Mapping[str, Mapping[str, Place]]] = MappingProxyType(
    {
        "release": dict.fromkeys(READ, Place(file="Makefile", function="VERSION, PATCHLEVEL, SUBLEVEL")),
        "gfp_flags": {
            "5.10": Place(file="include/linux/gfp.h", function="___GFP_*", does="numbers; 0x200 is __GFP_ATOMIC"),
            "6.1": Place(file="include/linux/gfp_types.h", function="___GFP_*", does="numbers; 0x200 is __GFP_ATOMIC"),
            "6.12": Place(
                file="include/linux/gfp_types.h", function="enum ___GFP_*_BIT",
                does="shifts; 0x200 is unused, GFP_NOWAIT has __GFP_NOWARN",
            ),
            "7.2": Place(file="include/linux/gfp_types.h", function="enum ___GFP_*_BIT", does="as 6.12"),
        },
        "gfp_isolated": _each(
            _COMPACTION,
            r5_10=("split_map_pages", "post_alloc_hook with __GFP_MOVABLE on all pages that were isolated, then split_page"),
            r6_1=("split_map_pages", "as 5.10"),
            r6_12=("compaction_alloc_noprof, mark_allocated_noprof", "the same, on what is used or released"),
            r7_2=("compaction_alloc_noprof, mark_allocated_noprof", "as 6.12"),
        ),
        "gfp_page_ext": _all(_EXT, "alloc_page_ext", "GFP_KERNEL, __GFP_ZERO, __GFP_NOWARN"),
        "migratetype_names": _all("include/linux/mmzone.h", "enum migratetype", "CMA and isolation if they are configured"),
        "migrate_reason_names": {
            "5.10": Place(file="include/linux/migrate.h", function="enum migrate_reason", does="the first seven"),
            "6.1": Place(file=_MODE, function="enum migrate_reason", does="longterm_pin and demotion are new"),
            "6.12": Place(file=_MODE, function="enum migrate_reason", does="damon is new"),
            "7.2": Place(file=_MODE, function="enum migrate_reason", does="as 6.12"),
        },
        "early_stamps": _each(
            _OWNER,
            r5_10=("init_pages_in_zone", f"{_LATE}; its record has no pid"),
            r6_1=("init_pages_in_zone", f"{_LATE}: pid 1; with early_page_ext pid 0"),
            r6_12=("init_pages_in_zone", "order 0, mask 0; pid 0 in mm_core_init, pid 1 where struct pages are deferred"),
            r7_2=("init_pages_in_zone", "as 6.12"),
        ),
        "page_owner_bytes": _each(
            _OWNER,
            r5_10=("struct page_owner", _SIXTEEN),
            r6_1=("struct page_owner", "and two times, comm, pid, tgid"),
            r6_12=("struct page_owner", "and free_pid, free_tgid"),
            r7_2=("struct page_owner", "as 6.12"),
        ),
        "page_ext_bytes": _all("include/linux/page_ext.h", "struct page_ext", "flags alone, before the clients' data"),
        "max_order": {
            **dict.fromkeys(
                ("5.10", "6.1"), Place(file="include/linux/mmzone.h", function="MAX_ORDER", does="11, exclusive")
            ),
            **dict.fromkeys(
                ("6.12", "7.2"), Place(file="include/linux/mmzone.h", function="MAX_PAGE_ORDER", does="10 is the greatest")
            ),
        },
        "migration_writes_tails": _each(
            _OWNER,
            r5_10=(probes.COPY_OWNER_5_10.function, _HEAD), r6_1=(probes.COPY_OWNER.function, _HEAD),
            r6_12=(probes.COPY_OWNER.function, _ALL_PAGES), r7_2=(probes.COPY_OWNER.function, _ALL_PAGES),
        ),
        "split_has_new_order": _each(
            _OWNER,
            r5_10=(probes.SPLIT_OWNER.function, _TO_ZERO), r6_1=(probes.SPLIT_OWNER.function, _TO_ZERO),
            r6_12=(probes.SPLIT_OWNER.function, _TO_ANY), r7_2=(probes.SPLIT_OWNER.function, _TO_ANY),
        ),
        "contig_has_own_mask": {
            **dict.fromkeys(
                ("5.10", "6.1"),
                Place(file=_COMPACTION, function="isolate_freepages_range", does="isolates through split_map_pages"),
            ),
            "6.12": Place(
                file=_PAGES, function="alloc_contig_range_noprof, split_free_pages", does="post_alloc_hook with the caller's mask"
            ),
            "7.2": Place(
                file=_PAGES, function="alloc_contig_frozen_range_noprof, split_free_frozen_pages", does="as 6.12"
            ),
        },
        "page_owner_has_times": _each(
            _OWNER,
            r5_10=("print_page_owner", "order and mask"), r6_1=("print_page_owner", "and pid, tgid, comm, ts, free_ts"),
            r6_12=("print_page_owner", "and pid, tgid, comm, ts"), r7_2=("print_page_owner", "as 6.12"),
        ),
        "page_owner_has_free_ts": _each(
            _OWNER,
            r5_10=("print_page_owner", "prints no time"), r6_1=("print_page_owner", "prints free_ts"),
            r6_12=("print_page_owner", "prints ts alone"), r7_2=("print_page_owner", "as 6.12"),
        ),
        "page_owner_has_hex_pfn": _each(
            _OWNER,
            r5_10=("print_page_owner", "`PFN %lu`"), r6_1=("print_page_owner", "`PFN %lu`"),
            r6_12=("print_page_owner", "`PFN 0x%lx`"), r7_2=("print_page_owner", "`PFN 0x%lx`"),
        ),
    }
)  # fmt: skip
"""By field of ``KernelRules``, and release. *others* has none: it says between which of these releases a kernel is."""
