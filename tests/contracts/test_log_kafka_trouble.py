"""Brokers that are gone, silent or refuse us: a clear error within a bounded time, and what was acknowledged is said and stays."""

import dataclasses
import re
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from pagetrail.producers.log.sink_kafka import KafkaLimits, KafkaLogWriter
from pagetrail.replay.log.kafka import KafkaLogReader, ReadLimits
from pagetrail.schemas.errors import LogUnreachable
from pagetrail.schemas.frames import Frame
from pagetrail.schemas.log import kafka as log_kafka
from pagetrail.schemas.log.address import KafkaAddress, parse_log_address
from tests.contracts.backends import a_frame
from tests.contracts.test_log_kafka import from_low
from tests.kafka.client import Kafka, wait_for
from tests.kafka.cluster import Cluster

ENDS = [KafkaLogReader, KafkaLogWriter]


@contextmanager
def within(seconds: float) -> Iterator[None]:
    before = time.monotonic()
    yield
    assert time.monotonic() - before < seconds


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait 2 s for brokers, and not 15."""
    monkeypatch.setattr(log_kafka, "CONNECT_SECONDS", 2.0)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("end", ENDS)
def test_brokers_that_are_not_there_are_said_to_be_unreachable(end: Callable[[KafkaAddress], object]) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        port = nobody.getsockname()[1]
        with within(10), pytest.raises(LogUnreachable, match="Connection refused"):
            end(parse_log_address(f"kafka://127.0.0.1:{port}/t"))


@pytest.mark.usefixtures("impatient")
def test_brokers_that_say_nothing_are_said_to_be_unreachable() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(16)
        with within(15), pytest.raises(LogUnreachable):
            KafkaLogReader(parse_log_address(f"kafka://127.0.0.1:{silent.getsockname()[1]}/t"))


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"security.protocol": "SSL"}, "SSL handshake failed"),
        (
            {
                "security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "PLAIN",
                "sasl.username": "SECRET-NAME", "sasl.password": "SECRET-WORD",
            },
            "SASL",
        ),
    ],
)  # fmt: skip
def test_the_wrong_security_is_said_at_once_and_no_secret_with_it(
    kafka: Kafka, topic: str, end: Callable[[KafkaAddress], object], settings: dict[str, str], told: str
) -> None:
    kafka.create_topic(topic)
    address = dataclasses.replace(parse_log_address(f"kafka://{kafka.bootstrap}/{topic}"), settings=settings)
    with within(10), pytest.raises(LogUnreachable, match=told) as error:
        end(address)
    assert "SECRET" not in str(error.value) + repr(address) + str(address)


def test_an_append_without_an_answer_says_what_was_acknowledged_and_is_made_good_by_a_re_run(
    kafka_cluster: Cluster, topic: str
) -> None:
    kafka_cluster.kafka.create_topic(topic, replication=1)
    address = parse_log_address(f"kafka://{kafka_cluster.bootstrap}/{topic}")
    frames = [a_frame("r", number) for number in range(30)]
    leader = kafka_cluster.kafka.leader(topic)
    assert leader is not None
    with KafkaLogWriter(address, KafkaLimits(seconds=3.0)) as writer:
        writer.append(frames[:10])
        kafka_cluster.pause(leader)
        with within(30), pytest.raises(LogUnreachable, match="10 frames were acknowledged by this run") as told:
            writer.append(frames[10:])
        assert re.search(r"of the 20 that were sent last, 20 were not", str(told.value))
        with pytest.raises(ValueError, match="this writer has stopped"):
            writer.append(frames[10:])
    kafka_cluster.resume(leader)
    kafka_cluster.kafka.wait_until_in_sync(topic)  # it was missed, and has to come back into the cluster first
    wait_for(lambda: appended(address, frames), "the same frames appended by a run that finds the leader")
    with KafkaLogReader(address) as reader:
        numbers = [record.header.frame for record in from_low(reader, 0)]
    assert list(dict.fromkeys(numbers)) == list(range(30))


def appended(address: KafkaAddress, frames: list[Frame]) -> bool:
    """Append *frames* in a run of its own; False where it found no leader yet, and says to run it again."""
    try:
        with KafkaLogWriter(address) as writer:
            writer.append(frames)
    except LogUnreachable:
        return False
    return True


def test_a_read_that_brokers_do_not_answer_says_so(kafka_cluster: Cluster, topic: str) -> None:
    kafka_cluster.kafka.create_topic(topic, replication=1)
    address = parse_log_address(f"kafka://{kafka_cluster.bootstrap}/{topic}")
    leader = kafka_cluster.kafka.leader(topic)
    assert leader is not None
    with KafkaLogReader(address, ReadLimits(seconds=3.0)) as reader:
        assert reader.read(0, 0) == []
        kafka_cluster.pause(leader)
        with within(60), pytest.raises(LogUnreachable):
            reader.read(0, 0)
    kafka_cluster.resume(leader)


def test_frames_that_were_acknowledged_outlive_the_leader(kafka_cluster: Cluster, topic: str) -> None:
    kafka_cluster.kafka.create_topic(topic, replication=3, settings={"min.insync.replicas": "2"})
    address = parse_log_address(f"kafka://{kafka_cluster.bootstrap}/{topic}")
    leader = kafka_cluster.kafka.leader(topic)
    assert leader is not None
    with KafkaLogWriter(address) as writer:
        writer.append([a_frame("r", number) for number in range(10)])
        kafka_cluster.kill(leader)
        writer.append([a_frame("r", number) for number in range(10, 20)])
    with KafkaLogReader(address) as reader:
        assert [record.header.frame for record in from_low(reader, 0)] == list(range(20))
