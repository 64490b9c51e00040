"""Columns of a file's tables as arrays: what is absent is the least number of its type, or -1 for an id."""

from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pagetrail.schemas.owner import ABSENT8, ABSENT16, ABSENT32, ABSENT64

Columns = dict[str, NDArray[Any]]

_IDS: Final = ("comm", "stack")
"""What the names of columns that hold ids of texts end with."""


def arrays_of(rows: pa.Table) -> Columns:
    """Return columns as arrays; null becomes absent, and -1 where it stands for an id or the number of a row."""
    found = {}
    for name in rows.column_names:
        column = rows[name].combine_chunks()
        if column.null_count == len(column) > 0:
            kind = np.dtype(column.type.to_pandas_dtype())
            found[name] = np.broadcast_to(np.array(absent_of(name, kind), kind), len(column))
            continue
        if column.null_count:
            kind = column.type.to_pandas_dtype()
            column = column.fill_null(absent_of(name, np.dtype(kind)))
        found[name] = column.to_numpy(zero_copy_only=False)
    return found


def absent_of(name: str, dtype: np.dtype[Any]) -> int:
    """Return what stands for a value that is absent in a column."""
    if name == "owner" or name.endswith(_IDS):
        return -1
    return {8: ABSENT64, 4: ABSENT32, 2: ABSENT16, 1: ABSENT8}[dtype.itemsize]
