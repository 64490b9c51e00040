"""The details of events of a file: few events have some, and those are known before any is read."""

from typing import Final

import duckdb
import numpy as np
from numpy.typing import NDArray

from pagetrail.replay.store.packed.columns import Columns, absent_of, arrays_of
from pagetrail.replay.store.prepared import rows_of

_COLUMNS: Final = ("block_pfn", "evidence_ts", "ts_nsec", "free_ts_nsec", "src_pfn")
_ONE: Final = f"SELECT {', '.join(_COLUMNS)} FROM details WHERE event = $1"

_FEW: Final = 4
"""Up to so many events are looked up one by one: other events between them may have many."""


class FileDetails:
    """Looks up details of events of one file.

    Parameters
    ----------
    events
        How many events the file has.
    size
        How many of them have details.
    """

    def __init__(self, events: int, size: int) -> None:
        self._events, self._size = events, size
        self._marks: NDArray[np.uint8] | None = None

    def of(self, db: duckdb.DuckDBPyConnection, numbers: NDArray[np.int32]) -> tuple[NDArray[np.int64], Columns]:
        """Return which of the events with these *numbers* have details, and these, one each."""
        if not self._size:
            return np.zeros(0, np.int64), {}
        which = np.flatnonzero(self._has(db)[numbers >> 3] >> (numbers & 7).astype(np.uint8) & 1)
        asked = numbers[which]
        return which, self._few(db, asked) if which.size <= _FEW else _between(db, asked)

    def _few(self, db: duckdb.DuckDBPyConnection, asked: NDArray[np.int32]) -> Columns:
        rows = [rows_of(db, _ONE, number)[0] for number in asked.tolist()]
        filled = [
            [absent_of(name, np.dtype(np.int64)) if v is None else v for name, v in zip(_COLUMNS, row, strict=True)]
            for row in rows
        ]
        found = np.array(filled, np.int64).reshape(-1, len(_COLUMNS))
        return {name: found[:, i] for i, name in enumerate(_COLUMNS)}

    def _has(self, db: duckdb.DuckDBPyConnection) -> NDArray[np.uint8]:
        """Return a bit for each event, the lowest one first: whether it has details."""
        if self._marks is None:
            marks = np.zeros(self._events, np.bool_)
            marks[db.sql("SELECT event FROM details").to_arrow_table()[0].to_numpy()] = True
            self._marks = np.packbits(marks, bitorder="little")
        return self._marks


def _between(db: duckdb.DuckDBPyConnection, asked: NDArray[np.int32]) -> Columns:
    """Return the details of events that have some; those between them are read, too."""
    where = f"event >= {int(asked.min()):d} AND event <= {int(asked.max()):d}"
    found = arrays_of(db.sql(f"SELECT event, {', '.join(_COLUMNS)} FROM details WHERE {where}").to_arrow_table())
    place = np.searchsorted(found["event"], asked)
    return {name: found[name][place] for name in _COLUMNS}
