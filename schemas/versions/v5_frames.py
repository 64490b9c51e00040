"""Version 5 of the frames: events of version 4, written byte by byte. This file is closed.

A column of numbers of several bytes is split into columns of one byte, as Parquet's BYTE_STREAM_SPLIT does: *pfn* into
``pfn.0``, its lowest bytes, ``pfn.1``, ... Zstd then finds what each of them repeats. Bytes above ``.0`` that are 0 in the whole
frame are left out. Rows without a value are null in ``.0`` and 0 above. ``FEW`` are whole, as a dictionary, where they have few
values. Instead of times, a frame has the steps between them, the first of which is 0, in us if all are whole us; *seq* follows
from the header. Texts have indices as narrow as their number allows.
"""

from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pagetrail.schemas.versions.v4_columns import ARROW_SCHEMA

VERSION: Final = 5

SEQ: Final = "seq"
TIME: Final = "trace_ts_nsec"
STEP_UNITS: Final = {"trace_ts_usec_step": 1000, "trace_ts_nsec_step": 1}
"""The columns of which a frame has one, and the ns of their unit."""

FEW: Final = ("pid", "tgid", "gfp_mask", "page_flags")
"""Columns that are a dictionary in frames in which they have few values: as many as an index of one byte tells apart, or one in
16 rows.
"""

_MOST_FEW: Final = 1 << 15
_BLOCK: Final = 1 << 13
"""Rows that are looked up at once: what that takes meanwhile stays in the processor's cache."""
_INDEX_TYPES: Final = (pa.int8(), pa.int16(), pa.int32())
_STEP_BYTES: Final = 8

Ints = NDArray[np.integer]
Bools = NDArray[np.bool_]


def _planes(name: str, width: int, nullable: bool) -> list[pa.Field]:
    return [pa.field(f"{name}.{i}", pa.uint8(), nullable and i == 0) for i in range(width)]


def _fields() -> list[pa.Field]:
    found: list[pa.Field] = []
    for field in ARROW_SCHEMA:
        if field.name == TIME:
            found += [plane for name in STEP_UNITS for plane in _planes(name, _STEP_BYTES, nullable=False)]
        elif pa.types.is_integer(field.type) and field.type.bit_width > 8:
            if field.name in FEW:
                found.append(pa.field(field.name, pa.dictionary(pa.int32(), field.type), field.nullable))
            found += _planes(field.name, field.type.bit_width // 8, field.nullable)
        else:
            found.append(pa.field(field.name, field.type, field.nullable))
    return [field for field in found if not field.name.startswith(f"{SEQ}.")]


FIELDS: Final = tuple(_fields())
"""All columns that a frame may have, in their order."""


def are_columns(schema: pa.Schema) -> bool:
    """Return whether the columns of a frame are those of this version: each of its type, and none without what it needs."""
    names = set(schema.names)
    if len(names) < len(schema.names):
        return False
    expected = []
    for field in FIELDS:
        if field.name in names:
            found = schema.field(field.name).type
            expected.append(field.with_type(found) if _is_indexed(field, found) else field)
    parts = {name.rpartition(".")[0] for name in names if "." in name}
    split_whole = parts.isdisjoint(names) and all(f"{name}.0" in names for name in parts)
    steps = sum(f"{name}.0" in names for name in STEP_UNITS)
    return split_whole and steps == 1 and "kind" in names and schema.equals(pa.schema(expected), check_metadata=False)


def _is_indexed(field: pa.Field, found: pa.DataType) -> bool:
    if not pa.types.is_dictionary(field.type) or not pa.types.is_dictionary(found):
        return False
    return found.index_type in _INDEX_TYPES and found == pa.dictionary(found.index_type, field.type.value_type)


def split(
    name: str, values: Ints, absent: Bools | None = None, *, nullable: bool = False
) -> list[tuple[pa.Field, pa.Array]]:
    """Return the columns of a frame that hold *values*, shape (n,), of several bytes each.

    Those where *absent* are the smallest of their type: its highest byte alone is not 0. They become null.
    """
    little = np.ascontiguousarray(values.astype(values.dtype.newbyteorder("<"), copy=False))
    rows = little.view(np.uint8).reshape(-1, little.itemsize)
    seen = int(np.bitwise_or.reduce(little))
    planes: dict[int, Ints] = {
        i: np.ascontiguousarray(rows[:, i]) for i in range(little.itemsize) if not i or seen >> 8 * i & 0xFF
    }
    highest = little.itemsize - 1
    if absent is not None and highest in planes:
        planes[highest] = replaced(planes[highest], absent, 0)
        if not planes[highest].any():
            del planes[highest]
    return [
        (pa.field(f"{name}.{i}", pa.uint8(), nullable and not i), pa.array(plane, mask=None if i else absent))
        for i, plane in planes.items()
    ]


def few(values: Ints, absent: Bools | None = None) -> pa.Array | None:
    """Return *values*, shape (n,), as a dictionary, those where *absent* as null; null: they have too many values for one."""
    found = pa.array(values, mask=absent).dictionary_encode()
    if len(found.dictionary) > min(max(1 << 7, len(values) // 16), _MOST_FEW):
        return None
    return pa.DictionaryArray.from_arrays(
        narrow(numbers(found.indices), len(found.dictionary), absent), found.dictionary
    )


def told_apart(array: pa.Array, absent: int) -> Ints:
    """Return the values, shape (n,), of a column that is a dictionary; *absent* where it is null."""
    values, indices, empty = numbers(array.dictionary), numbers(array.indices), nulls(array)
    if empty is not None:
        indices = replaced(indices.astype(np.int32), empty, len(values))
    values = np.append(values, values.dtype.type(absent))
    found = np.empty(len(array), values.dtype)
    for start in range(0, len(array), _BLOCK):
        stop = start + _BLOCK
        values.take(indices[start:stop].astype(np.intp), out=found[start:stop], mode="clip")
    return found


def joined(name: str, dtype: np.dtype[np.generic], table: pa.RecordBatch) -> Ints:
    """Return the values, shape (n,), of a column that was split; the smallest of its type where it is null."""
    there = set(table.schema.names)
    found = np.zeros(table.num_rows, dtype.newbyteorder("<"))
    rows = found.view(np.uint8).reshape(-1, dtype.itemsize)
    empty = nulls(table.column(f"{name}.0"))
    for i in range(dtype.itemsize):
        if f"{name}.{i}" in there:
            plane = numbers(table.column(f"{name}.{i}"))
            rows[:, i] = plane if empty is None else replaced(plane, empty, 0)
    if empty is not None:
        rows[:, -1] |= empty.view(np.uint8) << 7
    whole: Ints = found.astype(dtype, copy=False)
    return whole


def steps_of(times: Ints) -> list[tuple[pa.Field, pa.Array]]:
    """Return the columns of a frame that hold *times*, shape (n,), ns, beside the header's first one."""
    steps = np.diff(times, prepend=times[:1])
    whole = {name: steps // unit for name, unit in STEP_UNITS.items() if unit == 1 or _are_whole(steps, unit)}
    return split(*next(iter(whole.items())))


def _are_whole(steps: Ints, unit: int) -> bool:
    return np.array_equal(steps // unit * unit, steps)


def times_of(table: pa.RecordBatch, first: int) -> Ints:
    """Return the times of a frame, shape (n,), ns, the first of which its header has."""
    name = next(name for name in STEP_UNITS if f"{name}.0" in table.schema.names)
    steps = joined(name, np.dtype(np.int64), table)
    steps *= STEP_UNITS[name]
    steps[0] += first
    return np.cumsum(steps, out=steps)


def narrow(indices: NDArray[np.integer], entries: int, absent: Bools | None) -> pa.Array:
    """Return indices into a dictionary of so many *entries*, shape (n,), in the narrowest type that has room for them."""
    wide = next(t for t in _INDEX_TYPES if entries <= 1 << (t.bit_width - 1))
    found = indices.astype(wide.to_pandas_dtype())
    return pa.array(found if absent is None else replaced(found, absent, 0), mask=absent)


def replaced(values: Ints, where: Bools, by: int) -> Ints:
    """Return *values* with *by* in the rows *where*, in arithmetic: a branch that nothing predicts takes many times as long."""
    kept = (where.view(np.int8) - 1).astype(values.dtype)
    found: Ints = values & kept
    return found | (~kept & values.dtype.type(by)) if by else found


def numbers(array: pa.Array) -> NDArray[np.integer]:
    """Return the values of an array of integers, shape (n,): where it is null, whatever its buffer has there."""
    dtype = np.dtype(array.type.to_pandas_dtype())
    return np.frombuffer(array.buffers()[1], dtype, len(array), array.offset * dtype.itemsize)


def nulls(array: pa.Array) -> Bools | None:
    """Return where an array is null, shape (n,); null: nowhere."""
    if not array.null_count:
        return None
    bits = np.frombuffer(array.buffers()[0], np.uint8)
    valid = np.unpackbits(bits, count=array.offset + len(array), bitorder="little")[array.offset :]
    return np.equal(valid, 0)
