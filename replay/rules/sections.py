"""Sections and their extensions: which ones are present, since when, and in which generation.

Source: mm/page_ext.c (Linux 6.1): page_ext_callback allocates on MEM_GOING_ONLINE, frees on MEM_OFFLINE and on
MEM_CANCEL_ONLINE; the notifier's other three actions change nothing.
"""

from typing import Any

import numpy as np

from pagetrail.replay.facts.extension import Extension
from pagetrail.replay.fold.section_jit import close_section
from pagetrail.replay.fold.tables import NO_EVENT, Tables, grown, with_doubted, with_room
from pagetrail.schemas.linux.mmzone import PAGE_SHIFT, SECTION_SIZE_BITS, pages_per_section
from pagetrail.schemas.owner import OPEN_END, How

X86_64_PAGES_PER_SECTION = pages_per_section(SECTION_SIZE_BITS["x86_64"], PAGE_SHIFT)
"""Used for a recording that does not give the size."""

MAX_SECTIONS = 1 << 20
"""128 TiB in sections of 128 MiB. No known machine has a page frame number beyond."""


class Sections:
    """The extensions of a stream, and the slots of the tables that hold them."""

    def __init__(self, history: list[Extension] | None = None) -> None:
        self.history = [] if history is None else history
        self._open = {e.section_nr: e for e in self.history if e.end_seq == OPEN_END}

    @property
    def nr_open(self) -> int:
        """Number of sections that have an extension now."""
        return len(self._open)

    def is_open(self, section_nr: int) -> bool:
        """Whether the section has an extension now."""
        return section_nr in self._open

    def allocate(self, tables: Tables, section_nr: int, seq: int, ts: int, how: str) -> Tables:
        """Begin a section's extension: every page is unknown, and the generation is one higher."""
        generation = 1 + max((e.generation for e in self.history if e.section_nr == section_nr), default=0)
        extension = Extension(section_nr=section_nr, generation=generation, begin_seq=seq, begin_ts=ts, how=how)
        self.history.append(extension)
        self._open[section_nr] = extension
        return place(tables, section_nr, generation)

    def free(self, tables: Tables, section_nr: int, seq: int, ts: int, end_how: str) -> Tables:
        """End a section's extension, and with it the spans of its pages."""
        extension = self._open.pop(section_nr)
        extension.end_seq, extension.end_ts, extension.end_how = seq, ts, end_how
        tables = with_room(tables, tables.owner.shape[1])
        slot = tables.slot[section_nr]
        base = section_nr * tables.owner.shape[1]
        close_section(tables, int(slot), base, int(tables.generation[section_nr]), int(How.OFFLINED))
        tables.slot[section_nr] = -1
        return tables


def place(tables: Tables, section_nr: int, generation: int) -> Tables:
    """Return *tables* with an empty slot for a section."""
    known = tables.slot.size
    if section_nr >= known:
        size = section_nr + 1
        tables = tables._replace(
            slot=np.concatenate([tables.slot, np.full(size - known, -1, np.int32)]),
            generation=grown(tables.generation, size)[:size],
        )
    taken = set(tables.slot[tables.slot >= 0].tolist())
    free = next((slot for slot in range(tables.owner.shape[0]) if slot not in taken), None)
    if free is None:
        free = tables.owner.shape[0]
        tables = tables._replace(owner=grown(tables.owner, free + 1), kernel=grown(tables.kernel, free + 1))
    if tables.doubted.shape[0]:
        tables = with_doubted(tables)
        tables.doubted[free] = NO_EVENT
    tables.owner[free] = -1
    tables.kernel[free] = -1
    tables.slot[section_nr] = free
    tables.generation[section_nr] = generation
    return tables


def generations(tables: Tables) -> dict[str, Any]:
    """Return, as in JSON, the generations of sections that ever had an extension: few where memory lies at high addresses."""
    known = np.flatnonzero(tables.generation)
    return {
        "sections": tables.generation.size,
        "section_nr": known.tolist(),
        "generation": tables.generation[known].tolist(),
    }


def with_generations(tables: Tables, saved: dict[str, Any]) -> Tables:
    """Return *tables* with the generations that ``generations`` gave."""
    generation = np.zeros(saved["sections"], np.int32)
    generation[saved["section_nr"]] = saved["generation"]
    absent = np.full(generation.size - tables.slot.size, -1, np.int32)
    return tables._replace(generation=generation, slot=np.concatenate([tables.slot, absent]))
