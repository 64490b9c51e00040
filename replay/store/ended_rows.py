"""Ended spans and doubts of a stretch: in memory, or, where a dump made many of them, kept out of it."""

from collections.abc import Iterator
from functools import cached_property
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pagetrail.replay.facts.facts import open_call_doubts
from pagetrail.replay.fold.ended import doubt_rows
from pagetrail.replay.rules.stretch import Stretch
from pagetrail.replay.store.digest import kept_rows_digest, rows_digest
from pagetrail.replay.store.packed.packer import order_of_spans
from pagetrail.replay.store.state_digest import doubts_sum, kept_doubts_sum
from pagetrail.schemas.owner import DOUBT_DTYPE, OPEN_END
from pagetrail.schemas.store.sorted_rows import SortedRows, merged

ROWS_AT_ONCE: Final = 1 << 12
"""Rows of a large table that are made into rows of the store at once."""


class EndedRows:
    """Spans that ended within a stretch, and the doubts of its file: also those of calls that are under way."""

    def __init__(self, stretch: Stretch) -> None:
        self._stretch = stretch
        self._of_calls = open_call_doubts(stretch.facts)

    @property
    def nr_spans(self) -> int:
        """How many spans ended."""
        return int(self._stretch.runs.size) + self._stretch.ended.spans.size

    def doubts_digest(self) -> bytes:
        """Return the digest of the doubts."""
        return kept_rows_digest(self._kept_doubts) if self._stretch.ended else rows_digest(self._doubts)

    def doubts_sum(self) -> int:
        """Return the sum over the doubts, without those of calls that are under way."""
        s = self._stretch
        return kept_doubts_sum(s.ended.doubts) if s.ended else doubts_sum(s.doubts)

    def spans(self) -> Iterator[tuple[NDArray[np.void], NDArray[np.void], NDArray[np.int64]]]:
        """Yield the spans: runs, records, and the order of their rows by (pfn, begin_seq, end_seq)."""
        s = self._stretch
        if s.ended:
            yield from ((runs, records, np.arange(runs.size)) for runs, records in self._kept_spans.pieces())
        else:
            yield s.runs, s.records, order_of_spans(s.runs, s.records)

    def doubts(self) -> Iterator[pa.RecordBatch]:
        """Yield the doubts as rows of the store."""
        for rows in self._doubt_pieces():
            columns = {name: np.ascontiguousarray(rows[name]) for name in DOUBT_DTYPE.names or ()}
            yield from pa.table(columns).to_batches(ROWS_AT_ONCE)

    def doubts_reach_back_to(self) -> int:
        """Return the first time that is in doubt (trace clock, ns); OPEN_END: none is."""
        return min((int(rows["from_ts"].min()) for rows in self._doubt_pieces() if rows.size), default=OPEN_END)

    def _doubt_pieces(self) -> Iterator[NDArray[np.void]]:
        if self._stretch.ended:
            yield from (rows for (rows,) in self._kept_doubts.pieces())
        else:
            yield self._doubts

    @property
    def _doubts(self) -> NDArray[np.void]:
        doubts = self._stretch.doubts
        return np.concatenate([doubts, self._of_calls]) if self._of_calls.size else doubts

    @cached_property
    def _kept_spans(self) -> SortedRows:
        return merged(self._stretch.ended.spans)

    @cached_property
    def _kept_doubts(self) -> SortedRows:
        of_calls = doubt_rows()
        of_calls.add(self._of_calls)
        return (
            merged(self._stretch.ended.doubts, of_calls) if self._of_calls.size else merged(self._stretch.ended.doubts)
        )
