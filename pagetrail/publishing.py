"""Publishing: what the segments of a trail hold, into a topic that others read."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Final

from pagetrail.producers.log.sink_feed import FeedWriter
from pagetrail.queries.core.opening import choose, open_stream, open_streams, stream_places
from pagetrail.queries.export.feed import dropped, messages
from pagetrail.replay.store.place import StreamPlace
from pagetrail.schemas.errors import BadArgument, NotFound
from pagetrail.schemas.feed import FEEDS
from pagetrail.schemas.log.address import KafkaAddress
from pagetrail.schemas.store.names import is_called

_LOOK_SECONDS: Final = 2.0
"""How long to wait between two looks for new segments."""

_SLEEP_SECONDS: Final = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishReport:
    """What one call of ``publish`` did.

    Attributes
    ----------
    messages, rows
        What was acknowledged.
    dropped
        A line for each stretch of events whose segments were removed before they were published.
    """

    messages: int
    rows: int
    dropped: tuple[str, ...]


def publish(
    trail: str | Path,
    feed: str,
    to: KafkaAddress,
    *,
    correct: bool | None = None,
    fold: str | None = None,
    stream: str | None = None,
    follow: bool = False,
    stop: Callable[[], bool] = lambda: False,
) -> PublishReport:
    """Send what sealed segments hold to a topic, at least once, continuing where the topic ends.

    Parameters
    ----------
    trail
        Directory of the trail. A replay may go on in it.
    feed
        One of ``schemas.feed.FEEDS``.
    to
        A topic of its own: it holds this feed and nothing else.
    stream
        HOST[/BOOT_ID]: HOST means all boots of the host; null: every stream.
    follow
        Continue with segments as they are sealed, until *stop* returns true.

    Raises
    ------
    TrailMissing, NotFound
        There is no trail, or nothing has been replayed yet.
    BadArgument
        There is no such feed, the topic holds something else, or one row does not fit into a message.
    TrailError
        The topic holds a stream that was made from other events.
    LogUnreachable, TopicMissing, TopicUnfit
        The brokers do not answer or refuse us, or the topic does not exist. What was acknowledged stays; the same call continues.
    """
    if feed not in FEEDS:
        raise BadArgument(f"{feed}: expected one of {', '.join(FEEDS)}")
    with FeedWriter(to, feed) as writer:
        publisher = _Publisher(Path(trail), feed, writer, stop)
        while True:
            for place in _places(Path(trail), correct=correct, fold=fold, wanted=stream, wait=follow):
                publisher.publish(place)
                if stop():
                    return publisher.report()
            if not follow or _stopped_within(_LOOK_SECONDS, stop):
                return publisher.report()


def _places(
    trail: Path, *, correct: bool | None, fold: str | None, wanted: str | None, wait: bool
) -> list[StreamPlace]:
    try:
        there = stream_places(trail, correct=correct, fold=fold)
    except NotFound:
        if wait:
            return []  # not yet
        raise
    found = [place for place in there if wanted is None or is_called(place.name, wanted)]
    if not found and not wait:
        choose(open_streams(trail, correct=correct, fold=fold).opened, wanted)  # says what there is
    return found


class _Publisher:
    """Publishes streams, and remembers how far it has published each."""

    def __init__(self, trail: Path, feed: str, writer: FeedWriter, stop: Callable[[], bool]) -> None:
        self._trail, self._feed, self._writer, self._stop = trail, feed, writer, stop
        self._done: dict[str, int] = {}
        self._dropped: dict[str, None] = {}

    def publish(self, place: StreamPlace) -> None:
        """Publish what was sealed of a stream since the last call."""
        sealed = max((file.last_seq for file in place.chain() if not file.tip), default=None)
        if sealed is None or self._done.get(place.name) == sealed:
            return  # a stream in which nothing was sealed costs a look at its files' names
        stream = open_stream(self._trail, place)
        if stream is None:
            return
        there = self._writer.there.get((stream.host, stream.boot_id, stream.fold))
        name = f"{stream.host}/{stream.boot_id}"
        for first, last in dropped(stream, there):
            self._dropped[f"{name}: events {first} to {last} were not published: no segment holds them any more"] = None
        rows = messages(stream, self._feed, there=there, room=self._writer.room)
        self._writer.publish(takewhile(lambda _: not self._stop(), rows))
        self._done[place.name] = sealed

    def report(self) -> PublishReport:
        """Return what was published."""
        return PublishReport(messages=self._writer.messages, rows=self._writer.rows, dropped=tuple(self._dropped))


def _stopped_within(seconds: float, stop: Callable[[], bool]) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if stop():
            return True
        time.sleep(_SLEEP_SECONDS)
    return stop()
