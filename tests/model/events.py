"""The model kernel's tracer: rows of events, one at a time, into a batch."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pagetrail.schemas.batch import EventBatch
from pagetrail.schemas.columns import NUMPY_DTYPES, Kind, absent
from pagetrail.schemas.details import Detail

_DENSE: Final = ("kind", "trace_ts_nsec", "cpu", "pid", "tgid", "comm", "stack")

Who = tuple[int, int, int, int]
"""CPU, pid, tgid, and the comm's index."""

NOBODY: Final[Who] = (absent("cpu"), absent("pid"), absent("tgid"), -1)


@dataclass(slots=True)
class EventLog:
    """Events in the order in which they happened; columns that few kinds have are kept by row."""

    comms: list[str] = field(default_factory=list)
    stacks: list[str] = field(default_factory=list)
    rows: list[tuple[int, ...]] = field(default_factory=list)
    sparse: dict[str, dict[int, int]] = field(default_factory=dict)
    details: dict[int, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.rows)

    def add(self, kind: Kind, ts: int, who: Who, stack: int = -1, **columns: int) -> int:
        """Add an event by *who*; return its row."""
        row = len(self.rows)
        self.rows.append((int(kind), ts, *who, stack))
        for name, value in columns.items():
            self.sparse.setdefault(name, {})[row] = value
        return row

    def say(self, kind: Kind, ts: int, detail: Detail, who: Who | None = None, **columns: int) -> int:
        """Add an event of a rare kind, with its detail."""
        row = self.add(kind, ts, who or NOBODY, **columns)
        self.details[row] = detail.model_dump_json(exclude_none=True)
        return row

    def batch(self) -> EventBatch:
        """Return all of them."""
        table = np.array(self.rows, dtype=np.int64).reshape(len(self.rows), len(_DENSE))
        columns: dict[str, NDArray[np.generic]] = {
            name: np.ascontiguousarray(table[:, i].astype(NUMPY_DTYPES[name])) for i, name in enumerate(_DENSE)
        }
        for name, values in self.sparse.items():
            column = np.full(len(self.rows), absent(name), NUMPY_DTYPES[name])
            column[np.fromiter(values.keys(), np.int64, len(values))] = np.fromiter(
                values.values(), NUMPY_DTYPES[name], len(values)
            )
            columns[name] = column
        return EventBatch(columns=columns, texts={"comm": self.comms, "stack": self.stacks}, details=dict(self.details))


def pick(batch: EventBatch, rows: NDArray[np.int64]) -> EventBatch:
    """Return *rows* of a batch, in that order."""
    details = {i: batch.details[row] for i, row in enumerate(rows.tolist()) if row in batch.details}
    return EventBatch(
        columns={name: column[rows] for name, column in batch.columns.items()}, texts=batch.texts, details=details
    )


def of_kinds(batch: EventBatch, kinds: Iterable[Kind]) -> NDArray[np.bool_]:
    """Return which rows are of *kinds*."""
    return np.asarray(np.isin(batch.columns["kind"], [int(kind) for kind in kinds]))


def with_columns(batch: EventBatch, columns: Mapping[str, NDArray[np.generic]]) -> EventBatch:
    """Return a batch with some columns replaced."""
    return EventBatch(columns={**batch.columns, **columns}, texts=batch.texts, details=batch.details)
