"""A set of pages: a bit for each page of the sections that have any."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray


@dataclass(slots=True, kw_only=True)
class PageSet:
    """Pages that a dump names, and of which something is true."""

    pages_per_section: int
    _bits: dict[int, NDArray[np.uint8]] = field(default_factory=dict)

    def add(self, pfn: NDArray[np.int64]) -> None:
        """Add pages."""
        for section_nr, rows in _by_section(pfn // self.pages_per_section):
            there = self._section(section_nr)
            there[pfn[rows] % self.pages_per_section] = True
            self._bits[section_nr] = np.packbits(there)

    def has(self, pfn: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return which pages are in it."""
        found = np.zeros(pfn.size, np.bool_)
        for section_nr, rows in _by_section(pfn // self.pages_per_section):
            found[rows] = self._section(section_nr)[pfn[rows] % self.pages_per_section]
        return found

    def _section(self, section_nr: int) -> NDArray[np.bool_]:
        bits = self._bits.get(section_nr)
        if bits is None:
            return np.zeros(self.pages_per_section, np.bool_)
        return np.unpackbits(bits, count=self.pages_per_section).view(np.bool_)


def _by_section(section: NDArray[np.int64]) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Yield each section, and the rows that are in it."""
    order = np.argsort(section, kind="stable")
    borders = np.flatnonzero(np.diff(section[order])) + 1
    for start, stop in pairwise([0, *borders.tolist(), section.size] if section.size else []):
        yield int(section[order[start]]), order[start:stop]
