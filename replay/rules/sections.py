"""Sections and their extensions: which ones are present, since when, and in which generation.

Source: mm/page_ext.c (Linux 6.1): page_ext_callback allocates on MEM_GOING_ONLINE, frees on MEM_OFFLINE and on
MEM_CANCEL_ONLINE; the notifier's other three actions change nothing.
"""

import heapq
from collections.abc import Collection
from typing import Any

import numpy as np

from pagetrail.replay.facts.hotplug import Extension
from pagetrail.replay.fold.section_jit import close_section
from pagetrail.replay.fold.tables import NO_EVENT, Tables, grown, with_doubted, with_room
from pagetrail.schemas.linux.mmzone import PAGE_SHIFT, SECTION_SIZE_BITS, pages_per_section
from pagetrail.schemas.owner import OPEN_END, How

X86_64_PAGES_PER_SECTION = pages_per_section(SECTION_SIZE_BITS["x86_64"], PAGE_SHIFT)
"""Used for a recording that does not give the size."""

MAX_SECTIONS = 1 << 20
"""128 TiB in sections of 128 MiB. No known machine has a page frame number beyond."""

_NEVER = (0, NO_EVENT)


class Sections:
    """The extensions of a stream, and the slots of the tables that hold them."""

    def __init__(self, history: list[Extension] | None = None) -> None:
        self.history = [] if history is None else history
        self._open = {e.section_nr: e for e in self.history if e.end_seq == OPEN_END}
        self._bare = set(self._open)  # those that are open and have no slot: it takes long to look for them
        self._free: list[int] | None = None
        self._slots = 0
        self._last: dict[int, tuple[int, int]] = {}  # by section: the highest generation, and when the last one ended
        for extension in self.history:
            self._keep(extension)

    @property
    def nr_open(self) -> int:
        """Number of sections that have an extension now."""
        return len(self._open)

    def is_open(self, section_nr: int) -> bool:
        """Whether the section has an extension now."""
        return section_nr in self._open

    def open_in(self, numbers: range) -> list[int]:
        """Return those of *numbers* that are open, in order."""
        return _among(self._open, numbers)

    def bare_in(self, numbers: range) -> list[int]:
        """Return those of *numbers* that are open and have no slot, in order."""
        return _among(self._bare, numbers)

    def slots_used(self, tables: Tables) -> int:
        """Return how many slots sections have or had: the memory of these is written."""
        self._look_for_slots(tables)
        return self._slots

    def ended_at(self, section_nr: int) -> int | None:
        """Return when the last extension of a section ended, trace clock, ns; null: it never had one, or none has ended."""
        ended = self._last.get(section_nr, _NEVER)[1]
        return None if ended == NO_EVENT else ended

    def _keep(self, extension: Extension) -> None:
        generation, ended = self._last.get(extension.section_nr, _NEVER)
        ends = NO_EVENT if extension.end_seq == OPEN_END else extension.end_ts
        self._last[extension.section_nr] = max(generation, extension.generation), max(ended, ends)

    def allocate(self, tables: Tables, section_nr: int, seq: int, ts: int, how: str) -> Tables:
        """Begin a section's extension: every page is unknown, and the generation is one higher. See ``seat``."""
        generation = 1 + self._last.get(section_nr, _NEVER)[0]
        extension = Extension(section_nr=section_nr, generation=generation, begin_seq=seq, begin_ts=ts, how=how)
        self.history.append(extension)
        self._open[section_nr] = extension
        self._bare.add(section_nr)
        self._keep(extension)
        return numbered(tables, section_nr, generation)

    def seat(self, tables: Tables, section_nr: int) -> Tables:
        """Give a section that is open a slot, with memory for its pages, if it has none.

        Most sections of a large machine have none as long as no event and no dump names a page of them.
        """
        if tables.slot[section_nr] >= 0:
            return tables
        tables = placed(tables, section_nr, self._free_slot(tables))
        self._bare.discard(section_nr)
        return tables

    def free(self, tables: Tables, section_nr: int, seq: int, ts: int, end_how: str) -> Tables:
        """End a section's extension, and with it the spans of its pages."""
        extension = self._open.pop(section_nr)
        self._bare.discard(section_nr)
        extension.end_seq, extension.end_ts, extension.end_how = seq, ts, end_how
        self._keep(extension)
        slot = tables.slot[section_nr]
        if slot < 0:
            return tables
        tables = with_room(tables, tables.owner.shape[1])
        base = section_nr * tables.owner.shape[1]
        close_section(tables, int(slot), base, int(tables.generation[section_nr]), int(How.OFFLINED))
        tables.slot[section_nr] = -1
        if self._free is not None:
            heapq.heappush(self._free, int(slot))
        return tables

    def _free_slot(self, tables: Tables) -> int:
        """Return the lowest slot that no section has."""
        free = self._look_for_slots(tables)
        if free:
            return heapq.heappop(free)
        self._slots += 1
        return self._slots - 1

    def _look_for_slots(self, tables: Tables) -> list[int]:
        """Return the slots that no section has any more, a heap. They are looked for once, and then kept."""
        if self._free is None:
            taken = tables.slot[tables.slot >= 0]
            self._slots = int(taken.max(initial=-1)) + 1
            self._free = [int(slot) for slot in np.setdiff1d(np.arange(self._slots), taken)]  # in order, so a heap
        return self._free


def _among(known: Collection[int], numbers: range) -> list[int]:
    """Return those of *numbers* that are *known*, in order, in as many steps as there are of the fewer."""
    if len(numbers) <= len(known):
        return [nr for nr in numbers if nr in known]
    return sorted(nr for nr in known if nr in numbers)


def numbered(tables: Tables, section_nr: int, generation: int) -> Tables:
    """Return *tables* with the generation of a section that has no slot."""
    known = tables.slot.size
    if section_nr >= known:  # with room for more: they come in order
        size = max(section_nr + 1, min(2 * known, MAX_SECTIONS))
        tables = tables._replace(
            slot=np.concatenate([tables.slot, np.full(size - known, -1, np.int32)]),
            generation=grown(tables.generation, size)[:size],
        )
    tables.generation[section_nr] = generation
    return tables


def placed(tables: Tables, section_nr: int, slot: int) -> Tables:
    """Return *tables* with a section that has a number in *slot*, empty: one that no section has, or the one behind all."""
    if slot >= tables.owner.shape[0]:
        tables = tables._replace(owner=grown(tables.owner, slot + 1), kernel=grown(tables.kernel, slot + 1))
    if tables.doubted.shape[0]:
        tables = with_doubted(tables)
        tables.doubted[slot] = NO_EVENT
    tables.owner[slot] = -1
    tables.kernel[slot] = -1
    tables.slot[section_nr] = slot
    return tables


def generations(tables: Tables) -> dict[str, Any]:
    """Return, as in JSON, the generations of sections that ever had an extension: few where memory lies at high addresses."""
    known = np.flatnonzero(tables.generation)
    return {
        "sections": int(known[-1]) + 1 if known.size else 0,
        "section_nr": known.tolist(),
        "generation": tables.generation[known].tolist(),
    }


def with_generations(tables: Tables, saved: dict[str, Any]) -> Tables:
    """Return *tables* with the generations that ``generations`` gave."""
    if not 0 <= saved["sections"] <= MAX_SECTIONS or min(saved["section_nr"], default=0) < 0:
        raise ValueError(f"expected at most {MAX_SECTIONS:,} sections, found {saved['sections']}")
    generation = np.zeros(saved["sections"], np.int32)
    generation[saved["section_nr"]] = saved["generation"]
    return tables._replace(generation=generation, slot=np.full(generation.size, -1, np.int32))
