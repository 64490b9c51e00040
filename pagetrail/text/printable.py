"""Recorded text on a terminal: comms, hosts, markers and lines come from other machines, and are shown, never obeyed."""

from collections.abc import Mapping
from typing import Any, Final

_NAMED: Final = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}


def printable(text: str, keep: str = "") -> str:
    r"""Return *text* with each character that a terminal would obey or hide as an escape (``\x1b``, ``\u202e``).

    These are control and format characters (bidirectional ones, too), separators other than the space, surrogates, and code
    points that have no character. Characters of *keep* stay.
    """
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() or one in keep else _NAMED.get(one) or _escape(ord(one)) for one in text)


def printable_lines(text: str) -> str:
    """Return *text* as ``printable`` does, but for the ends of its lines."""
    return text if text.replace("\n", "").isprintable() else printable(text, "\n")


def printable_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row of an answer with all its texts printable, those in lists and in rows within it too.

    A ``stack`` keeps the ends of its lines: they part its frames.
    """
    return {
        name: printable_lines(value) if name == "stack" and isinstance(value, str) else _shown(value)
        for name, value in row.items()
    }


def _shown(value: object) -> object:
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, Mapping):
        return printable_row(value)
    if isinstance(value, list | tuple):
        return [_shown(one) for one in value]
    return value


def _escape(code: int) -> str:
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
