"""The columns of events in batches, for the current version, 4; and the codes of the kinds of events.

A batch never makes a Python object per event: on the wire it is one Arrow record batch, in memory NumPy columns in which
*absent* is the smallest value of the column's type, or -1 for indices into the batch's texts (see ``absent``).
"""

import enum
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
import pyarrow as pa

from pagetrail.schemas.versions import v4_columns as v4

SCHEMA_NAME: Final = "pagetrail.events"
SCHEMA_VERSION: Final = v4.VERSION


class Kind(enum.IntEnum):
    """Kind of an event. The numbers are on the wire: never reuse one."""

    RECORDING_BEGIN = 1
    RECORDING_END = 2
    BOOT = 3
    CLOCK = 4
    COVERAGE = 5
    GAP = 6
    MARKER = 7
    ALLOC = 10
    FREE = 11
    SPLIT = 12
    MIGRATE = 13
    ISOLATE = 14
    DRAIN = 15
    EXTFRAG = 16
    REFILL = 17
    HOTPLUG = 20
    CONTIG_RANGE = 21
    BASELINE_BEGIN = 30
    BASELINE_ENTRY = 31
    BASELINE_END = 32
    POISON = 40
    UNPOISON = 41
    GUARD = 42
    UNGUARD = 43


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its Arrow type on the wire, whether it may be absent, and its meaning with its unit."""

    name: str
    type: pa.DataType
    nullable: bool
    doc: str


COLUMNS: Final = tuple(
    Column(field.name, field.type, field.nullable, field.metadata[b"doc"].decode()) for field in v4.ARROW_SCHEMA
)

COLUMN: Final = {column.name: column for column in COLUMNS}

ARROW_SCHEMA: Final = v4.ARROW_SCHEMA

TEXT_COLUMNS: Final = ("comm", "stack", "cgroup", "page_flag_names", "user_stack")
"""Columns whose NumPy form is an int32 index into the batch's own table of texts; -1 is absent."""

NUMPY_DTYPES: Final = {
    column.name: np.dtype(np.int32) if column.name in TEXT_COLUMNS else np.dtype(column.type.to_pandas_dtype())
    for column in COLUMNS
    if column.name != "detail"
}


@cache
def absent(name: str) -> int:
    """Return the value for *absent* in the NumPy form of column *name*."""
    if name in TEXT_COLUMNS:
        return -1
    return int(np.iinfo(NUMPY_DTYPES[name]).min)
