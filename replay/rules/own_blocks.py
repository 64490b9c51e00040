"""The blocks that page_ext allocated for itself, split as the kernel splits them."""

import numpy as np

from pagetrail.replay.fold.records.held import held
from pagetrail.replay.fold.section_jit import apply_split
from pagetrail.replay.fold.tables import Tables, with_room
from pagetrail.replay.rules.page_ext import bytes_a_page
from pagetrail.schemas.details import Boot
from pagetrail.schemas.linux.releases import KernelRules
from pagetrail.schemas.owner import How, State


def split_own_blocks(t: Tables, boot: Boot | None, rules: KernelRules, seq: int, ts: int) -> Tables:
    """Split the blocks that page_ext allocated for itself before page_owner started; return the tables.

    Source: mm/page_ext.c, alloc_page_ext calls alloc_pages_exact_nid; mm/page_alloc.c, make_alloc_exact calls split_page (Linux
    6.1). It is too early in boot for a probe. So the split is inferred, and only if the numbers match exactly: the kernel printed
    how many bytes page_ext allocated, and exactly that many are owned in blocks with that order and gfp mask, allocated before
    page_owner started (they are early in the kernel's view).
    """
    each = bytes_a_page(boot, rules)
    if boot is None or boot.page_ext_bytes is None or each is None or boot.memory_model == "FLATMEM":
        return t
    table_bytes = each * t.owner.shape[1]
    order = (table_bytes >> boot.page_shift).bit_length() - 1
    if table_bytes != 1 << (order + boot.page_shift) or order < 1 or boot.page_ext_bytes % table_bytes:
        return t
    blocks = [
        (int(slot), section_nr, first)
        for section_nr, slot in ((int(nr), t.slot[nr]) for nr in np.flatnonzero(t.slot >= 0))
        for first in _own_blocks(t, int(slot), order, rules.gfp_page_ext)
    ]
    if len(blocks) != boot.page_ext_bytes // table_bytes:
        return t
    for slot, section_nr, first in blocks:
        t = with_room(t, 2 << order)
        base, generation = section_nr * t.owner.shape[1], int(t.generation[section_nr])
        apply_split(t, slot, base, generation, first, first + (1 << order), seq, ts, int(How.SPLIT_BY_PAGE_EXT))
    return t


def _own_blocks(t: Tables, slot: int, order: int, gfp_mask: int) -> list[int]:
    """Return the first pages (in their section) of whole blocks that look like page_ext's own, all stamped as early."""
    size = 1 << order
    handles = t.owner[slot].reshape(-1, size)
    whole = (handles == handles[:, :1]).all(axis=1) & (handles[:, 0] >= 0)
    early = (t.kernel[slot].reshape(-1, size) >= 0).all(axis=1)
    state, its_order, mask = (held(t, name, handles[:, 0]) for name in ("state", "order", "gfp_mask"))
    fits = (state == State.OWNED) & (its_order == order) & (mask == gfp_mask)
    return [int(i) * size for i in np.flatnonzero(whole & early & fits)]
