"""A set of pages: a bit for each page of the sections that have any."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(slots=True, kw_only=True)
class PageSet:
    """Pages that a dump names, and of which something is true."""

    pages_per_section: int
    _bits: dict[int, NDArray[np.uint8]] = field(default_factory=dict)

    def add(self, pfn: NDArray[np.int64]) -> None:
        """Add pages."""
        section = pfn // self.pages_per_section
        for section_nr in np.unique(section).tolist():
            there = self._section(section_nr)
            there[pfn[section == section_nr] % self.pages_per_section] = True
            self._bits[section_nr] = np.packbits(there)

    def has(self, pfn: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return which pages are in it."""
        section, found = pfn // self.pages_per_section, np.zeros(pfn.size, np.bool_)
        for section_nr in np.unique(section).tolist():
            of_it = np.flatnonzero(section == section_nr)
            found[of_it] = self._section(section_nr)[pfn[of_it] % self.pages_per_section]
        return found

    def _section(self, section_nr: int) -> NDArray[np.bool_]:
        bits = self._bits.get(section_nr)
        if bits is None:
            return np.zeros(self.pages_per_section, np.bool_)
        return np.unpackbits(bits, count=self.pages_per_section).view(np.bool_)
