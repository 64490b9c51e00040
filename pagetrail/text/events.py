"""Events as a log holds them: a line an event, with its fields, and its stack below."""

from collections.abc import Callable
from typing import Any, Final

from pagetrail.schemas.times import as_text
from pagetrail.text.printable import printable_row

_HEX: Final = ("gfp_mask", "page_flags")
_ELSEWHERE: Final = ("recording", "seq", "trace_ts_nsec", "kind", "stack", "detail")
"""Columns that have a place of their own."""


def event_text(row: dict[str, Any], time: Callable[[int], str] = as_text) -> str:
    """Return a row of ``events``, with every field that it has; *time* makes text of a time of the trace clock."""
    row = printable_row(row)
    fields = [
        f"{name}={hex(value) if name in _HEX else value}"
        for name, value in row.items()
        if value is not None and name not in _ELSEWHERE
    ]
    event = f"event {row['seq']} of {row['recording']} at {time(row['trace_ts_nsec'])} {row['kind']}:"
    lines = [" ".join([event, *fields])]
    if row["detail"] is not None:
        lines.append(f"  detail  {row['detail']}")
    if row["stack"] is not None:
        frames = row["stack"].split("\n")
        lines += [f"  {'stack' if i == 0 else '     '}   {frame}" for i, frame in enumerate(frames)]
    return "\n".join(lines) + "\n"
