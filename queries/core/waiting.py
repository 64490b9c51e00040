"""Waiting for replay: questions about instants that it has not come to yet."""

import time
from collections.abc import Sequence
from pathlib import Path

from pagetrail.queries.core.stream import Stream, choose, open_streams
from pagetrail.schemas.errors import BadArgument, NotFound

LOOK_SECONDS = 0.2
"""How often the store is looked at."""


def wait_for(
    trail: Path, times: Sequence[str], *, stream: str | None, correct: bool | None, seconds: float
) -> list[Stream]:
    """Return the trail's streams as soon as replay of *stream* has come to all of *times*; as they are after *seconds*.

    Times that count from the end (-5s) mean the end as it is now. A marker that is not there may come.

    Raises
    ------
    NotFound, BadArgument
        The time is over, and there is no such stream, or replay has not come so far: the message says how far.
    """
    until = time.monotonic() + seconds
    while True:
        try:
            streams = open_streams(trail, correct=correct)
            chosen = choose(streams, stream)
            for text in times:
                chosen.instant(text)
        except (NotFound, BadArgument) as error:
            if time.monotonic() >= until or (isinstance(error, BadArgument) and "no marker" not in str(error)):
                raise
        else:
            return streams
        time.sleep(min(LOOK_SECONDS, max(until - time.monotonic(), 0)))
