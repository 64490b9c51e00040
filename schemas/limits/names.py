"""Names of hosts, boots and recordings: what each of them may be, wherever it comes from."""

from typing import Final

NAME_BYTES: Final = 1024
"""The longest name, as UTF-8. Kernels have hosts of 64 bytes and boots of 36; a cut of a partition repeats every name."""

NAME: Final = f"text of at most {NAME_BYTES:,} bytes"
"""What a name is, for messages. Any character is allowed: names are encoded in paths, and escaped on terminals."""


def unfit(name: str) -> str:
    """Return why a text is no name; empty: it is one. See ``NAME``."""
    size = len(name.encode("utf-8", "surrogatepass"))
    if size > NAME_BYTES:
        return f"{size:,} bytes"
    return "" if name.isascii() or _is_text(name) else f"half a character in {name!a}"


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
