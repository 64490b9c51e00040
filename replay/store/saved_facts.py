"""The facts of a file of the store, read within limits: the file may be somebody else's."""

from typing import Final

import duckdb

from pagetrail.replay.facts.facts import Facts
from pagetrail.replay.facts.saved import facts_of

_ALWAYS_ALLOWED: Final = 64 << 20
_MOST_TEXT_A_BYTE: Final = 256
"""Text for each byte of a file: a million sections that began together take a hundredth of their text."""


def saved_facts(db: duckdb.DuckDBPyConnection) -> Facts:
    """Return the facts that one file of the store has.

    Raises
    ------
    ValueError, TypeError, KeyError
        It has none, or more than it can hold.
    """
    row = db.execute("SELECT value FROM state WHERE name = 'facts'").fetchone()
    return facts_within(db, row[0] if row else "")


def facts_within(db: duckdb.DuckDBPyConnection, text: str) -> Facts:
    """Return the facts of a *text* that was read of a file; for errors, see ``saved_facts``."""
    if len(text) > _ALWAYS_ALLOWED:
        size = "SELECT total_blocks * block_size FROM pragma_database_size() WHERE database_name = current_database()"
        [(file_bytes,)] = db.execute(size).fetchall()
        if len(text) > _MOST_TEXT_A_BYTE * file_bytes:
            raise ValueError(f"{len(text):,} bytes of facts, more than {file_bytes:,} bytes hold")
    return facts_of(text)
