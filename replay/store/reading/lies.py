"""What happens to whoever believes rows that no segment has: the errors that are no errors of ours, if the file is not whole."""

from typing import Final

import pyarrow as pa

LIES: Final = (
    ValueError, TypeError, KeyError, IndexError, OverflowError, RecursionError, AttributeError, ZeroDivisionError, MemoryError,
    pa.ArrowException,
)  # fmt: skip


def lie(error: BaseException) -> str:
    """Return what an error says, in a line."""
    text = (str(error).strip() or type(error).__name__).splitlines()[0]
    return text if len(text) <= 200 else f"{text[:200]}…"
