"""Owned pages, with the attribute by which a question adds them up."""

from collections.abc import Iterator
from typing import Final, Literal

import pyarrow as pa
import pyarrow.compute as pc

from pagetrail.queries.core.filters import Filters
from pagetrail.queries.core.instant import Instant
from pagetrail.queries.core.row_columns import ROW_SCHEMA
from pagetrail.queries.core.rows import Asked, rows_in_parts
from pagetrail.queries.core.stream import Stream
from pagetrail.queries.holders.attributes import By
from pagetrail.queries.holders.of_processes import with_processes
from pagetrail.replay.facts.clock import owner_clock

_COLUMN: Final = {"gfp": "gfp_mask"}

BESIDE: Final = ("comm", "tgid")
"""What tells processes apart that had the same pid one after another: a pid is used again."""


def page_bytes(stream: Stream) -> int:
    """Return the size of a page of the stream's machine."""
    return 1 << stream.facts.page_shift


def owned_in_parts(
    stream: Stream, at: Instant, by: By | Literal["host"], columns: tuple[str, ...], filters: Filters
) -> Iterator[pa.Table]:
    """Yield *columns* of the runs that are owned at an instant and selected, ``key``, the value of *by*, and ``BESIDE``, by pfn.

    What is beside the key is null unless it tells processes apart: then it is that of the process, see ``with_processes``. No page
    is certain of its cgroup: a dump told of it once, and it changes without an event.
    """
    if by == "host":
        yield from _of_host(stream, at, columns, filters)
        return
    key = _COLUMN.get(by, by)
    asked = dict.fromkeys((*columns, *((*BESIDE, "alloc_ts", "ts_nsec") if by == "pid" else ())))
    found = rows_in_parts(stream, at, Asked(columns=("state", *asked, key), filters=filters))
    parts = (_owned(part.rename_columns(["state", *asked, "key"])) for part in found)
    for rows in with_processes(parts, owner_clock(stream.facts.clocks)) if by == "pid" else parts:
        if by == "cgroup":
            place = rows.column_names.index("certain")
            rows = rows.set_column(place, "certain", pa.repeat(False, rows.num_rows))
        beside = [
            rows[name] if by == "pid" else pa.nulls(rows.num_rows, ROW_SCHEMA.field(name).type) for name in BESIDE
        ]
        rows = rows.select([*columns, "key"])
        for name, column in zip(BESIDE, beside, strict=True):
            rows = rows.append_column(name, column)
        yield rows


def _of_host(stream: Stream, at: Instant, columns: tuple[str, ...], filters: Filters) -> Iterator[pa.Table]:
    """Yield the same with the host of the stream as the key."""
    for part in rows_in_parts(stream, at, Asked(columns=("state", *columns), filters=filters)):
        rows = _owned(part)
        rows = rows.append_column("key", pa.repeat(stream.host, rows.num_rows).dictionary_encode())
        for name in BESIDE:
            rows = rows.append_column(name, pa.nulls(rows.num_rows, ROW_SCHEMA.field(name).type))
        yield rows


def _owned(rows: pa.Table) -> pa.Table:
    """Return the runs that have an owner; their texts are kept once each."""
    rows = rows.filter(pc.equal(rows["state"], "owned")).drop_columns("state")
    for index, field in enumerate(rows.schema):
        if pa.types.is_string(field.type):
            rows = rows.set_column(index, field.name, rows[field.name].dictionary_encode())
    return rows
