"""debug: which pages are filled with poison, and which are guard pages, as in the first page_ext.

Source: include/linux/page_ext.h, PAGE_EXT_DEBUG_POISON and PAGE_EXT_DEBUG_GUARD; mm/debug-pagealloc.c, poison_page and
unpoison_page; mm/page_alloc.c, set_page_guard and clear_page_guard (Linux 3.19). The flags are in page_ext's own word, so the
client takes no bytes. The kernel sets the guard flag on the first page of a block and keeps its order beside it; here every page
of the block has it. Linux 6.1 keeps neither in page_ext (mm/page_poison.c checks the pages; a guard is a page type).
"""

from typing import Final

import numpy as np

from pagetrail.replay.fold.decode import Events
from pagetrail.replay.rules.clients.client import Client, FieldValues
from pagetrail.schemas.columns import Kind
from pagetrail.schemas.details import Boot
from pagetrail.schemas.linux import page_ext

_POISON, _GUARD = range(2)


def need_debug(boot: Boot | None) -> bool:
    """Whether the kernel kept these flags: mm/debug-pagealloc.c, need_debug_guardpage and need_page_poisoning (Linux 3.19)."""
    return boot is not None and page_ext.DEBUG in boot.page_ext_clients


def init_debug() -> int:
    """Return the flags of a new extension's pages: none, as it is zeroed (mm/page_ext.c, alloc_page_ext, Linux 6.1)."""
    return 0


def flags_set(events: Events) -> FieldValues:
    """Return which flag each event sets (1) or clears (0)."""
    poison = (events.kind == Kind.POISON) | (events.kind == Kind.UNPOISON)
    sets = (events.kind == Kind.POISON) | (events.kind == Kind.GUARD)
    return FieldValues(field=np.where(poison, _POISON, _GUARD).astype(np.int8), value=sets.astype(np.int64))


DEBUG: Final = Client(
    name=page_ext.DEBUG, size=0, need=need_debug, fields=("poison", "guard"),
    kinds=frozenset({Kind.POISON, Kind.UNPOISON, Kind.GUARD, Kind.UNGUARD}), init=init_debug, says=flags_set,
)  # fmt: skip
