"""Which runs of a part of a file hold pages."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from pagetrail.queries.core.runs import overlaps, slices
from pagetrail.replay.store.packed.by_page import Part


def holding(part: Part, pfns: NDArray[np.int64]) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Yield (index of a page, row) for each run that holds one of *pfns*, pages of *part*, at some time, some at a time."""
    order = np.argsort(pfns, kind="stable")
    rising = (pfns[order] - part.low).astype(part.first.dtype)
    first, single = part.first, None
    if part.longest > 1:
        is_single = part.others["nr_pages"] == 1
        single = np.flatnonzero(is_single)
        yield from _longer(part, np.flatnonzero(~is_single), pfns)
        first = part.first[single]
    low, high = np.searchsorted(first, rising, side="left"), np.searchsorted(first, rising, side="right")
    for page, place in slices(low, high):
        yield order[page], place if single is None else single[place]


def _longer(
    part: Part, rows: NDArray[np.int64], pfns: NDArray[np.int64]
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    asked = {"pfn": pfns, "nr_pages": np.ones(pfns.size, np.int64)}
    for page, place in overlaps(asked, part.take(rows)):
        yield page, rows[place]
