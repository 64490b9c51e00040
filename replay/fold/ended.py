"""Ended spans and doubts of a stretch that have left the tables.

A dump may end a span of every page at once, and no segment ends before the event behind it.
"""

from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pagetrail.replay.fold.tables import DOUBTS, RUNS, Tables
from pagetrail.schemas.owner import DOUBT_DTYPE, OPEN_END, RECORD_DTYPE, RUN_DTYPE
from pagetrail.schemas.store.sorted_rows import SortedRows

MOST_ENDED: Final = 1 << 19
"""Spans, or doubts, that wait in the tables: segments end before there are so many, but for dumps."""

MOST_ENDED_BY_A_DUMP: Final = 1 << 14
"""The same while a dump is applied."""


def doubt_rows() -> SortedRows:
    """Return no doubts yet, in the order in which they are digested."""
    return SortedRows(dtypes=(DOUBT_DTYPE,), by=tuple(reversed(DOUBT_DTYPE.names or ())))


def _span_rows() -> SortedRows:
    return SortedRows(dtypes=(RUN_DTYPE, RECORD_DTYPE), by=("pfn", "begin_seq", "end_seq"))


@dataclass(slots=True, kw_only=True)
class EndedAside:
    """What has left the tables.

    Attributes
    ----------
    spans, doubts
        RUN_DTYPE and RECORD_DTYPE, row by row; DOUBT_DTYPE.
    lasting
        Whether any of these doubts lasts until there is other evidence.
    """

    spans: SortedRows = field(default_factory=_span_rows)
    doubts: SortedRows = field(default_factory=doubt_rows)
    lasting: bool = False

    def __bool__(self) -> bool:
        return bool(self.spans.size or self.doubts.size)

    @property
    def nbytes(self) -> int:
        """Bytes of it that are in memory."""
        return self.spans.nbytes + self.doubts.nbytes

    def take(self, tables: Tables, most: int) -> None:
        """Take the ended spans out of the *tables*, and the doubts, where there are more than *most* of them."""
        counts = tables.counts
        if counts[RUNS] > most:
            self.spans.add(tables.runs[: counts[RUNS]], tables.closed[: counts[RUNS]])
            counts[RUNS] = 0
        if counts[DOUBTS] > most:
            self.add_doubts(tables.doubts[: counts[DOUBTS]])
            counts[DOUBTS] = 0

    def add_doubts(self, doubts: NDArray[np.void]) -> None:
        """Add doubts."""
        self.lasting = self.lasting or bool((doubts["to_ts"] == OPEN_END).any())
        self.doubts.add(doubts)

    def snapshot(self) -> "EndedAside":
        """Return what is there now."""
        return EndedAside(spans=self.spans.snapshot(), doubts=self.doubts.snapshot(), lasting=self.lasting)
