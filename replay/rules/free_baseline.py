"""kpageflags against replay: the BUDDY bit proves that a page is free.

Source: fs/proc/page.c, stable_page_flags (Linux 6.1): BUDDY is set on every page of a free block. A page on a per-cpu list is
free too, and has no BUDDY bit: a clear bit proves nothing.
"""

from dataclasses import dataclass

import numpy as np

from pagetrail.replay.fold.records.held import held
from pagetrail.replay.fold.section_jit import apply_free
from pagetrail.replay.fold.tables import Array, Tables, with_room
from pagetrail.schemas.linux.page_flags import KPF_BUDDY
from pagetrail.schemas.owner import State


@dataclass(frozen=True, slots=True, kw_only=True)
class FreeComparison:
    """Free pages of a reading of kpageflags, compared with the state before: all, those free in replay, the others by class.

    ``owned`` has the page frame numbers that replay has as owned.
    """

    pages: int
    agree: int
    classes: dict[str, int]
    owned: Array


def free_runs(pfn: Array, nr_pages: Array, flags: Array, pages_per_section: int, max_pfn: int) -> list[tuple[int, int]]:
    """Return (pfn, nr_pages) of the runs with the BUDDY bit, split at the borders of sections; none beyond the machine."""
    runs = []
    for first, count, bits in zip(pfn.tolist(), nr_pages.tolist(), flags.tolist(), strict=True):
        stop = min(first + count, max_pfn)
        while first >= 0 and bits & KPF_BUDDY and first < stop:
            border = min(stop, (first // pages_per_section + 1) * pages_per_section)
            runs.append((first, border - first))
            first = border
    return runs


def compare_free(t: Tables, runs: list[tuple[int, int]], since: int) -> FreeComparison:
    """Compare the kernel's free pages with the state; pages touched at or after *since* prove nothing."""
    pages = agree = 0
    classes: dict[str, int] = {}
    owned = [np.zeros(0, np.int64)]
    size = t.owner.shape[1]
    for pfn, count in runs:
        section_nr, first = divmod(pfn, size)
        pages += count
        if section_nr >= t.slot.size or t.slot[section_nr] < 0:
            classes["no such section"] = classes.get("no such section", 0) + count
            continue
        handle = t.owner[t.slot[section_nr], first : first + count]
        known = np.maximum(handle, 0)
        state = np.where(handle >= 0, t.records["state"][known], int(State.UNKNOWN))
        touched = (state == State.OWNED) & (held(t, "begin_ts", known) >= since)
        agree += int((state == State.FREE).sum())
        mine = (state == State.OWNED) & ~touched
        for name, mask in (
            ("unknown", state == State.UNKNOWN),
            ("touched meanwhile", touched),
            ("owned in replay", mine),
        ):
            if mask.any():
                classes[name] = classes.get(name, 0) + int(mask.sum())
        owned.append(pfn + np.flatnonzero(mine))
    return FreeComparison(pages=pages, agree=agree, classes=classes, owned=np.concatenate(owned))


def set_free(
    t: Tables,
    o: Array,
    runs: list[tuple[int, int]],
    seq: int,
    ts: int,
    window_begin: int,
    since: int,
    renew_before: int,
) -> Tables:
    """Make the kernel's free pages free: set unknown pages, renew free ones, correct owned ones."""
    size = t.owner.shape[1]
    for pfn, count in runs:
        section_nr, first = divmod(pfn, size)
        if section_nr >= t.slot.size or t.slot[section_nr] < 0:
            continue
        t = with_room(t, 2 * count)
        slot, generation = int(t.slot[section_nr]), int(t.generation[section_nr])
        base = section_nr * size
        apply_free(t, o, slot, base, generation, first, first + count, seq, ts, window_begin, since, renew_before)
    return t
