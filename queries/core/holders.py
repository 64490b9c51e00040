"""Owned pages, with the attribute by which a question adds them up."""

from collections.abc import Iterator
from importlib.resources import files
from typing import Final, Literal, get_args

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from pagetrail.queries.core.filters import Filters
from pagetrail.queries.core.instant import Instant
from pagetrail.queries.core.row_columns import ROW_SCHEMA
from pagetrail.queries.core.rows import rows_in_parts
from pagetrail.queries.core.stream import Stream

By = Literal["stack", "comm", "pid", "tgid", "gfp", "order", "migratetype", "cgroup"]
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

    What is beside the key is null unless it tells processes apart. No page is certain of its cgroup: a dump told of it once, and
    it changes without an event.
    """
    return pa.concat_tables(owned_in_parts(stream, at, by, columns, filters)).unify_dictionaries()


def owned_in_parts(
    stream: Stream, at: Instant, by: By, columns: tuple[str, ...], filters: Filters
) -> Iterator[pa.Table]:
    """Yield the table of ``owned_by`` in parts, by pfn."""
    key = _COLUMN.get(by, by)
    beside = BESIDE if by == "pid" else ()
    asked = ("state", *columns, key, *beside)
    for part in rows_in_parts(stream, at, columns=asked, filters=filters):
        rows = _owned(part.rename_columns(["state", *columns, "key", *beside]))
        if by == "cgroup":
            place = rows.column_names.index("certain")
            rows = rows.set_column(place, "certain", pa.repeat(False, rows.num_rows))
        for name in () if beside else BESIDE:
            rows = rows.append_column(name, pa.nulls(rows.num_rows, ROW_SCHEMA.field(name).type))
        yield rows


def _owned(rows: pa.Table) -> pa.Table:
    """Return the runs that have an owner; their texts are kept once each."""
    rows = rows.filter(pc.equal(rows["state"], "owned")).drop_columns("state")
    for index, field in enumerate(rows.schema):
        if pa.types.is_string(field.type):
            rows = rows.set_column(index, field.name, rows[field.name].dictionary_encode())
    return rows


def added_up(found: pa.Table, by: By) -> pa.Table:
    """Return what a question added up *by* an attribute; what is beside the key stays where it tells processes apart."""
    return found if by == "pid" else found.drop_columns(list(BESIDE))


def named(name: str, tables: dict[str, pa.Table], parameters: dict[str, object] | None) -> pa.Table:
    """Return the answer of the named query ``sql/NAME.sql``, which refers to *tables* by their names."""
    text = files("pagetrail.queries").joinpath("sql", f"{name}.sql").read_text()
    with duckdb.connect(":memory:") as db:
        for table_name, table in tables.items():
            db.register(table_name, table)
        return db.sql(text, params=parameters).to_arrow_table()
