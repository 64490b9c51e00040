"""What harms one stream, and what harms all: whatever a stream's frames hold, it alone is halted, and the others go on."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from pagetrail.schemas.errors import (
    FrameDamaged,
    MemoryShort,
    PagetrailError,
    SchemaTooNew,
    SegmentDamaged,
    SegmentMissing,
    SegmentsDiffer,
    StackConflict,
)
from pagetrail.schemas.limits.names import NAME_BYTES

_OF_ONE: Final = (
    FrameDamaged,
    SchemaTooNew,
    MemoryShort,
    SegmentDamaged,
    SegmentMissing,
    SegmentsDiffer,
    StackConflict,
)
"""Of our own errors, those that are about a single stream."""

_MOST_TEXT: Final = 300
"""The longest part of another library's message that is repeated."""

_MOST_SHOWN: Final = 40

Harmed = Callable[[Exception], None]


@contextmanager
def harming_one(harmed: Harmed) -> Iterator[None]:
    """Call *harmed* with what goes wrong with one stream; raise what goes wrong with the log, the store or the system.

    Nobody knows what a frame of somebody else may hold. So every other exception counts as harm of the stream that is at work: its
    state may be half changed, and its owner drops it.
    """
    try:
        yield
    except _OF_ONE as error:
        harmed(error)
    except (PagetrailError, OSError):
        raise
    except Exception as error:  # noqa: BLE001  # see above
        harmed(error)


def shown(stream: tuple[str, str]) -> str:
    """Return the name of a stream for a message, also if somebody made it far too long."""
    return "/".join(name if len(name) <= NAME_BYTES else f"{name[:_MOST_SHOWN]}…" for name in stream)


def reason_of(error: Exception) -> str:
    """Return why a stream was halted, as the user reads it."""
    if isinstance(error, PagetrailError):
        return str(error)
    line = " ".join(str(error).split("\n", 1)[0].split())[:_MOST_TEXT]
    if isinstance(error, MemoryError):
        return f"there was no memory for it ({line or 'of how much is unknown'}); run the replay again with more memory"
    return (
        f"expected events that can be folded, found some at which replay fails ({type(error).__name__}: {line}); "
        "its frames stay in the log: please report this"
    )
