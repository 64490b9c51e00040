"""A dump whose page frame numbers do not rise, brought into their order without all of its records in memory at once."""

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pagetrail.replay.rules.open_baseline import OpenBaseline
from pagetrail.schemas.batch import EventBatch, concat, from_arrow, to_arrow
from pagetrail.schemas.store.kept_rows import KeptRows

PART_RECORDS: Final = 1 << 16
"""About so many records are brought into order at once, or all of one page."""

_STEP: Final = 1 << 6
"""Of each batch, every page by this step is looked at to find where parts begin."""


def in_order(opened: OpenBaseline) -> OpenBaseline:
    """Return a dump with its records by page frame number; those of one page are in one part, and stay in their order."""
    if opened.rises and not opened.repeats:
        return opened
    ordered = OpenBaseline(opened.begin, opened.seq, opened.floor, opened.since)
    for part in _parts(opened):
        ordered.add(_rows(part, np.argsort(part.column("pfn"), kind="stable")))
    return ordered


def _parts(opened: OpenBaseline) -> Iterator[EventBatch]:
    """Yield the records of one range of pages after the other."""
    begins = _begins(opened)
    pieces, found = KeptRows(), [list[int]() for _ in range(begins.size + 1)]
    for batch in opened.batches():
        part = np.searchsorted(begins, batch.column("pfn"), side="right")
        for number in np.unique(part).tolist():
            found[number].append(pieces.add(to_arrow(_rows(batch, np.flatnonzero(part == number)))))
    for of_part in filter(None, found):
        yield concat([from_arrow(pieces.batch(piece)) for piece in of_part])


def _begins(opened: OpenBaseline) -> NDArray[np.int64]:
    """Return the pages with which parts begin, apart from the first one."""
    seen = [np.sort(np.asarray(batch.column("pfn"), np.int64))[::_STEP] for batch in opened.batches()]
    step = PART_RECORDS // _STEP
    return np.unique(np.sort(np.concatenate(seen))[step::step])


def _rows(batch: EventBatch, rows: NDArray[np.int64]) -> EventBatch:
    """Return some rows of a batch; records of a dump have no details."""
    return EventBatch(columns={name: column[rows] for name, column in batch.columns.items()}, texts=batch.texts)
