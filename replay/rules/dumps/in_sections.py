"""The records of a dump in whole sections: no rule of the fold looks beyond a section, and no block of it either."""

from collections.abc import Iterator
from typing import Final

import numpy as np

from pagetrail.replay.rules.page_owner_baseline import Entries, by_section, no_entries
from pagetrail.replay.rules.sections import MAX_SECTIONS

PART_ENTRIES: Final = 1 << 14
"""So many records are taken at once, or the records of one section."""


def in_whole_sections(
    pieces: Iterator[Entries], gfp_comp: int, pages_per_section: int
) -> Iterator[tuple[range, Entries]]:
    """Yield groups of sections with their records; together the groups are all sections there can be.

    Parameters
    ----------
    pieces
        The records of a dump by page frame number, some at a time.
    gfp_comp
        The bit of __GFP_COMP, for ``by_section``: a block larger than a section has an entry in each section.
    """
    first, held = 0, joined([])
    for piece in pieces:
        held = by_pfn(joined([held, by_section(piece, gfp_comp, pages_per_section)]))
        last = int(piece.pfn[-1]) // pages_per_section if piece.pfn.size else first  # it may have more records
        section, start = held.pfn // pages_per_section, 0
        for begins in np.flatnonzero(np.diff(section, prepend=-1)).tolist():
            whole = int(section[begins])
            if begins - start >= PART_ENTRIES and whole <= last:
                yield range(first, whole), part(held, start, begins)
                first, start = whole, begins
        held = part(held, start, held.pfn.size)
    yield range(first, MAX_SECTIONS), held


def joined(parts: list[Entries]) -> Entries:
    """Return the records of all *parts*, one part after another."""
    return Entries(*map(np.concatenate, zip(no_entries(), *parts, strict=True)))


def part(entries: Entries, start: int, stop: int) -> Entries:
    """Return records [start, stop), as arrays of their own."""
    return Entries(*(column[start:stop].copy() for column in entries))


def by_pfn(entries: Entries) -> Entries:
    """Return the records by page frame number; those of one page stay in their order."""
    if (entries.pfn[1:] >= entries.pfn[:-1]).all():
        return entries
    order = np.argsort(entries.pfn, kind="stable")
    return Entries(*(column[order] for column in entries))
