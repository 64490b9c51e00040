"""Addresses of the kernel as names: by its symbols, or as they are told from its beginning."""

from typing import Final

import numpy as np

from pagetrail.producers.formats.tracepoints.symbols import END
from pagetrail.producers.meaning import NamesAddresses

_UNNAMED: Final = (
    "{:,} addresses of stacks have no name: give ingest --kallsyms FILE, /proc/kallsyms of the boot that was recorded, or "
    "--vmlinux FILE, its kernel's vmlinux or System.map"
)
_OTHERS: Final = (
    "the symbols that were given are of another boot or kernel, and not used: {} is at {} in them, and was at {:#x}"
)


_ELSEWHERE: Final = (
    "the symbols of --vmlinux are not used: the recording does not say where that boot had the kernel; give --kallsyms"
)
_BUILT: Final = "the symbols of --vmlinux are of another kernel, and not used: its build id is {}, and was {}"
_BEYOND: Final = (
    "the symbols of --vmlinux are of another kernel, and not used: its code would end at {:#x}, and "
    "that of the recording ends at {:#x} at most"
)
_UNCHECKED: Final = (
    "the symbols of --vmlinux could not be checked against the recording's build id ({} has none): those of another build name "
    "functions wrongly"
)
_ID_BYTES: Final = 20
_MOST_MODULES: Final = 1 << 14


class Addresses:
    """Makes text of stacks.

    An address without a name counts from the kernel's first symbol on (``_text:0x16cc53``), or from its module's begin
    (``ext4:0x1f [ext4]``): boots of one kernel still meet.

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
        self._is_placed = symbols is None or not symbols.linked
        self._modules: dict[str, tuple[int, int]] = {}
        self._unnamed = 0
        self._note = ""
        self._unchecked = ""
        self._names: dict[int, str] = {}
        self._map: tuple[int, int, int, str] | None = None

    def place(self, start: int, stop: int, first: int, symbol: str) -> None:
        """Take that the kernel is at [start, stop), and its first symbol, *symbol*, at *first*; the first such word counts."""
        if self._map is not None or not symbol or not start <= first < stop:
            return
        self._map = (start, stop, first, symbol)
        if self._symbols is None:
            return
        self._note = self._refusal(self._symbols, symbol, first, stop)
        self._is_placed = not self._note
        if self._note:
            self._symbols = None

    def _refusal(self, symbols: NamesAddresses, symbol: str, first: int, stop: int) -> str:
        """Return why *symbols* are not those of a kernel that has *symbol* at *first* and ends at *stop*; empty: they can be."""
        given, end = symbols.address(symbol), symbols.address(END)
        if given is None or not symbols.placed(symbol, first):
            return _OTHERS.format(symbol, "no address" if given is None else hex(given), first)
        if symbols.linked and end is not None and end - given > stop - first:
            return _BEYOND.format(end - given + first, stop)
        return ""

    def built(self, build_id: bytes) -> None:
        """Take the build id of the kernel that was recorded; empty: it is not known."""
        known = self._symbols.build_id if self._symbols is not None else b""
        if self._symbols is not None and self._symbols.linked and not (known and build_id):
            self._unchecked = _UNCHECKED.format("the file" if not known else "the recording")
        if (
            known
            and build_id
            and known.ljust(_ID_BYTES, b"\0")[:_ID_BYTES] != build_id.ljust(_ID_BYTES, b"\0")[:_ID_BYTES]
        ):
            self._note = _BUILT.format(known.hex(), build_id.hex())
            self._symbols = None

    def module(self, name: str, start: int, stop: int) -> None:
        """Take that a module is at [start, stop)."""
        if len(self._modules) < _MOST_MODULES:
            self._modules[name] = (start, stop)

    @property
    def notes(self) -> list[str]:
        """What the user should know of the names, by now."""
        unchecked = self._unchecked if self._symbols is not None and self._is_placed else ""
        unnamed = _UNNAMED.format(self._unnamed) if self._unnamed else ""
        return [one for one in (self._note, unchecked, unnamed) if one]

    def text(self, raw: bytes) -> str | None:
        """Return a stack as the column holds it, the innermost function first; null: it has no function."""
        names = [self._names.get(one) or self._named(one) for one in np.frombuffer(raw, self._dtype).tolist()]
        return "\n".join(names) or None

    def _named(self, address: int) -> str:
        within = self._map is not None and self._map[2] <= address < self._map[1]
        module = None if within else self._module_at(address)
        found = None
        if self._symbols is not None and self._is_placed and not (self._symbols.linked and not within):
            found = self._symbols.name(address)
        elif self._symbols is not None and not self._is_placed:
            self._note = _ELSEWHERE
        if found is None:
            self._unnamed += 1
            if within and self._map is not None:
                found = f"{self._map[3]}:{address - self._map[2]:#x}"
            else:
                found = (
                    f"{address:#x}"
                    if module is None
                    else f"{module}:{address - self._modules[module][0]:#x} [{module}]"
                )
        self._names[address] = found
        return found

    def _module_at(self, address: int) -> str | None:
        return next((name for name, (start, stop) in self._modules.items() if start <= address < stop), None)
