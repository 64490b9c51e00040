"""Texts of one file, looked up by id: an answer about one page shows a few of them."""

from typing import Any, Final

import duckdb

from pagetrail.replay.store.prepared import rows_of

_QUERIES: Final = {
    "comms": "SELECT id, comm FROM comms WHERE id >= $1 AND id < $2",
    "stacks": "SELECT id, frames, stack_id FROM stacks WHERE id >= $1 AND id < $2",
}

_AT_ONCE: Final = {"comms": 1 << 8, "stacks": 1 << 4}
"""Texts next to one another that are read at once: it takes no longer."""

_KEPT: Final = {"comms": 1 << 12, "stacks": 1 << 9}
"""Texts of each table that are remembered. A stack is half a kilobyte."""


class TextsById:
    """Looks up texts of a file, and remembers the last ones."""

    def __init__(self) -> None:
        self._kept: dict[str, dict[int, tuple[Any, ...]]] = {table: {} for table in _QUERIES}

    def of(self, db: duckdb.DuckDBPyConnection, table: str, ids: list[int]) -> list[tuple[Any, ...]]:
        """Return the columns of ``comms`` (comm) or ``stacks`` (frames, stack_id) with these *ids*."""
        kept, found = self._kept[table], []
        for number in ids:
            row = kept.get(number)
            if row is None:
                first = number - number % _AT_ONCE[table]
                read = {row[0]: row[1:] for row in rows_of(db, _QUERIES[table], first, first + _AT_ONCE[table])}
                row = read[number]
                if len(kept) + len(read) > _KEPT[table]:
                    kept = self._kept[table] = {}
                kept.update(read)
            found.append(row)
        return found
