"""Tables, and the words in their cells."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final


def table_text(
    columns: Sequence[str], rows: Iterable[Sequence[object]], *, right: Sequence[str] = (), optional: Sequence[str] = ()
) -> str:
    """Return rows as an aligned table with a header; lines are not wrapped.

    *right* names the columns that are flush right, *optional* those that are left out where no row has a value.
    """
    cells = [["" if value is None else str(value) for value in row] for row in rows]
    shown = [i for i, name in enumerate(columns) if name not in optional or any(row[i] for row in cells)]
    columns = [columns[i] for i in shown]
    cells = [columns, *([row[i] for i in shown] for row in cells)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    flush = [str.rjust if name in right else str.ljust for name in columns]
    lines = ("  ".join(f(cell, w) for f, cell, w in zip(flush, row, widths, strict=True)).rstrip() for row in cells)
    return "\n".join(lines) + "\n"


def size_text(size: int) -> str:
    """Return a number of bytes with a binary unit."""
    value = float(size)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(value) < 1024 or unit == "GiB":
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    raise AssertionError("unreachable")


def duration_text(length: int | None, *, counts: bool = False) -> str:
    """Return a length of time of the trace clock in seconds, or as it is where the clock only *counts*; nothing for null."""
    if length is None:
        return ""
    return str(length) if counts else f"{length / 1e9:.3f} s"


def stack_text(stack: str | None) -> str:
    """Return a stack on one line, the innermost function first."""
    return "(not recorded)" if stack is None else " < ".join(stack.split("\n"))


DUMP_COLUMNS: Final = ("cgroup", "block type", "page flags")
"""What dumps said of a page beside its owner: columns that are shown where any row has a value."""


def dump_cells(row: Mapping[str, Any]) -> tuple[object, ...]:
    """Return the cells of ``DUMP_COLUMNS``: flags by name; by number where the dump has no names."""
    cgroup = None if row["cgroup"] is None else row["cgroup"] or "(no name)"
    flags = None if row["page_flags"] is None else hex(row["page_flags"] & ((1 << 64) - 1))
    return cgroup, row["block_type"], row["page_flag_names"] or flags


def hex_text(value: int | None) -> str | None:
    """Return a number in hex; null stays null."""
    return None if value is None else hex(value)
