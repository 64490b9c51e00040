"""Addresses of the kernel as names: by its symbols, or as they are told from its beginning."""

from typing import Final

import numpy as np

from pagetrail.producers.meaning import NamesAddresses

_UNNAMED: Final = (
    "{:,} addresses of stacks have no name: give ingest --kallsyms FILE, /proc/kallsyms of the boot that was recorded"
)
_OTHERS: Final = (
    "the symbols that were given are of another boot or kernel, and not used: {} is at {} in them, and was at {:#x}"
)


class Addresses:
    """Makes text of stacks.

    An address without a name counts from the kernel's first symbol on (``_text:0x16cc53``): boots of one kernel still meet.

    Parameters
    ----------
    symbols
        Of the recorded boot; null where they were not given.
    address_bytes
        Of an address, 4 or 8.
    """

    def __init__(self, symbols: NamesAddresses | None, address_bytes: int = 8) -> None:
        self._dtype = f"<u{address_bytes}"
        self._symbols = symbols
        self._unnamed = 0
        self._note = ""
        self._names: dict[int, str] = {}
        self._map: tuple[int, int, int, str] | None = None

    def place(self, start: int, stop: int, first: int, symbol: str) -> None:
        """Take that the kernel is at [start, stop), and its first symbol, *symbol*, at *first*; the first such word counts."""
        if self._map is not None or not symbol or not start <= first < stop:
            return
        self._map = (start, stop, first, symbol)
        given = None if self._symbols is None else self._symbols.address(symbol)
        if self._symbols is not None and given != first:
            self._note = _OTHERS.format(symbol, "no address" if given is None else hex(given), first)
            self._symbols = None

    @property
    def notes(self) -> list[str]:
        """What the user should know of the names, by now."""
        return [one for one in (self._note, _UNNAMED.format(self._unnamed) if self._unnamed else "") if one]

    def text(self, raw: bytes) -> str | None:
        """Return a stack as the column holds it, the innermost function first; null: it has no function."""
        names = [self._names.get(one) or self._named(one) for one in np.frombuffer(raw, self._dtype).tolist()]
        return "\n".join(names) or None

    def _named(self, address: int) -> str:
        found = self._symbols.name(address) if self._symbols else None
        if found is None and self._map is not None and self._map[2] <= address < self._map[1]:
            found, self._unnamed = f"{self._map[3]}:{address - self._map[2]:#x}", self._unnamed + 1
        if found is None:
            found, self._unnamed = f"{address:#x}", self._unnamed + 1
        self._names[address] = found
        return found
