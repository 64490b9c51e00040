"""Topics for tests: one for each place, so that a test, and a process that it starts, mean the same by a folder."""

import os
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path

from confluent_kafka import KafkaError, KafkaException

from pagetrail.schemas.log.address import KafkaAddress, parse_log_address
from tests.kafka.client import Kafka

BROKERS = "PAGETRAIL_TEST_BROKERS"
"""Where the broker of these tests is: set by the fixture, so that a process that a test starts finds it too."""


MakeTopic = Callable[..., KafkaAddress]


def topic_maker(kafka: Kafka, topic: str) -> MakeTopic:
    """Return a function that makes a topic, of settings whose dots are underscores, and returns its address."""

    def make(partitions: int = 1, suffix: str = "", **settings: str) -> KafkaAddress:
        named = {name.replace("_", "."): value for name, value in settings.items()}
        kafka.create_topic(topic + suffix, partitions=partitions, settings=named)
        return parse_log_address(f"kafka://{kafka.bootstrap}/{topic}{suffix}")

    return make


def topic_of(place: Path) -> str:
    """Return the name of the topic that stands for *place*."""
    return "pagetrail-test-" + blake2b(str(place).encode(), digest_size=12).hexdigest()


def address_of(place: Path, *, partitions: int = 1, settings: dict[str, str] | None = None) -> KafkaAddress:
    """Return the address of *place*'s topic, which is made when it is not there."""
    kafka = Kafka(os.environ[BROKERS])
    try:
        kafka.create_topic(topic_of(place), partitions=partitions, settings=settings)
    except KafkaException as error:
        if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
            raise
    return parse_log_address(f"kafka://{kafka.bootstrap}/{topic_of(place)}")
