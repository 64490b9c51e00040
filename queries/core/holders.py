"""Owned pages, with the attribute by which a question adds them up."""

from typing import Final, Literal, get_args

import pyarrow as pa
import pyarrow.compute as pc

from pagetrail.queries.core.filters import Filters
from pagetrail.queries.core.instant import Instant
from pagetrail.queries.core.rows import rows_at
from pagetrail.queries.core.stream import Stream

By = Literal["stack", "comm", "pid", "tgid", "gfp", "order", "migratetype"]
"""An attribute of an owner."""

BY: Final = get_args(By)

_COLUMN: Final = {"gfp": "gfp_mask"}


def page_bytes(stream: Stream) -> int:
    """Return the size of a page of the stream's machine."""
    return 1 << stream.facts.page_shift


def owned_by(stream: Stream, at: Instant, by: By, columns: tuple[str, ...], filters: Filters) -> pa.Table:
    """Return *columns* of the runs that are owned at an instant and selected, and ``key``: the value of *by*."""
    key = _COLUMN.get(by, by)
    rows = rows_at(stream, at, columns=("state", *columns, key), filters=filters).rename_columns(
        ["state", *columns, "key"]
    )
    return rows.filter(pc.equal(rows["state"], "owned")).drop_columns("state")
