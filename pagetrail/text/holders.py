"""Who holds pages, and since when: a line a holder, the largest first."""

from collections.abc import Callable
from typing import Any, cast

from pagetrail.text.tables import duration_text, size_text, stack_text, table_text

Row = dict[str, Any]


def top_text(found: list[Row], by: str, gfp: Callable[[int], str]) -> str:
    """Return rows of ``Trail.top``, or of ``top_of_all``; *gfp* makes names of a mask."""
    columns = ("pages", "size", "blocks", "certain", "streams", by)
    rows = [(*_counts(r), r.get("streams"), _key(r, by, gfp)) for r in found]
    return table_text(columns, rows, right=columns[:5], optional=("streams",))


def leaks_text(found: list[Row], by: str, gfp: Callable[[int], str], *, counts: bool = False) -> str:
    """Return rows of ``Trail.leaks``; *gfp* makes names of a mask, and ages are no seconds where the trace clock *counts*."""
    columns = ("pages", "size", "blocks", "certain", "youngest", "median age", "oldest", "streams", by)
    ages = ("youngest_ns", "median_age_ns", "oldest_ns")
    rows = [
        (
            *_counts(r),
            *("?" if r[age] is None else duration_text(r[age], counts=counts) for age in ages),
            r.get("streams"),
            _key(r, by, gfp),
        )
        for r in found
    ]
    return table_text(columns, rows, right=columns[:8], optional=("streams",))


def _counts(row: Row) -> tuple[str, str, str, str]:
    share = row["certain_pages"] / row["pages"] if row["pages"] else 0.0
    return f"{row['pages']:,}", size_text(row["bytes"]), f"{row['blocks']:,}", f"{share:.1%}"


def _key(row: Row, by: str, gfp: Callable[[int], str]) -> object:
    key = row["key"]
    if by == "stack":
        return stack_text(cast("str | None", key))
    if by == "gfp" and key is not None:
        return f"{key:#x} {gfp(key)}"
    if by == "pid" and key is not None:
        return f"{key} {row['comm'] or '?'}"
    if by == "cgroup":
        return "(not recorded)" if key is None else key or "(no name)"
    return "?" if key is None else key
