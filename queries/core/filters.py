"""Filters: which pages an answer is about."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Final, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pagetrail.queries.core.texts import Texts
from pagetrail.replay.facts.facts import Facts
from pagetrail.schemas.errors import BadArgument
from pagetrail.schemas.linux.gfp import GFP_LIMIT, parse_gfp
from pagetrail.schemas.linux.mmzone import PFN_LIMIT, section_nr_to_pfn
from pagetrail.schemas.owner import State

PfnRanges: TypeAlias = NDArray[np.int64]
"""(n, 2): half-open ranges of pages, sorted and apart from each other."""

_NONE, _INT_MAX = -1, (1 << 31) - 1
"""pid_t and orders are C ints; a pid of -1 is one that is not known. Source: mm/page_owner.c, init_early_allocated_pages."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """What a page must be to be in an answer: every filter that is given must hold; of its values, any.

    Attributes
    ----------
    pfn
        Ranges of pages: (start_pfn, stop_pfn), half-open.
    section
        Sections (SPARSEMEM) that hold the page, by number.
    zone, node
        Zones that span the page, as the recording lists them: their names, and the numbers of their nodes.
    migratetype
        Names of the allocation's migratetype, as the recorded kernel prints them, in any case.
    pid, tgid, comm
        Thread id, process id and command name of the owner.
    gfp
        Flags of the allocation, all of which must be set: a mask, or names of the recorded kernel joined by ``|``.
    order
        Orders of the block.
    stack
        Texts; one frame of the allocation's canonical stack contains it.
    cgroup
        Texts; the name of the memory cgroup contains it, as the last dump has it.
    block_type
        Names of the pageblock's migratetype, as the recorded kernel prints them, in any case: as the last dump has it.
    """

    pfn: Sequence[tuple[int, int]] = ()
    section: Sequence[int] = ()
    zone: Sequence[str] = ()
    node: Sequence[int] = ()
    migratetype: Sequence[str] = ()
    pid: Sequence[int] = ()
    tgid: Sequence[int] = ()
    comm: Sequence[str] = ()
    gfp: Sequence[str | int] = ()
    order: Sequence[int] = ()
    stack: Sequence[str] = ()
    cgroup: Sequence[str] = ()
    block_type: Sequence[str] = ()


NO_FILTER: Final = Filters()
"""Every page is in the answer."""

MOST_READ: Final = 64
"""Ranges of pages in a query of the store: 1,000 take DuckDB 0.3 s, 20,000 half a minute."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What filters select in one stream.

    Attributes
    ----------
    ranges
        The pages; null: all.
    sections
        What to read of the store: whole sections, as no row crosses a section's border; null: all. It is ``MOST_READ`` ranges of
        pages at most, so it may hold sections that no page of *ranges* is in.
    migratetypes, block_types
        The filters' names as numbers.
    gfp_masks
        Those of each recording: null where its kernel has no such flag.
    facts
        What the records are of.
    """

    filters: Filters
    ranges: PfnRanges | None
    sections: PfnRanges | None
    migratetypes: tuple[int, ...]
    gfp_masks: tuple[tuple[int | None, ...], ...]
    block_types: tuple[int, ...]
    facts: Facts

    @property
    def texts(self) -> frozenset[str]:
        """The arrays of ``Texts`` that ``keeps`` needs."""
        needed = {"comms": self.filters.comm, "frames": self.filters.stack}
        return frozenset(name for name, values in needed.items() if values)

    def keeps(self, records: NDArray[np.void], texts: Texts) -> NDArray[np.bool_]:
        """Return whether the pages of each record (RECORD_DTYPE) are in the answer, as far as it does not depend on their pfn."""
        given, owned = self.filters, records["state"] == State.OWNED
        kept = np.ones(records.size, np.bool_)
        numbers = {"pid": given.pid, "tgid": given.tgid, "migratetype": self.migratetypes}
        for name, values in numbers.items():
            if values:
                kept &= owned & _one_of(records[name], values)
        if given.order:
            kept &= (records["state"] != State.UNKNOWN) & _one_of(records["order"], given.order)
        if self.gfp_masks:
            kept &= owned & self._has_gfp(records)
        if given.comm:
            kept &= owned & np.isin(records["comm"], _true(pc.is_in(texts.comms, pa.array(given.comm, pa.utf8()))))
        if given.stack:
            found = [pc.match_substring(texts.frames, text) for text in given.stack]
            kept &= owned & np.isin(records["stack"], _true(reduce(pc.or_, found)))
        return kept

    def _has_gfp(self, records: NDArray[np.void]) -> NDArray[np.bool_]:
        """Return whether each mask is there, and has all bits of a filter, as its recording's names were read."""
        where, masks = self.facts.recording_at(records["evidence_ts"]), records["gfp_mask"]
        found = np.zeros(records.size, np.bool_)
        for wanted in self.gfp_masks:
            bits = np.array([0 if mask is None else mask for mask in wanted], np.int64)[where]
            found |= (bits != 0) & ((masks & bits) == bits)
        return np.asarray(found & (masks != np.iinfo(masks.dtype).min))

    @property
    def asks_dumps(self) -> bool:
        """Whether it depends on what dumps said beside owners."""
        return bool(self.filters.cgroup or self.block_types)

    def keeps_said(self, cgroup: pa.Array, block_migratetype: pa.Array) -> NDArray[np.bool_]:
        """Return whether pages of which dumps said this are in the answer."""
        kept = np.ones(len(cgroup), np.bool_)
        if self.filters.cgroup:
            found = reduce(pc.or_, (pc.match_substring(cgroup, text) for text in self.filters.cgroup))
            kept[:] = pc.fill_null(found, False)
        if self.block_types:
            kept &= pc.is_in(block_migratetype, pa.array(self.block_types, block_migratetype.type))
        return kept


def select(filters: Filters, facts: Facts) -> Selection:
    """Return what *filters* select in a stream with these facts.

    Raises
    ------
    BadArgument
        A value names nothing in the stream; the message lists what there is.
    """
    _check(filters)
    ranges = _ranges(filters, facts)
    return Selection(
        filters=filters,
        ranges=ranges,
        sections=None if ranges is None else _whole_sections(ranges, facts.pages_per_section),
        migratetypes=tuple(_migratetype(name, facts.rules.migratetype_names) for name in filters.migratetype),
        gfp_masks=tuple(_gfp_masks(flags, facts) for flags in filters.gfp),
        block_types=tuple(_migratetype(name, facts.rules.migratetype_names) for name in filters.block_type),
        facts=facts,
    )


def union(ranges: Iterable[tuple[int, int]]) -> PfnRanges:
    """Return the pages that are in any of *ranges*."""
    merged: list[list[int]] = []
    for start, stop in sorted(ranges):
        if merged and start <= merged[-1][1]:
            merged[-1][1] = max(merged[-1][1], stop)
        else:
            merged.append([start, stop])
    return np.array(merged, np.int64).reshape(-1, 2)


def intersection(ranges: PfnRanges, others: PfnRanges) -> PfnRanges:
    """Return the pages that are in both."""
    edges = np.unique(np.concatenate([ranges.ravel(), others.ravel()]))
    both = np.flatnonzero(within(edges[:-1], ranges) & within(edges[:-1], others))
    return union(zip(edges[both].tolist(), edges[both + 1].tolist(), strict=True))


def within(pfns: NDArray[np.int64], ranges: PfnRanges) -> NDArray[np.bool_]:
    """Return whether each page is in *ranges*."""
    if not ranges.size:
        return np.zeros(pfns.size, np.bool_)
    last = np.searchsorted(ranges[:, 0], pfns, side="right") - 1
    return np.asarray((last >= 0) & (pfns < ranges[np.maximum(last, 0), 1]))


def touching(runs: NDArray[np.void], ranges: PfnRanges) -> NDArray[np.bool_]:
    """Return whether any page of each run (with ``pfn`` and ``nr_pages``) is in *ranges*."""
    if not ranges.size:
        return np.zeros(runs.size, np.bool_)
    last = np.searchsorted(ranges[:, 0], runs["pfn"] + runs["nr_pages"], side="left") - 1
    return np.asarray((last >= 0) & (ranges[np.maximum(last, 0), 1] > runs["pfn"]))


def listed(numbers: Iterable[int]) -> str:
    """Return numbers as text: ``0-199, 300``."""
    parts = union((nr, nr + 1) for nr in numbers).tolist()
    return ", ".join(str(start) if stop == start + 1 else f"{start}-{stop - 1}" for start, stop in parts)


def check_pfns(pfns: Iterable[int]) -> None:
    """Refuse page frame numbers that no page can have.

    Raises
    ------
    BadArgument
        There is one.
    """
    for pfn in pfns:
        if not 0 <= pfn < PFN_LIMIT:
            raise BadArgument(f"pfn {pfn}: expected a page frame number of 64-bit memory: 0 to {PFN_LIMIT - 1:#x}")


def _check(filters: Filters) -> None:
    """Refuse values that no page can have."""
    for text in filters.stack:
        if not text or "\n" in text:
            raise BadArgument(f"stack {text!r}: expected a text that one frame of a stack contains, such as vfs_write")
    for text in filters.cgroup:
        if not text:
            raise BadArgument("cgroup '': expected a text that the name of a memory cgroup contains")
    for start, stop in filters.pfn:
        if not 0 <= start < stop <= PFN_LIMIT:
            raise BadArgument(
                f"pfn {start:#x}-{stop:#x}: expected START-STOP of 64-bit memory, and STOP after START: it is exclusive"
            )
    for name in ("pid", "tgid", "order"):
        for number in getattr(filters, name):
            if not _NONE <= number <= _INT_MAX:
                raise BadArgument(f"{name} {number}: expected a number from {_NONE} to {_INT_MAX}")


def _ranges(filters: Filters, facts: Facts) -> PfnRanges | None:
    """Return the pages that the filters of places select; null: there is no such filter."""
    found = []
    if filters.pfn:
        found.append(union(filters.pfn))
    if filters.section:
        found.append(union(_section(nr, facts) for nr in filters.section))
    if filters.zone or filters.node:
        found.append(union(_zones(filters, facts)))
    return reduce(intersection, found) if found else None


def _section(nr: int, facts: Facts) -> tuple[int, int]:
    """Return the pages of a section that existed at some time."""
    if facts.boot is not None and facts.boot.memory_model == "FLATMEM":
        raise BadArgument(f"section {nr}: a kernel with FLATMEM has no sections; use a range of pages (pfn)")
    there = {extension.section_nr for extension in facts.sections}
    if nr not in there:
        raise BadArgument(f"section {nr}: no such section; there are: {listed(there) or 'none'}")
    pages = facts.pages_per_section
    return section_nr_to_pfn(nr, pages), section_nr_to_pfn(nr + 1, pages)


def _zones(filters: Filters, facts: Facts) -> list[tuple[int, int]]:
    """Return what the zones with one of the names and of one of the nodes span, with its holes."""
    zones = facts.zones
    if not zones:
        raise BadArgument(
            "zone and node: the recording does not list its zones (zoneinfo of its first snapshot); "
            "use a range of pages (pfn), or sections"
        )
    names, nodes = {zone.name.casefold() for zone in zones}, {zone.node for zone in zones}
    known = ", ".join(f"{zone.name} of node {zone.node}" for zone in zones)
    for name in filters.zone:
        if name.casefold() not in names:
            raise BadArgument(f"zone {name!r}: no such zone; there are: {known}")
    for node in filters.node:
        if node not in nodes:
            raise BadArgument(f"node {node}: no zone of such a node; there are: {known}")
    wanted = {name.casefold() for name in filters.zone} or names
    return [
        (zone.start_pfn, zone.stop_pfn)
        for zone in zones
        if zone.name.casefold() in wanted and zone.node in (filters.node or nodes)
    ]


def _migratetype(name: str, names: Sequence[str]) -> int:
    for number, known in enumerate(names):
        if known.casefold() == name.casefold():
            return number
    raise BadArgument(f"migratetype {name!r}: no such migratetype; there are: {', '.join(names).lower()}")


def _gfp_masks(flags: str | int, facts: Facts) -> tuple[int | None, ...]:
    """Return the bits of *flags* as each recording's names were read; null: it has no such name.

    Raises
    ------
    BadArgument
        No recording has such a name, or a mask has no bit.
    """
    tables = [names.flags for names in facts.gfp_names()]
    if isinstance(flags, int):
        return (_of_32_bits(flags, flags),) * len(tables)
    words = [word for word in flags.split("|") if not word.startswith("0x")]
    known = [all(word in table for word in words) for table in tables]
    if not any(known):
        missing = next(word for word in words if word not in tables[-1])
        raise BadArgument(
            f"gfp {flags!r}: {missing!r} is no flag of the recorded kernel; there are: {', '.join(tables[-1])}"
        )
    parsed = [parse_gfp(flags, table) if has else None for table, has in zip(tables, known, strict=True)]
    return tuple(None if mask is None else _of_32_bits(mask, flags) for mask in parsed)


def _of_32_bits(mask: int, flags: str | int) -> int:
    if not 0 < mask < GFP_LIMIT:
        raise BadArgument(
            f"gfp {flags!r}: expected flags of 32 bits with at least one bit; every allocation has all bits of 0"
        )
    return mask


def _whole_sections(ranges: PfnRanges, pages_per_section: int) -> PfnRanges:
    """Return the sections that hold *ranges*; of the holes between them, the ``MOST_READ`` - 1 largest are left out."""
    start, stop = ranges[:, 0] // pages_per_section, -(-ranges[:, 1] // pages_per_section)
    whole = union(zip((start * pages_per_section).tolist(), (stop * pages_per_section).tolist(), strict=True))
    if len(whole) <= MOST_READ:
        return whole
    holes = np.sort(np.argsort(whole[1:, 0] - whole[:-1, 1])[1 - MOST_READ :])
    return np.stack([whole[np.append(0, holes + 1), 0], whole[np.append(holes, -1), 1]], axis=1)


def _one_of(column: NDArray[np.signedinteger], values: Sequence[int]) -> NDArray[np.bool_]:
    """Return whether each number is there, and one of *values*. What is absent is the least number of its type."""
    return np.asarray(np.isin(column, values) & (column != np.iinfo(column.dtype).min))


def _true(flags: pa.Array) -> NDArray[np.int64]:
    """Return the indexes at which *flags* is true; it may be null."""
    return np.flatnonzero(pc.fill_null(flags, False).to_numpy(zero_copy_only=False))
