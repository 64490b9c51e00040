"""Tables as files: Parquet, Arrow, CSV or JSON lines, written part by part."""

import enum
import io
import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Protocol, cast

from pagetrail.schemas.errors import BadArgument
from pagetrail.text.printable import printable_lines

if TYPE_CHECKING:
    import pyarrow as pa


class Form(enum.StrEnum):
    """Forms of a table in a file."""

    CSV = "csv"
    JSON = "json"
    PARQUET = "parquet"
    ARROW = "arrow"


SUFFIXES: Final = {
    ".csv": Form.CSV, ".json": Form.JSON, ".jsonl": Form.JSON, ".ndjson": Form.JSON,
    ".parquet": Form.PARQUET, ".pq": Form.PARQUET, ".arrow": Form.ARROW, ".arrows": Form.ARROW,
}  # fmt: skip
"""The form of a file by the end of its name."""


class _Writer(Protocol):
    def write_table(self, table: "pa.Table") -> None: ...


def write_tables(output: Path | None, schema: "pa.Schema", parts: "Iterable[pa.Table]", form: Form) -> None:
    """Write a table that comes in parts into a file, or to stdout: each part when it is there."""
    if output is None:
        _encode(_standard_output(form), schema, parts, form)
        sys.stdout.buffer.flush()
        return
    with output.open("wb") as file:
        _encode(file, schema, parts, form)


def _standard_output(form: Form) -> BinaryIO:
    """Return what to write to: a terminal gets text, in which it finds nothing to obey.

    Raises
    ------
    BadArgument
        It is a terminal, and the form is binary.
    """
    if not sys.stdout.isatty():
        return sys.stdout.buffer
    if form in (Form.PARQUET, Form.ARROW):
        raise BadArgument(f"expected a file or a pipe for {form}, found a terminal; give -o FILE")
    return cast("BinaryIO", _Terminal())


class _Terminal(io.RawIOBase):
    """The standard output, as a terminal may have it."""

    def writable(self) -> bool:
        return True

    def write(self, part: Any, /) -> int:
        sys.stdout.write(printable_lines(bytes(part).decode(errors="backslashreplace")))
        return len(part)


def _encode(sink: BinaryIO, schema: "pa.Schema", parts: "Iterable[pa.Table]", form: Form) -> None:
    with _writer(sink, schema, form) as writer:
        for part in parts:
            writer.write_table(part)


@contextmanager
def _writer(sink: BinaryIO, schema: "pa.Schema", form: Form) -> Iterator[_Writer]:
    if form is Form.JSON:
        yield _JsonLines(sink)
    elif form is Form.CSV:
        yield _Csv(sink)
    elif form is Form.PARQUET:
        import pyarrow.parquet as pq  # here: it takes 4 MB, which no other command needs

        with pq.ParquetWriter(sink, schema, compression="zstd") as parquet:
            yield parquet
    else:
        import pyarrow as pa  # here: help needs no Arrow

        with pa.ipc.new_stream(sink, schema) as arrow:
            yield arrow


class _JsonLines:
    """An object a line."""

    def __init__(self, sink: BinaryIO) -> None:
        self._sink = sink

    def write_table(self, table: "pa.Table") -> None:
        for batch in table.to_batches(max_chunksize=16_384):
            lines = (json.dumps(row, default=str) for row in batch.to_pylist())
            self._sink.write("".join(f"{line}\n" for line in lines).encode())


class _Csv:
    """A header and a line a row; lists of words are joined by spaces, other nested values are JSON."""

    def __init__(self, sink: BinaryIO) -> None:
        self._sink, self._has_header = sink, False

    def write_table(self, table: "pa.Table") -> None:
        import pyarrow.csv as pc_csv  # here: only CSV needs it

        flat = table.from_arrays([_flat(column) for column in table.columns], table.column_names)
        options = pc_csv.WriteOptions(include_header=not self._has_header)
        pc_csv.write_csv(flat, self._sink, options)
        self._has_header = True


def _flat(column: "pa.ChunkedArray") -> "pa.ChunkedArray":
    """Return a column that CSV can hold."""
    import pyarrow as pa  # here: help needs no Arrow
    import pyarrow.compute as pc

    kind = column.type
    if pa.types.is_dictionary(kind):
        return _flat(column.cast(kind.value_type))
    if pa.types.is_list(kind) and pa.types.is_string(kind.value_type):
        return pc.binary_join(column, " ")
    if not pa.types.is_nested(kind):
        return column
    if column.null_count == len(column):
        return pa.chunked_array([pa.nulls(len(column), pa.utf8())])
    return pa.chunked_array([pa.array(map(_json, column.to_pylist()), pa.utf8())])


def _json(value: Any) -> str | None:
    return json.dumps(value, default=str) if value else None
