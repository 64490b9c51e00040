"""What dumps said of pages: a row a page that a dump listed, and a value for everything that they said alike."""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pagetrail.replay.fold.decode import StackTable, TextTable
from pagetrail.schemas.owner import ABSENT8, ABSENT32, ABSENT64, STAMP_DTYPE, VALUE_SAID_DTYPE

_ROWS_AT_ONCE: Final = 1 << 16
"""Rows that are merged at once."""

SAID_TEXTS: Final = ("page_flag_names", "cgroup", "comm", "stack")
"""The fields of VALUE_SAID_DTYPE that are texts."""


class SaidRows(NamedTuple):
    """n pages that dumps listed, by (pfn, seq of the dump)."""

    pfn: NDArray[np.int64]
    said: NDArray[np.int32]
    """Index into the values."""


class Said(NamedTuple):
    """What dumps said, as arrays that nothing changes: another dump makes others.

    Attributes
    ----------
    values
        VALUE_SAID_DTYPE; texts are indexes into ``texts``.
    stamps
        STAMP_DTYPE, by (pfn, seq): the times of those pages whose record has others.
    """

    rows: SaidRows
    values: NDArray[np.void]
    stamps: NDArray[np.void]
    texts: TextTable


def nothing_said(texts: TextTable | None = None) -> Said:
    """Return what is said before the first dump."""
    rows = SaidRows(np.zeros(0, np.int64), np.zeros(0, np.int32))
    return Said(rows, np.zeros(0, VALUE_SAID_DTYPE), np.zeros(0, STAMP_DTYPE), TextTable() if texts is None else texts)


def no_values(size: int) -> NDArray[np.void]:
    """Return *size* values in which nothing is said."""
    values = np.zeros(size, VALUE_SAID_DTYPE)
    for name in VALUE_SAID_DTYPE.names or ():
        absent = {8: ABSENT64, 4: ABSENT32, 1: ABSENT8}[VALUE_SAID_DTYPE[name].itemsize]
        values[name] = -1 if name in SAID_TEXTS else absent
    return values


def with_parts(said: Said, parts: list[Said]) -> Said:
    """Return what is said with the *parts* of a later dump, which have the same texts; equal values are kept once.

    The list is emptied on the way: the rows of the dump are never there twice.
    """
    distinct, index = distinct_rows(np.concatenate([part.values for part in parts]))
    stamps = np.concatenate([said.stamps, *(part.stamps for part in parts)])
    size = sum(part.rows.pfn.size for part in parts)
    pfn, of_row = np.empty(size, np.int64), np.empty(size, np.int32)
    done = value = 0
    parts.reverse()
    while parts:
        part = parts.pop()
        stop = done + part.rows.pfn.size
        pfn[done:stop] = part.rows.pfn
        of_row[done:stop] = index[part.rows.said + np.int32(value)] + np.int32(said.values.size)
        done, value = stop, value + part.values.size
    if stamps.size:
        stamps = stamps[np.lexsort((stamps["seq"], stamps["pfn"]))]
    values = np.concatenate([said.values, distinct])
    return Said(_merged(said.rows, SaidRows(pfn, of_row)), values, stamps, said.texts)


def _merged(earlier: SaidRows, later: SaidRows) -> SaidRows:
    """Return the rows by (pfn, seq of the dump): *earlier* ones are in this order, and *later* ones are of one dump."""
    if not (later.pfn[1:] > later.pfn[:-1]).all():  # the records of a dump mostly are in order
        order = np.argsort(later.pfn, kind="stable")
        later = SaidRows(later.pfn[order], later.said[order])
    if not earlier.pfn.size:
        return later
    size = earlier.pfn.size + later.pfn.size
    found = SaidRows(np.empty(size, np.int64), np.empty(size, np.int32))
    for rows, others, side in ((earlier, later, "left"), (later, earlier, "right")):
        for start in range(0, rows.pfn.size, _ROWS_AT_ONCE):
            some = slice(start, start + _ROWS_AT_ONCE)
            before = np.searchsorted(others.pfn, rows.pfn[some], side=side)  # type: ignore[call-overload]
            place = before + np.arange(start, start + before.size)
            found.pfn[place], found.said[place] = rows.pfn[some], rows.said[some]
    return found


def kept(said: Said, which: NDArray[np.bool_]) -> Said:
    """Return what is said of the rows *which*."""
    if which.all():
        return said
    rows = SaidRows(said.rows.pfn[which], said.rows.said[which])
    used = np.zeros(said.values.size, np.bool_)
    used[rows.said] = True
    index = np.cumsum(used, dtype=np.int32) - np.int32(1)
    there = np.zeros(0, np.bool_)
    if said.stamps.size:
        there = _among(said.stamps, rows.pfn, said.values["seq"][rows.said])
    return Said(SaidRows(rows.pfn, index[rows.said]), said.values[used], said.stamps[there], said.texts)


def latest(said: Said) -> NDArray[np.bool_]:
    """Return which rows are those of the last dump that listed their page."""
    pfn = said.rows.pfn
    last = np.ones(pfn.size, np.bool_)
    last[:-1] = pfn[1:] != pfn[:-1]
    return last


def distinct_rows(values: NDArray[np.void]) -> tuple[NDArray[np.void], NDArray[np.int32]]:
    """Return the distinct rows of *values*, and the index of each row among them."""
    key = np.zeros(values.size, np.int64)
    for name in values.dtype.names or ():
        column = values[name]
        if not column.size or (column == column[0]).all():
            continue
        known, index = np.unique(column, return_inverse=True)
        _, key = np.unique(key * np.int64(known.size) + index, return_inverse=True)  # below the number of rows, squared
    _, first, index = np.unique(key, return_index=True, return_inverse=True)
    return values[first], index.astype(np.int32)


def interned(table: TextTable | StackTable, words: Sequence[str], column: NDArray[np.generic]) -> NDArray[np.int32]:
    """Return a column of indexes into *words* as ids of *table*, to which the words that it uses are added; -1 stays."""
    ids = np.full(len(words) + 1, -1, np.int32)
    for index in np.unique(column).tolist():
        if index >= 0:
            ids[index] = table.intern(words[index])
    return np.asarray(ids[column])


def _among(stamps: NDArray[np.void], pfn: NDArray[np.int64], seq: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which *stamps* are of a page and dump of (*pfn*, *seq*), both by (pfn, seq)."""
    which = np.concatenate([np.zeros(pfn.size, np.int8), np.ones(stamps.size, np.int8)])
    pages, dumps = np.concatenate([pfn, stamps["pfn"]]), np.concatenate([seq, stamps["seq"]])
    order = np.lexsort((which, dumps, pages))
    pages, dumps, which = pages[order], dumps[order], which[order]
    same = np.zeros(order.size, np.bool_)
    same[1:] = (pages[1:] == pages[:-1]) & (dumps[1:] == dumps[:-1]) & (which[1:] == 1)
    found = np.zeros(stamps.size, np.bool_)
    found[order[same] - pfn.size] = True
    return found
