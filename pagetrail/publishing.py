"""Publishing: the segments of a trail meet the topic that others read."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import Final

from pagetrail.producers.log.sink_feed import FeedWriter
from pagetrail.queries.core.stream import Stream, choose, open_stream, open_streams, stream_places
from pagetrail.queries.export.feed import dropped, messages
from pagetrail.replay.store.place import StreamPlace
from pagetrail.schemas.errors import BadArgument, NotFound
from pagetrail.schemas.feed import FEEDS, Rows
from pagetrail.schemas.log.address import KafkaAddress
from pagetrail.schemas.store.names import is_called

_LOOK_SECONDS: Final = 2.0
"""How long to wait between two looks for new segments."""

_SLEEP_SECONDS: Final = 0.1


@dataclass(slots=True, kw_only=True)
class PublishReport:
    """What one call of ``publish`` did.

    Attributes
    ----------
    messages, rows
        What was acknowledged.
    dropped
        Of each stream whose segments had been removed before they were published: which events, in a line.
    """

    messages: int = 0
    rows: int = 0
    dropped: list[str] = field(default_factory=list)


def publish(
    trail: str | Path,
    feed: str,
    to: KafkaAddress,
    *,
    correct: bool | None = None,
    stream: str | None = None,
    follow: bool = False,
    stop: Callable[[], bool] = lambda: False,
) -> PublishReport:
    """Send what sealed segments hold to a topic, at least once, going on where the topic ends.

    Parameters
    ----------
    trail
        Directory of the trail. A replay may go on in it.
    feed
        One of ``schemas.feed.FEEDS``.
    to
        A topic of its own: it holds this feed and nothing else.
    stream
        HOST[/BOOT_ID]: of a host, every boot; null: every stream.
    follow
        Go on with segments as they are sealed, until *stop* says so.

    Raises
    ------
    TrailMissing, NotFound
        There is no trail, or nothing has been replayed yet.
    BadArgument
        There is no such feed, the topic holds something else, or one row does not fit into a message.
    TrailError
        The topic holds a stream that was made from other events.
    LogUnreachable, TopicMissing, TopicUnfit
        The brokers do not answer, or refuse us, or the topic is not there. What was acknowledged stays; the same call goes on.
    """
    if feed not in FEEDS:
        raise BadArgument(f"{feed}: expected one of {', '.join(FEEDS)}")
    with FeedWriter(to, feed) as writer:
        publishing = _Publishing(trail=Path(trail), feed=feed, writer=writer, stop=stop)
        while True:
            for place in _places(Path(trail), correct=correct, wanted=stream, wait=follow):
                publishing.publish(place)
                if stop():
                    return publishing.report
            if not follow or _stopped_within(_LOOK_SECONDS, stop):
                return publishing.report


def _places(trail: Path, *, correct: bool | None, wanted: str | None, wait: bool) -> list[StreamPlace]:
    try:
        there = stream_places(trail, correct=correct)
    except NotFound:
        if wait:
            return []  # not yet
        raise
    found = [place for place in there if wanted is None or is_called(place.name, wanted)]
    if not found and not wait:
        choose(open_streams(trail, correct=correct), wanted)  # says what there is
    return found


@dataclass(slots=True, kw_only=True)
class _Publishing:
    """One call of ``publish``: *done* is the last sealed event of each stream, as far as it has come."""

    trail: Path
    feed: str
    writer: FeedWriter
    stop: Callable[[], bool]
    report: PublishReport = field(default_factory=PublishReport)
    done: dict[str, int] = field(default_factory=dict)

    def publish(self, place: StreamPlace) -> None:
        """Publish what was sealed of a stream since then."""
        sealed = max((file.last_seq for file in place.chain() if not file.tip), default=None)
        if sealed is None or self.done.get(place.name) == sealed:
            return  # a stream in which nothing was sealed costs a look at its files' names
        stream = open_stream(self.trail, place)
        if stream is None:
            return
        there = self.writer.there.get((stream.host, stream.boot_id, stream.fold))
        self._report_dropped(stream, there)
        found = messages(stream, self.feed, there=there, room=self.writer.room)
        self.writer.publish(takewhile(lambda _: not self.stop(), found))
        self.report.messages, self.report.rows = self.writer.messages, self.writer.rows
        self.done[place.name] = sealed

    def _report_dropped(self, stream: Stream, there: Rows | None) -> None:
        for first, last in dropped(stream, there):
            line = f"{stream.host}/{stream.boot_id}: no segment holds events {first} to {last} any more: they were not published"
            if line not in self.report.dropped:
                self.report.dropped.append(line)


def _stopped_within(seconds: float, stop: Callable[[], bool]) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if stop():
            return True
        time.sleep(_SLEEP_SECONDS)
    return stop()
