"""The records of a dump that has begun and not ended, in the table ``state``: rows of a bounded size, as the dump has no bound."""

import base64
import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

import duckdb
import pyarrow as pa

from pagetrail.schemas.store.kept_rows import KeptRows
from pagetrail.schemas.store.tables import arrow_schema

_NAME: Final = "open records"
"""What the names of these rows begin with; behind it are the numbers of the batch and of the piece of it."""

_PIECE_BYTES: Final = 768
"""Of a batch, so many bytes are in a row: DuckDB has 2,048 texts of a column in memory at once when it writes them."""

SELECT_VALUES: Final = f"SELECT name, value FROM state WHERE NOT starts_with(name, '{_NAME}')"
"""Everything else in the table."""

_SELECT_PIECES: Final = "SELECT value FROM state WHERE starts_with(name, ?) ORDER BY name"


def open_records_rows(kept: KeptRows) -> Iterator[pa.RecordBatch]:
    """Yield the rows for what is *kept*, those of a batch at once: their values are texts in base64."""
    for index in range(len(kept)):
        part = kept.packed(index)
        pieces = [part[start : start + _PIECE_BYTES] for start in range(0, len(part), _PIECE_BYTES)]
        names = pa.array([f"{_name(index)}{piece:06}" for piece in range(len(pieces))])
        values = pa.array([json.dumps(base64.b64encode(piece).decode()) for piece in pieces])
        yield pa.RecordBatch.from_arrays([names, values], schema=arrow_schema("state"))


def open_records(db: duckdb.DuckDBPyConnection, view: Mapping[str, Any]) -> Iterator[bytes]:
    """Yield the batches of records of a file, as ``packed`` compressed them; *view*: the dump's own values in the table.

    Files of earlier formats have them there.
    """
    yield from map(base64.b64decode, view.get("records", ()))
    index = 0
    while rows := db.execute(_SELECT_PIECES, [_name(index)]).fetchall():
        yield b"".join(base64.b64decode(json.loads(value)) for (value,) in rows)
        index += 1


def _name(index: int) -> str:
    return f"{_NAME} {index:06} "
