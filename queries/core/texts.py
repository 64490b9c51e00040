"""The texts that ids of one file of the store mean: command names and stacks. A question reads only those that it shows."""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final

import duckdb
import pyarrow as pa

_COLUMNS: Final = {
    "comms": {"comms": "comm"},
    "stacks": {"frames": "frames", "raw": "raw", "stack_ids": "stack_id"},
}
"""By table of the store: the arrays of ``Texts`` that are read from it, each with its column."""

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
