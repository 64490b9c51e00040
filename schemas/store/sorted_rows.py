"""Rows of structured arrays, kept out of memory: each part is sorted when it comes, and parts are merged when they are needed.

Dimensions: n = rows that are added together, k = bytes of a row's key.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pagetrail.schemas.store.kept_rows import KeptRows
from pagetrail.schemas.structs import concatenated, taken

Rows = tuple[NDArray[np.void], ...]
"""The same rows in arrays of several dtypes."""

BATCH_ROWS: Final = 1 << 12
"""Rows that are read at once: while parts are merged, a batch of each of those that overlap is in memory."""

_PART_BYTES: Final = 4
"""Bytes of the number of a part, with which the key of a row ends: equal rows stay in the order in which they came."""


class _Batch(NamedTuple):
    """The first and the last key of a batch."""

    first: bytes
    last: bytes


@dataclass(slots=True, kw_only=True)
class SortedRows:
    """Rows of some dtypes, which have no field name in common.

    Attributes
    ----------
    dtypes
        The dtypes of the arrays.
    by
        Names of the fields that rows are sorted by, the most significant first; they are signed integers.
    size
        How many rows there are.
    """

    dtypes: tuple[np.dtype[np.void], ...]
    by: tuple[str, ...]
    size: int = 0
    _rows: KeptRows = field(default_factory=KeptRows)
    _batches: list[_Batch] = field(default_factory=list)
    _parts: list[range] = field(default_factory=list)
    """The numbers of the batches of each part."""

    @property
    def nbytes(self) -> int:
        """Bytes of it that are in memory."""
        return self._rows.nbytes

    def add(self, *arrays: NDArray[np.void]) -> None:
        """Add n rows, in any order."""
        if arrays[0].size:
            order = np.lexsort([_column(arrays, name) for name in reversed(self.by)])
            some = (order[start : start + BATCH_ROWS] for start in range(0, order.size, BATCH_ROWS))
            self._add_part(tuple(taken(array, rows) for array in arrays) for rows in some)

    def pieces(self) -> Iterator[Rows]:
        """Yield the rows, one part after another."""
        return (self._rows_of(index) for index in range(len(self._rows)))

    def column(self, name: str) -> Iterator[NDArray[Any]]:
        """Yield the values of one field, in the order of ``pieces``."""
        index = [one for dtype in self.dtypes for one in dtype.names or ()].index(name)
        return (np.asarray(batch.column(0).to_numpy()) for batch in self._rows.batches([index]))

    def snapshot(self) -> "SortedRows":
        """Return the rows that are there now: what is added later is in the original only, and nothing may be added to this."""
        return SortedRows(
            dtypes=self.dtypes, by=self.by, size=self.size, _rows=self._rows.snapshot(), _batches=[*self._batches],
            _parts=[*self._parts],
        )  # fmt: skip

    def _is_in_order(self) -> bool:
        return all(self._batches[a.stop - 1].last <= self._batches[b.start].first for a, b in pairwise(self._parts))

    def _add_part(self, batches: Iterator[Rows]) -> None:
        """Add sorted rows as one part."""
        start = len(self._rows)
        for arrays in batches:
            ends = _keys(tuple(taken(array, np.array([0, array.size - 1])) for array in arrays), self.by, 0)
            self._batches.append(_Batch(*ends.tolist()))
            columns = {name: np.ascontiguousarray(array[name]) for array in arrays for name in array.dtype.names or ()}
            self._rows.add(pa.RecordBatch.from_arrays([*map(pa.array, columns.values())], [*columns]))
            self.size += arrays[0].size
        self._parts.append(range(start, len(self._rows)))

    def _rows_of(self, index: int) -> Rows:
        batch = self._rows.batch(index)
        return tuple(_struct(batch, dtype) for dtype in self.dtypes)


def merged(*some: SortedRows) -> SortedRows:
    """Return the rows of all, which have the same dtypes and order, as one sorted part."""
    if len(some) == 1 and some[0]._is_in_order():
        return some[0]
    found = SortedRows(dtypes=some[0].dtypes, by=some[0].by)
    parts = [(rows, part) for rows in some for part in rows._parts]
    found._add_part(_in_order([_Reader(rows, part, number) for number, (rows, part) in enumerate(parts)]))
    return found


class _Reader:
    """The rows of a part that have not been merged yet.

    Attributes
    ----------
    first
        A key that is not greater than that of the first of them; null: there are none.
    """

    def __init__(self, rows: SortedRows, part: range, number: int) -> None:
        self._of, self._left, self._number = rows, iter(part), number
        self._arrays: Rows = ()
        self._keys = np.zeros(0, "S1")
        self._next: int | None = None
        self.first: bytes | None = None
        self._begin()

    def last(self) -> bytes:
        """Return the last key of the batch in memory, which is read if there is none."""
        if self._next is not None:
            self._arrays, self._next = self._of._rows_of(self._next), None
            self._keys = _keys(self._arrays, self._of.by, self._number)
        return bytes(self._keys[-1])

    def take(self, bound: bytes) -> tuple[Rows, NDArray[np.bytes_]]:
        """Return the rows of the batch in memory with keys up to *bound*, and their keys; go on behind them."""
        count = int(np.searchsorted(self._keys, np.bytes_(bound), side="right"))
        rows, keys = tuple(array[:count] for array in self._arrays), self._keys[:count]
        self._arrays, self._keys = tuple(array[count:] for array in self._arrays), self._keys[count:]
        if self._keys.size:
            self.first = bytes(self._keys[0])
        else:
            self._begin()
        return rows, keys

    def _begin(self) -> None:
        """Go on to the next batch, which is read when it is needed."""
        self._next = next(self._left, None)
        self.first = None if self._next is None else self._of._batches[self._next].first


def _in_order(readers: list[_Reader]) -> Iterator[Rows]:
    """Yield the rows of all *readers* in their order."""
    while readers := [reader for reader in readers if reader.first is not None]:
        readers.sort(key=lambda reader: reader.first or b"")
        bound, among = readers[0].last(), 1
        while among < len(readers) and (readers[among].first or b"") <= bound:
            bound, among = min(bound, readers[among].last()), among + 1
        found = [reader.take(bound) for reader in readers[:among]]
        order = np.argsort(np.concatenate([keys for _, keys in found]), kind="stable")
        if order.size:
            arrays = zip(*(rows for rows, _ in found), strict=True)
            yield tuple(taken(concatenated([*parts]), order) for parts in arrays)


def _keys(arrays: Rows, by: tuple[str, ...], number: int) -> NDArray[np.bytes_]:
    """Return (n,) keys of k bytes, which compare as the rows do: big-endian, and the least number is zero."""
    columns = [_column(arrays, name) for name in by]
    found = np.empty((arrays[0].size, sum(column.itemsize for column in columns) + _PART_BYTES), np.uint8)
    done = 0
    for column in columns:
        width = column.itemsize
        unsigned = column.view(f"u{width}") ^ np.array(1 << (8 * width - 1), f"u{width}")
        found[:, done : done + width] = unsigned.astype(f">u{width}").view(np.uint8).reshape(-1, width)
        done += width
    found[:, done:] = np.frombuffer(number.to_bytes(_PART_BYTES, "big"), np.uint8)
    return found.view(f"S{found.shape[1]}")[:, 0]


def _column(arrays: Rows, name: str) -> NDArray[Any]:
    return next(np.ascontiguousarray(array[name]) for array in arrays if name in (array.dtype.names or ()))


def _struct(batch: pa.RecordBatch, dtype: np.dtype[np.void]) -> NDArray[np.void]:
    """Return the columns of *batch* that *dtype* has, as one array."""
    found = np.zeros(batch.num_rows, dtype)
    for name in dtype.names or ():
        found[name] = batch.column(name).to_numpy()
    return found
