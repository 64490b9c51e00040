"""The runs of a file by page, in memory: some sections of them at a time, and of all files so many bytes."""

import threading
import weakref
from collections import OrderedDict, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Final

import duckdb
import numpy as np
from numpy.typing import NDArray

from pagetrail.replay.store.packed.columns import Columns, arrays_of
from pagetrail.replay.store.packed.run_tables import RunTables
from pagetrail.schemas.store.tables import RUN_TABLES

_PAGES, _RUNS = zip(*RUN_TABLES.values(), strict=True)

_PART_ROWS: Final = 1 << 17
"""Runs of a part, if they are spread evenly: to read them takes a few ms."""

_ROWS_AT_ONCE: Final = 1 << 20
"""Runs that are read at once."""

_PAGES_IN_TWO_BYTES: Final = 1 << 16

KEPT_BYTES: Final = 1 << 28
"""Bytes of parts that are kept, of all files that are open: the runs of about 20 million events."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """The runs of some pages in one of the tables of runs, by page.

    Attributes
    ----------
    low
        The first page.
    first
        Rising: the first page of each run, counted from *low*; uint16 if that holds them, else int32.
    others
        The others of ``RUN_COLUMNS``; *end_event* is -1 where a run is open.
    longest
        The most pages of a run.
    """

    low: int
    first: NDArray[np.integer]
    others: Columns
    longest: int

    @property
    def size(self) -> int:
        """How many runs there are."""
        return self.first.size

    @property
    def nbytes(self) -> int:
        """Bytes in memory; a column in which all is the same has none."""
        return self.first.nbytes + sum(column.nbytes for column in self.others.values() if column.strides != (0,))

    def holding(self, pfn: int) -> NDArray[np.int64]:
        """Return the rows of the runs that hold a page, whenever."""
        page = pfn - self.low
        asked = np.array([max(page - self.longest + 1, 0), page], self.first.dtype)
        first, stop = int(self.first.searchsorted(asked[0])), int(self.first.searchsorted(asked[1], side="right"))
        rows = np.arange(first, stop)
        if self.longest == 1:
            return rows
        return rows[self.first[rows].astype(np.int64) + self.others["nr_pages"][rows] > page]

    def take(self, rows: NDArray[np.int64]) -> Columns:
        """Return ``RUN_COLUMNS`` of some rows."""
        return {"pfn": self.first[rows] + np.int64(self.low)} | {name: c[rows] for name, c in self.others.items()}

    def covers(self, rows: NDArray[np.int64], known: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return whether each of some rows covers an instant up to which so many events are *known*."""
        end = self.others["end_event"][rows]
        return np.asarray((self.others["begin_event"][rows] < known) & ((end >= known) | (end < 0)))


Parts = tuple[Part, ...]
"""The runs of some pages: a part of each table that has rows."""


class RunsByPage:
    """The runs of one file: parts of them are read when they are asked for, and some are kept."""

    def __init__(self, tables: RunTables) -> None:
        self._tables = tables
        self._rows_a_page = max(tables.size, 1) / (tables.high - tables.low + 1)
        self._number = next(_NUMBERS)
        weakref.finalize(self, _KEPT.forget, self._number).atexit = False

    def around(self, db: duckdb.DuckDBPyConnection, pfn: int, pages_per_section: int) -> Parts:
        """Return the part that has *pfn*, of whole sections: no run crosses the border of one."""
        return next(self.parts(db, [pfn // self._width(pages_per_section)], pages_per_section))

    def numbers(self, pfns: NDArray[np.int64], pages_per_section: int) -> NDArray[np.int64]:
        """Return the numbers of the parts that have some pages."""
        return pfns // self._width(pages_per_section)

    def parts(self, db: duckdb.DuckDBPyConnection, numbers: Sequence[int], pages_per_section: int) -> Iterator[Parts]:
        """Yield the parts with these *numbers*, which rise; those that are next to one another are read together."""
        width = self._width(pages_per_section)
        together = max(_ROWS_AT_ONCE // max(int(width * self._rows_a_page), 1), 1)
        place = 0
        while place < len(numbers):
            kept = _KEPT.get((self._number, numbers[place]))
            if kept is not None:
                yield kept
                place += 1
                continue
            stop = place + 1
            while stop < min(place + together, len(numbers)) and numbers[stop] == numbers[stop - 1] + 1:
                stop += 1
            yield from self._read(db, numbers[place:stop], width)
            place = stop

    def _width(self, pages_per_section: int) -> int:
        """Return the pages of a part."""
        return max(int(_PART_ROWS / (pages_per_section * self._rows_a_page)), 1) * pages_per_section

    def _read(self, db: duckdb.DuckDBPyConnection, numbers: Sequence[int], width: int) -> list[Parts]:
        """Read and keep some parts next to one another."""
        low, some = numbers[0] * width, [_PAGES]
        if any(self._tables.sizes[table] for table in _RUNS):
            some.append(_RUNS)
        of_tables = [part for tables in some for part in self._of_both(db, tables, low, len(numbers), width)]
        found = list(zip(*of_tables, strict=True))
        for number, parts in zip(numbers, found, strict=True):
            _KEPT.add((self._number, number), parts)
        return found

    def _of_both(
        self, db: duckdb.DuckDBPyConnection, tables: tuple[str, str], low: int, count: int, width: int
    ) -> Iterator[list[Part]]:
        """Yield so many parts of each of two tables, of what ended and what is open, the first one from the page *low* on."""
        names = self._tables.stored(tables[0])
        columns = _columns(db, tables, names, low, low + count * width)
        is_open = columns["end_event"] < 0
        for table, rows in zip(tables, (~is_open, is_open), strict=True):
            yield self._parts_of(table, {name: column[rows] for name, column in columns.items()}, low, count, width)

    def _parts_of(self, table: str, columns: Columns, low: int, count: int, width: int) -> list[Part]:
        """Return so many parts of the rows of a table, whose pages are counted from *low* on."""
        columns, found = _by_page(columns), []
        first = columns.pop("pfn")
        borders = [0, *np.searchsorted(first, (np.arange(1, count) * width).astype(first.dtype)).tolist(), first.size]
        kind = np.dtype(np.uint16 if width <= _PAGES_IN_TWO_BYTES else np.int32)
        for nth in range(count):
            rows = slice(borders[nth], borders[nth + 1])
            own = {name: column if count == 1 else column[rows].copy() for name, column in columns.items()}
            pages = (first[rows] - first.dtype.type(nth * width)).astype(kind, copy=False)
            whole = self._tables.whole(table, {"pfn": pages} | own)
            sizes = whole["nr_pages"]
            longest = int(sizes[:1].sum() if sizes.strides == (0,) else sizes.max(initial=1))
            found.append(Part(low=low + nth * width, first=whole.pop("pfn"), others=whole, longest=max(longest, 1)))
        return found


def _columns(
    db: duckdb.DuckDBPyConnection, tables: tuple[str, str], names: Sequence[str], low: int, stop: int
) -> Columns:
    """Return columns of the runs of [low, stop) in two tables, of what ended and what is open; *pfn* from *low* on.

    One query takes less time than two.
    """
    kind = "USMALLINT" if stop - low <= _PAGES_IN_TWO_BYTES else "INTEGER"
    pages = {"pfn": f"CAST(pfn - {low:d} AS {kind}) AS pfn"}
    shown = (pages, pages | {"end_event": "CAST(-1 AS INTEGER) AS end_event"})
    query = " UNION ALL ".join(
        f"SELECT {', '.join(of.get(name, name) for name in names)} FROM {table} WHERE pfn >= {low:d} AND pfn < {stop:d}"
        for table, of in zip(tables, shown, strict=True)
    )
    return arrays_of(db.sql(query).to_arrow_table())


def _by_page(columns: Columns) -> Columns:
    """Return columns in the order of *pfn*: runs of the kernel's view come behind the others."""
    if (columns["pfn"][1:] >= columns["pfn"][:-1]).all():
        return columns
    order = np.argsort(columns["pfn"], kind="stable")
    return {name: column[order] for name, column in columns.items()}


class _Kept:
    """The parts that were asked for last, of all files."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._parts: OrderedDict[tuple[int, int], Parts] = OrderedDict()
        self._bytes = 0
        self._gone: deque[int] = deque()

    def get(self, key: tuple[int, int]) -> Parts | None:
        with self._lock:
            part = self._parts.get(key)
            if part is not None:
                self._parts.move_to_end(key)
            return part

    def add(self, key: tuple[int, int], parts: Parts) -> None:
        with self._lock:
            self._drop_gone()
            self._drop(key)
            self._parts[key] = parts
            self._bytes += _nbytes(parts)
            while self._bytes > KEPT_BYTES and len(self._parts) > 1:
                self._drop(next(iter(self._parts)))

    def forget(self, number: int) -> None:
        """Drop the parts of a file, or leave it to the next that adds one: garbage is collected in the middle of anything."""
        self._gone.append(number)
        if self._lock.acquire(blocking=False):
            try:
                self._drop_gone()
            finally:
                self._lock.release()

    def _drop_gone(self) -> None:
        while self._gone:
            number = self._gone.popleft()
            for key in [key for key in self._parts if key[0] == number]:
                self._drop(key)

    def _drop(self, key: tuple[int, int]) -> None:
        self._bytes -= _nbytes(self._parts.pop(key, ()))


def _nbytes(parts: Sequence[Part]) -> int:
    return sum(part.nbytes for part in parts)


_KEPT: Final = _Kept()
_NUMBERS: Final = count()
