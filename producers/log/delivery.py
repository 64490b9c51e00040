"""Messages to a topic, in order, each counted when it is acknowledged. After an error, the topic holds the first of them."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from pagetrail.schemas.errors import LogUnreachable
from pagetrail.schemas.log.address import DELIVERY_SETTINGS, KafkaAddress
from pagetrail.schemas.log.kafka import (
    MESSAGE_OVERHEAD,
    TopicFacts,
    Troubles,
    client_settings,
    make_client,
    offset_of,
    partition_of,
    unreachable,
)

PATIENCE_SECONDS: Final = 60.0
"""A delivery gives up after so long without any acknowledgement."""

_DEFAULT_MESSAGE_BYTES: Final = 1_000_000  # librdkafka's own, where the topic does not say
_MAX_MESSAGE_BYTES: Final = 1_000_000_000  # librdkafka takes no more

Headers = list[tuple[str, str | bytes | None]]


@dataclass(slots=True)
class _Account:
    """What was sent since the last ``settle``: outcomes come in the order of acknowledgement."""

    sent: int = 0
    acknowledged: int = 0
    failed: list[str] = field(default_factory=list)
    error: KafkaError | None = None
    moved: float = field(default_factory=time.monotonic)


class Delivery:
    """Sends messages to the partition of their host.

    The producer is idempotent and waits for all in-sync replicas, and never gives up on one message to go on with the next. After
    an error it sends nothing more.

    Parameters
    ----------
    what
        What messages are called in errors: "frames".
    seconds
        How long to wait without an acknowledgement; ``message.timeout.ms`` of the settings comes first.
    """

    def __init__(self, address: KafkaAddress, *, what: str, seconds: float = PATIENCE_SECONDS) -> None:
        self._address, self._what, self._troubles = address, what, Troubles()
        facts = TopicFacts(address)
        self.partitions = facts.partitions
        self._message_bytes = int(facts.settings.get("max.message.bytes", _DEFAULT_MESSAGE_BYTES))
        given = (address.settings.get(name) for name in DELIVERY_SETTINGS)
        self._patience = next((int(text) / 1000 for text in given if text is not None and int(text) > 0), seconds)
        self._producer: Producer | None = make_client(Producer, address, self._settings())
        self._account = _Account()
        self.acknowledged = 0

    def room(self, texts: int) -> int:
        """Return the bytes that a message may hold beside a key and headers of *texts* bytes."""
        return self._message_bytes - MESSAGE_OVERHEAD - texts

    def send(self, host: str, value: bytes, headers: Headers, *, name: str, then: Callable[[int], None]) -> None:
        """Send a message when librdkafka's queue has room for it; *then* is called with its offset when it is acknowledged.

        Raises
        ------
        LogUnreachable
            One of those that were sent before was not acknowledged in time, or is not taken.
        """
        producer, account = self._alive(), self._account
        if account.acknowledged == account.sent:
            account.moved = time.monotonic()  # nothing is under way: what took its time was not the brokers
        on_delivery = self._on_delivery(name, then)
        partition = partition_of(host, self.partitions)
        while True:
            try:
                producer.produce(
                    self._address.topic,
                    value,
                    host.encode(),
                    partition=partition,
                    headers=headers,
                    on_delivery=on_delivery,
                )
            except BufferError:  # the queue is full: wait for acknowledgements
                self._wait()
            except KafkaException as error:
                account.error = error.args[0]
                raise self._stopped() from None
            else:
                account.sent += 1
                producer.poll(0)
                return

    def settle(self) -> None:
        """Return when all that was sent is acknowledged.

        Raises
        ------
        LogUnreachable
            Not all of it was, in time. A beginning of it is in the topic.
        """
        account = self._account
        while account.acknowledged + len(account.failed) < account.sent:
            self._wait()
        if account.error is not None:
            raise self._stopped()
        self._account = _Account()

    def alive(self) -> bool:
        """Return whether it can send: it has not given up, and is not closed."""
        return self._producer is not None

    def close(self) -> None:
        """Let nothing more leave: what is in flight stays a beginning of what was to be sent."""
        if self._producer is not None:
            self._producer.purge(in_queue=True, in_flight=False)
            self._producer = None

    # -- within ----------------------------------------------------------------------------------------------------------

    def _settings(self) -> dict[str, Any]:
        return client_settings(self._address, self._troubles) | {
            "acks": "all",
            "enable.idempotence": True,
            "enable.gapless.guarantee": True,  # a message that fails fails all after it
            "message.timeout.ms": 0,  # … and none is dropped for its age: we wait, and then stop as a whole
            "compression.type": "none",  # what we send is zstd already
            "message.max.bytes": min(self._message_bytes, _MAX_MESSAGE_BYTES),
        }

    def _on_delivery(self, name: str, then: Callable[[int], None]) -> Callable[[KafkaError | None, Message], None]:
        account = self._account

        def delivered(error: KafkaError | None, message: Message) -> None:
            account.moved = time.monotonic()
            if error is None:
                account.acknowledged += 1
                self.acknowledged += 1
                then(offset_of(message))
                return
            account.error = account.error or error
            account.failed.append(f"{name}: {error.str()}")

        return delivered

    def _wait(self) -> None:
        """Serve acknowledgements; stop the producer when none came for too long, or we are refused."""
        account = self._account
        try:
            self._alive().poll(0.1)
        except KafkaException as error:  # a fatal one: the producer cannot go on
            account.error = error.args[0]
        if account.error is not None or self._troubles.refused or time.monotonic() - account.moved > self._patience:
            raise self._stopped()

    def _alive(self) -> Producer:
        if self._producer is None:
            raise ValueError("this producer has stopped: what it was about to send is not known to be in the topic")
        return self._producer

    def _stopped(self) -> LogUnreachable:
        """Give up: nothing more leaves this producer. Say what of it is sure."""
        account = self._account
        reason = account.error.str() if account.error is not None else f"no acknowledgement for {self._patience:g} s"
        self.close()
        each = "".join(f"{line}; " for line in account.failed[:3])
        done = (
            f"{self.acknowledged} {self._what} were acknowledged by this run, and the same command goes on after them; "
            f"of the {account.sent} that were sent last, {account.sent - account.acknowledged} were not: {each}"
        )
        return unreachable(self._address, self._troubles, reason, done=done)
