"""The tables of runs of one file: those of single pages, and those of all other runs. Nothing here loads the compiler."""

from collections.abc import Mapping
from typing import Final

import duckdb
import numpy as np

from pagetrail.replay.store.packed.about import About
from pagetrail.replay.store.packed.columns import Columns, arrays_of
from pagetrail.schemas.store.tables import RUN_TABLES, SINGLE_PAGE, run_rows

RUN_COLUMNS: Final = ("pfn", "nr_pages", "begin_event", "generation", "kernel_view", "end_event")
"""What is known of a run."""

_TYPES: Final[dict[str, type[np.signedinteger]]] = {
    "nr_pages": np.int32,
    "generation": np.int32,
    "kernel_view": np.int8,
}
_SINGLE: Final[dict[str, np.generic]] = {name: _TYPES[name](value) for name, value in SINGLE_PAGE.items()}


class RunTables:
    """What is known of the tables before any is read.

    Attributes
    ----------
    sizes
        Rows of each, by its name.
    low, high
        The first page of the first run, and of the last one.
    has_views
        Whether a run is one of the kernel's own view.
    """

    def __init__(self, found: About) -> None:
        self.sizes = {table: found.sizes[table] for tables in RUN_TABLES.values() for table in tables}
        there = [table for table, size in self.sizes.items() if size]
        pfns = [found.ranges[table, "pfn"] for table in there]
        self.low, self.high = min((low for low, _ in pfns), default=0), max((high for _, high in pfns), default=0)
        of_runs = [table for table in there if table.endswith("_runs")]
        ranges = {
            name: (
                min(found.ranges[table, name][0] for table in of_runs),
                max(found.ranges[table, name][1] for table in of_runs),
            )
            for name in SINGLE_PAGE
            if of_runs
        }
        self.has_views = bool(ranges) and ranges["kernel_view"][1] == 1
        self._of_runs = {name: _TYPES[name](least) for name, (least, most) in ranges.items() if least == most}

    def _constant(self, table: str) -> Mapping[str, np.generic]:
        """Return the columns in which all runs of a table have one value, with that value."""
        found = _SINGLE if table.endswith("_pages") else self._of_runs
        return found if table.startswith("ended") else {**found, "end_event": np.int32(-1)}

    @property
    def size(self) -> int:
        """How many runs there are."""
        return sum(self.sizes.values())

    def size_of(self, view: str) -> int:
        """Return how many of them ``spans`` or ``live`` has."""
        return sum(self.sizes[table] for table in RUN_TABLES[view])

    def there(self, view: str) -> list[str]:
        """Return the names of the tables of ``spans`` or ``live`` that have rows; at least one."""
        return [table for table in RUN_TABLES[view] if self.sizes[table]] or [RUN_TABLES[view][0]]

    def stored(self, table: str, *, without: tuple[str, ...] = ()) -> list[str]:
        """Return the columns of a table that have to be read, of ``RUN_COLUMNS``."""
        return [name for name in RUN_COLUMNS if name not in self._constant(table) and name not in without]

    def whole(self, table: str, found: Columns) -> Columns:
        """Return ``RUN_COLUMNS`` of some rows of a table, of which the stored ones were *found*; -1 ends what is open."""
        size = found["pfn"].size
        return found | {
            name: np.broadcast_to(value, size) for name, value in self._constant(table).items() if name not in found
        }


def read_runs(
    db: duckdb.DuckDBPyConnection, tables: RunTables, view: str, where: str, known: int | None = None
) -> list[Columns]:
    """Return ``RUN_COLUMNS`` of the rows of the tables of ``spans`` or ``live`` that meet *where*, in the order of each table.

    *where* is a condition on ``RUN_COLUMNS``. Where so many events are *known*, return rows that cover that instant: they are open
    then, and *end_event* is -1.
    """
    left_out: tuple[str, ...] = ()
    if known is not None:
        ends = f" AND end_event >= {known:d}" if view == "spans" else ""
        where, left_out = f"begin_event < {known:d}{ends} AND ({where})", ("end_event",)
    parts = []
    for table in tables.there(view):
        columns = ", ".join(tables.stored(table, without=left_out))
        query = f"SELECT {columns} FROM ({run_rows(table)}) WHERE {where}"
        found = tables.whole(table, arrays_of(db.sql(query).to_arrow_table()))
        parts.append({"end_event": np.broadcast_to(np.int32(-1), found["pfn"].size)} | found)
    return parts


def runs_between(db: duckdb.DuckDBPyConnection, tables: RunTables, view: str, first: int, stop: int) -> Columns:
    """Return ``RUN_COLUMNS`` of the runs of ``spans`` or ``live`` from the place *first* up to *stop*, in their order.

    Runs of both tables have one order; single pages are in the places that no other run has.
    """
    pages, runs = RUN_TABLES[view]
    stop = max(min(stop, tables.size_of(view)), first)
    query = f"SELECT count(*) FROM {runs} WHERE place < {first:d}"
    before = int(db.execute(query).fetchall()[0][0])
    names = ", ".join(["place", *tables.stored(runs)])
    query = f"SELECT {names} FROM {runs} WHERE place >= {first:d} AND place < {stop:d}"
    of_runs = tables.whole(runs, arrays_of(db.sql(query).to_arrow_table()))
    places = of_runs.pop("place") - first
    is_page = np.ones(stop - first, np.bool_)
    is_page[places] = False
    low, high = first - before, stop - before - places.size
    query = f"SELECT {', '.join(tables.stored(pages))} FROM {pages} WHERE rowid >= {low:d} AND rowid < {high:d}"
    of_pages = tables.whole(pages, arrays_of(db.sql(query).to_arrow_table()))
    order = np.argsort(np.concatenate([np.flatnonzero(is_page), places]))
    return {name: np.concatenate([of_pages[name], of_runs[name]])[order] for name in RUN_COLUMNS}
