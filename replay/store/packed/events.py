"""The events of a file, by number: they are in the order of stream_seq and of time."""

import weakref
from bisect import bisect_right
from dataclasses import dataclass
from itertools import pairwise
from operator import itemgetter
from typing import Final

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pagetrail.replay.store.packed.columns import Columns, arrays_of
from pagetrail.replay.store.prepared import rows_of
from pagetrail.schemas.owner import ABSENT64

_COLUMNS: Final = ("seq", "ts", "act", "owner", "age")
_EVENT: Final = ", ".join(_COLUMNS)
_ONE: Final = f"SELECT {_EVENT} FROM events WHERE rowid = $1"
_JOINED: Final = f"SELECT number, {_EVENT} FROM asked_events JOIN events ON events.rowid = number"
_UNTIL: Final = {
    what: f"SELECT count(*) FROM events WHERE rowid >= $1 AND rowid < $2 AND {what} <= $3" for what in ("seq", "ts")
}

_FEW: Final = 8
"""Up to so many events are looked up one by one: DuckDB finds a row by its number without a scan, but not several."""

_SPARSE: Final = 1 << 7
"""If one event of so many or fewer is asked for, their rows are looked up by a join; for more, ranges of rows are read."""

_APART: Final = 1 << 14
"""Events that are so far apart are read apart: to read those between them takes as long as another query."""

_MANY: Final = 1 << 12
"""For so many events and more, all of the file are read and kept, if they are of most of it."""

_VECTOR: Final = 2048
"""DuckDB reads as many rows as fast as one."""

_NARROW: Final = 1 << 5
"""An instant that is narrowed down to this part of a file leaves few events of a page in doubt."""

_LOOKED_UP: Final = 1 << 11
"""Events that are remembered of a file."""

_KEPT_BYTES: Final = 1 << 27
"""Bytes of the events of a file that are kept; those of a larger one are read in turn."""

_EVENT_BYTES: Final = 32
_AT_ONCE: Final = 1 << 17

Event = tuple[int, int, int, int, int]
"""stream_seq, trace clock, ns, the rows of its act and its owner, and ns since the allocation."""

_PLACE: Final = {"seq": 0, "ts": 1}
_NUMBER: Final = itemgetter(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class At:
    """A point of a stream: after every event up to *value*, a trace clock in ns, or, with *what* "seq", a stream_seq."""

    what: str
    value: int


class FileEvents:
    """Looks up events of one file, and remembers some: they narrow down which of them happened up to an instant.

    Attributes
    ----------
    size
        How many there are.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._seen: list[tuple[int, Event]] = []
        """Never changed, but replaced: another thread may be reading it."""

    def one(self, db: duckdb.DuckDBPyConnection, number: int) -> Event:
        """Return an event."""
        seen = self._seen
        place = bisect_right(seen, number, key=_NUMBER)
        if place and seen[place - 1][0] == number:
            return seen[place - 1][1]
        seq, ts, act, owner, age = rows_of(db, _ONE, number)[0]
        event = seq, ts, act, -1 if owner is None else owner, ABSENT64 if age is None else age
        if len(seen) < _LOOKED_UP:
            self._seen = [*seen[:place], (number, event), *seen[place:]]
        return event

    def between(self, db: duckdb.DuckDBPyConnection, at: At) -> tuple[int, int]:
        """Return the least and the most events that may have happened up to a point: they are not far apart."""
        return self._narrowed(db, at, max(self.size // _NARROW, _VECTOR))

    def until(self, db: duckdb.DuckDBPyConnection, at: At) -> int:
        """Return how many events happened up to a point."""
        low, high = self._narrowed(db, at, _VECTOR)
        return low + int(rows_of(db, _UNTIL[at.what], low, high, at.value)[0][0]) if low < high else low

    def narrowed(
        self, db: duckdb.DuckDBPyConnection, at: At, between: tuple[int, int], numbers: list[int]
    ) -> tuple[int, int]:
        """Return the least and the most events up to a point, so close that it is known of these *numbers*, which rise."""
        low, high = between
        while numbers:
            place = len(numbers) // 2
            if self.one(db, numbers[place])[_PLACE[at.what]] <= at.value:
                low, numbers = numbers[place] + 1, numbers[place + 1 :]
            else:
                high, numbers = numbers[place], numbers[:place]
        return low, high

    def until_each(self, db: duckdb.DuckDBPyConnection, what: str, values: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return how many events happened up to each of some points: see ``At``."""
        if values.size <= _FEW:
            return np.array([self.until(db, At(what=what, value=value)) for value in values.tolist()], np.int64)
        order = np.argsort(values, kind="stable")
        found = np.zeros(values.size, np.int64)
        found[order] = np.searchsorted(_KEPT.of(self, db, what), values[order], side="right")
        return found

    def some(self, db: duckdb.DuckDBPyConnection, numbers: NDArray[np.int32]) -> Columns:
        """Return the columns of the events with these numbers, one each."""
        if numbers.size <= _FEW:
            few = np.array([self.one(db, number) for number in numbers.tolist()], np.int64).reshape(-1, len(_COLUMNS))
            return {name: few[:, i] for i, name in enumerate(_COLUMNS)}
        if numbers.size * _SPARSE <= self.size:
            return self._joined(db, numbers)
        rising = np.sort(numbers)
        whole = numbers.size >= _MANY and 2 * int(rising[-1] - rising[0]) >= self.size
        if whole and self.size * _EVENT_BYTES <= _KEPT_BYTES:
            return {name: _KEPT.of(self, db, name)[numbers] for name in _COLUMNS}
        found = self._read(db, rising)
        places = np.searchsorted(rising, numbers)
        return {name: column[places] for name, column in found.items()}

    def column(self, db: duckdb.DuckDBPyConnection, name: str, numbers: NDArray[np.int32]) -> NDArray[np.int64]:
        """Return a column of the events with these numbers: see ``some``."""
        if numbers.size >= _MANY and self.size * _EVENT_BYTES <= _KEPT_BYTES:
            return _KEPT.of(self, db, name)[numbers]
        return self.some(db, numbers)[name]

    def _narrowed(self, db: duckdb.DuckDBPyConnection, at: At, width: int) -> tuple[int, int]:
        """Return the least and the most events up to a point, not more than *width* apart."""
        seen, when = self._seen, _PLACE[at.what]
        if not seen and self.size:
            seen = [(number, self.one(db, number)) for number in (0, self.size - 1)]
        place = bisect_right(seen, at.value, key=lambda known: known[1][when])
        low, before = (seen[place - 1][0] + 1, seen[place - 1][1][when]) if place else (0, at.value)
        high, after = (seen[place][0], seen[place][1][when]) if place < len(seen) else (self.size, at.value)
        while high - low > width:
            number = low + _guess((at.value - before) / max(after - before, 1), high - low)
            found = self.one(db, number)[when]
            if found <= at.value:
                low, before = number + 1, found
            else:
                high, after = number, found
        return low, high

    def _joined(self, db: duckdb.DuckDBPyConnection, numbers: NDArray[np.int32]) -> Columns:
        """Return the columns of a few events: the vectors in which there is none are not read."""
        asked, places = np.unique(numbers, return_inverse=True)
        db.register("asked_events", pa.table({"number": asked}))
        try:
            found = arrays_of(db.sql(_JOINED).to_arrow_table())
        finally:
            db.unregister("asked_events")
        place = np.empty(asked.size, np.int64)
        place[np.searchsorted(asked, found["number"])] = np.arange(asked.size)
        return {name: found[name][place[places]] for name in _COLUMNS}

    def _read(self, db: duckdb.DuckDBPyConnection, rising: NDArray[np.int32]) -> Columns:
        """Return the columns of events whose numbers rise, and of which few are in memory at once."""
        borders = [0, *(np.flatnonzero(np.diff(rising) > _APART) + 1).tolist(), rising.size]
        parts: list[Columns] = []
        for first, stop in pairwise(borders):
            low, high = int(rising[first]), int(rising[stop - 1])
            query = f"SELECT {_EVENT} FROM events WHERE rowid >= {low:d} AND rowid <= {high:d}"
            for batch in db.sql(query).to_arrow_reader(_AT_ONCE):  # in their order
                some = slice(*np.searchsorted(rising, [low, low + batch.num_rows]))
                columns = arrays_of(pa.Table.from_batches([batch]))
                parts.append({name: column[rising[some] - low] for name, column in columns.items()})
                low += batch.num_rows
        return {name: np.concatenate([part[name] for part in parts]) for name in _COLUMNS}


def _guess(part: float, size: int) -> int:
    """Return where to look next among *size* events: at a *part* of them, but not close to an end."""
    return int(size * min(max(part, 0.125), 0.875))


class _Kept:
    """Columns of the events of the file that was asked last: a question reads the rows of an instant part by part."""

    def __init__(self) -> None:
        self._kept: tuple[weakref.ref[FileEvents], Columns] | None = None

    def of(self, events: FileEvents, db: duckdb.DuckDBPyConnection, name: str) -> NDArray[np.int64]:
        kept = self._kept
        if kept is None or kept[0]() is not events:
            kept = self._kept = weakref.ref(events, self._forget), {}
        columns = kept[1]
        if name not in columns:
            columns[name] = arrays_of(db.sql(f"SELECT {name} FROM events").to_arrow_table())[name]
        return columns[name]

    def _forget(self, gone: weakref.ref[FileEvents]) -> None:
        if self._kept is not None and self._kept[0] is gone:
            self._kept = None


_KEPT: Final = _Kept()
