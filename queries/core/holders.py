"""Owned pages, with the attribute by which a question adds them up."""

from typing import Final, Literal, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pagetrail.queries.core.filters import Filters
from pagetrail.queries.core.instant import Instant
from pagetrail.queries.core.processes import UNKNOWN, processes
from pagetrail.queries.core.row_columns import ROW_SCHEMA
from pagetrail.queries.core.rows import rows_at
from pagetrail.queries.core.stream import Stream
from pagetrail.replay.facts.clock import owner_clock
from pagetrail.schemas.owner import ABSENT32, ABSENT64

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

    What is beside the key is null unless it tells processes apart: then it is that of the process, see ``processes``.
    """
    key = _COLUMN.get(by, by)
    asked = dict.fromkeys((*columns, *((*BESIDE, "alloc_ts", "ts_nsec") if by == "pid" else ())))
    rows = rows_at(stream, at, columns=("state", *asked, key), filters=filters).rename_columns(["state", *asked, "key"])
    rows = rows.filter(pc.equal(rows["state"], "owned")).drop_columns("state")
    beside = (
        _of_processes(stream, rows)
        if by == "pid"
        else [pa.nulls(rows.num_rows, ROW_SCHEMA.field(name).type) for name in BESIDE]
    )
    rows = rows.select([*columns, "key"])
    for name, column in zip(BESIDE, beside, strict=True):
        rows = rows.append_column(name, column)
    return rows


def born_at(stream: Stream, rows: pa.Table) -> pa.ChunkedArray:
    """Return when the pages of rows with ``alloc_ts`` and ``ts_nsec`` were allocated, on the trace clock; null: it is not known."""
    clock = owner_clock(stream.facts.clocks)
    born = rows["alloc_ts"]
    return born if clock is None else pc.coalesce(born, pc.subtract(rows["ts_nsec"], clock.offset))


def _of_processes(stream: Stream, rows: pa.Table) -> list[pa.Array]:
    """Return the name and the tgid of the process of each row, as far as they are known."""
    comms = rows["comm"].combine_chunks().dictionary_encode()
    born = pc.coalesce(born_at(stream, rows), rows["ts_nsec"])
    columns = (
        pc.fill_null(column, nothing).to_numpy().astype(np.int64)
        for column, nothing in (
            (rows["key"], ABSENT32),
            (rows["tgid"], UNKNOWN),
            (comms.indices, UNKNOWN),
            (born, ABSENT64),
        )
    )
    tgid, name = processes(*columns)
    names = comms.dictionary.take(pa.array(name, mask=name == UNKNOWN))
    return [names, pa.array(tgid, rows["tgid"].type, mask=tgid == UNKNOWN)]


def added_up(found: pa.Table, by: By) -> pa.Table:
    """Return what a question added up *by* an attribute; what is beside the key stays where it tells processes apart."""
    return found if by == "pid" else found.drop_columns(list(BESIDE))
