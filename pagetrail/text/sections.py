"""Sections and their extensions: a line for sections side by side that are alike."""

from collections.abc import Callable
from typing import Any, Final

from pagetrail.schemas.times import as_text
from pagetrail.text.tables import size_text, table_text

_ALIKE: Final = ("generation", "begin_ts", "end_ts", "how", "end_how")

Row = dict[str, Any]
Time = Callable[[int], str]


def sections_text(found: list[Row], *, then: bool, time: Time = as_text) -> str:
    """Return rows of ``Trail.sections``, and what those that are there take; *then*: all are those of one instant.

    *time* makes text of a time of the trace clock.
    """
    columns = ("section", "start_pfn", "stop_pfn", "generation", "from", "to", "came by", "went by", "page_ext bytes")
    text = table_text(columns, [_cells(rows, time) for rows in _ranges(found)], right=(*columns[:6], columns[-1]))
    there = [row["page_ext_bytes"] for row in found if row["end_ts"] is None or then]
    if not there or None in there:
        return text
    what = "nodes" if any(row["section_nr"] is None for row in found) else "sections"
    when = "then" if then else "at the horizon"
    return f"{text}{len(there)} {what} {when}: {sum(there)} bytes of page_ext ({size_text(sum(there))})\n"


def _ranges(found: list[Row]) -> list[list[Row]]:
    """Return the sections in ranges of equal neighbours. A node of a kernel with FLATMEM is a range of its own."""
    ranges: list[list[Row]] = []
    for row in found:
        before = ranges[-1][-1] if ranges else None
        if before is not None and _continues(before, row):
            ranges[-1].append(row)
        else:
            ranges.append([row])
    return ranges


def _continues(before: Row, row: Row) -> bool:
    if row["section_nr"] is None or before["section_nr"] is None:
        return False
    unknown = (before["page_ext_bytes"] is None, row["page_ext_bytes"] is None)
    follows = row["section_nr"] == before["section_nr"] + 1 and row["start_pfn"] == before["stop_pfn"]
    return bool(follows and unknown[0] == unknown[1] and all(row[name] == before[name] for name in _ALIKE))


def _cells(rows: list[Row], time: Time) -> tuple[object, ...]:
    first, last = rows[0], rows[-1]
    size = None if first["page_ext_bytes"] is None else sum(row["page_ext_bytes"] for row in rows)
    return (
        _name(first, last), hex(first["start_pfn"]), hex(last["stop_pfn"]), first["generation"],
        time(first["begin_ts"]), "" if first["end_ts"] is None else time(first["end_ts"]), first["how"],
        first["end_how"], size,
    )  # fmt: skip


def _name(first: Row, last: Row) -> str:
    if first["section_nr"] is None:
        return f"node {first['node']}"
    if first is last:
        return str(first["section_nr"])
    return f"{first['section_nr']}-{last['section_nr']}"
