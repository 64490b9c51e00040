"""One round of each fault of a group of replayers; ``python -m tests.faults.kafka`` runs many."""

import random

import pytest

from tests.effort import effort
from tests.faults.kafka.bench import Bench
from tests.faults.kafka.rounds import ROUNDS
from tests.kafka.cluster import Cluster

COUNT = effort(1, 5)


@pytest.fixture(scope="module")
def bench(kafka_cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(kafka_cluster, tmp_path_factory.mktemp("faults"), random.Random())


@pytest.mark.parametrize("fault", ROUNDS)
def test_after_a_fault_the_store_is_that_of_an_undisturbed_replay(bench: Bench, fault: str) -> None:
    for _ in range(COUNT):
        bench.cluster.heal()
        ROUNDS[fault](bench)
