"""A running Kafka as tests see it: where it is, and what they ask of its topics."""

import time
from collections.abc import Callable, Mapping
from functools import cached_property, partial
from typing import Final

from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic, TopicMetadata

REQUEST_SECONDS: Final = 15.0
WAIT_SECONDS: Final = 60.0
ADMIN_SETTINGS: Final = {"socket.timeout.ms": 3_000, "reconnect.backoff.ms": 50, "reconnect.backoff.max.ms": 500}


class Kafka:
    """A Kafka that runs somewhere, by its bootstrap servers."""

    def __init__(self, bootstrap: str) -> None:
        self.bootstrap = bootstrap

    @cached_property
    def admin(self) -> AdminClient:
        """Return a client for administration that keeps quiet: a broker that is down is no news here."""
        return AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0} | ADMIN_SETTINGS)

    def brokers(self, seconds: float = REQUEST_SECONDS) -> list[int]:
        """Return the ids of the brokers that are there."""
        return sorted(self.admin.list_topics(timeout=seconds).brokers)

    def create_topic(
        self,
        name: str,
        *,
        partitions: int = 1,
        replication: int | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        """Create a topic, and wait until every broker knows it and a leader for each of its partitions."""
        topic = NewTopic(name, partitions, -1 if replication is None else replication, config=dict(settings or {}))
        self.admin.create_topics([topic])[name].result(REQUEST_SECONDS)
        for broker in self.admin.list_topics(timeout=REQUEST_SECONDS).brokers.values():
            one = Kafka(f"{broker.host}:{broker.port}")  # a new client asks whom it knows
            wait_for(partial(one.is_led, name, partitions), f"a leader for each partition of {name}")

    def delete_topic(self, name: str) -> None:
        """Delete a topic."""
        self.admin.delete_topics([name])[name].result(REQUEST_SECONDS)

    def describe(self, topic: str) -> TopicMetadata:
        """Return what a broker knows of *topic*: partitions with leader, replicas and isrs.

        Any broker answers this. What librdkafka's ``describe_topics`` asks goes to the one that it takes for the
        controller, and while that one is down it waits for it, busily.
        """
        found = self.admin.list_topics(topic, timeout=REQUEST_SECONDS).topics[topic]
        if found.error is not None and found.error.code() != KafkaError.LEADER_NOT_AVAILABLE:
            raise KafkaException(found.error)
        return found

    def leader(self, topic: str, partition: int = 0) -> int | None:
        """Return the id of the broker that leads a partition; None while there is none."""
        leader = self.describe(topic).partitions[partition].leader
        return None if leader < 0 else int(leader)

    def is_led(self, topic: str, partitions: int) -> bool:
        """Say whether *topic* has all of its partitions, and a leader for each."""
        found = self.describe(topic).partitions.values()
        return len(found) == partitions and all(one.leader >= 0 for one in found)

    def wait_until_in_sync(self, topic: str, seconds: float = WAIT_SECONDS) -> None:
        """Wait until every partition of *topic* has a leader and all of its replicas are in sync."""
        wait_for(lambda: self._in_sync(topic), f"all replicas of {topic} in sync", seconds)

    def wait_for_leader(self, topic: str, partition: int = 0, *, other_than: int, seconds: float = WAIT_SECONDS) -> int:
        """Wait until a broker *other_than* the given one leads a partition, and return its id."""
        seen: list[int | None] = []  # a second look may be at another broker, which does not know it yet

        def another() -> bool:
            seen.append(self.leader(topic, partition))
            return seen[-1] not in (None, other_than)

        wait_for(another, f"another leader of {topic}[{partition}] than broker {other_than}", seconds)
        leader = seen[-1]
        assert leader is not None
        return leader

    def delete_records(self, topic: str, partition: int, before: int) -> None:
        """Delete what lies before an offset, as retention does."""
        where = TopicPartition(topic, partition, before)
        self.admin.delete_records([where])[where].result(REQUEST_SECONDS)

    def _in_sync(self, topic: str) -> bool:
        found = self.describe(topic).partitions.values()
        return bool(found) and all(one.leader >= 0 and len(one.isrs) == len(one.replicas) for one in found)


def wait_for(happened: Callable[[], bool], what: str, seconds: float = WAIT_SECONDS) -> None:
    """Ask until *happened*; a Kafka that cannot answer now is asked again.

    Raises
    ------
    TimeoutError
        When the time is over; the message says *what* did not happen.
    """
    deadline = time.monotonic() + seconds
    trouble = ""
    while True:
        try:
            if happened():
                return
            trouble = ""
        except KafkaException as error:
            trouble = f" (the last answer: {error})"
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds:.0f} s in vain for {what}{trouble}")
        time.sleep(0.05)
