"""Any text as one part of a path: a folder of the store, or of what is exported.

A part is read by people, and never by pagetrail: two texts have two parts, but a long text cannot be told from its part.
"""

from hashlib import blake2b
from typing import Final

MOST_BYTES: Final = 120
"""The longest part: a file system takes 255 bytes."""

_PLAIN: Final = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789-_.")
"""Bytes that stand for themselves. Capital letters do not: some file systems do not tell them from small ones."""

_HASHED: Final = "~"
"""Before the hash of a text that is too long: no other part has it, as it is not a plain byte."""

_HASH_BYTES: Final = 20


def path_part(text: str) -> str:
    """Return *text* as one part of a path: small letters, digits and ``-_.``, and every other byte of its UTF-8 as ``%20``.

    No two texts have the same part. It is never empty, neither begins nor ends with a dot, and has at most ``MOST_BYTES``. Of a
    text that would have more, it is the beginning and, behind a ``~``, its BLAKE2b-160 in hex.
    """
    content = text.encode("utf-8", "surrogatepass")
    last = len(content) - 1
    parts = [
        chr(byte) if byte in _PLAIN and not (byte == ord(".") and i in (0, last)) else f"%{byte:02x}"
        for i, byte in enumerate(content)
    ]
    found = "".join(parts)
    if len(found) <= MOST_BYTES:
        return found or "%"
    return f"{_beginning(parts)}{_HASHED}{blake2b(content, digest_size=_HASH_BYTES).hexdigest()}"


def _beginning(parts: list[str]) -> str:
    """Return as many whole characters as fit before a hash."""
    room, found = MOST_BYTES - len(_HASHED) - 2 * _HASH_BYTES, ""
    for part in parts:
        if len(found) + len(part) > room:
            break
        found += part
    return found
