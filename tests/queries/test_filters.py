"""Filters: a filtered answer has exactly those pages of the whole answer that the filters select."""

import dataclasses
from collections.abc import Callable, Iterator
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from pagetrail import api
from pagetrail.api import By, Filters, Trail
from pagetrail.queries.core.filters import MOST_READ, intersection, select, union, within
from pagetrail.replay.facts.facts import Facts
from pagetrail.replay.facts.hotplug import Extension
from pagetrail.schemas.details import Boot, Zone
from pagetrail.schemas.errors import BadArgument
from pagetrail.schemas.linux.mmzone import MIGRATETYPE_NAMES

INSTANTS = ["@1-boot", "@2-t2", "33.125"]
COLUMNS = (
    "pfn", "nr_pages", "state", "order", "pid", "tgid", "comm", "gfp_mask", "migratetype", "stack", "certain", "why",
    "kernel_says", "alloc_ts", "zone", "node",
)  # fmt: skip
Row = dict[str, Any]


@cache
def whole(trail: Trail, at: str) -> list[Row]:
    """Return every row at an instant, with free and unknown pages."""
    return trail.snapshot(at, everything=True, columns=COLUMNS).to_pylist()


def pages(rows: list[Row]) -> Iterator[tuple[int, Row]]:
    """Yield (pfn, row) of each page."""
    for row in rows:
        for pfn in range(row["pfn"], row["pfn"] + row["nr_pages"]):
            yield pfn, row


def known(row: Row) -> Row:
    return {name: value for name, value in row.items() if name not in ("pfn", "nr_pages")}


def of_rows(trail: Trail, filters: Filters) -> Callable[[Row], bool]:
    """Return what filters say of a row, wherever it is, written the plain way."""
    flags = trail.stream().facts.gfp_flags
    masks = [flags[mask] if isinstance(mask, str) else mask for mask in filters.gfp]
    kinds = [kind for kind, name in enumerate(MIGRATETYPE_NAMES) if name.lower() in filters.migratetype]

    def selected(row: Row) -> bool:
        for name in ("pid", "tgid", "comm", "order"):
            if getattr(filters, name) and row[name] not in getattr(filters, name):
                return False
        if filters.migratetype and (row["migratetype"] is None or row["migratetype"] not in kinds):
            return False
        if masks and (row["gfp_mask"] is None or not any(row["gfp_mask"] & mask == mask for mask in masks)):
            return False
        frames = (row["stack"] or "").split("\n")
        return not filters.stack or any(text in frame for text in filters.stack for frame in frames)

    return selected


def of_pages(trail: Trail, filters: Filters) -> Callable[[int], bool]:
    """Return what filters say of a page, whoever owns it, written the plain way."""
    facts = trail.stream().facts
    assert facts.boot is not None
    names = {name.upper() for name in filters.zone}
    spans = [(z.start_pfn, z.stop_pfn) for z in facts.boot.zones if z.name in names or not names]

    def selected(pfn: int) -> bool:
        if filters.section and pfn // facts.pages_per_section not in filters.section:
            return False
        if (filters.zone or filters.node) and not any(start <= pfn < stop for start, stop in spans):
            return False
        return not filters.pfn or any(start <= pfn < stop for start, stop in filters.pfn)

    return selected


def some(*values: Any) -> st.SearchStrategy[list[Any]]:
    """Return one or two of *values*, mostly none."""
    return st.one_of(st.just([]), st.just([]), st.lists(st.sampled_from(values), min_size=1, max_size=2, unique=True))


RANGES = st.tuples(st.integers(0, 0x30000), st.sampled_from([1, 7, 512, 40_000])).map(lambda r: (r[0], r[0] + r[1]))
FILTERS = st.builds(
    Filters,
    pfn=st.one_of(st.just([]), st.lists(RANGES, min_size=1, max_size=4)),
    section=some(0, 1, 3, 5),
    zone=some("DMA32", "dma32"),
    node=some(0),
    migratetype=some("unmovable", "movable", "reclaimable"),
    pid=some(1, 24, 78, 85),
    tgid=some(1, 85),
    comm=some("leakd", "init", "wl-slab", "nobody"),
    gfp=some("GFP_KERNEL", "__GFP_ZERO", 0x8, 0x40000),
    order=some(0, 1, 9),
    stack=some("vfs_write", "slab", "no_such_function"),
)


@given(at=st.sampled_from(INSTANTS), filters=FILTERS, everything=st.booleans())
# to shrink a failure would take many minutes
@pytest.mark.slow
@settings(max_examples=max(settings().max_examples // 4, 8), phases=[Phase.explicit, Phase.generate])
def test_the_pages_of_a_filtered_snapshot_are_those_of_the_whole_that_the_filters_select(
    audited: Trail, at: str, filters: Filters, everything: bool
) -> None:
    row_selected, page_selected = of_rows(audited, filters), of_pages(audited, filters)
    there = [
        row
        for row in whole(audited, at)
        if (everything or row["state"] == "owned" or row["kernel_says"] is not None) and row_selected(row)
    ]
    expected = {pfn: row for pfn, row in pages(there) if page_selected(pfn)}
    rows = audited.snapshot(at, everything=everything, columns=COLUMNS, filters=filters).to_pylist()
    found = dict(pages(rows))
    assert sum(row["nr_pages"] for row in rows) == len(found)
    assert found.keys() == expected.keys()
    assert all(known(found[pfn]) == known(row) for pfn, row in expected.items())


@pytest.mark.slow
@pytest.mark.parametrize("by", ["comm", "order"])
def test_parts_of_memory_add_up_to_the_whole(audited: Trail, by: By) -> None:
    edges = [0, 1, 6_145, 6_146, 20_735, 0x8000, 0x8001, 100_003, 1 << 40]  # one of them within a block of order 1
    parts = [Filters(pfn=[part]) for part in pairwise(edges)]
    asked = {
        "top": lambda filters: audited.top("@4-t4", by, filters=filters),
        "leaks": lambda filters: audited.leaks("@2-t2", "@5-t5", by, filters=filters),
    }
    for ask in asked.values():
        sums: dict[object, np.ndarray] = {}
        for part in parts:
            for row in ask(part).to_pylist():
                counts = np.array([row["pages"], row["bytes"], row["certain_pages"]])
                sums[row["key"]] = sums.get(row["key"], 0) + counts
        expected = {r["key"]: [r["pages"], r["bytes"], r["certain_pages"]] for r in ask(api.NO_FILTER).to_pylist()}
        assert {key: counts.tolist() for key, counts in sums.items()} == expected


def test_top_and_leaks_of_an_owner_are_its_line_of_the_whole(audited: Trail) -> None:
    leakd = Filters(comm=["leakd"])
    for ask in (
        lambda **given: audited.top("@5-t5", "comm", **given),
        lambda **given: audited.leaks("@2-t2", "@5-t5", "comm", **given),
    ):
        line = [row for row in ask().to_pylist() if row["key"] == "leakd"]
        assert line
        assert ask(filters=leakd).to_pylist() == line


def test_a_narrow_range_reads_its_section_alone(audited: Trail) -> None:
    stream = audited.stream()
    at, size = stream.instant("@5-t5"), stream.facts.pages_per_section
    selected = select(Filters(pfn=[(0x8005, 0x8006)]), stream.facts)
    assert selected.sections is not None
    assert selected.sections.tolist() == [[0x8000, 0x8000 + size]]
    every, some_rows = (stream.rows_at(at, sections=sections)[0] for sections in (None, selected.sections))
    inside = every["pfn"] // size == 1
    assert 0 < some_rows.size < every.size
    assert some_rows.tolist() == every[inside].tolist()


def test_a_row_says_the_zone_that_spans_it_and_crosses_no_border_of_one(audited: Trail) -> None:
    (zone,) = audited.stream().facts.boot.zones  # type: ignore[union-attr]  # it has one
    assert zone.start_pfn == 1
    for row in whole(audited, "@2-t2"):
        stop = row["pfn"] + row["nr_pages"]
        inside = zone.start_pfn <= row["pfn"] and stop <= zone.stop_pfn
        assert inside or stop <= zone.start_pfn or row["pfn"] >= zone.stop_pfn
        assert (row["zone"], row["node"]) == ((zone.name, zone.node) if inside else (None, None))
    assert audited.owner([0, 1], "@2-t2")["zone"].to_pylist() == [None, "DMA32"]


def test_no_range_reads_nothing(audited: Trail) -> None:
    none = Filters(pfn=[(0, 0x8000)], section=[3])
    assert audited.snapshot("@5-t5", everything=True, filters=none).num_rows == 0
    assert audited.top("@5-t5", "comm", filters=none).num_rows == 0


@pytest.mark.parametrize(
    "filters", [Filters(pfn=[(0, 0x1803), (0x4000, 0x9001)]), Filters(comm=["wl-slab"], order=[0])]
)
def test_the_kernels_text_has_the_records_that_the_filters_select(audited: Trail, filters: Filters) -> None:
    def selected(record: str) -> bool:
        pfn = int(record.split("PFN ")[1].split()[0])
        if filters.pfn:
            return any(start <= pfn < stop for start, stop in filters.pfn)
        return "(wl-slab)" in record and "via order 0," in record

    expected = [record for record in audited.page_owner_records("@3-t3") if selected(record)]
    assert expected
    assert list(audited.page_owner_records("@3-t3", filters=filters)) == expected


def test_as_of_an_earlier_time_filters_select_of_what_was_known_then(audited: Trail) -> None:
    filters = Filters(section=[1], migratetype=["Unmovable"])
    then = audited.snapshot("8.8s", as_of="8.8s", columns=COLUMNS)
    kept = (row for row in then.to_pylist() if row["pfn"] // 0x8000 == 1 and row["migratetype"] == 0)
    assert audited.snapshot("8.8s", as_of="8.8s", columns=COLUMNS, filters=filters).to_pylist() == list(kept)


# -- what filters mean in a stream -------------------------------------------------------------------------------------------

ZONES = tuple(
    Zone(node=node, name=name, start_pfn=start, stop_pfn=stop)
    for node, name, start, stop in [(0, "DMA", 1, 64), (0, "Normal", 64, 1000), (1, "Normal", 1024, 2048)]
)
FACTS = Facts(
    boots=[(0, Boot(release="6.1.0", zones=ZONES))],
    pages_per_section=16,
    sections=[Extension(section_nr=nr, generation=1, begin_seq=0, begin_ts=0, how="boot") for nr in (*range(200), 300)],
)


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (Filters(), None),
        (Filters(zone=["dma"]), [[1, 64]]),
        (Filters(zone=["Normal"]), [[64, 1000], [1024, 2048]]),
        (Filters(node=[0]), [[1, 1000]]),
        (Filters(zone=["Normal"], node=[1]), [[1024, 2048]]),
        (Filters(zone=["DMA"], node=[1]), []),
        (Filters(section=[0, 1, 300]), [[0, 32], [4800, 4816]]),
        (Filters(pfn=[(60, 70), (65, 80), (990, 2000)], zone=["Normal"]), [[64, 80], [990, 1000], [1024, 2000]]),
    ],
)
def test_places_are_the_pages_that_are_in_all_of_them(filters: Filters, expected: list[list[int]] | None) -> None:
    ranges = select(filters, FACTS).ranges
    assert (None if ranges is None else ranges.tolist()) == expected


@pytest.mark.parametrize(
    ("filters", "message"),
    [
        (Filters(zone=["Movable"]), "there are: DMA of node 0, Normal of node 0, Normal of node 1"),
        (Filters(node=[2]), "there are: DMA of node 0"),
        (Filters(section=[200]), "there are: 0-199, 300"),
        (Filters(migratetype=["fixed"]), "there are: unmovable, movable, reclaimable"),
        (Filters(gfp=["GFP_KERNEL|GFP_NONE"]), "'GFP_NONE' is no flag of the recorded kernel; there are: .*GFP_KERNEL"),
        (Filters(gfp=[0]), "at least one bit"),
        (Filters(gfp=[2**64 - 1]), "of 32 bits"),
        (Filters(pfn=[(5, 5)]), "STOP after START"),
        (Filters(stack=["a\nb"]), "one frame"),
        (Filters(pid=[1 << 40]), "expected a number"),
    ],
)
def test_a_value_that_names_nothing_is_refused_with_what_there_is(filters: Filters, message: str) -> None:
    with pytest.raises(BadArgument, match=message):
        select(filters, FACTS)


def test_zones_of_a_recording_that_lists_none_are_refused() -> None:
    for filters in (Filters(zone=["DMA"]), Filters(node=[0])):
        with pytest.raises(BadArgument, match="does not list its zones"):
            select(filters, dataclasses.replace(FACTS, boots=[]))


def test_a_kernel_without_sections_has_none_to_select() -> None:
    flat = dataclasses.replace(FACTS, boots=[(0, Boot(memory_model="FLATMEM"))])
    with pytest.raises(BadArgument, match="FLATMEM has no sections"):
        select(Filters(section=[0]), flat)


SETS = st.lists(st.tuples(st.integers(0, 300), st.integers(1, 40)).map(lambda r: (r[0], r[0] + r[1])), max_size=8)


@given(SETS, SETS)
def test_ranges_are_sets_of_pages(some_ranges: list[tuple[int, int]], others: list[tuple[int, int]]) -> None:
    def pfns(ranges: list[tuple[int, int]]) -> set[int]:
        return {pfn for start, stop in ranges for pfn in range(start, stop)}

    a, b = union(some_ranges), union(others)
    assert pfns(a.tolist()) == pfns(some_ranges)
    assert (a[1:, 0] > a[:-1, 1]).all()
    assert pfns(intersection(a, b).tolist()) == pfns(some_ranges) & pfns(others)
    every = np.arange(350)
    assert every[within(every, a)].tolist() == sorted(pfns(some_ranges))


@given(st.sets(st.integers(0, 199), min_size=1))
def test_what_is_read_holds_all_ranges_and_is_never_many(sections: set[int]) -> None:
    selected = select(Filters(pfn=[(nr * 16 + 3, nr * 16 + 4) for nr in sections]), FACTS)
    assert selected.ranges is not None
    assert selected.sections is not None
    assert len(selected.sections) <= MOST_READ
    assert within(selected.ranges[:, 0], selected.sections).all()
    assert (selected.sections % 16 == 0).all()
