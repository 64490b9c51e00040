"""The texts that ids of one file of the store mean: command names and stacks. A question reads only those that it shows."""

from collections.abc import Collection
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Final

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pagetrail.replay.store.packed.unpack import FileRows

SOURCES: Final = {
    "comms": (("comm", "free_comm"), {"comms": "comm"}),
    "stacks": (("stack", "free_stack"), {"frames": "frames", "stack_ids": "stack_id"}),
}
"""By table of the store: the fields of RECORD_DTYPE with its ids, and the arrays of ``Texts`` that an answer shows, with their
columns."""

_COLUMNS: Final = {
    "comms": {"comms": "comm"},
    "stacks": {"frames": "frames", "raw": "raw", "stack_ids": "stack_id"},
}
"""By table of the store: the arrays of ``Texts`` that are read from it, each with its column."""

TYPES: Final = {"comms": pa.utf8(), "frames": pa.utf8(), "stack_ids": pa.int64()}
"""The types of these arrays."""

ALL_TEXTS: Final = frozenset(name for arrays in _COLUMNS.values() for name in arrays)
"""The names of the arrays of ``Texts``."""


def _not_read() -> pa.Array:
    """Return the value of an array that was not asked for: looking up an id in it raises an error."""
    return pa.nulls(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Texts:
    """The texts of one file, by id.

    Attributes
    ----------
    comms
        Command names.
    frames, raw, stack_ids
        Stacks: in canonical form, as recorded, and the 64-bit id that each has on every host.
    """

    comms: pa.Array = field(default_factory=_not_read)
    frames: pa.Array = field(default_factory=_not_read)
    raw: pa.Array = field(default_factory=_not_read)
    stack_ids: pa.Array = field(default_factory=_not_read)

    @classmethod
    def read(cls, db: duckdb.DuckDBPyConnection, wanted: Collection[str] = ALL_TEXTS) -> "Texts":
        """Read those arrays of one file that are *wanted*, by name."""
        found: dict[str, pa.Array] = {}
        for table, arrays in _COLUMNS.items():
            columns = {name: column for name, column in arrays.items() if name in wanted}
            if columns:
                rows = db.sql(f"SELECT {', '.join(columns.values())} FROM {table} ORDER BY id").to_arrow_table()
                found |= {name: rows[column].combine_chunks() for name, column in columns.items()}
        return cls(**found)

    @classmethod
    def of_records(
        cls, db: duckdb.DuckDBPyConnection, rows: FileRows, records: NDArray[np.void], wanted: AbstractSet[str]
    ) -> "Texts":
        """Return *wanted* arrays of one file with the texts of a few *records* alone, whose ids become those of the arrays."""
        found: dict[str, pa.Array] = {}
        for table, (fields, arrays) in SOURCES.items():
            if wanted.isdisjoint(arrays):
                continue
            ids = known_ids([records[name] for name in fields])
            columns = zip(*rows.texts.of(db, table, ids.tolist()), strict=True) if ids.size else [()] * len(arrays)
            found |= {name: pa.array(column, TYPES[name]) for name, column in zip(arrays, columns, strict=True)}
            for name in fields:
                records[name] = new_ids(ids, records[name], 0)
        return cls(**found)


def known_ids(columns: list[NDArray[np.int32]]) -> NDArray[np.int64]:
    """Return the ids of texts in some columns, each once, rising; those below 0 are none."""
    ids = np.unique(np.concatenate(columns)).astype(np.int64)
    return ids[ids >= 0]


def new_ids(ids: NDArray[np.int64], column: NDArray[np.int32], before: int) -> NDArray[np.int64]:
    """Return what becomes of the ids in a column, if *ids* are numbered from *before* on."""
    return np.where(column >= 0, np.searchsorted(ids, column) + before, -1)
