"""What DuckDB knows of a file's tables before any row is read: sizes, and the least and most of each number that refers to another.

A file may be somebody else's, or lie. What is read of it later is an index into what was read before, so the borders are checked
first: it takes one query, which reads no rows.
"""

from dataclasses import dataclass
from typing import Any, Final

import duckdb

from pagetrail.schemas.linux.mmzone import PFN_LIMIT
from pagetrail.schemas.store.tables import RUN_TABLES

_MOST_ROWS_A_BYTE: Final = 256
"""Rows for each byte of a file. Numbers that rise evenly take least: 2,048 rows of a column take some 20 bytes."""

_COLUMNS: Final = {
    "ended_pages": ("pfn", "begin_event", "end_event"),
    "open_pages": ("pfn", "begin_event"),
    "ended_runs": ("pfn", "begin_event", "end_event", "place", "nr_pages", "generation", "kernel_view"),
    "open_runs": ("pfn", "begin_event", "place", "nr_pages", "generation", "kernel_view"),
    "events": ("act", "owner", "seq"),
    "details": ("event", "id"),
    "acts": ("id", "free_comm", "free_stack"),
    "owners": ("id", "comm", "stack"),
    "comms": ("id",), "stacks": ("id",), "said_values": ("id",),
    "said": ("said",), "said_texts": ("id",),
    "lasting_doubts": (), "doubts": (),
}  # fmt: skip
_WIDTH: Final = max(map(len, _COLUMNS.values()))
_QUERY: Final = " UNION ALL ".join(
    f"SELECT '{table}', count(*)"
    + "".join(f", min({name}), max({name})" for name in names)
    + ", NULL, NULL" * (_WIDTH - len(names))
    + f" FROM {table}"
    for table, names in _COLUMNS.items()
)


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """Rows of each table, and by table and column the least and most of it; null where there is none."""

    sizes: dict[str, int]
    ranges: dict[tuple[str, str], tuple[Any, Any]]


def about(db: duckdb.DuckDBPyConnection, file_size: int) -> About:
    """Return what is known of the tables of a file of so many bytes.

    Raises
    ------
    ValueError
        It has more rows than fit, or numbers that refer to rows that are not there.
    """
    rows = db.execute(_QUERY).fetchall()
    sizes = {table: int(size) for table, size, *_ in rows}
    ranges = {
        (table, name): (values[2 * i], values[2 * i + 1])
        for table, _, *values in rows
        for i, name in enumerate(_COLUMNS[table])
    }
    found = About(sizes=sizes, ranges=ranges)
    _check(found, file_size)
    return found


def _check(found: About, file_size: int) -> None:
    sizes = found.sizes
    for table, size in sizes.items():
        if size > _MOST_ROWS_A_BYTE * file_size:
            raise ValueError(f"{size:,} rows of {table}, more than {file_size:,} bytes hold")
    both = {table: sizes[pages] + sizes[runs] for pages, runs in RUN_TABLES.values() for table in (pages, runs)}
    limits: dict[str, tuple[int, int]] = {
        "pfn": (0, PFN_LIMIT), "begin_event": (0, sizes["events"]), "end_event": (0, sizes["events"]),
        "nr_pages": (1, PFN_LIMIT), "kernel_view": (0, 2), "generation": (0, 1 << 31), "act": (0, sizes["acts"]),
        "owner": (0, sizes["owners"]), "event": (0, sizes["events"]), "seq": (0, 1 << 63),
        "said": (0, sizes["said_values"]),
    }  # fmt: skip
    texts = {"comm": sizes["comms"], "stack": sizes["stacks"]}
    for (table, name), (least, most) in found.ranges.items():
        if least is None:
            continue
        kind = name.removeprefix("free_")
        low, stop = (0, texts[kind]) if kind in texts else limits.get(name, (0, sizes[table]))
        if name == "place":
            low, stop = 0, both[table]
        if least < low or most >= stop:
            raise ValueError(f"{name} of {table}: expected {low:,} to {stop - 1:,}, found {least:,} to {most:,}")
