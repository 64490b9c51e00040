"""Files of (pfn, time) pairs, read a part at a time: CSV with a header line, or Parquet."""

import csv
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from io import TextIOWrapper
from itertools import accumulate, islice
from pathlib import Path
from typing import Final, Protocol, TextIO

import pyarrow as pa

from pagetrail.schemas.errors import BadArgument

PAIRS_AT_ONCE: Final = 1 << 17
"""Pairs in memory at once: the store is read once for each such part, and an answer takes about a kilobyte on its way."""

_LINE_ENDS: Final = re.compile(r"\r\n|\r|\n")

STDIN: Final = Path("-")


@dataclass(frozen=True, slots=True, kw_only=True)
class PairsRead:
    """Some pairs of a file, in their order.

    Attributes
    ----------
    pairs
        The columns of the file; text, if it is CSV.
    place, numbers
        Where each row is in the file, for messages: the file, and the number of the row's last line, or of the row.
    refused
        What is wrong with some rows, by their index: they are not read as pairs.
    """

    pairs: pa.Table
    place: str
    numbers: Sequence[int]
    refused: Mapping[int, str] = field(default_factory=dict)


class _Lines(Protocol):
    """A reader of CSV."""

    @property
    def line_num(self) -> int: ...

    def __iter__(self) -> Iterator[list[str]]: ...

    def __next__(self) -> list[str]: ...


def read_pairs(path: Path, *, rows: int = PAIRS_AT_ONCE) -> Iterator[PairsRead]:
    """Yield the rows of a file of pairs, *rows* at a time; at least one part. ``-`` is CSV from stdin.

    Raises
    ------
    BadArgument
        It is no such file; the message says what was expected.
    OSError
        It cannot be read.
    """
    kind = "csv" if path == STDIN else path.suffix.lower()
    if kind in (".parquet", ".pq"):
        return _parquet(path, rows)
    if kind in ("csv", ".csv"):
        return _csv(path, rows)
    raise BadArgument(f"{path}: expected a file of pairs: NAME.csv, NAME.parquet, or - for CSV from stdin")


def _parquet(path: Path, rows: int) -> Iterator[PairsRead]:
    import pyarrow.parquet as pq  # here: it takes 4 MB, which CSV does not need

    try:
        with pq.ParquetFile(path) as file:
            first, schema = 1, file.schema_arrow
            for batch in file.iter_batches(rows):
                numbers = range(first, first + batch.num_rows)
                yield PairsRead(pairs=pa.Table.from_batches([batch]), place=f"{path}: row ", numbers=numbers)
                first += batch.num_rows
            if first == 1:
                yield PairsRead(pairs=schema.empty_table(), place=f"{path}: row ", numbers=())
    except pa.ArrowInvalid as error:
        raise BadArgument(f"{path}: expected a Parquet file, found: {error}") from error


def _csv(path: Path, rows: int) -> Iterator[PairsRead]:
    name = "stdin" if path == STDIN else str(path)
    with _text(path) as file:
        reader = csv.reader(file)
        try:
            header = next((row for row in reader if row), [])
            names = [_unescaped(cell.strip()) for cell in header]
            if not {"pfn", "time"} <= {*names}:
                found = ", ".join(names) or "nothing"
                raise BadArgument(f"{name}: expected a header line with the columns pfn and time, found: {found}")
            part = _next_part(reader, names, name, rows)
            if part is None:
                yield PairsRead(
                    pairs=pa.Table.from_arrays([_texts((), {}) for _ in names], names), place=name, numbers=()
                )
            while part is not None:
                yield part
                part = _next_part(reader, names, name, rows)
        except csv.Error as error:
            raise BadArgument(f"{name}:{reader.line_num}: expected a line of CSV, found: {error}") from error


def _text(path: Path) -> "TextIO | nullcontext[TextIO]":
    """Open CSV as text. Bytes that are no UTF-8 are kept aside, so that they are an error of their own line."""
    if path == STDIN:
        return nullcontext(TextIOWrapper(sys.stdin.buffer, encoding="utf-8-sig", errors="surrogateescape", newline=""))
    return path.open(encoding="utf-8-sig", errors="surrogateescape", newline="")


def _next_part(reader: _Lines, names: list[str], name: str, rows: int) -> PairsRead | None:
    """Return the next rows, up to *rows*; a line that is empty is none. Null: there are no more."""
    before = reader.line_num
    found = list(islice(reader, rows))
    if not found:
        return None
    lines: Sequence[int] = range(before + 1, reader.line_num + 1)
    if len(lines) != len(found) or not all(found):
        ends = accumulate((1 + sum(len(_LINE_ENDS.findall(cell)) for cell in row) for row in found), initial=before)
        last = list(ends)[1:]
        lines = [line for line, row in zip(last, found, strict=True) if row]
        found = [row for row in found if row]
    refused: dict[int, str] = {}
    if any(len(row) != len(names) for row in found):
        for index, row in enumerate(found):
            if len(row) != len(names):
                refused[index] = f"expected {len(names)} fields, found {len(row)}"
                found[index] = [*row, *[""] * len(names)][: len(names)]
    columns = list(zip(*found, strict=True)) or [()] * len(names)
    arrays = [_texts(column, refused) for column in columns]
    return PairsRead(pairs=pa.Table.from_arrays(arrays, names), place=f"{name}:", numbers=lines, refused=refused)


def _texts(column: Sequence[str], refused: dict[int, str]) -> pa.Array:
    try:
        return pa.array(column, pa.utf8())
    except UnicodeEncodeError:
        for row, cell in enumerate(column):
            if _unescaped(cell) != cell:
                refused[row] = f"{_unescaped(cell)!r}: expected UTF-8"
        return pa.array([_unescaped(cell) for cell in column], pa.utf8())


def _unescaped(cell: str) -> str:
    """Return *cell* with the bytes that are no UTF-8 in hexadecimal."""
    return cell.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
