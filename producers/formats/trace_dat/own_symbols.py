"""The kernel's symbols as the file itself has them: read when an address is to be named, and only the names that are wanted."""

import re
from collections.abc import Callable
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pagetrail.producers.formats.tracepoints.symbols import FIRSTS, USED, Symbols
from pagetrail.producers.meaning import NamesAddresses

_MARK: Final = re.compile(rb"^([0-9a-f]{8,16}) [tT] tracing_mark_write[\w.]*$", re.MULTILINE)
_SYMBOL: Final = re.compile(rb"[0-9a-f]{8,16} [!-~] ([!-~]{1,512})(?:[ \t]+\[([!-~]{1,64})\])?\s*", re.ASCII)
_FUNCTION_BYTES: Final = 1 << 14


class OwnSymbols:
    """The symbols that a file holds; where it has none with addresses, those that were *given*.

    Names are those that the kernel prints: see ``Symbols.as_in_kernel``.
    """

    def __init__(self, kallsyms: Callable[[], bytes], given: NamesAddresses | None) -> None:
        self._kallsyms = kallsyms
        self._given = given.as_in_kernel() if isinstance(given, Symbols) else given

    @cached_property
    def _text(self) -> bytes:
        return self._kallsyms()

    @cached_property
    def _lines(self) -> list[bytes]:
        return self._text.split(b"\n")

    @cached_property
    def _table(self) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
        """The addresses in order, and the number of each one's line; of several lines of one address, the first is first."""
        addresses = np.array([_address(line) for line in self._lines], np.uint64)
        order = np.argsort(addresses, kind="stable")
        order = order[addresses[order] > 0]
        return addresses[order], order

    def name(self, address: int) -> str | None:
        """Return the function and offset of an address; null: there is none."""
        addresses, order = self._table
        if not addresses.size:
            return self._given.name(address) if self._given else None
        before = int(np.searchsorted(addresses, np.uint64(address), "right")) - 1
        if before < 0:
            return None
        start = addresses[before]
        first = int(np.searchsorted(addresses, start, "left"))
        symbol = _SYMBOL.fullmatch(self._lines[int(order[first])])
        if symbol is None:
            return None
        module = f" [{symbol[2].decode()}]" if symbol[2] else ""
        return f"{symbol[1].decode()}+{address - int(start):#x}{module}"

    def address(self, name: str) -> int | None:
        """Return where the kernel's first symbol is, by its *name*; null: there is none of that name."""
        if not self._table[0].size:
            return self._given.address(name) if self._given else None
        found = re.search(rb"^([0-9a-f]{8,16}) \S %b$" % re.escape(name.encode()), self._text, re.MULTILINE)
        return int(found[1], 16) if found and name in FIRSTS else None

    @property
    def linked(self) -> bool:
        """Whether names come from symbols that were given, of a kernel as it was linked."""
        return self._given is not None and self._given.linked and not self._table[0].size

    @property
    def build_id(self) -> bytes:
        """Of the kernel that the given symbols are of; empty: it is not known."""
        return self._given.build_id if self._given is not None and self.linked else b""

    def placed(self, name: str, address: int) -> bool:
        """Take that the kernel's first symbol *name* is at *address*; return whether these can be the symbols of that boot."""
        if self._given is not None and self.linked:
            return self._given.placed(name, address)
        return self.address(name) == address

    @cached_property
    def _marks(self) -> list[int]:
        return [int(found, 16) for found in _MARK.findall(self._text) if int(found, 16)]

    def writes_markers(self, address: object) -> bool:
        """Return whether a text that code at *address* printed was written into trace_marker, as far as is known."""
        marks = self._marks
        return not marks or not isinstance(address, int) or any(0 <= address - at < _FUNCTION_BYTES for at in marks)


def _address(line: bytes) -> int:
    """Return the address of a line; 0 where it has none, or is of no function or data."""
    words = line.split(b" ", 2)
    if len(words) < 3 or len(words[1]) != 1 or words[1][0] not in USED or not 8 <= len(words[0]) <= 16:
        return 0
    try:
        return max(0, int(words[0], 16))
    except ValueError:
        return 0
