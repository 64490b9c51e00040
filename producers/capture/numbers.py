"""Numbers in texts of others: ASCII digits in a stated range. Anything else is no number, however long or strange it is."""

import re
from typing import Final

INT64_STOP: Final = 1 << 63
"""Numbers of events are below this."""

NSEC_STOP: Final = 10**18
"""Readings of a clock that starts with the kernel, ns, are below this: 31 years. Sums of a few of them are int64."""

_DECIMAL: Final = re.compile(r"0*([0-9]{1,19})", re.ASCII)
_HEXADECIMAL: Final = re.compile(r"(?:0[xX])?0*([0-9a-fA-F]{1,16})", re.ASCII)


def number(text: str, *, base: int = 10, stop: int = INT64_STOP) -> int | None:
    """Return the number that *text* is, in [0, *stop*); null: it is none.

    Parameters
    ----------
    base
        10 or 16; a hexadecimal number may begin with ``0x``.
    """
    found = (_HEXADECIMAL if base == 16 else _DECIMAL).fullmatch(text)
    value = -1 if found is None else int(found[1], base)
    return value if 0 <= value < stop else None


def signed(text: str, *, stop: int = NSEC_STOP) -> int | None:
    """Return the decimal number that *text* is, maybe with a minus before it, with an absolute value below *stop*; null: none."""
    value = number(text.removeprefix("-"), stop=stop)
    return -value if value is not None and text.startswith("-") else value
