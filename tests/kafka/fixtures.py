"""Fixtures: ``kafka`` (any broker), ``kafka_cluster`` (three brokers to do harm to), ``topic`` (a name of one's own).

The processes of one run share their brokers, whoever comes first starts them, and they stop when none of the processes has
tests left that use them (guard.py). One broker is shared at all times; the three belong to one module of tests at a time.
"""

import os
import re
import uuid
from collections.abc import Callable, Container, Iterator
from pathlib import Path
from typing import NoReturn

import pytest
from confluent_kafka import KafkaException

from tests.kafka.client import Kafka
from tests.kafka.cluster import Cluster
from tests.kafka.installation import KafkaMissing
from tests.shared import alone, folder_of_the_run

_held: dict[int, Cluster] = {}
"""The clusters that this process uses, by their number of brokers: from one module to the next, as a broker starts in seconds."""


def held_cluster(folder: Path, brokers: int) -> Cluster:
    """Return the run's cluster of so many brokers, which this process uses until ``leave_clusters``."""
    if brokers not in _held:
        _held[brokers] = shared_cluster(folder, brokers)
    return _held[brokers]


def leave_clusters(wanted: Container[int] = ()) -> None:
    """Use no cluster any more but those of as many brokers as are *wanted*: idle brokers take a tenth of a processor."""
    for brokers in [brokers for brokers in _held if brokers not in wanted]:
        _held.pop(brokers).leave()


def shared_cluster(folder: Path, brokers: int) -> Cluster:
    """Return the run's cluster of so many brokers, started where nobody has, or has any more."""
    with alone(folder / f"kafka-{brokers}.lock"):
        generation = len(list(folder.glob(f"kafka-{brokers}.[0-9]*")))
        if generation:
            cluster = Cluster(folder / f"kafka-{brokers}.{generation}", brokers=brokers, throw_away=True)
            if cluster.attach():
                return cluster
        return Cluster(folder / f"kafka-{brokers}.{generation + 1}", brokers=brokers, throw_away=True).start()


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory, unavailable: Callable[[str, str], NoReturn]) -> Iterator[Kafka]:
    """Return a Kafka to use and not to harm: the one at $PAGETRAIL_KAFKA, else one broker of our own."""
    running = os.environ.get("PAGETRAIL_KAFKA")
    if running:
        elsewhere = Kafka(running)
        try:
            elsewhere.brokers()
        except KafkaException as error:
            pytest.fail(f"no Kafka answers at {running} ($PAGETRAIL_KAFKA): {error}", pytrace=False)
        yield elsewhere
        return
    try:
        cluster = held_cluster(folder_of_the_run(tmp_path_factory), 1)
    except KafkaMissing as error:
        unavailable("kafka", str(error))
    yield cluster.kafka


@pytest.fixture(scope="module")
def three_kafka_brokers(
    tmp_path_factory: pytest.TempPathFactory, unavailable: Callable[[str, str], NoReturn]
) -> Cluster:
    """Return the run's three brokers, which modules of tests have in turn: ask for ``kafka_cluster``."""
    try:
        return held_cluster(folder_of_the_run(tmp_path_factory), 3)
    except KafkaMissing as error:
        unavailable("kafka", str(error))


@pytest.fixture(scope="module")
def kafka_cluster(three_kafka_brokers: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Return three brokers for this module alone: kill, pause, cut. Each test finds all of them up again."""
    with alone(folder_of_the_run(tmp_path_factory) / "kafka-3.one-module"):
        three_kafka_brokers.heal()
        yield three_kafka_brokers
        three_kafka_brokers.heal()


@pytest.fixture(autouse=True)
def kafka_cluster_healed(request: pytest.FixtureRequest) -> Iterator[None]:
    """Bring back what a test killed or paused."""
    cluster = request.getfixturevalue("kafka_cluster") if "kafka_cluster" in request.fixturenames else None
    yield
    if cluster is not None:
        cluster.heal()


@pytest.fixture
def topic(request: pytest.FixtureRequest) -> str:
    """Return the name of a topic that no other test has; it is not created."""
    test = re.sub(r"[^a-zA-Z0-9._-]+", "-", request.node.name)
    return f"{test[:150]}-{uuid.uuid4().hex[:8]}"
