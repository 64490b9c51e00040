"""Coverage: which kinds of events a stream's recordings saw completely, and when. Fold, certainty and doctor read it here.

A kind is covered while every CPU is: any CPU's events may concern any page. A declaration for some CPUs alone never begins that; it
ends it, or, after such an end, begins it again once no CPU is missing.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pagetrail.schemas import details
from pagetrail.schemas.details import Covered
from pagetrail.schemas.owner import OPEN_END

Stretch = tuple[int, int]
"""From and to (trace clock, ns), both included."""


@dataclass(slots=True)
class _Kind:
    """One kind: whether it is covered, since when, and when it was."""

    declared: bool = False
    missing: set[int] = field(default_factory=set)
    since: int | None = None
    past: list[Stretch] = field(default_factory=list)

    def declare(self, ts: int, said: details.Coverage) -> None:
        if said.since is not None:
            if said.begins and said.cpus is None:
                self.past.append((said.since, ts if said.until is None else said.until))
            return
        if said.cpus is None:
            self.declared = said.begins
            self.missing.clear()
        elif said.begins:
            self.missing -= set(said.cpus)
        else:
            self.missing |= set(said.cpus)
        covered = self.declared and not self.missing
        if covered and self.since is None:
            self.since = ts
        elif not covered and self.since is not None:
            self.past.append((self.since, ts))
            self.since = None

    def stretches(self) -> list[Stretch]:
        found = [*self.past] if self.since is None else [*self.past, (self.since, OPEN_END)]
        joined: list[Stretch] = []
        for start, stop in sorted(found):
            if joined and start <= joined[-1][1]:
                joined[-1] = (joined[-1][0], max(joined[-1][1], stop))
            else:
                joined.append((start, stop))
        return joined


class Coverage:
    """What a stream's coverage events declare, up to the last one given.

    Parameters
    ----------
    declared
        (trace clock ns, detail) of each coverage event, in their order.
    """

    def __init__(self, declared: Sequence[tuple[int, details.Coverage]] = ()) -> None:
        self._kinds: dict[Covered, _Kind] = {}
        self.renewed: int | None = None
        """Trace clock, ns: when a kind that is covered was declared last; null: never."""
        for ts, said in declared:
            self.declare(ts, said)

    def declare(self, ts: int, said: details.Coverage) -> None:
        """Take a coverage event at *ts* (trace clock, ns)."""
        for name in said.kinds:
            kind = self._kinds.setdefault(name, _Kind())
            kind.declare(ts, said)
            if said.begins and said.since is None and kind.since is not None:
                self.renewed = ts if self.renewed is None else max(self.renewed, ts)

    def since(self, kind: Covered) -> int | None:
        """Return since when (trace clock, ns) *kind* is covered without a break; null: it is not covered now."""
        found = self._kinds.get(kind)
        return None if found is None else found.since

    def now(self, kind: Covered) -> bool:
        """Return whether *kind* is covered now."""
        return self.since(kind) is not None

    def stretches(self, kind: Covered) -> list[Stretch]:
        """Return when *kind* is covered: stretches in order, those that touch joined, the open one until the end of time."""
        found = self._kinds.get(kind)
        return [] if found is None else found.stretches()

    def kinds(self) -> set[Covered]:
        """Return the kinds that are covered now, or were for a while that events began."""
        return {name for name, kind in self._kinds.items() if kind.stretches()}

    def covers(self, kind: Covered, since: NDArray[np.int64], until: NDArray[np.int64] | int) -> NDArray[np.bool_]:
        """Return for each instant of *since* whether *kind* is covered from then to *until* (trace clock, ns).

        *since* may lie after *until* by nothing more than the evidence's own instant.
        """
        stretches = self.stretches(kind)
        if not stretches:
            return np.zeros(since.size, np.bool_)
        starts, stops = np.array(stretches, np.int64).T
        last = np.searchsorted(starts, until, side="right") - 1  # stretches lie apart: the last that had begun by then
        return np.asarray((last >= 0) & (starts[last] <= since) & (until <= stops[last]))
