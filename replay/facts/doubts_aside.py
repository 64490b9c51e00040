"""Doubts of a stretch that have left the tables.

A dump may doubt every page at once, and no segment ends before the event behind it.
"""

from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pagetrail.replay.fold.tables import DOUBTS, Tables
from pagetrail.schemas.owner import DOUBT_DTYPE, OPEN_END
from pagetrail.schemas.store.sorted_rows import SortedRows

MOST_DOUBTS: Final = 1 << 19
"""Doubts that wait in the tables: segments end before there are so many, but for dumps."""

MOST_DOUBTS_OF_A_DUMP: Final = 1 << 14
"""The same while a dump is applied."""


def doubt_rows() -> SortedRows:
    """Return no doubts yet, in the order in which they are digested."""
    return SortedRows(dtypes=(DOUBT_DTYPE,), by=tuple(reversed(DOUBT_DTYPE.names or ())))


@dataclass(slots=True, kw_only=True)
class DoubtsAside:
    """What has left the tables.

    Attributes
    ----------
    rows
        DOUBT_DTYPE.
    lasting
        Whether any of them lasts until there is other evidence.
    """

    rows: SortedRows = field(default_factory=doubt_rows)
    lasting: bool = False

    def __bool__(self) -> bool:
        return bool(self.rows.size)

    @property
    def nbytes(self) -> int:
        """Bytes of it that are in memory."""
        return self.rows.nbytes

    def take(self, tables: Tables, most: int) -> None:
        """Take the doubts out of the *tables*, where there are more than *most* of them."""
        counts = tables.counts
        if counts[DOUBTS] > most:
            self.add(tables.doubts[: counts[DOUBTS]])
            counts[DOUBTS] = 0

    def add(self, doubts: NDArray[np.void]) -> None:
        """Add doubts."""
        self.lasting = self.lasting or bool((doubts["to_ts"] == OPEN_END).any())
        self.rows.add(doubts)

    def snapshot(self) -> "DoubtsAside":
        """Return what is there now."""
        return DoubtsAside(rows=self.rows.snapshot(), lasting=self.lasting)
