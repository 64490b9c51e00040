"""Rows from beside a capture's trace, merged into it: by their time, or after a snapshot's marker."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import partial

import numpy as np

from pagetrail.producers.capture.clock import Relation, SnapshotMarker, parse_marker
from pagetrail.producers.detail_rows import detail_row
from pagetrail.schemas.batch import EventBatch
from pagetrail.schemas.columns import Kind
from pagetrail.schemas.details import Marker

Rows = Callable[[], Iterator[EventBatch]]
"""Yields rows when their turn comes."""

TimedRow = tuple[int, Callable[[], EventBatch]]
"""A row's time on the trace clock, and what makes it."""


class TimedRows:
    """What is still to come beside the trace's own rows.

    Parameters
    ----------
    rows
        What has a time of its own.
    behind
        Yields the rows that follow a marker, which was read at a trace time.
    """

    def __init__(self, rows: Iterable[TimedRow], behind: Callable[[SnapshotMarker, int], Iterator[EventBatch]]) -> None:
        self._due = deque(sorted(rows, key=lambda row: row[0]))
        self._behind = behind

    def first(self) -> int | None:
        """Return the least time of a row to come; null where there is none."""
        return self._due[0][0] if self._due else None

    def merge(self, batch: EventBatch) -> Iterator[EventBatch]:
        """Yield *batch* of the trace with the rows that belong between its own."""
        cuts = self._cuts(batch)
        *parts, rest = batch.parts([stop for stop, _ in cuts])
        for part, (_, rows) in zip(parts, cuts, strict=True):
            if len(part):
                yield part
            yield from rows()
        if len(rest):
            yield rest

    def rest(self) -> Iterator[EventBatch]:
        """Yield what comes after the last row of the trace."""
        for when, make in self._due:
            yield from self._row(when, make)

    def _cuts(self, batch: EventBatch) -> list[tuple[int, Rows]]:
        """Return (row before which they come, rows), by row."""
        times = np.maximum.accumulate(batch.columns["trace_ts_nsec"].astype(np.int64))
        cuts: list[tuple[int, Rows]] = []
        while self._due and self._due[0][0] < times[-1]:
            when, make = self._due.popleft()
            cuts.append((int(np.searchsorted(times, when, side="right")), partial(self._row, when, make)))
        for at, marker in _markers(batch):
            cuts.append((at + 1, partial(self._behind, marker, int(times[at]))))
        return sorted(cuts, key=lambda cut: cut[0])

    def _row(self, when: int, make: Callable[[], EventBatch]) -> Iterator[EventBatch]:
        row = make()
        yield row
        for _, marker in _markers(row):
            yield from self._behind(marker, when)


def marker_rows(texts: Iterable[str], known: Relation) -> Iterator[TimedRow]:
    """Yield the markers *texts* that say when they were written."""
    for text in texts:
        marker = parse_marker(text)
        if marker and marker.monotonic is not None:
            at = marker.monotonic - known.mono_offset
            yield at, partial(detail_row, Kind.MARKER, at, Marker(text=text))


def _markers(batch: EventBatch) -> Iterator[tuple[int, SnapshotMarker]]:
    """Yield the snapshots' markers in *batch*, each with its row."""
    for at in np.flatnonzero(batch.columns["kind"] == Kind.MARKER).tolist():
        marker = parse_marker(Marker.model_validate_json(batch.details[at]).text)
        if marker:
            yield at, marker
