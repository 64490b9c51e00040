"""The broker of a benchmark: the one at $PAGETRAIL_KAFKA, else one of its own that goes with it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from tests.kafka.client import Kafka
from tests.kafka.cluster import Cluster


@contextmanager
def kafka() -> Iterator[Kafka]:
    """Give a Kafka to measure on.

    Raises
    ------
    KafkaMissing
        There is none at $PAGETRAIL_KAFKA, and none can be had.
    """
    running = os.environ.get("PAGETRAIL_KAFKA")
    if running:
        yield Kafka(running)
        return
    with Cluster(brokers=1, fast=True) as cluster:
        yield cluster.kafka
