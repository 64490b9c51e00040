"""A batch of events as NumPy columns, and its conversion to and from Arrow."""

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pagetrail.schemas.columns import ARROW_SCHEMA, COLUMNS, NUMPY_DTYPES, TEXT_COLUMNS, Column, absent
from pagetrail.schemas.versions import v5_frames as wire


@dataclass(frozen=True, slots=True, kw_only=True)
class EventBatch:
    """n events as columns.

    Attributes
    ----------
    columns
        Name to array of shape (n,), dtypes as in ``NUMPY_DTYPES``; a missing column is absent in every row.
    texts
        For each of ``TEXT_COLUMNS`` that is used: the distinct texts that its indices refer to.
    details
        Row to JSON text, for the rare rows that have a detail.
    """

    columns: Mapping[str, NDArray[np.generic]]
    texts: Mapping[str, Sequence[str]] = field(default_factory=dict)
    details: Mapping[int, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return int(self.columns["kind"].size)

    def column(self, name: str) -> NDArray[np.generic]:
        """Return column *name*, shape (n,); all absent if the batch does not have it."""
        found = self.columns.get(name)
        if found is None:
            return np.full(len(self), absent(name), dtype=NUMPY_DTYPES[name])
        return found

    def parts(self, stops: Sequence[int]) -> Iterator["EventBatch"]:
        """Yield the rows up to each of *stops*, which rise, and those behind the last as batches of their own: see ``slice``."""
        details = sorted(self.details.items())
        start = at = 0
        for stop in (*stops, len(self)):
            until = bisect_left(details, (stop,), at)
            yield EventBatch(
                columns={name: array[start:stop] for name, array in self.columns.items()},
                texts=self.texts,
                details={row - start: text for row, text in details[at:until]},
            )
            start, at = stop, until

    def slice(self, start: int, stop: int) -> "EventBatch":
        """Return rows [start, stop) as a batch of their own (views, no copies)."""
        return EventBatch(
            columns={name: array[start:stop] for name, array in self.columns.items()},
            texts=self.texts,
            details={row - start: text for row, text in self.details.items() if start <= row < stop},
        )


def concat(batches: Sequence[EventBatch]) -> EventBatch:
    """Return *batches* one after another as one batch, with one table for each text column."""
    if len(batches) == 1:
        return batches[0]
    names = {name for batch in batches for name in batch.columns}
    columns: dict[str, NDArray[np.generic]] = {}
    texts: dict[str, list[str]] = {}
    for name in names:
        if name not in TEXT_COLUMNS:
            columns[name] = np.concatenate([batch.column(name) for batch in batches])
            continue
        table: dict[str, int] = {}
        indices = []
        for batch in batches:
            own = batch.texts.get(name, ())
            remap = np.array([table.setdefault(text, len(table)) for text in own] + [-1], dtype=np.int32)
            indices.append(remap[batch.column(name)])  # -1 picks the last entry: absent stays absent
        columns[name] = np.concatenate(indices)
        texts[name] = list(table)
    details: dict[int, str] = {}
    base = 0
    for batch in batches:
        details.update({base + row: text for row, text in batch.details.items()})
        base += len(batch)
    return EventBatch(columns=columns, texts=texts, details=details)


def to_arrow(batch: EventBatch) -> pa.RecordBatch:
    """Return *batch* as an Arrow record batch of ``ARROW_SCHEMA``; texts it does not use are left out."""
    arrays: list[pa.Array] = []
    for column in COLUMNS:
        found = _present(batch, column)
        if column.name == "detail":
            arrays.append(_sparse(batch.details, len(batch)))
        elif found is None:
            arrays.append(pa.nulls(len(batch), type=column.type))
        elif column.name in TEXT_COLUMNS:
            arrays.append(_text_column(batch, column.name, *found))
        else:
            values, mask = found
            arrays.append(pa.array(values, type=column.type, mask=mask))
    return pa.RecordBatch.from_arrays(arrays, schema=ARROW_SCHEMA)


def to_wire(batch: EventBatch) -> pa.RecordBatch:
    """Return *batch* as the record batch of a frame: see ``versions.v5_frames``. Its first seq and time are in the header.

    Raises
    ------
    ValueError
        Its seq has a hole.
    """
    if np.any(np.diff(batch.column(wire.SEQ)) != 1):
        raise ValueError("events of a frame: expected seq without holes")
    found: list[tuple[pa.Field, pa.Array]] = []
    for column in COLUMNS:
        if column.name != wire.SEQ:
            found += _on_the_wire(batch, column)
    fields, arrays = zip(*found, strict=True)
    return pa.RecordBatch.from_arrays(list(arrays), schema=pa.schema(fields))


def _on_the_wire(batch: EventBatch, column: Column) -> list[tuple[pa.Field, pa.Array]]:
    if column.name == wire.TIME:
        return wire.steps_of(batch.column(wire.TIME).astype(np.int64, copy=False))
    if column.name == "detail":
        return [(pa.field("detail", pa.utf8()), _sparse(batch.details, len(batch)))] if batch.details else []
    found = _present(batch, column)
    if found is None:
        return []
    values, mask = found
    if column.name in TEXT_COLUMNS:
        array = _text_column(batch, column.name, values, mask)
        narrow = wire.narrow(wire.numbers(array.indices), len(array.dictionary), mask)
        array = pa.DictionaryArray.from_arrays(narrow, array.dictionary)
        return [(pa.field(column.name, array.type), array)]
    dtype = NUMPY_DTYPES[column.name]
    numbers: wire.Ints = values.astype(dtype, copy=False)
    array = wire.few(numbers, mask) if column.name in wire.FEW else None
    if array is None and dtype.itemsize > 1:
        return wire.split(column.name, numbers, mask, nullable=column.nullable)
    array = pa.array(numbers, mask=mask) if array is None else array
    return [(pa.field(column.name, array.type, column.nullable), array)]


def _present(batch: EventBatch, column: Column) -> tuple[NDArray[np.generic], NDArray[np.bool_] | None] | None:
    """Return the values of a column and where they are absent; null: everywhere, whether it has the column or not."""
    values = batch.columns.get(column.name)
    mask = values == absent(column.name) if values is not None and column.nullable else None
    if values is None or (mask is not None and mask.all()):
        return None
    return values, mask


def _text_column(
    batch: EventBatch, name: str, indices: NDArray[np.generic], mask: NDArray[np.bool_] | None
) -> pa.DictionaryArray:
    used, kept = _compact(indices)
    texts = batch.texts.get(name, ())
    return pa.DictionaryArray.from_arrays(
        pa.array(kept, mask=mask), pa.array([texts[int(i)] for i in used], type=pa.utf8())
    )


def _sparse(details: Mapping[int, str], size: int) -> pa.Array:
    if not details:
        return pa.nulls(size, type=pa.utf8())
    values: list[str | None] = [None] * size
    for row, text in details.items():
        values[row] = text
    return pa.array(values, type=pa.utf8())


def _compact(indices: NDArray[np.generic]) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Return the used entries in order of first use, and the indices into them (0 where they are absent)."""
    slots = np.asarray(indices, dtype=np.int32) + 1  # the first slot is for what is absent
    first = np.full(int(slots.max(initial=0)) + 1, -1, dtype=np.int64)
    first[slots[::-1]] = np.arange(slots.size - 1, -1, -1)  # the last write stays: the first use of each
    met = np.flatnonzero(first[1:] >= 0)
    used = met[np.argsort(first[1:][met], kind="stable")]
    remap = np.zeros(first.size, dtype=np.int32)
    remap[1:][used] = np.arange(used.size, dtype=np.int32)
    return used, remap[slots]


def from_arrow(table: pa.RecordBatch) -> EventBatch:
    """Return an Arrow record batch as NumPy columns; it has the columns of ``ARROW_SCHEMA``, or those of them that have values.

    Columns without a value are left out.
    """
    there = set(table.schema.names)
    return _batch({column.name: _filled(table, column) for column in COLUMNS if column.name in there}, table)


def from_wire(table: pa.RecordBatch, first_seq: int, first_ts: int) -> EventBatch:
    """Return the record batch of a frame, see ``versions.v5_frames``, as NumPy columns; its header has the first time in ns."""
    there = set(table.schema.names)
    columns: dict[str, NDArray[np.generic] | None] = {
        wire.SEQ: np.arange(first_seq, first_seq + table.num_rows),
        wire.TIME: wire.times_of(table, first_ts),
    }
    for column in COLUMNS:
        if column.name in there:
            columns[column.name] = _filled(table, column)
        elif f"{column.name}.0" in there:
            columns[column.name] = wire.joined(column.name, NUMPY_DTYPES[column.name], table)
    return _batch(columns, table)


def _batch(columns: Mapping[str, NDArray[np.generic] | None], table: pa.RecordBatch) -> EventBatch:
    found = {name: values for name, values in columns.items() if values is not None}
    texts: dict[str, list[str]] = {
        name: table.column(name).dictionary.to_pylist() for name in TEXT_COLUMNS if name in found
    }
    details: dict[int, str] = {}
    if "detail" in table.schema.names:
        array = table.column("detail")
        absent_in = wire.nulls(array)
        rows = np.arange(len(array)) if absent_in is None else np.flatnonzero(~absent_in)
        details = {int(row): array[int(row)].as_py() for row in rows}
    return EventBatch(columns=found, texts=texts, details=details)


def _filled(table: pa.RecordBatch, column: Column) -> NDArray[np.generic] | None:
    """Return a column of *table* with its *absent* where it is null; null: it has no value."""
    array = table.column(column.name)
    if column.name == "detail" or (column.nullable and array.null_count == len(array)):
        return None
    if column.name not in TEXT_COLUMNS and pa.types.is_dictionary(array.type):
        return wire.told_apart(array, absent(column.name))
    array = array.indices if column.name in TEXT_COLUMNS else array
    values, empty = wire.numbers(array), wire.nulls(array)
    if empty is not None:
        values = wire.replaced(values, empty, absent(column.name))
    return np.asarray(values, dtype=NUMPY_DTYPES[column.name])
