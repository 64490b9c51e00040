"""Which loss concerns evidence: the question that certainty asks, and by which a later file keeps losses.

Dimensions: g = losses, n = pieces of evidence. Times are ns of the trace clock.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pagetrail.schemas.details import Gap

Gaps = Sequence[tuple[int, int | None, Gap]]
"""(stream_seq of the report, CPU or null, the loss)."""


def reaches_of(gaps: Gaps, skew: int) -> NDArray[np.int64]:
    """Return (g, 2): the begin and end of the time that each loss concerns.

    It is wider than the gap by the *skew*: the clocks of two CPUs may differ by that much.
    """
    reaches = [(gap.t_lo - skew, gap.t_hi + skew) for _, _, gap in gaps]
    return np.array(reaches, np.int64).reshape(-1, 2)


class LossTimes:
    """When the losses of a list begin and end at the extremes; it keeps up with a list that grows, as ``OpenCalls`` does.

    Attributes
    ----------
    first, last
        The least ``t_lo`` and the greatest ``t_hi``; null: there is no loss.
    """

    def __init__(self) -> None:
        self.first: int | None = None
        self.last: int | None = None
        self._seen: Gaps = ()
        self._count = 0

    def read(self, gaps: Gaps) -> "LossTimes":
        """Return it as of *gaps*, which may be longer than when they were last given, or another list."""
        if gaps is not self._seen or len(gaps) < self._count:
            self._seen, self._count, self.first, self.last = gaps, 0, None, None
        for _, _, gap in gaps[self._count :]:
            self.first = gap.t_lo if self.first is None else min(self.first, gap.t_lo)
            self.last = gap.t_hi if self.last is None else max(self.last, gap.t_hi)
        self._count = len(gaps)
        return self

    def reach(self, ts: int) -> bool:
        """Return whether a loss ends at *ts* or later."""
        return self.last is not None and self.last >= ts


class Reaching:
    """Losses by the end of the time that they concern; *reaches* (g, 2) is that of ``reaches_of``."""

    def __init__(self, reaches: NDArray[np.int64]) -> None:
        self.reaches = reaches
        by_end = np.argsort(reaches[:, 1], kind="stable")
        low, self._high = reaches[by_end].T
        # the place of the gap that begins first, among this one and those that end later
        earliest = np.minimum.accumulate(low[::-1])[::-1]
        place = np.where(low == earliest, np.arange(low.size), low.size)
        self._first = by_end[np.minimum.accumulate(place[::-1])[::-1]]

    def first(self, begin: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return for each instant (n,) the index of the loss that begins first among those that end then or later; -1: none."""
        if not self._high.size:
            return np.full(begin.size, -1, np.int64)
        after = np.searchsorted(self._high, begin, side="left")
        there = after < self._high.size
        return np.where(there, self._first[np.where(there, after, 0)], -1)


def still_needed(gaps: Gaps, skew: int, evidence: NDArray[np.int64], last_ts: int) -> list[int]:
    """Return which losses an answer about an instant after *last_ts* may name, in order.

    They are those that reach beyond *last_ts*, the one that ends last, and the one that each piece of *evidence* of a live span
    is not safe from. That one ends last keeps certainty right also if a later recording declares a larger skew.
    """
    if len(gaps) < 2:
        return [*range(len(gaps))]
    reaches = reaches_of(gaps, skew)
    kept = reaches[:, 1] >= last_ts
    kept[int(np.argmax(reaches[:, 1]))] = True
    named = Reaching(reaches).first(evidence)
    kept |= np.bincount(named[named >= 0], minlength=kept.size).astype(np.bool_)
    return [int(i) for i in np.flatnonzero(kept)]
