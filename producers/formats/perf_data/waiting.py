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
        Shape (p, ``rj.PENDING``), int64; the state's S_PENDING of them are there.
    turns
        Shape (S_PENDING,), int64, since they were sorted last: the rows in order of time.
    nothing
        Shape (``rj.PENDING``,): a row of which nothing is known.
    limit
        Rows up to this time are settled; -1: none is.
    rounds
        How many have ended.
    """

    def __init__(self, state: NDArray[np.int64]) -> None:
        self._state = state
        self.array: NDArray[np.int64] = np.empty((ROWS, rj.PENDING), np.int64)
        self._spare = np.empty_like(self.array)
        self.turns = np.zeros(0, np.int64)
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
        if len(self) >= len(self.array):
            self._grow()
        row = self.array[len(self)]
        row[:] = self.nothing
        row[R_TS], row[R_KIND], row[R_PFN], row[rj.P_PLACE] = ts, kind, number, place
        if cpu >= 0:
            row[R_CPU] = cpu
        self._state[rj.S_PENDING] += 1

    def next(self) -> NDArray[np.int64]:
        """Return the row whose turn it is, by the state's S_DONE."""
        row: NDArray[np.int64] = self.array[self.turns[self._state[rj.S_DONE]]]
        return row

    def end_round(self) -> None:
        """Take the end of a round."""
        self.rounds += 1
        self.limit, self._next_limit = self._next_limit, int(self._state[rj.S_LATEST])

    def make_room(self) -> bool:
        """Make room for more rows; return whether some have to be taken before."""
        if len(self.array) < MOST_ROWS:
            self._grow()
            return False
        return True

    def sort(self) -> int:
        """Put the rows in order of time, those of one time as they came; return how many of them are settled."""
        ts = self.array[: len(self), R_TS].copy()
        self.turns = np.argsort(ts, kind="stable")
        return int(np.count_nonzero(ts <= self.limit))

    def drop(self, count: int) -> None:
        """Forget the first *count* rows, in order of time."""
        left = self.turns[count:]
        if len(self._spare) < len(self.array):
            self._spare = np.empty_like(self.array)
        np.take(self.array, left, axis=0, out=self._spare[: len(left)], mode="clip")  # else it makes a copy of its own
        self.array, self._spare = self._spare, self.array
        self._state[rj.S_PENDING] = len(left)

    def _grow(self) -> None:
        self.array = np.concatenate([self.array, np.empty_like(self.array)])
