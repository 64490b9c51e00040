"""The functions of Linux that the rules of the fold follow (docs/rules.md), and what each release has in their place."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from pagetrail.schemas.linux import probes
from pagetrail.schemas.linux.sources.place import Place
from pagetrail.schemas.linux.sources.rules import READ

_OWNER: Final = "mm/page_owner.c"
_PAGES: Final = "mm/page_alloc.c"
_EXT: Final = "mm/page_ext.c"
_HOTPLUG: Final = "mm/memory_hotplug.c"
_COMPACTION: Final = "mm/compaction.c"


def _same(file: str, function: str, does: str = "") -> Mapping[str, Place]:
    """Return a function that all releases have."""
    return dict.fromkeys(READ, Place(file=file, function=function, does=does))


def _until(
    since: str, file: str, before: str, after: str, *, was: str = "", does: str = "", moved: str | None = None
) -> Mapping[str, Place]:
    """Return a function that is *before* in releases up to the one before *since*, and from then on *after* (in *moved*)."""
    releases = list(READ)
    old, new = Place(file=file, function=before, does=was), Place(file=moved or file, function=after, does=does)
    return {name: old if releases.index(name) < releases.index(since) else new for name in releases}


def _own_mask(seven_two: str, does: str) -> Mapping[str, Place]:
    """Return what allocates a contiguous range."""
    isolates = Place(
        file=_PAGES, function="alloc_contig_range", does="isolates through isolate_freepages_range: mask 0x8"
    )
    return {
        "5.10": isolates,
        "6.1": isolates,
        "6.12": Place(file=_PAGES, function=probes.CONTIG_RANGE.function, does=does),
        "7.2": Place(file=_PAGES, function=seven_two, does=does),
    }


_CALLERS_MASK: Final = "stamps with the caller's mask through split_free_pages, or prep_new_page with __GFP_COMP"
_NO_FLAG: Final = "keeps no flag in page_ext: no event of these releases reports it"
_BULK: Final = "with page_owner off, takes pages without an event"

FUNCTIONS: Final[Mapping[str, Mapping[str, Place]]] = MappingProxyType(
    {
        "__set_page_owner_handle": _until(
            "6.12", _OWNER, "__set_page_owner_handle", "__update_page_owner_handle",
            was="all pages of the block; 6.1: a time for each", does="all pages of the block, one time",
        ),
        "__reset_page_owner": _same(_OWNER, "__reset_page_owner", "the allocated bit of all pages of the range"),
        "read_page_owner": _same(
            _OWNER, "read_page_owner", "heads alone; steps over what is in the buddy allocator; 5.10 drains the per-cpu lists first"
        ),
        "print_page_owner": _until(
            "6.12", _OWNER, "print_page_owner", "print_page_owner",
            was="5.10: without pid and times", does="without free_ts; PFN hexadecimal",
        ),
        "init_pages_in_zone": _until(
            "6.12", _OWNER, "init_pages_in_zone", "init_pages_in_zone",
            was="after the static branch is enabled", does="before the static branch is enabled",
        ),
        probes.SPLIT_OWNER.function: _until(
            "6.12", _OWNER, probes.SPLIT_OWNER.function, probes.SPLIT_OWNER.function, was="order 0", does="any lower order"
        ),
        probes.COPY_OWNER.function: {
            "5.10": Place(file=_OWNER, function=probes.COPY_OWNER_5_10.function, does="the head; the old page comes first"),
            "6.1": Place(file=_OWNER, function=probes.COPY_OWNER.function, does="the head; free_ts is the old ts"),
            **dict.fromkeys(
                ("6.12", "7.2"),
                Place(file=_OWNER, function=probes.COPY_OWNER.function, does="all pages; the old block gets the new one's stack"),
            ),
        },
        "__update_page_owner_handle": _until(
            "6.12", _OWNER, "__set_page_owner_handle", "__update_page_owner_handle",
            was="for allocations alone: a migration writes the head itself", does="for allocations and migrations",
        ),
        probes.MIGRATE_REASON.function: _until(
            "7.2", _OWNER, probes.MIGRATE_REASON.function, probes.MIGRATE_REASON_7_2.function,
            was="the first page, after the copy", does="the first page, after the copy",
        ),
        "free_pcppages_bulk": _same(_PAGES, "free_pcppages_bulk", "mm_page_pcpu_drain; 5.10: order 0 alone"),
        "__rmqueue_smallest": {
            "5.10": Place(file=_PAGES, function="__rmqueue", does="percpu_refill is order == 0"),
            "6.1": Place(file=_PAGES, function="__rmqueue_smallest", does="percpu_refill: it could be on a per-cpu list"),
            **dict.fromkeys(
                ("6.12", "7.2"), Place(file=_PAGES, function="__rmqueue_smallest", does="as 6.1, through page_del_and_expand")
            ),
        },
        "split_page": _until("7.2", _PAGES, "split_page", "split_page, __split_page", was="to order 0", does="as before"),
        "make_alloc_exact": _same(_PAGES, "make_alloc_exact", "splits, and frees what is too much"),
        "__alloc_pages_bulk": {
            "5.10": Place(file=_PAGES, function="__alloc_pages_nodemask", does="there is no bulk allocation"),
            "6.1": Place(file=_PAGES, function="__alloc_pages_bulk", does=_BULK),
            **dict.fromkeys(("6.12", "7.2"), Place(file=_PAGES, function="alloc_pages_bulk_noprof", does=_BULK)),
        },
        "alloc_contig_range": _own_mask(probes.CONTIG_RANGE_7_2.function, _CALLERS_MASK),
        probes.CONTIG_RANGE.function: _own_mask("alloc_contig_range_noprof, alloc_contig_frozen_range_noprof", _CALLERS_MASK),
        "split_free_pages": {
            **dict.fromkeys(
                ("5.10", "6.1"), Place(file=_COMPACTION, function="split_map_pages", does="mask 0x8 instead of the caller's")
            ),
            "6.12": Place(file=_PAGES, function="split_free_pages", does="the caller's mask, then order 0"),
            "7.2": Place(file=_PAGES, function="split_free_frozen_pages", does="as 6.12"),
        },
        "split_map_pages": _until(
            "6.12", _COMPACTION, "split_map_pages", "compaction_alloc_noprof, release_free_list",
            was="stamps all that is isolated, order 0", does="stamps what is used, and what is released, in its order",
        ),
        "online_pages": _same(_HOTPLUG, "online_pages", "pfn and nr_pages are its first arguments"),
        "offline_pages": _same(_HOTPLUG, "offline_pages", "pfn and nr_pages are its first arguments"),
        "online_page_ext": _same(_EXT, "online_page_ext", "section by section; rolls back when one fails"),
        "init_section_page_ext": _same(_EXT, "init_section_page_ext", "an extension that is there is kept"),
        "offline_page_ext": _until(
            "6.1", _EXT, "offline_page_ext", "offline_page_ext",
            was="frees at once", does="marks invalid, waits for readers, frees",
        ),
        "page_ext_callback": _same(_EXT, "page_ext_callback", "GOING_ONLINE allocates; OFFLINE and CANCEL_ONLINE free"),
        "alloc_node_page_ext": _same(_EXT, "alloc_node_page_ext", "without SPARSEMEM"),
        "lookup_page_ext": _same(_EXT, "lookup_page_ext", "null where there is no extension"),
        "invoke_need_callbacks": _same(_EXT, "invoke_need_callbacks", "adds the bytes of each client that is needed"),
        "alloc_page_ext": _same(_EXT, "alloc_page_ext", "zeroed"),
        "poison_page": _same("mm/page_poison.c", "poison_page", _NO_FLAG),
        "unpoison_page": _same("mm/page_poison.c", "unpoison_page", _NO_FLAG),
        "set_page_guard": _until(
            "6.12", _PAGES, "set_page_guard", "__set_page_guard", was=_NO_FLAG, does=_NO_FLAG, moved="mm/debug_page_alloc.c"
        ),
        "clear_page_guard": _until(
            "6.12", _PAGES, "clear_page_guard", "__clear_page_guard", was=_NO_FLAG, does=_NO_FLAG, moved="mm/debug_page_alloc.c"
        ),
        "stable_page_flags": _same("fs/proc/page.c", "stable_page_flags", "KPF_BUDDY"),
        "trace_mm_page_free_batched": _until(
            "6.12", _PAGES, "free_unref_page_list", "free_unref_folios", was="pages of order 0", does="heads of any order"
        ),
    }
)  # fmt: skip
"""By the name that docs/rules.md gives, and release."""
