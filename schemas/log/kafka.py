"""The log on Apache Kafka: a topic's messages, their keys and headers, and the settings and calls that both ends share.

A message is a frame. Its key is the host (UTF-8): murmur2 of the key selects the partition, as in Kafka's Java clients, so all
frames of a host are in one partition, in the order in which they were acknowledged. Its headers:

- ``pagetrail.digest``: the BLAKE2b-256 of the value, 32 bytes;
- ``pagetrail.boot_id``: it gives the stream of a frame that cannot be read.

A frame that is too large for the topic is sent in parts: the halves of its events, or their halves, each a complete frame with the
same number. The number of partitions never changes: another number would move hosts and break the order of their frames.
"""

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType  # type: ignore[attr-defined]

from pagetrail.schemas.errors import BadArgument, LogUnreachable, TopicMissing, TopicUnfit
from pagetrail.schemas.log.address import DELIVERY_SETTINGS, KafkaAddress

_C = TypeVar("_C")
_LOGGER: Final = logging.getLogger("pagetrail.kafka")
_LOGGER.addHandler(logging.NullHandler())

DIGEST_HEADER: Final = "pagetrail.digest"
BOOT_HEADER: Final = "pagetrail.boot_id"

MESSAGE_OVERHEAD: Final = 512
"""Bytes of a record batch beside the texts in its one message: 61 for the batch's header, the rest for lengths and names."""

CONNECT_SECONDS: Final = 15.0
"""How long brokers may take to answer for the first time."""

READ_SETTINGS: Final[dict[str, Any]] = {
    "group.id": "pagetrail-reads",  # a consumer must have a group; nothing ever joins this one
    "enable.auto.commit": False,
    "enable.partition.eof": True,
    "auto.offset.reset": "error",  # a missing offset is a loss: do not continue at another one
    "fetch.wait.max.ms": 50,  # a request for watermarks waits for the fetch before it
    "fetch.max.bytes": 64 << 20,
    "max.partition.fetch.bytes": 16 << 20,
    "queued.max.messages.kbytes": 64 << 10,
    "fetch.queue.backoff.ms": 5,  # by default a full queue stops fetching for a whole second
}
"""Settings of pagetrail's consumers, beside ``client_settings``: they read by given offsets, in large fetches."""

_REFUSED: Final = (
    KafkaError._AUTHENTICATION,  # a leading underscore marks librdkafka's own errors
    KafkaError._SSL,
    KafkaError.SASL_AUTHENTICATION_FAILED,
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
)
_FIRST_REQUEST: Final = "in state APIVERSION_QUERY"
_HINTS: Final = ("SSL handshake failed", "PLAINTEXT broker listener", "security.protocol")


def murmur2(key: bytes) -> int:
    """Return the 32-bit hash of *key*, unsigned.

    Source: org.apache.kafka.common.utils.Utils.murmur2 (Kafka 4.3).
    """
    m, mask = 0x5BD1E995, 0xFFFFFFFF
    h = 0x9747B28C ^ len(key)
    whole = len(key) & ~3
    for i in range(0, whole, 4):
        k = int.from_bytes(key[i : i + 4], "little") * m & mask
        k = (k ^ k >> 24) * m & mask
        h = (h * m & mask) ^ k
    if whole < len(key):
        h = (h ^ int.from_bytes(key[whole:], "little")) * m & mask
    h = (h ^ h >> 13) * m & mask
    return h ^ h >> 15


def partition_of(host: str, partitions: int) -> int:
    """Return the partition of *host* in a topic of *partitions*: the one that a Java producer chooses for this key."""
    return (murmur2(host.encode()) & 0x7FFFFFFF) % partitions


def offset_of(message: Message) -> int:
    """Return the offset of a message that was delivered or fetched, or at which a partition ended."""
    offset = message.offset()
    if offset is None:
        raise ValueError("a message without an offset")
    return offset


class Troubles:
    """Errors of the brokers that librdkafka reports between calls: through ``error_cb``, and in the log that goes to ``logger``."""

    def __init__(self) -> None:
        self.refused: str | None = None
        self.last: str | None = None
        self.fatal: str | None = None
        self.hung_up: str | None = None
        self.logger = logging.Logger(_LOGGER.name, logging.INFO)
        self.logger.parent = _LOGGER
        self.logger.addFilter(self._hear)

    def _hear(self, record: logging.LogRecord) -> bool:
        """Note an error that librdkafka only logs: a broker that expects TLS closes the connection at the first request."""
        if _FIRST_REQUEST in record.getMessage():
            self.hung_up = "the broker hangs up at the first request; it may expect TLS (security.protocol)"
        return _LOGGER.isEnabledFor(record.levelno)

    def __call__(self, error: KafkaError) -> None:
        """Note *error*; of final errors, the first counts."""
        text = str(error.str())
        if error.code() in _REFUSED or any(hint in text for hint in _HINTS):
            self.refused = self.refused or text
        if error.fatal():
            self.fatal = self.fatal or text
        if error.code() != KafkaError._ALL_BROKERS_DOWN:  # the error before it is more specific
            self.last = text


def client_settings(address: KafkaAddress, troubles: Troubles) -> dict[str, Any]:
    """Return the settings of every client: the operator's, and pagetrail's own."""
    given = {name: value for name, value in address.settings.items() if name not in DELIVERY_SETTINGS}
    return given | {
        "bootstrap.servers": ",".join(address.brokers),
        "client.id": "pagetrail",
        "error_cb": troubles,
        "logger": troubles.logger,  # errors are raised, with a remedy, and not printed by a thread
    }


def make_client(make: Callable[[dict[str, Any]], _C], address: KafkaAddress, settings: Mapping[str, Any]) -> _C:
    """Return a client of librdkafka; settings that it refuses are a ``BadArgument``."""
    try:
        return make(dict(settings))
    except (KafkaException, ValueError, TypeError) as error:
        message = error.args[0].str() if isinstance(error, KafkaException) else str(error)
        raise BadArgument(
            f"--kafka-config: {address.without_secrets(message)}; see librdkafka's CONFIGURATION.md"
        ) from None


def unreachable(
    address: KafkaAddress, troubles: Troubles, otherwise: str = "no answer", *, done: str = ""
) -> LogUnreachable:
    """Return the error with the reason why the brokers cannot be used, and what was *done* before."""
    reason = troubles.refused or troubles.fatal or troubles.last or troubles.hung_up or otherwise
    return LogUnreachable(log=str(address), reason=address.without_secrets(reason), done=done)


def wait_for_brokers(client: Any, address: KafkaAddress, troubles: Troubles) -> int:
    """Return how many brokers the cluster has, as soon as one answers.

    Raises
    ------
    LogUnreachable
        No broker answered, or they refuse the client.
    """
    until = time.monotonic() + CONNECT_SECONDS
    while True:
        try:
            return len(client.list_topics(timeout=1.0).brokers)
        except KafkaException as error:
            client.poll(0)  # the error callback reports what went wrong
            if troubles.refused or time.monotonic() > until:
                raise unreachable(address, troubles, error.args[0].str()) from None


def partitions_of(client: Any, address: KafkaAddress, troubles: Troubles) -> int:
    """Return how many partitions the topic has.

    Raises
    ------
    LogUnreachable
        No broker answered, or they refuse the client.
    TopicMissing
        There is no such topic, or the client may not see it.
    """
    until = time.monotonic() + CONNECT_SECONDS
    while True:
        try:
            found = client.list_topics(address.topic, timeout=1.0).topics[address.topic]
        except KafkaException as error:
            client.poll(0)  # the error callback reports what went wrong
            if troubles.refused or time.monotonic() > until:
                raise unreachable(address, troubles, error.args[0].str()) from None
            continue
        if found.error is None:
            return len(found.partitions)
        if found.error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
            troubles(found.error)
            raise unreachable(address, troubles)
        if not found.error.retriable() or found.error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
            raise TopicMissing(log=str(address))
        if time.monotonic() > until:
            raise unreachable(address, troubles, found.error.str())
        time.sleep(0.1)


def watermarks(
    consumer: Consumer,
    address: KafkaAddress,
    partition: int,
    troubles: Troubles,
    *,
    seconds: float | None = None,
    done: str = "",
) -> tuple[int, int]:
    """Return the first offset that a partition keeps, and the next one that it will assign.

    If a broker does not know the topic yet, or no longer leads it, this retries for *seconds* (null: ``CONNECT_SECONDS``).

    Raises
    ------
    LogUnreachable
        No broker answered, or they refuse the client; *done* says what was finished before.
    """
    patience = CONNECT_SECONDS if seconds is None else seconds
    place, until = TopicPartition(address.topic, partition), time.monotonic() + patience
    while True:
        asked = time.monotonic()
        try:
            low, high = consumer.get_watermark_offsets(place, min(5.0, patience))
        except KafkaException as error:
            if troubles.refused or time.monotonic() > until:
                raise unreachable(address, troubles, error.args[0].str(), done=done) from None
            time.sleep(max(0.0, asked + 0.1 - time.monotonic()))  # an immediate refusal must not make a busy loop
        else:
            return int(low), int(high)


class TopicFacts:
    """The partitions, id and settings of a topic, requested once from the cluster.

    Raises
    ------
    LogUnreachable, TopicMissing, TopicUnfit
        No broker answers, or there is no such topic, or *check* finds a setting that would lose frames.
    """

    def __init__(self, address: KafkaAddress, *, check: bool = True) -> None:
        troubles = Troubles()
        admin = make_client(AdminClient, address, client_settings(address, troubles))
        self.partitions = partitions_of(admin, address, troubles)
        try:
            described = admin.describe_topics(TopicCollection([address.topic]), request_timeout=CONNECT_SECONDS)
            self.topic_id = _hex_id(described[address.topic].result().topic_id)
        except KafkaException as error:
            if error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise TopicMissing(log=str(address)) from None
            raise unreachable(address, troubles, error.args[0].str()) from None
        self.settings = _topic_settings(admin, address)
        policy = self.settings.get("cleanup.policy", "delete")
        if check and policy != "delete":
            raise TopicUnfit(
                log=str(address), setting="cleanup.policy", expected="delete", found=policy,
                why="compaction would remove all but the last frames of a host",
            )  # fmt: skip


def _topic_settings(admin: AdminClient, address: KafkaAddress) -> dict[str, str]:
    """Return the topic's settings; none if the client may not see them."""
    asked = ConfigResource(ResourceType.TOPIC, address.topic)
    try:
        found = admin.describe_configs([asked], request_timeout=CONNECT_SECONDS)[asked].result()
    except KafkaException:
        return {}
    return {name: entry.value for name, entry in found.items() if entry.value is not None}


def _hex_id(topic_id: Any) -> str:
    mask = (1 << 64) - 1
    high, low = topic_id.get_most_significant_bits() & mask, topic_id.get_least_significant_bits() & mask
    return f"{high:016x}{low:016x}"
