"""The sending end of published rows: it finds how far a topic has each stream, and sends what follows."""

import time
from collections.abc import Callable, Iterable
from typing import Final

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from pagetrail.producers.log.delivery import Delivery
from pagetrail.schemas.errors import BadArgument
from pagetrail.schemas.feed import FEEDS, SCHEMA_HEADER, FeedMessage, Rows
from pagetrail.schemas.log.address import KafkaAddress
from pagetrail.schemas.log.kafka import (
    CONNECT_SECONDS,
    READ_SETTINGS,
    Troubles,
    client_settings,
    make_client,
    offset_of,
    unreachable,
    watermarks,
)

StreamKey = tuple[str, str, str]
"""Host, boot_id and fold."""

_BATCH: Final = 100
_NOTHING: Final = "nothing was sent"


class FeedWriter:
    """Sends messages of one feed to a topic of their own, those of a host in order. What was not acknowledged is not counted.

    Raises
    ------
    BadArgument
        The topic holds something else, as a log's topic does: nothing is to be sent there.
    LogUnreachable, TopicMissing, TopicUnfit
        Nobody answers, or there is no such topic, or it is compacted.
    """

    def __init__(self, address: KafkaAddress, feed: str) -> None:
        self._delivery = Delivery(address, what="messages")
        self.there = positions(address, feed, self._delivery.partitions)
        self.room = self._delivery.room(_HEADERS_BYTES)
        self.messages = self.rows = 0

    def publish(self, messages: Iterable[FeedMessage]) -> None:
        """Send *messages*, and return when all are acknowledged.

        Raises
        ------
        LogUnreachable
            Not all of them were acknowledged in time; a beginning of them is in the topic.
        """
        for message in messages:
            which = message.which
            name = f"{which.host} {which.schema} rows {which.first_row} to {which.stop_row - 1}"
            self._delivery.send(which.host, message.payload, which.headers(), name=name, then=self._counted(which))
        self._delivery.settle()

    def close(self) -> None:
        """Let go of the producer."""
        self._delivery.close()

    def __enter__(self) -> "FeedWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _counted(self, which: Rows) -> Callable[[int], None]:
        def acknowledged(_: int) -> None:
            self.messages += 1
            self.rows += which.rows
            self.there[which.host, which.boot_id, which.fold] = which

        return acknowledged


_HEADERS_BYTES: Final = 4096
"""What a message's key and headers take, at most: names of hosts and boots are short."""


def positions(address: KafkaAddress, feed: str, partitions: int) -> dict[StreamKey, Rows]:
    """Return the last message of each stream that the topic holds: every message up to its present end is looked at.

    A stream's messages stand in their order, and each begins where one before it ended: so the last one says it all.

    Raises
    ------
    BadArgument
        It holds a message that is none of *feed*.
    LogUnreachable
        Nobody answers.
    """
    troubles = Troubles()
    consumer = make_client(Consumer, address, client_settings(address, troubles) | READ_SETTINGS)
    found: dict[StreamKey, Rows] = {}
    try:
        stops = _assigned(consumer, address, partitions, troubles)
        moved = time.monotonic()
        while stops:
            for message in consumer.consume(_BATCH, 0.2):
                moved = time.monotonic()
                _look_at(message, address, feed, stops, found)
            if troubles.refused or time.monotonic() - moved > CONNECT_SECONDS:
                raise unreachable(address, troubles, done=_NOTHING)
    except KafkaException as error:
        raise unreachable(address, troubles, error.args[0].str(), done=_NOTHING) from None
    finally:
        consumer.close()
    return found


def _assigned(consumer: Consumer, address: KafkaAddress, partitions: int, troubles: Troubles) -> dict[int, int]:
    """Begin to read the topic; return where each partition that holds something ends now."""
    stops, starts = {}, []
    for partition in range(partitions):
        low, high = watermarks(consumer, address, partition, troubles, done=_NOTHING)
        if low < high:
            stops[partition] = high
            starts.append(TopicPartition(address.topic, partition, low))
    consumer.assign(starts)
    return stops


def _look_at(
    message: Message, address: KafkaAddress, feed: str, stops: dict[int, int], found: dict[StreamKey, Rows]
) -> None:
    error, partition, offset = message.error(), message.partition(), offset_of(message)
    assert partition is not None
    if error is not None:
        if error.code() != KafkaError._PARTITION_EOF:
            raise KafkaException(error)
    else:
        which = _which(message, address, feed, partition, offset)
        key = (which.host, which.boot_id, which.fold)
        if key not in found or _place(which, feed) > _place(found[key], feed):  # a repeat goes back
            found[key] = which
    if error is not None or offset + 1 >= stops.get(partition, 0):
        stops.pop(partition, None)


def _which(message: Message, address: KafkaAddress, feed: str, partition: int, offset: int) -> Rows:
    headers = {header[0]: header[1] for header in message.headers() or [] if isinstance(header[1], bytes)}
    which = Rows.from_headers(headers)
    if which is not None and which.schema in FEEDS[feed]:
        return which
    schema = headers.get(SCHEMA_HEADER)
    what = (
        "a message without the header pagetrail.schema"
        if schema is None
        else f"a message of {schema.decode(errors='replace')!r}"
    )
    raise BadArgument(
        f"{address}: expected a topic of {' and '.join(FEEDS[feed])} alone, found {what} at offset {offset} of partition "
        f"{partition}; nothing was sent: make a topic of its own ('pagetrail topic create --log ADDRESS'), or upgrade pagetrail"
    )


def _place(which: Rows, feed: str) -> tuple[int, int, int]:
    return which.segment_last_seq, FEEDS[feed].index(which.schema), which.stop_row
