"""A batch of events as NumPy columns, and its conversion to and from Arrow."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pagetrail.schemas.columns import ARROW_SCHEMA, COLUMNS, NUMPY_DTYPES, TEXT_COLUMNS, absent


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
    size = len(batch)
    arrays: list[pa.Array] = []
    for column in COLUMNS:
        if column.name == "detail":
            arrays.append(_sparse(batch.details, size))
            continue
        present = batch.columns.get(column.name)
        mask = present == absent(column.name) if present is not None and column.nullable else None
        if present is None or (mask is not None and mask.all()):  # both mean the same, so both give the same bytes
            arrays.append(pa.nulls(size, type=column.type))
            continue
        if column.name in TEXT_COLUMNS:
            used, indices = _compact(present, mask)
            texts = batch.texts.get(column.name, ())
            dictionary = pa.array([texts[int(i)] for i in used], type=pa.utf8())
            arrays.append(pa.DictionaryArray.from_arrays(pa.array(indices, mask=mask), dictionary))
        else:
            arrays.append(pa.array(present, type=column.type, mask=mask))
    return pa.RecordBatch.from_arrays(arrays, schema=ARROW_SCHEMA)


def _sparse(details: Mapping[int, str], size: int) -> pa.Array:
    if not details:
        return pa.nulls(size, type=pa.utf8())
    values: list[str | None] = [None] * size
    for row, text in details.items():
        values[row] = text
    return pa.array(values, type=pa.utf8())


def _compact(
    indices: NDArray[np.generic], mask: NDArray[np.bool_] | None
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Return the used entries in order of first use, and the indices into them (0 where masked)."""
    safe = np.asarray(indices, dtype=np.int64)
    if mask is not None:
        safe = np.where(mask, 0, safe)
    rows = np.flatnonzero(~mask) if mask is not None else np.arange(safe.size)
    kept = safe[rows]
    first = np.full(int(safe.max(initial=0)) + 1, -1, dtype=np.int64)
    first[kept[::-1]] = rows[::-1]  # the last write stays: the first use of each
    met = np.flatnonzero(first >= 0)
    used = met[np.argsort(first[met], kind="stable")]
    remap = np.zeros(first.size, dtype=np.int32)
    remap[used] = np.arange(used.size, dtype=np.int32)
    return used, remap[safe] if mask is None else np.where(mask, 0, remap[safe]).astype(np.int32)


def from_arrow(table: pa.RecordBatch) -> EventBatch:
    """Return an Arrow record batch as NumPy columns; it has the columns of ``ARROW_SCHEMA``, or those of them that have values.

    Columns without a value are left out.
    """
    columns: dict[str, NDArray[np.generic]] = {}
    texts: dict[str, list[str]] = {}
    details: dict[int, str] = {}
    there = set(table.schema.names)
    for column in COLUMNS:
        if column.name not in there:
            continue
        array = table.column(column.name)
        if column.nullable and array.null_count == len(array):
            continue
        if column.name == "detail":
            rows = np.flatnonzero(np.asarray(array.is_valid()))
            details = {int(row): array[int(row)].as_py() for row in rows}
        elif column.name in TEXT_COLUMNS:
            texts[column.name] = array.dictionary.to_pylist()
            columns[column.name] = _filled(array.indices, -1, np.dtype(np.int32))
        else:
            columns[column.name] = _filled(array, absent(column.name), NUMPY_DTYPES[column.name])
    return EventBatch(columns=columns, texts=texts, details=details)


def _filled(array: pa.Array, fill: int, dtype: np.dtype[np.generic]) -> NDArray[np.generic]:
    if array.null_count:
        array = array.fill_null(pa.scalar(fill, type=array.type))
    return np.asarray(array.to_numpy(zero_copy_only=False), dtype=dtype)
