"""Pairs of a page and an instant: which file of the store answers each, and which extension its section then had."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pagetrail.queries.core.instant import Instants
from pagetrail.queries.core.stream import Stream
from pagetrail.replay.facts.facts import Facts
from pagetrail.replay.facts.hotplug import Extension

_AT_ONCE: Final = 1 << 19
"""Rows in memory at once: those that a pair needs may be as many as its section has pages."""

NO_EXTENSION: Final = -1
"""The generation of a section that has no extension."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """n pairs that are asked of a stream.

    Attributes
    ----------
    pfns, at
        (n,) the page and the instant of each.
    files
        (n,) index of the file of the store that answers each.
    """

    pfns: NDArray[np.int64]
    at: Instants
    files: NDArray[np.int64]

    @classmethod
    def of(cls, stream: Stream, pfns: NDArray[np.int64], at: Instants) -> "Pairs":
        """Return pairs of *stream*."""
        return cls(pfns=pfns, at=at, files=files_of(stream, at))

    def facts(self, stream: Stream) -> Facts:
        """Return the facts that their answers rest on."""
        return stream.facts_since(int(self.files.min(initial=len(stream.files) - 1)))


def in_parts(which: NDArray[np.int64], costs: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Yield *which* in parts that cost little memory: the costs of a part come to ``_AT_ONCE``, or it is a single one."""
    before = np.cumsum(costs) - costs
    first = 0
    while first < which.size:
        stop = max(int(np.searchsorted(before, before[first] + _AT_ONCE, side="left")), first + 1)
        yield which[first:stop]
        first = stop


def files_of(stream: Stream, at: Instants) -> NDArray[np.int64]:
    """Return for each instant the index of the file that holds all spans that cover it: see ``Stream.holding``."""
    found, times = np.zeros(at.ts.size, np.int64), at.times()
    last = np.array([file.last_seq for file in stream.files], np.int64)
    found[~times] = np.minimum(np.searchsorted(last, at.seq[~times], side="left"), last.size - 1)
    asked, places = np.unique(at.ts[times], return_inverse=True)
    there = np.zeros(asked.size, np.int64)
    _hold(stream, asked, there, 0, last.size - 1)
    found[times] = there[places]
    return found


def _hold(stream: Stream, times: NDArray[np.int64], found: NDArray[np.int64], low: int, high: int) -> None:
    """Set for each of *times*, which rise, the last of the files from *low* to *high* whose first event is not after it.

    Only those files are looked at whose beginning has to be known.
    """
    if not times.size or low == high:
        found[:] = low
        return
    middle = (low + high + 1) // 2
    cut = int(np.searchsorted(times, stream.piece(stream.files[middle]).first_ts, side="left"))
    _hold(stream, times[:cut], found[:cut], low, middle - 1)
    _hold(stream, times[cut:], found[cut:], middle, high)


def generations_at(facts: Facts, section_nr: NDArray[np.int64], at: Instants) -> NDArray[np.int64]:
    """Return the generation of the extension that each section has at its instant; ``NO_EXTENSION`` where it has none."""
    found, times = np.full(section_nr.size, NO_EXTENSION), at.times()
    for what, which, values in (("ts", np.flatnonzero(times), at.ts), ("seq", np.flatnonzero(~times), at.seq)):
        if which.size:
            found[which] = _generations(facts.sections, section_nr[which], values[which], what)
    return found


def _generations(
    sections: list[Extension], section_nr: NDArray[np.int64], at: NDArray[np.int64], what: str
) -> NDArray[np.int64]:
    """Return the same for instants of one kind: of a section's extensions the last that began by then, if it has not ended."""
    columns = ("section_nr", f"begin_{what}", f"end_{what}", "generation")
    numbers, begins, ends, generations = (
        np.array([getattr(section, name) for section in sections], np.int64) for name in columns
    )
    last = last_of(numbers, begins, section_nr, at)
    there = np.flatnonzero(last >= 0)
    there = there[at[there] < ends[last[there]]]
    found = np.full(section_nr.size, NO_EXTENSION)
    found[there] = generations[last[there]]
    return found


def last_of(
    keys: NDArray[np.int64], times: NDArray[np.int64], asked: NDArray[np.int64], at: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return the index of the last entry (key, time) that has each key that is *asked*, up to its time; -1: there is none."""
    size = keys.size
    is_asked = np.arange(size + asked.size) >= size
    order = np.lexsort((is_asked, np.concatenate([times, at]), np.concatenate([keys, asked])))
    entry = np.where(is_asked[order], -1, order)
    place = np.maximum.accumulate(np.where(entry >= 0, np.arange(order.size), -1))
    last = np.where(place >= 0, entry[np.maximum(place, 0)], -1)
    found = np.full(asked.size, -1, np.int64)
    mine = is_asked[order]
    found[order[mine] - size] = last[mine]
    same = found >= 0
    same[same] = keys[found[same]] == asked[same]
    return np.where(same, found, -1)
