"""The spans of a stretch as columns of a file: runs by page, events by time.

Dimensions: n = spans that ended, m = runs that are open, e = events.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pagetrail.replay.fold.tables import EventColumns, RunColumns, run_columns
from pagetrail.replay.rules.stretch import Stretch
from pagetrail.replay.store.packed.radix_jit import order_of, runs_by_page


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

    ended: RunColumns
    open: RunColumns
    events: EventColumns
    acts: NDArray[np.int64]
    owners: NDArray[np.int64]
    details: NDArray[np.int64]


def pack(stretch: Stretch) -> Packed:
    """Return the spans of a stretch."""
    runs = stretch.runs
    return Packed(
        ended=_columns(runs, order_of(runs["pfn"])),
        open=stretch.open_runs,
        events=stretch.events,
        acts=stretch.acts, owners=stretch.owners, details=stretch.details,
    )  # fmt: skip


def _columns(runs: NDArray[np.void], order: NDArray[np.signedinteger]) -> RunColumns:
    columns = run_columns(runs.size)
    runs_by_page(runs, order, columns)
    return columns
