"""The kernel's symbols as the file itself has them: read when an address is to be named."""

import io
import re
from collections.abc import Callable
from functools import cached_property
from typing import Final

from pagetrail.producers.formats.tracepoints.symbols import Symbols, read_symbols
from pagetrail.producers.meaning import NamesAddresses
from pagetrail.schemas.errors import InputError

_MARK: Final = re.compile(rb"^([0-9a-f]{8,16}) [tT] tracing_mark_write[\w.]*$", re.MULTILINE)
_FUNCTION_BYTES: Final = 1 << 14


class OwnSymbols:
    """The symbols that a file holds; where it has none with addresses, those that were *given*."""

    def __init__(self, kallsyms: Callable[[], bytes], given: NamesAddresses | None) -> None:
        self._text, self._given = kallsyms, given

    @cached_property
    def _symbols(self) -> NamesAddresses | None:
        try:
            found: NamesAddresses | None = read_symbols(io.BytesIO(self._text()), "kallsyms")
        except InputError:
            found = self._given
        return found.as_in_kernel() if isinstance(found, Symbols) else found

    def name(self, address: int) -> str | None:
        """Return the function and offset of an address; null: there is none."""
        return self._symbols.name(address) if self._symbols else None

    def address(self, name: str) -> int | None:
        """Return where the kernel's first symbol is, by its *name*; null: there is none of that name."""
        return self._symbols.address(name) if self._symbols else None

    @cached_property
    def _marks(self) -> list[int]:
        return [int(found, 16) for found in _MARK.findall(self._text()) if int(found, 16)]

    def writes_markers(self, address: object) -> bool:
        """Return whether a text that code at *address* printed was written into trace_marker, as far as is known."""
        marks = self._marks
        return not marks or not isinstance(address, int) or any(0 <= address - at < _FUNCTION_BYTES for at in marks)
