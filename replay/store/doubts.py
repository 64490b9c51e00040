"""The doubts of a file: those of a stretch, in memory or kept out of it, and those of calls that are under way."""

from collections.abc import Iterator
from functools import cached_property
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pagetrail.replay.facts.doubts_aside import doubt_rows
from pagetrail.replay.facts.facts import open_call_doubts
from pagetrail.replay.rules.stretch import Stretch
from pagetrail.replay.store.digest import kept_rows_digest, rows_digest
from pagetrail.replay.store.state_digest import doubts_sum, kept_doubts_sum
from pagetrail.schemas.owner import DOUBT_DTYPE, OPEN_END
from pagetrail.schemas.store.sorted_rows import SortedRows, merged

ROWS_AT_ONCE: Final = 1 << 12
"""Rows of a large table that are made into rows of the store at once."""


def doubt_batches(doubts: NDArray[np.void]) -> Iterator[pa.RecordBatch]:
    """Yield doubts (DOUBT_DTYPE) as rows of the store."""
    columns = {name: np.ascontiguousarray(doubts[name]) for name in DOUBT_DTYPE.names or ()}
    yield from pa.table(columns).to_batches(ROWS_AT_ONCE)


class Doubts:
    """The doubts of the file of a stretch."""

    def __init__(self, stretch: Stretch) -> None:
        self._stretch = stretch
        self._of_calls = open_call_doubts(stretch.facts)

    def digest(self) -> bytes:
        """Return their digest."""
        return kept_rows_digest(self._kept) if self._stretch.doubts_aside else rows_digest(self._here)

    def sum(self) -> int:
        """Return the sum over them, without those of calls that are under way."""
        s = self._stretch
        return kept_doubts_sum(s.doubts_aside.rows) if s.doubts_aside else doubts_sum(s.doubts)

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Yield them as rows of the store."""
        for rows in self._pieces():
            yield from doubt_batches(rows)

    def reach_back_to(self) -> int:
        """Return the first time that is in doubt (trace clock, ns); OPEN_END: none is."""
        return min((int(rows["from_ts"].min()) for rows in self._pieces() if rows.size), default=OPEN_END)

    def _pieces(self) -> Iterator[NDArray[np.void]]:
        if self._stretch.doubts_aside:
            yield from (rows for (rows,) in self._kept.pieces())
        else:
            yield self._here

    @property
    def _here(self) -> NDArray[np.void]:
        doubts = self._stretch.doubts
        return np.concatenate([doubts, self._of_calls]) if self._of_calls.size else doubts

    @cached_property
    def _kept(self) -> SortedRows:
        aside = self._stretch.doubts_aside.rows
        if not self._of_calls.size:
            return merged(aside)
        of_calls = doubt_rows()
        of_calls.add(self._of_calls)
        return merged(aside, of_calls)
