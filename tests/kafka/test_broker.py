"""One broker: what it acknowledged outlives it, and it does not outlive those for whom it runs."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY, Unavailable
from tests.kafka.client import Kafka, wait_for
from tests.kafka.cluster import Cluster
from tests.kafka.fixtures import shared_cluster
from tests.kafka.installation import KafkaMissing
from tests.kafka.records import acknowledged, all_records

USE_AND_WAIT = """
import sys
from pathlib import Path
from tests.kafka.fixtures import shared_cluster
used = shared_cluster(Path(sys.argv[1]), 1)  # for as long as there is a reference to it
print(used.bootstrap, flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def own_broker(unavailable: Unavailable) -> Iterator[Cluster]:
    """Return a broker that nobody else uses."""
    try:
        with Cluster(brokers=1) as cluster:
            yield cluster
    except KafkaMissing as error:
        unavailable("kafka", str(error))


def user(folder: Path) -> "subprocess.Popen[str]":
    """Start a process that uses the broker of *folder* until its input ends."""
    return subprocess.Popen(
        [sys.executable, "-c", USE_AND_WAIT, folder],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_what_was_acknowledged_can_be_read(kafka: Kafka, topic: str) -> None:
    kafka.create_topic(topic, partitions=2)
    sent = acknowledged(kafka.bootstrap, topic, 100)
    assert all_records(kafka.bootstrap, topic) == sent


def test_what_was_acknowledged_survives_a_kill(own_broker: Cluster, topic: str) -> None:
    own_broker.kafka.create_topic(topic, partitions=2)
    sent = acknowledged(own_broker.bootstrap, topic, 100)
    own_broker.kill(1)
    assert own_broker.running() == []
    own_broker.restart(1)
    assert all_records(own_broker.bootstrap, topic) == sent


def test_a_paused_broker_goes_on(own_broker: Cluster, topic: str) -> None:
    own_broker.kafka.create_topic(topic)
    own_broker.pause(1)
    assert own_broker.nodes[0].is_paused()
    own_broker.resume(1)
    assert acknowledged(own_broker.bootstrap, topic, 1) == all_records(own_broker.bootstrap, topic)


def test_records_before_an_offset_go_when_told_to(own_broker: Cluster, topic: str) -> None:
    own_broker.kafka.create_topic(topic)
    acknowledged(own_broker.bootstrap, topic, 100)
    own_broker.kafka.delete_records(topic, 0, 90)
    assert all_records(own_broker.bootstrap, topic) == {str(number).encode() for number in range(90, 100)}


def test_retention_takes_records_away_while_one_waits(own_broker: Cluster, topic: str) -> None:
    settings = {"retention.ms": "100", "segment.bytes": str(1 << 20), "file.delete.delay.ms": "0"}
    own_broker.kafka.create_topic(topic, settings=settings)
    acknowledged(own_broker.bootstrap, topic, 100)
    wait_for(lambda: all_records(own_broker.bootstrap, topic) == set(), "nothing left")


def test_a_broker_runs_as_long_as_any_process_uses_it_and_who_comes_later_gets_another(
    tmp_path: Path, own_broker: Cluster
) -> None:
    with user(tmp_path) as first:
        assert first.stdout is not None
        bootstrap = first.stdout.readline().strip()
        with user(tmp_path) as second:
            assert second.stdout is not None
            assert second.stdout.readline().strip() == bootstrap
            first.kill()  # the one that started it
            first.wait()
            assert Kafka(bootstrap).brokers() == [1]
            (seen,) = tmp_path.glob("kafka-1.[0-9]*/broker-1/pid")
            second.kill()
            second.wait()
    wait_for(lambda: not seen.exists(), "the broker's end")
    wait_for(lambda: not (seen.parent / "data").exists(), "its data removed")
    later = shared_cluster(tmp_path, 1)
    try:
        assert later.bootstrap != bootstrap
        assert later.kafka.brokers() == [1]
    finally:
        later.stop()
