"""A plain replay: allocations and frees of the tracepoints, from the first dump on, and none of the fold's rules."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pagetrail.replay.log.embedded import SqliteLogReader
from pagetrail.schemas.columns import Kind
from pagetrail.schemas.frames import decode_frame
from pagetrail.schemas.log.contract import MAX_READ_BYTES
from tests.oracles.kernel_truth import NOT_TOLD, Dump

_NOBODY: Final = -1
_COLUMNS: Final = ("kind", "trace_ts_nsec", "pfn", "order", "pid", "gfp_mask")


class PlainReplay:
    """Who allocated each page last, by the tracepoints alone.

    Attributes
    ----------
    owner
        (pages, 4), int64: first page of the block, order, pid and gfp mask; -1 where nobody has the page.
    """

    def __init__(self, trail: Path, pages: int) -> None:
        self.owner = np.full((pages, 4), _NOBODY, np.int64)
        self._events = _events(trail)
        self._next = next(self._events, None)

    def until(self, ts: int) -> None:
        """Replay what happened before *ts* (trace clock, ns)."""
        while self._next is not None and self._next[1] < ts:
            kind, _, pfn, order, pid, gfp_mask = self._next
            block = self.owner[pfn : pfn + (1 << order)]
            block[:] = (pfn, order, pid, gfp_mask) if kind == Kind.ALLOC else _NOBODY
            self._next = next(self._events, None)

    def take(self, dump: Dump) -> None:
        """Take the records of a dump for pages that no event told of."""
        for pfn, order, pid, gfp_mask in zip(*(getattr(dump, name).tolist() for name in _RECORD), strict=True):
            block = self.owner[pfn : pfn + (1 << order)]
            block[block[:, 0] == _NOBODY] = (pfn, order, pid, gfp_mask)

    def agreeing(self, dump: Dump, rows: NDArray[np.bool_]) -> int:
        """Return how many of those *rows* of a dump have the order, pid and mask of the plain replay; no time is compared."""
        ours = self.owner[dump.pfn]
        agree = (ours[:, 0] == dump.pfn) & (ours[:, 1] == dump.order) & (ours[:, 3] == dump.gfp_mask)
        agree &= (dump.pid == NOT_TOLD) | (ours[:, 2] == dump.pid)
        return int((agree & rows).sum())


_RECORD: Final = ("pfn", "order", "pid", "gfp_mask")


def _events(trail: Path) -> Iterator[tuple[int, int, int, int, int, int]]:
    """Yield the allocations and frees of a trail's log."""
    with SqliteLogReader(trail) as reader:
        for partition in reader.partitions():
            offset = reader.low_watermark(partition)
            while records := reader.read(partition, offset, MAX_READ_BYTES):
                for record in records:
                    _, batch = decode_frame(record.payload, "the log")
                    columns = [batch.column(name) for name in _COLUMNS]
                    told = np.isin(columns[0], [Kind.ALLOC, Kind.FREE])
                    yield from zip(*(column[told].tolist() for column in columns), strict=True)
                offset = records[-1].offset + 1
