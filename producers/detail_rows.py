"""Batches of one event with its detail, and baselines."""

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from pagetrail.schemas.batch import EventBatch
from pagetrail.schemas.columns import NUMPY_DTYPES, Kind
from pagetrail.schemas.details import BaselineBegin, BaselineEnd, Clock, Coverage, Covered, Detail


def detail_row(kind: Kind, trace_ts_nsec: int, detail: Detail, **columns: int) -> EventBatch:
    """Return a batch of one row of *kind* with *detail* and the numbers *columns*."""
    arrays: dict[str, NDArray[np.generic]] = {
        "kind": np.array([kind], dtype=np.int8),
        "trace_ts_nsec": np.array([trace_ts_nsec], dtype=np.int64),
    }
    for name, value in columns.items():
        arrays[name] = np.array([value], dtype=NUMPY_DTYPES[name])
    return EventBatch(columns=arrays, details={0: detail.model_dump_json(exclude_none=True)})


def clock_row(trace_ts_nsec: int, clock: Clock) -> EventBatch:
    """Return a batch of one CLOCK row."""
    return detail_row(Kind.CLOCK, trace_ts_nsec, clock)


def coverage_row(trace_ts_nsec: int, covers: tuple[Covered, ...]) -> EventBatch:
    """Return a batch of the COVERAGE row of what the operator declares."""
    return detail_row(Kind.COVERAGE, trace_ts_nsec, Coverage(kinds=covers, declared_by="the operator"))


def baseline_begin(trace_ts_nsec: int, begin: BaselineBegin) -> EventBatch:
    """Return a batch of the BASELINE_BEGIN row."""
    return detail_row(Kind.BASELINE_BEGIN, trace_ts_nsec, begin)


def baseline_entries(batch: EventBatch, trace_ts_nsec: int) -> EventBatch:
    """Return entries of a baseline, all at *trace_ts_nsec*."""
    times = np.full(len(batch), trace_ts_nsec, dtype=np.int64)
    return EventBatch(columns={**batch.columns, "trace_ts_nsec": times}, texts=batch.texts, details=batch.details)


def baseline_end(trace_ts_nsec: int, begin: BaselineBegin) -> EventBatch:
    """Return a batch of the BASELINE_END row."""
    return detail_row(Kind.BASELINE_END, trace_ts_nsec, BaselineEnd(name=begin.name, entries=begin.entries))


def baseline(entries: Iterable[EventBatch], trace_ts_nsec: int, begin: BaselineBegin) -> Iterator[EventBatch]:
    """Yield the rows of one baseline, all at *trace_ts_nsec*: its begin, *entries*, its end."""
    yield baseline_begin(trace_ts_nsec, begin)
    for batch in entries:
        yield baseline_entries(batch, trace_ts_nsec)
    yield baseline_end(trace_ts_nsec, begin)
