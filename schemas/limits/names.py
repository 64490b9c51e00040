"""Names of hosts, boots and recordings: what each of them may be, wherever it comes from."""

import unicodedata
from typing import Final

NAME_BYTES: Final = 255
"""The longest name, as UTF-8."""

NAME: Final = f"1 to {NAME_BYTES} bytes of text, without control characters, line breaks or marks of direction"
"""What a name is, for messages."""

_NOT_IN_NAMES: Final = ("Cc", "Cs", "Zl", "Zp")
_DIRECTIONS: Final = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def unfit(name: str) -> str:
    """Return why a text is no name; empty: it is one. See ``NAME``."""
    size = len(name.encode("utf-8", "surrogatepass"))
    if not 0 < size <= NAME_BYTES:
        return f"{size:,} bytes"
    odd = "" if name.isprintable() else next(filter(_is_odd, name), "")
    return f"U+{ord(odd):04X} in {name!a}" if odd else ""


def _is_odd(character: str) -> bool:
    return unicodedata.category(character) in _NOT_IN_NAMES or character in _DIRECTIONS
