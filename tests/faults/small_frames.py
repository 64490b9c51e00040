"""Frames of a few hundred events, so that a small recording has many: in one block of code alone, not in the tests after it."""

from collections.abc import Iterator
from contextlib import contextmanager

from pagetrail.producers.log.framing import Framer

FRAME_EVENTS = 500


@contextmanager
def small_frames(events: int = FRAME_EVENTS) -> Iterator[None]:
    """Cut frames of so many *events* in this process, until the block is left."""
    defaults = Framer.__init__.__kwdefaults__
    before = defaults["frame_events"]
    defaults["frame_events"] = events
    try:
        yield
    finally:
        defaults["frame_events"] = before
