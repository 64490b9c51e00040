"""The tables and views of a file of the store: exactly those of a segment, word for word.

A file may be somebody else's. A view in place of a table, or one with another text, would be asked whatever it says. DuckDB keeps a
view as a tree, and prints that as its present version does. So texts are compared as this version prints them, ours and that of the
file: one that an earlier or later DuckDB wrote is taken for what it says. Macros of a file are never called: see
``databases.Attachment``.
"""

import re
from functools import cache
from typing import Final

import duckdb

from pagetrail.schemas.errors import SegmentDamaged
from pagetrail.schemas.store.tables import STORED, TABLES, VIEWS, span_rows

_Entry = tuple[str, str, str, str]
"""What it is, its schema, name and text."""

_ENTRIES: Final = """SELECT 'view', schema_name, view_name, sql FROM duckdb_views() WHERE database_name = $file AND NOT internal
    UNION ALL SELECT 'table', schema_name, table_name, sql FROM duckdb_tables() WHERE database_name = $file"""

_COLUMNS: Final = """SELECT table_name, column_name, data_type, column_default FROM duckdb_columns() JOIN duckdb_tables()
    USING (database_name, schema_name, table_name) WHERE database_name = $file ORDER BY table_name, column_index"""

_KINDS_KEPT: Final = 64
"""Files that one DuckDB wrote have the same tables and views: one comparison is enough for them."""

_known_good: Final[set[frozenset[_Entry]]] = set()


def check_catalog(db: duckdb.DuckDBPyConnection, file: str, where: str) -> None:
    """Check the tables and views of the attached *file*; *where* is its place in messages.

    Raises
    ------
    SegmentDamaged
        It lacks one, has another one, or one that says something else.
    """
    entries = frozenset(db.execute(_ENTRIES, {"file": file}).fetchall())
    if entries in _known_good:
        return
    _check_names(entries, where)
    for what, _, name, text in sorted(entries):
        if what == "view" and not _is_ours(db, name, text):
            raise SegmentDamaged(path=where, reason=f"a view {name} with another text")
    found = db.execute(_COLUMNS, {"file": file}).fetchall()
    if found != _our_columns():
        other = next(iter(sorted({row[0] for row in {*found} ^ {*_our_columns()}})), "columns")
        raise SegmentDamaged(path=where, reason=f"other columns of {other}")
    if len(_known_good) >= _KINDS_KEPT:
        _known_good.clear()
    _known_good.add(entries)


def _check_names(entries: frozenset[_Entry], where: str) -> None:
    found = {(what, schema, name) for what, schema, name, _ in entries}
    wanted = {("table", "main", name) for name in STORED} | {("view", "main", name) for name in VIEWS}
    if views := _listed(found - wanted, "view"):
        raise SegmentDamaged(path=where, reason=f"{views}: expected tables, found views")
    if tables := _listed(found - wanted, "table"):
        raise SegmentDamaged(path=where, reason=f"{tables}: tables that no segment has")
    if missing := ", ".join(sorted(name for _, _, name in wanted - found)):
        raise SegmentDamaged(path=where, reason=f"nothing called {missing}")


def _listed(found: set[tuple[str, str, str]], kind: str) -> str:
    return ", ".join(
        sorted(name if schema == "main" else f"{schema}.{name}" for what, schema, name in found if what == kind)
    )


def _is_ours(db: duckdb.DuckDBPyConnection, name: str, text: str) -> bool:
    """Return whether the *text* of a view, as this DuckDB shows it, says what ours says."""
    head = re.match(rf'CREATE VIEW ("?\w+"?\.)*"?{name}"? AS ', text)
    if head is None:
        return False  # with other names of its columns, for one
    query, ours = text[head.end() :].removesuffix(";"), _printed(db, span_rows(name))
    if query == ours:
        return True
    try:
        return _printed(db, query) == ours
    except duckdb.Error:
        return False


def _printed(db: duckdb.DuckDBPyConnection, query: str) -> str:
    """Return a query as this DuckDB prints it."""
    return str(db.execute("SELECT json_deserialize_sql(json_serialize_sql($query))", {"query": query}).fetchall()[0][0])


@cache
def _our_columns() -> list[tuple[str, str, str, None]]:
    tables = sorted((table for table in TABLES if not table.select), key=lambda table: table.name)
    return [(table.name, name, kind, None) for table in tables for name, kind, _ in table.columns]
