"""JSON for programs."""

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa


def json_text(value: object) -> str:
    """Return a table, or any plain value, as JSON: a list of rows for a table."""
    import pyarrow as pa  # here: every command imports this file, and help needs no Arrow

    if isinstance(value, pa.Table):
        value = value.to_pylist()
    return json.dumps(value, indent=1, default=str) + "\n"


def json_rows(parts: "Iterable[pa.Table]") -> Iterable[str]:
    """Yield a table that comes in parts as a JSON array, batch by batch."""
    separator = "[\n"
    for part in parts:
        for batch in part.to_batches(max_chunksize=16_384):
            for row in batch.to_pylist():
                yield separator + json.dumps(row, default=str)
                separator = ",\n"
    yield "[]\n" if separator == "[\n" else "\n]\n"
