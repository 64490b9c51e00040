"""The runs of a file in memory, as columns: which of them hold pages."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pagetrail.queries.core.runs import overlaps, slices
from pagetrail.schemas.owner import RUN_DTYPE

Table = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """The runs of a file in some sections: those that ended, then the open ones.

    Attributes
    ----------
    ended, live
        The columns of ``ended_runs``; *end_event* is -1 where they are open.
    single
        For each table: the page and the row of each run of one page, by page.
    longer
        The rows of the others.
    """

    ended: Table
    live: Table
    single: Sequence[tuple[NDArray[np.int64], NDArray[np.int64]]]
    longer: NDArray[np.int64]

    @classmethod
    def of(cls, ended: Table, live: Table) -> "Index":
        """Return the index of the runs of both tables."""
        single, longer, before = [], [], 0
        for table in (ended, live):
            is_single = table["nr_pages"] == 1
            row = np.flatnonzero(is_single)
            pfn = table["pfn"] if row.size == is_single.size else table["pfn"][row]
            if (pfn[1:] < pfn[:-1]).any():
                order = np.argsort(pfn, kind="stable")
                pfn, row = pfn[order], row[order]
            single.append((pfn, row + before))
            longer.append(np.flatnonzero(~is_single) + before)
            before += is_single.size
        return cls(ended=ended, live=live, single=single, longer=np.concatenate(longer))

    def holding(self, pfns: NDArray[np.int64]) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """Yield (index of a page, row) for each row that holds one of *pfns* at some time, some at a time."""
        order = np.argsort(pfns, kind="stable")
        rising = pfns[order]
        for begins, row in self.single:
            low, high = np.searchsorted(begins, rising, side="left"), np.searchsorted(begins, rising, side="right")
            for page, place in slices(low, high):
                yield order[page], row[place]
        if self.longer.size:
            asked = np.zeros(pfns.size, RUN_DTYPE)
            asked["pfn"], asked["nr_pages"] = pfns, 1
            for page, place in overlaps(asked, self.take(self.longer)):
                yield page, self.longer[place]

    def covers(self, rows: NDArray[np.int64], known: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return whether each of some rows covers an instant up to which so many events are *known*."""
        end = self.column("end_event", rows)
        return np.asarray((self.column("begin_event", rows) < known) & ((end >= known) | (end < 0)))

    def whole(self, name: str) -> NDArray[Any]:
        """Return a column of all rows."""
        return np.concatenate([self.ended[name], self.live[name]])

    def column(self, name: str, rows: NDArray[np.int64]) -> NDArray[Any]:
        """Return a column of some rows."""
        ended, live = self.ended[name], self.live[name]
        found = np.zeros(rows.size, np.result_type(ended, live))
        is_ended = rows < ended.size
        found[is_ended], found[~is_ended] = ended[rows[is_ended]], live[rows[~is_ended] - ended.size]
        return found

    def take(self, rows: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
        """Return some rows."""
        return {name: self.column(name, rows) for name in self.ended}
