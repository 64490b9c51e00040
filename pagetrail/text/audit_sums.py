"""Replay against the kernel's sums of pages: a line a class, and a line a stack or a function that differs."""

from collections.abc import Callable
from typing import Any, Final

from pagetrail.text.tables import stack_text, table_text

Row = dict[str, Any]

_SHOWN: Final = 10


def stack_audit_text(rows: list[Row], *, records: bool) -> str:
    """Return rows of ``Trail.audit_stacks``: a line a class, and a line a stack that differs; with *records*, all of them."""
    head = ("kernel: pages", "replay: pages", "certain")
    columns = ("kernel_pages", "pages", "certain_pages")
    return _text(rows, columns, ("stacks", *head), ("stack",), lambda row: (stack_text(row["stack"]),), records=records)


def site_audit_text(rows: list[Row], *, records: bool) -> str:
    """Return rows of ``Trail.audit_sites``: a line a class, and a line a function that differs; with *records*, all of them."""
    head = ("kernel: bytes", "replay: bytes", "certain")
    columns = ("kernel_bytes", "bytes", "certain_bytes")
    return _text(rows, columns, ("functions", *head), ("function", "lines"), _function, records=records)


def _function(row: Row) -> tuple[str, str]:
    module = f" [{row['module']}]" if row["module"] else ""
    return (row["function"] or "") + module, row["places"].replace("\n", " ")


def _text(
    rows: list[Row],
    columns: tuple[str, ...],
    head: tuple[str, ...],
    names: tuple[str, ...],
    named: Callable[[Row], tuple[str, ...]],
    *,
    records: bool,
) -> str:
    """Return the sums of each class, and the rows that differ."""
    of_class = {name: [row for row in rows if row["class"] == name] for name in dict.fromkeys(r["class"] for r in rows)}
    sums = [
        (name, len(mine), *(sum(row[column] or 0 for row in mine) for column in columns))
        for name, mine in of_class.items()
    ]
    text = table_text(("class", *head), sums, right=head)
    differing = [row for row in rows if row["class"] != "agree"]
    shown = differing if records else differing[:_SHOWN]
    cells = [(*(row[column] for column in columns), row["class"], *named(row)) for row in shown]
    if cells:
        text += "\n" + table_text((*head[1:], "class", *names), cells, right=head[1:])
    hidden = len(differing) - len(shown)
    return text + (f"{hidden} more; --records shows all\n" if hidden else "")
