"""Coverage: which kinds of events a stream's recordings saw completely, and when. Fold, certainty and doctor read it here.

A kind is covered while all CPUs are covered: an event on any CPU may concern any page. A declaration for some CPUs never begins
coverage for the first time; it ends it, or resumes it when the last missing CPU is covered again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pagetrail.schemas import details
from pagetrail.schemas.details import Covered
from pagetrail.schemas.owner import OPEN_END

Stretch = tuple[int, int]
"""From and to (trace clock, ns), both included."""


@dataclass(slots=True)
class _Kind:
    """One kind: whether it is covered, since when, and the past stretches in which it was."""

    declared: bool = False
    missing: set[int] = field(default_factory=set)
    since: int | None = None
    past: list[Stretch] = field(default_factory=list)

    def declare(self, ts: int, detail: details.Coverage) -> None:
        if detail.since is not None:
            if detail.begins and detail.cpus is None:
                self.past.append((detail.since, ts if detail.until is None else detail.until))
            return
        if detail.cpus is None:
            self.declared = detail.begins
            self.missing.clear()
        elif detail.begins:
            self.missing -= set(detail.cpus)
        else:
            self.missing |= set(detail.cpus)
        covered = self.declared and not self.missing
        if covered and self.since is None:
            self.since = ts
        elif not covered and self.since is not None:
            self.past.append((self.since, ts))
            self.since = None

    def stretches(self) -> list[Stretch]:
        return _joined(self.past if self.since is None else [*self.past, (self.since, OPEN_END)])

    def plain(self, evidence: NDArray[np.int64]) -> dict[str, Any]:
        past = _joined(self.past)
        if len(past) > 1:
            starts, stops = np.array(past, np.int64).T
            last = np.searchsorted(starts, evidence, side="right") - 1
            held = np.bincount(last[(last >= 0) & (evidence <= stops[last])], minlength=len(past))
            past = [stretch for stretch, count in zip(past[:-1], held.tolist(), strict=False) if count] + past[-1:]
        return {
            "declared": self.declared, "missing": sorted(self.missing), "since": self.since,
            "past": [[start, stop] for start, stop in past],
        }  # fmt: skip

    @classmethod
    def from_plain(cls, saved: Mapping[str, Any]) -> "_Kind":
        return cls(
            declared=saved["declared"], missing=set(saved["missing"]), since=saved["since"],
            past=[(start, stop) for start, stop in saved["past"]],
        )  # fmt: skip


def _joined(stretches: Sequence[Stretch]) -> list[Stretch]:
    """Return stretches in order, adjacent ones joined."""
    joined: list[Stretch] = []
    for start, stop in sorted(stretches):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], stop))
        else:
            joined.append((start, stop))
    return joined


class Coverage:
    """The coverage that a stream's coverage events declare, up to the last one given.

    Parameters
    ----------
    declared
        (trace clock ns, detail) of each coverage event, in their order.
    before
        ``plain`` of what was declared before these; null: nothing was.
    """

    def __init__(
        self, declared: Sequence[tuple[int, details.Coverage]] = (), before: Mapping[str, Any] | None = None
    ) -> None:
        self._kinds: dict[Covered, _Kind] = {}
        self._arrays: dict[Covered, NDArray[np.int64]] = {}
        self.renewed: int | None = None
        """Trace clock, ns: time of the last declaration that left its kind covered; null: there was none."""
        if before is not None:
            self.renewed = before["renewed"]
            self._kinds = {kind: _Kind.from_plain(saved) for kind, saved in before["kinds"].items()}
        for ts, detail in declared:
            self.declare(ts, detail)

    def declare(self, ts: int, detail: details.Coverage) -> None:
        """Take a coverage event at *ts* (trace clock, ns)."""
        self._arrays.clear()
        for name in detail.kinds:
            kind = self._kinds.setdefault(name, _Kind())
            kind.declare(ts, detail)
            if detail.begins and detail.since is None and kind.since is not None:
                self.renewed = ts if self.renewed is None else max(self.renewed, ts)

    def plain(self, evidence: NDArray[np.int64]) -> dict[str, Any]:
        """Return it as values of JSON: of past stretches those that hold some of the *evidence*, and the last one of each kind."""
        kinds = {kind: found.plain(evidence) for kind, found in sorted(self._kinds.items())}
        return {"renewed": self.renewed, "kinds": kinds}

    def since(self, kind: Covered) -> int | None:
        """Return the time (trace clock, ns) since which *kind* is covered without a break; null: it is not covered now."""
        found = self._kinds.get(kind)
        return None if found is None else found.since

    def now(self, kind: Covered) -> bool:
        """Return whether *kind* is covered now."""
        return self.since(kind) is not None

    def stretches(self, kind: Covered) -> list[Stretch]:
        """Return the stretches in which *kind* is covered, in order, adjacent ones joined; an open one ends at OPEN_END."""
        found = self._kinds.get(kind)
        return [] if found is None else found.stretches()

    def kinds(self) -> set[Covered]:
        """Return the kinds that are covered now, or were covered at some time."""
        return {name for name, kind in self._kinds.items() if kind.stretches()}

    def covers(self, kind: Covered, since: NDArray[np.int64], until: NDArray[np.int64] | int) -> NDArray[np.bool_]:
        """Return for each instant of *since* whether *kind* is covered from then to *until* (trace clock, ns).

        *since*, the instant of the evidence, must not be later than *until*.
        """
        starts, stops = self._starts_and_stops(kind)
        if not starts.size:
            return np.zeros(since.size, np.bool_)
        if starts.size == 1:
            return np.asarray((starts[0] <= since) & (starts[0] <= until) & (until <= stops[0]))
        last = (
            np.searchsorted(starts, until, side="right") - 1
        )  # stretches do not overlap: take the last one that had begun by then
        return np.asarray((last >= 0) & (starts[last] <= since) & (until <= stops[last]))

    def _starts_and_stops(self, kind: Covered) -> NDArray[np.int64]:
        """Return ``stretches`` as (2, n), made once between declarations."""
        if kind not in self._arrays:
            self._arrays[kind] = np.array(self.stretches(kind), np.int64).reshape(-1, 2).T
        return self._arrays[kind]
