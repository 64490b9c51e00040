"""Statements that a connection keeps planned: to plan a short one takes as long as to run it."""

from typing import Any, Final
from weakref import WeakKeyDictionary

import duckdb

_NAMES: Final[WeakKeyDictionary[duckdb.DuckDBPyConnection, dict[str, str]]] = WeakKeyDictionary()


def rows_of(db: duckdb.DuckDBPyConnection, query: str, *values: int) -> list[tuple[Any, ...]]:
    """Return the rows of *query*, one of a few, with *values* for its parameters ($1, ...)."""
    names = _NAMES.get(db)
    if names is None:
        names = _NAMES[db] = {}
    name = names.get(query)
    if name is None:
        name = f"q{len(names)}"
        db.execute(f"PREPARE {name} AS {query}")
        names[query] = name
    return db.execute(f"EXECUTE {name}({', '.join(map(str, values))})" if values else f"EXECUTE {name}").fetchall()
