"""How the log lies on Apache Kafka: a topic's messages, their keys and headers, and what both ends say to the brokers.

A message is a frame. Its key is the host (UTF-8): murmur2 of it says the partition, as Kafka's Java clients do it, so all
frames of a host stand in one partition, in the order they were acknowledged. Its headers:

- ``pagetrail.digest``: the BLAKE2b-256 of the value, 32 bytes;
- ``pagetrail.boot_id``: so that a frame that cannot be read is known to be of one stream.

A frame that is larger than the topic takes goes as the halves of its events, and their halves, each a whole frame of the same
number. The number of partitions never changes: another one would move hosts, and tear their order.
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
"""Bytes of a record batch beside the texts in its one message: 61 of the batch's head, the rest lengths and names, rounded up."""

CONNECT_SECONDS: Final = 15.0
"""How long brokers may take to answer at all."""

READ_SETTINGS: Final[dict[str, Any]] = {
    "group.id": "pagetrail-reads",  # a consumer has to have one; ours is never joined
    "enable.auto.commit": False,
    "enable.partition.eof": True,
    "auto.offset.reset": "error",  # an offset that is not there is a loss, and not another place to go on from
    "fetch.wait.max.ms": 50,  # a question about watermarks waits behind a fetch
    "fetch.max.bytes": 64 << 20,
    "max.partition.fetch.bytes": 16 << 20,
    "queued.max.messages.kbytes": 64 << 10,
    "fetch.queue.backoff.ms": 5,  # by default a full queue stops fetching for a whole second
}
"""What a consumer of ours says, beside ``client_settings``: it reads by offsets that it is told, in large fetches."""

_REFUSED: Final = (
    KafkaError._AUTHENTICATION,  # librdkafka's own errors are named so
    KafkaError._SSL,
    KafkaError.SASL_AUTHENTICATION_FAILED,
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
)
_FIRST_WORD: Final = "in state APIVERSION_QUERY"
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
    """Return the partition of *host* in a topic of so many: what a Java producer chooses for this key."""
    return (murmur2(host.encode()) & 0x7FFFFFFF) % partitions


def offset_of(message: Message) -> int:
    """Return the offset of a message that was delivered or fetched, or at which a partition ended."""
    offset = message.offset()
    if offset is None:
        raise ValueError("a message that stands nowhere")
    return offset


class Troubles:
    """What librdkafka says of the brokers between calls. Given to a client as its ``error_cb``, and its log with ``logger``."""

    def __init__(self) -> None:
        self.refused: str | None = None
        self.last: str | None = None
        self.fatal: str | None = None
        self.hung_up: str | None = None
        self.logger = logging.Logger(_LOGGER.name, logging.INFO)
        self.logger.parent = _LOGGER
        self.logger.addFilter(self._hear)

    def _hear(self, record: logging.LogRecord) -> bool:
        """Take note of what librdkafka only logs: a broker that expects TLS hangs up at the first word, and says nothing."""
        if _FIRST_WORD in record.getMessage():
            self.hung_up = "it hangs up at the first request, as a broker does that expects TLS (security.protocol)"
        return _LOGGER.isEnabledFor(record.levelno)

    def __call__(self, error: KafkaError) -> None:
        """Take note of *error*; the first that is final counts."""
        text = str(error.str())
        if error.code() in _REFUSED or any(hint in text for hint in _HINTS):
            self.refused = self.refused or text
        if error.fatal():
            self.fatal = self.fatal or text
        if error.code() != KafkaError._ALL_BROKERS_DOWN:  # says less than what came before it
            self.last = text


def client_settings(address: KafkaAddress, troubles: Troubles) -> dict[str, Any]:
    """Return what every client of ours says: the operator's settings, and our own beside them."""
    given = {name: value for name, value in address.settings.items() if name not in DELIVERY_SETTINGS}
    return given | {
        "bootstrap.servers": ",".join(address.brokers),
        "client.id": "pagetrail",
        "error_cb": troubles,
        "logger": troubles.logger,  # errors are raised, with what to do, and not printed by a thread
    }


def make_client(make: Callable[[dict[str, Any]], _C], address: KafkaAddress, settings: Mapping[str, Any]) -> _C:
    """Return a client of librdkafka's; settings that it does not take are an argument that means nothing."""
    try:
        return make(dict(settings))
    except (KafkaException, ValueError, TypeError) as error:
        said = error.args[0].str() if isinstance(error, KafkaException) else str(error)
        raise BadArgument(
            f"--kafka-config: {address.without_secrets(said)}; see librdkafka's CONFIGURATION.md"
        ) from None


def unreachable(
    address: KafkaAddress, troubles: Troubles, said: str = "no answer", *, done: str = ""
) -> LogUnreachable:
    """Return the error that says why the brokers cannot be used, and what was *done* before."""
    reason = troubles.refused or troubles.fatal or troubles.last or troubles.hung_up or said
    return LogUnreachable(log=str(address), reason=address.without_secrets(reason), done=done)


def wait_for_brokers(client: Any, address: KafkaAddress, troubles: Troubles) -> int:
    """Return how many brokers the cluster has, as soon as one answers.

    Raises
    ------
    LogUnreachable
        None did, or they refuse us.
    """
    until = time.monotonic() + CONNECT_SECONDS
    while True:
        try:
            return len(client.list_topics(timeout=1.0).brokers)
        except KafkaException as error:
            client.poll(0)  # what went wrong is told through the error callback
            if troubles.refused or time.monotonic() > until:
                raise unreachable(address, troubles, error.args[0].str()) from None


def partitions_of(client: Any, address: KafkaAddress, troubles: Troubles) -> int:
    """Return how many partitions the topic has.

    Raises
    ------
    LogUnreachable
        No broker answered, or they refuse us.
    TopicMissing
        There is no such topic, or we may not see it.
    """
    until = time.monotonic() + CONNECT_SECONDS
    while True:
        try:
            found = client.list_topics(address.topic, timeout=1.0).topics[address.topic]
        except KafkaException as error:
            client.poll(0)  # what went wrong is told through the error callback
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
    """Return the first offset that a partition keeps, and the next one it will give.

    A broker that does not know the topic yet, or leads it no more, is asked again for *seconds* (null: ``CONNECT_SECONDS``).

    Raises
    ------
    LogUnreachable
        None answered, or they refuse us; *done* says what was done before.
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
            time.sleep(max(0.0, asked + 0.1 - time.monotonic()))  # what is refused at once is not asked in a busy loop
        else:
            return int(low), int(high)


class TopicFacts:
    """What the cluster says of a topic, asked once: its id, its settings.

    Raises
    ------
    LogUnreachable, TopicMissing, TopicUnfit
        Nobody answers, or there is no such topic, or *check* finds a setting that would lose frames.
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
    """Return the topic's settings; none, where we may not see them."""
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
