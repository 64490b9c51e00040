"""Records for tests of brokers: sent and acknowledged, read until the end."""

from collections.abc import Iterable

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

QUICK_AND_QUIET = {"log_level": 0, "reconnect.backoff.ms": 50, "reconnect.backoff.max.ms": 500}


def producer(bootstrap: str, **settings: object) -> Producer:
    """Return an idempotent producer that wants every acknowledgement."""
    return Producer(
        {"bootstrap.servers": bootstrap, "enable.idempotence": True, "acks": "all"} | QUICK_AND_QUIET | settings
    )


def acknowledged(bootstrap: str, topic: str, count: int, *, first: int = 0) -> set[bytes]:
    """Send *count* numbered records to all partitions, and return those that were acknowledged: all, or this fails."""
    sender = producer(bootstrap)
    acked: set[bytes] = set()
    failed: list[KafkaError] = []

    def delivered(error: KafkaError | None, message: Message) -> None:
        if error is None:
            acked.add(message.value())
        else:
            failed.append(error)

    for number in range(first, first + count):
        sender.produce(topic, key=str(number), value=str(number).encode(), on_delivery=delivered)
    assert sender.flush(60) == 0
    assert failed == []
    return acked


def all_records(bootstrap: str, topic: str) -> set[bytes]:
    """Read all partitions up to where they end now; each record once."""
    reader = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "unused",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
        }
        | QUICK_AND_QUIET
    )
    try:
        partitions = reader.list_topics(topic, timeout=15).topics[topic].partitions
        reader.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in partitions])
        found = list(_until_the_end(reader, len(partitions)))
    finally:
        reader.close()
    assert len(found) == len(set(found)), "a record came twice"
    return set(found)


def _until_the_end(reader: Consumer, partitions: int) -> Iterable[bytes]:
    ended: set[int] = set()
    while len(ended) < partitions:
        message = reader.poll(60)
        assert message is not None, "nothing came for a minute"
        error = message.error()
        if error is None:
            yield message.value()
        elif error.code() == KafkaError._PARTITION_EOF:
            ended.add(message.partition())
        else:
            raise KafkaException(error)
