"""Tables, and the words in their cells."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import Any, Final

from pagetrail.text.printable import printable

_ROWS_AT_ONCE: Final = 1 << 13
"""Rows whose cells are in memory at once: a stack is half a kilobyte."""


def table_text(
    columns: Sequence[str], rows: Iterable[Sequence[object]], *, right: Sequence[str] = (), optional: Sequence[str] = ()
) -> str:
    """Return rows as an aligned table with a header; lines are not wrapped, and recorded text is printable.

    *right* names the columns that are flush right, *optional* those that are left out where no row has a value.
    """
    return "".join(table_parts(columns, rows, right=right, optional=optional))


def table_parts(
    columns: Sequence[str], rows: Iterable[Sequence[object]], *, right: Sequence[str] = (), optional: Sequence[str] = ()
) -> Iterator[str]:
    """Yield the text of ``table_text`` in parts, when all rows have been seen: they are not in memory together."""
    import pyarrow as pa  # here: the help of commands needs none of it

    from pagetrail.schemas.store.kept_rows import KeptRows

    kept, widths, left = KeptRows(), [0 for _ in columns], iter(rows)
    while some := list(islice(left, _ROWS_AT_ONCE)):
        cells = [
            ["" if value is None else printable(str(value)) for value in column] for column in zip(*some, strict=True)
        ]
        widths = [max(width, *map(len, column)) for width, column in zip(widths, cells, strict=True)]
        kept.add(pa.RecordBatch.from_arrays([pa.array(column, pa.utf8()) for column in cells], [*columns]))
    shown = [i for i, name in enumerate(columns) if name not in optional or widths[i]]
    widths = [max(width, len(name)) for width, name in zip(widths, columns, strict=True)]
    flush = [str.rjust if name in right else str.ljust for name in columns]
    of_rows = (zip(*(column.to_pylist() for column in batch.columns), strict=True) for batch in kept.batches())
    for some_rows in chain([[columns]], of_rows):
        yield "".join("  ".join(flush[i](row[i], widths[i]) for i in shown).rstrip() + "\n" for row in some_rows)


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
