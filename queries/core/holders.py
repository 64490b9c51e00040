"""Owned pages, with the attribute by which a question adds them up."""

from typing import Final, Literal, get_args

import pyarrow as pa
import pyarrow.compute as pc

from pagetrail.queries.core.filters import Filters
from pagetrail.queries.core.instant import Instant
from pagetrail.queries.core.row_columns import ROW_SCHEMA
from pagetrail.queries.core.rows import rows_at
from pagetrail.queries.core.stream import Stream

By = Literal["stack", "comm", "pid", "tgid", "gfp", "order", "migratetype"]
"""An attribute of an owner."""

BY: Final = get_args(By)

_COLUMN: Final = {"gfp": "gfp_mask"}

BESIDE: Final = ("comm", "tgid")
"""What tells processes apart that had the same pid one after another: a pid is used again."""


def page_bytes(stream: Stream) -> int:
    """Return the size of a page of the stream's machine."""
    return 1 << stream.facts.page_shift


def owned_by(stream: Stream, at: Instant, by: By, columns: tuple[str, ...], filters: Filters) -> pa.Table:
    """Return *columns* of the runs that are owned at an instant and selected, ``key``, the value of *by*, and ``BESIDE``.

    What is beside the key is null unless it tells processes apart.
    """
    key = _COLUMN.get(by, by)
    beside = BESIDE if by == "pid" else ()
    asked = (*columns, key, *beside)
    rows = rows_at(stream, at, columns=("state", *asked), filters=filters).rename_columns(
        ["state", *columns, "key", *beside]
    )
    rows = rows.filter(pc.equal(rows["state"], "owned")).drop_columns("state")
    for name in () if beside else BESIDE:
        rows = rows.append_column(name, pa.nulls(rows.num_rows, ROW_SCHEMA.field(name).type))
    return rows


def added_up(found: pa.Table, by: By) -> pa.Table:
    """Return what a question added up *by* an attribute; what is beside the key stays where it tells processes apart."""
    return found if by == "pid" else found.drop_columns(list(BESIDE))
