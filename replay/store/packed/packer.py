"""The spans of a stretch as columns of a file: runs by page, events by time.

Dimensions: n = spans that ended, m = runs that are open, e = events.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pagetrail.replay.rules.stretch import Stretch
from pagetrail.replay.store.packed.radix_jit import order_of, runs_by_page
from pagetrail.schemas.owner import EVENT_DTYPE


class PackedEvents(NamedTuple):
    """Events in the order of their stream_seq, and what their numbers refer to."""

    seq: NDArray[np.int64]
    ts: NDArray[np.int64]
    act: NDArray[np.int32]
    owner: NDArray[np.int32]
    age: NDArray[np.int64]
    detail: NDArray[np.int32]


class PackedRuns(NamedTuple):
    """Runs of pages, and the numbers of the events that began and ended them; *end_event* is -1 where they are open."""

    pfn: NDArray[np.int64]
    nr_pages: NDArray[np.int32]
    begin_event: NDArray[np.int32]
    end_event: NDArray[np.int32]
    generation: NDArray[np.int32]
    kernel_view: NDArray[np.int8]


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """The spans of a stretch.

    Attributes
    ----------
    ended
        By pfn; those of one page in the order in which they ended.
    open
        By (kernel_view, pfn).
    acts, owners, details
        (a, 10), (o, 7), (d, 5) int64, by ACT_FIELDS, OWNER_FIELDS and DETAIL_FIELDS; texts are ids of the stretch.
    """

    ended: PackedRuns
    open: PackedRuns
    events: PackedEvents
    acts: NDArray[np.int64]
    owners: NDArray[np.int64]
    details: NDArray[np.int64]


def pack(stretch: Stretch) -> Packed:
    """Return the spans of a stretch."""
    runs = stretch.runs
    return Packed(
        ended=_columns(runs, order_of(np.ascontiguousarray(runs["pfn"]))),
        open=_columns(stretch.open_runs, np.arange(stretch.open_runs.size)),
        events=PackedEvents(*(_column(stretch.events, name) for name in PackedEvents._fields)),
        acts=stretch.acts, owners=stretch.owners, details=stretch.details,
    )  # fmt: skip


def _column(events: NDArray[np.void], name: str) -> NDArray[Any]:
    column: NDArray[Any] = np.ascontiguousarray(events[name], EVENT_DTYPE[name])
    return column


def _columns(runs: NDArray[np.void], order: NDArray[np.int64]) -> PackedRuns:
    columns = PackedRuns(**{name: np.empty(runs.size, runs.dtype[name]) for name in PackedRuns._fields})
    runs_by_page(runs, order, columns)
    return columns
