"""Waiting for replay, for questions about instants that it has not reached yet."""

import time
from collections.abc import Sequence
from pathlib import Path

from pagetrail.queries.core.stream import Stream, choose, open_streams
from pagetrail.schemas.errors import BadArgument, NotFound

LOOK_SECONDS = 0.2
"""How long to wait between two looks at the store."""


def wait_for(
    trail: Path, times: Sequence[str], *, stream: str | None, correct: bool | None, fold: str | None, seconds: float
) -> list[Stream]:
    """Return the trail's streams as soon as replay of *stream* has reached all of *times*.

    Times that count from the end (-5s) mean the end as it is at that moment. A marker that does not exist yet is waited for.

    Raises
    ------
    NotFound, BadArgument
        After *seconds*, there is no such stream, or replay has not reached the times; the message says how far it has come.
    """
    until = time.monotonic() + seconds
    while True:
        try:
            streams = open_streams(trail, correct=correct, fold=fold)
            chosen = choose(streams, stream)
            for text in times:
                chosen.instant(text)
        except (NotFound, BadArgument) as error:
            if time.monotonic() >= until or (isinstance(error, BadArgument) and "no marker" not in str(error)):
                raise
        else:
            return streams
        time.sleep(min(LOOK_SECONDS, max(until - time.monotonic(), 0)))
