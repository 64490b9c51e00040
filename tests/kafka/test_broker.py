"""One broker: what it acknowledged outlives it."""

from tests.kafka.client import Kafka
from tests.kafka.records import acknowledged, all_records


def test_a_record_that_was_acknowledged_can_be_read(kafka: Kafka, topic: str) -> None:
    kafka.create_topic(topic, partitions=2)
    sent = acknowledged(kafka.bootstrap, topic, 100)
    assert all_records(kafka.bootstrap, topic) == sent
