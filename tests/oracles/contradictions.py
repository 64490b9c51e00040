"""Answers held against what the kernel said at the same instant: every page on which they cannot both be right."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tests.oracles.kernel_truth import ATTRIBUTES, KPF_BUDDY, KPF_IN_USE, NOT_TOLD, SAME_TS, Dump

Mask = NDArray[np.bool_]
_VALUES = ATTRIBUTES[1:]
_NONE = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Views:
    """What the kernel said at one snapshot, and which pages were touched while it was read."""

    dump: Dump
    kpageflags: NDArray[np.uint64]
    touched_in_dump: Mask
    touched: Mask


@dataclass(slots=True)
class Answers:
    """A snapshot with ``--all``, as a row number a page and NumPy columns a row."""

    table: pa.Table
    row: NDArray[np.int64]
    certain: Mask = field(init=False)
    uncertain: dict[str, Mask] = field(init=False)
    state: NDArray[np.str_] = field(init=False)
    values: dict[str, NDArray[np.int64]] = field(init=False)
    viewed: Mask = field(init=False)
    said: dict[str, NDArray[np.int64]] = field(init=False)
    said_state: NDArray[np.str_] = field(init=False)

    def __post_init__(self) -> None:
        t = self.table
        self.certain = t["certain"].to_numpy()
        self.state = t["state"].to_numpy(zero_copy_only=False).astype(np.str_)
        self.values = {name: _numbers(t[name].combine_chunks()) for name in _VALUES}
        says = t["kernel_says"].combine_chunks()
        self.viewed = ~says.is_null().to_numpy(zero_copy_only=False)
        self.said = {name: _numbers(says.field(name)) for name in _VALUES}
        self.said_state = says.field("state").to_numpy(zero_copy_only=False).astype(np.str_)
        lists = t["uncertain"].combine_chunks()
        parents, names = pc.list_parent_indices(lists).to_numpy(), np.array(pc.list_flatten(lists).to_pylist(), str)
        self.uncertain = {name: np.zeros(t.num_rows, np.bool_) for name in ATTRIBUTES}
        for name in ATTRIBUTES:
            self.uncertain[name][parents[names == name]] = True
        assert set(names) <= set(ATTRIBUTES)


def answers(table: pa.Table, pages: int) -> Answers:
    """Return the rows of *table* laid out over pfns [0, pages); -1 where none is (the section is absent)."""
    row = np.full(pages, -1, np.int64)
    start, size = table["pfn"].to_numpy(), table["nr_pages"].to_numpy()
    assert (start[1:] >= start[:-1] + size[:-1]).all(), "two rows for a page"
    which = np.repeat(np.arange(start.size), size)
    row[start[which] + np.arange(which.size) - np.repeat(np.cumsum(size) - size, size)] = which
    return Answers(table, row)


def pages_of(table: pa.Table, dump: Dump, flags: NDArray[np.uint64]) -> int:
    """Return a number of pages that all of these fit into."""
    last = pc.max(pc.add(table["pfn"], table["nr_pages"])).as_py()
    return max(last, flags.size, int(dump.pfn.max()) + 1)


def contradictions(ours: Answers, kernel: Views) -> dict[str, list[int]]:
    """Return the pfns of every certain answer that the kernel denies, by what is wrong."""
    found = {what: np.flatnonzero(pages) for what, pages in _all(ours, kernel)}
    return {what: pages[:20].tolist() for what, pages in found.items() if pages.size}


def _all(ours: Answers, kernel: Views) -> Iterator[tuple[str, Mask]]:
    yield from _records(ours, kernel)
    yield from _silence(ours, kernel)
    yield from _flags(ours, kernel)


def _records(ours: Answers, kernel: Views) -> Iterator[tuple[str, Mask]]:
    """A page that the dump lists: what is not called uncertain must be what the dump says; so must what we say it says."""
    dump, pages = kernel.dump, ours.row.size
    row = ours.row[dump.pfn]
    live = ~kernel.touched_in_dump[dump.pfn]
    yield "listed, and called absent", _at(pages, dump, live & (row < 0))
    row, live = np.maximum(row, 0), live & (row >= 0)
    sure = live & ~ours.uncertain["state"][row]
    viewed, plain = sure & ours.viewed[row], live & ~ours.viewed[row]
    yield "kernel_says: not owned", _at(pages, dump, viewed & (ours.said_state[row] != "owned"))
    yield "listed, and certainly not owned", _at(pages, dump, sure & plain & (ours.state[row] != "owned"))
    owned = plain & (ours.state[row] == "owned")
    for name in _VALUES:
        theirs = getattr(dump, name)
        if (theirs == NOT_TOLD).all():
            continue
        told = ours.said[name][row]
        yield f"kernel_says: {name}", _at(pages, dump, viewed & (told != _NONE) & _apart(name, told, theirs))
        value = ours.values[name][row]
        certain = owned & ~ours.uncertain[name][row]
        yield f"certain and wrong: {name}", _at(pages, dump, certain & (value != _NONE) & _apart(name, value, theirs))
        if name != "tgid":  # certain where it was recorded
            yield f"certain of nothing: {name}", _at(pages, dump, certain & (value == _NONE))


def _silence(ours: Answers, kernel: Views) -> Iterator[tuple[str, Mask]]:
    """A page that the dump does not list: no certain head of a block, and never the other way round.

    Source: mm/page_owner.c, read_page_owner (Linux 6.1): it lists every allocated page aligned to its own order.
    """
    pages = np.arange(ours.row.size)
    row, there = np.maximum(ours.row, 0), ours.row >= 0
    listed = np.zeros(pages.size, np.bool_)
    listed[kernel.dump.pfn] = True
    live = there & ~kernel.touched_in_dump & ~ours.viewed[row] & ~ours.uncertain["state"][row]
    head = (pages & ((1 << np.maximum(ours.values["order"][row], 0)) - 1)) == 0
    owned = live & (ours.state[row] == "owned")
    yield "certainly a head, and not listed", owned & ~ours.uncertain["order"][row] & head & ~listed
    yield "certainly free, and listed", live & (ours.state[row] == "free") & listed


def _flags(ours: Answers, kernel: Views) -> Iterator[tuple[str, Mask]]:
    """/proc/kpageflags: a page of a free block is not owned, a page in use is not free, and both are there."""
    row, there = np.maximum(ours.row, 0), ours.row >= 0
    flags = np.zeros(ours.row.size, np.uint64)
    flags[: kernel.kpageflags.size] = kernel.kpageflags

    def has(bit: int) -> Mask:
        return np.asarray((flags >> np.uint64(bit)) & np.uint64(1) != 0)

    live = there & ~kernel.touched & ~ours.uncertain["state"][row]
    owned, free = live & (ours.state[row] == "owned"), live & (ours.state[row] == "free")
    yield "certainly owned, and in a free block", owned & has(KPF_BUDDY)
    yield "certain, and no page is there", (owned | free) & has(KPF_NOPAGE)
    for name, bit in KPF_IN_USE.items():
        yield f"certainly free, and {name}", free & has(bit)


KPF_NOPAGE = 20


def _apart(name: str, ours: NDArray[np.int64], theirs: NDArray[np.int64]) -> Mask:
    return np.asarray(np.abs(ours - theirs) > (SAME_TS if name == "ts_nsec" else 0))


def _at(pages: int, dump: Dump, mask: Mask) -> Mask:
    found = np.zeros(pages, np.bool_)
    found[dump.pfn[mask]] = True
    return found


def _numbers(column: pa.Array) -> NDArray[np.int64]:
    return column.fill_null(_NONE).to_numpy(zero_copy_only=False).astype(np.int64)


def certain_share(ours: Answers, dump: Dump) -> tuple[float, float]:
    """Return which share (%) of the dump's records, and of the pages in them, is certain."""
    row = ours.row[dump.pfn]
    records = np.where(row >= 0, ours.certain[np.maximum(row, 0)], False)
    first = np.repeat(dump.pfn, 1 << dump.order)
    size = 1 << dump.order
    inside = first + np.arange(first.size) - np.repeat(np.cumsum(size) - size, size)
    row = ours.row[inside]
    pages = np.where(row >= 0, ours.certain[np.maximum(row, 0)], False)
    return 100.0 * float(records.mean()), 100.0 * float(pages.mean())
