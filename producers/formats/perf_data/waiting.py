"""Rows that wait until no record of an earlier time can come."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from pagetrail.producers.formats.perf_data import records_jit as rj
from pagetrail.producers.formats.rows import R_CPU, R_KIND, R_PFN, R_TS, ROW_COLUMNS
from pagetrail.schemas.columns import absent

ROWS: Final = 1 << 16
MOST_ROWS: Final = 1 << 20
"""100 bytes each. A round of perf's has fewer, unless its rings have more than 50 MB in all."""


class Waiting:
    """Pending rows, and when they are settled.

    perf takes all rings once a round. What was read before the round that ended last but one is settled: no record of such a time
    can come. Source: tools/perf/util/session.c, process_finished_round (Linux 6.1).

    Attributes
    ----------
    array
        Shape (``rj.PENDING``, p), int64; the state's S_PENDING of them are there.
    nothing
        Shape (``rj.PENDING``,): a row of which nothing is known.
    limit
        Rows up to this time are settled; -1: none is.
    rounds
        How many have ended.
    """

    def __init__(self, state: NDArray[np.int64]) -> None:
        self._state = state
        self.array: NDArray[np.int64] = np.empty((rj.PENDING, ROWS), np.int64)
        self.nothing = np.full(rj.PENDING, -1, np.int64)
        self.nothing[: len(ROW_COLUMNS)] = [
            0 if name in ("trace_ts_nsec", "kind") else absent(name) for name in ROW_COLUMNS
        ]
        self.limit = self._next_limit = -1
        self.rounds = 0

    def __len__(self) -> int:
        return int(self._state[rj.S_PENDING])

    def push(self, ts: int, cpu: int, kind: int, number: int, place: int) -> None:
        """Let a row of Python's own wait; *number* is what it says, in the column of the pfn."""
        if len(self) >= self.array.shape[1]:
            self._grow()
        row = self.array[:, len(self)]
        row[:] = self.nothing
        row[R_TS], row[R_KIND], row[R_PFN], row[rj.P_PLACE] = ts, kind, number, place
        if cpu >= 0:
            row[R_CPU] = cpu
        self._state[rj.S_PENDING] += 1

    def end_round(self) -> None:
        """Take the end of a round."""
        self.rounds += 1
        self.limit, self._next_limit = self._next_limit, int(self._state[rj.S_LATEST])

    def make_room(self) -> bool:
        """Make room for more rows; return whether some have to be taken before."""
        if self.array.shape[1] < MOST_ROWS:
            self._grow()
            return False
        return True

    def sort(self) -> None:
        """Put the rows in order of time; those of one time stay in the order in which they came."""
        size = len(self)
        ts = self.array[R_TS, :size]
        if size and not (ts[1:] >= ts[:-1]).all():
            self.array[:, :size] = self.array[:, :size][:, np.argsort(ts, kind="stable")]

    def settled(self) -> int:
        """Return how many of the rows, which are in order, are settled."""
        return int(np.searchsorted(self.array[R_TS, : len(self)], self.limit, "right"))

    def drop(self, count: int) -> None:
        """Forget the first *count* rows."""
        left = len(self) - count
        self.array[:, :left] = self.array[:, count : count + left].copy()
        self._state[rj.S_PENDING] = left

    def _grow(self) -> None:
        self.array = np.concatenate([self.array, np.empty_like(self.array)], axis=1)
