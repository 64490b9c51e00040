"""``make kafka``: brokers on loopback until Ctrl-C. One that runs already ($PAGETRAIL_KAFKA) is named, not started."""

import argparse
import os
import signal
import sys
import threading
from pathlib import Path
from typing import NoReturn

from confluent_kafka import KafkaException

from tests.kafka.client import Kafka
from tests.kafka.cluster import Cluster
from tests.kafka.installation import KafkaFailed, KafkaMissing, kafka_version

LOOK_SECONDS = 1.0
ANSWER_SECONDS = 5.0


def main() -> int:
    """Start what was asked for, say where it is, and stay until asked to stop."""
    parser = argparse.ArgumentParser(prog="make kafka", description=__doc__)
    parser.add_argument("--brokers", type=int, default=1, help="1 or 3 (BROKERS=3)")
    parser.add_argument("--port", type=int, default=9092, help="of the first broker, the others' follow (PORT=9092)")
    parser.add_argument("--data", type=Path, help="a folder that keeps the data; else it is temporary (DATA=DIR)")
    asked = parser.parse_args()
    running = os.environ.get("PAGETRAIL_KAFKA")
    if running:
        return _name(running)
    signal.signal(signal.SIGTERM, _interrupt)
    cluster = Cluster(asked.data, brokers=asked.brokers, first_port=asked.port)
    try:
        print(f"starting Kafka {kafka_version()} ...", file=sys.stderr)
        with cluster:
            _announce(cluster)
            return _stay(cluster)
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 0
    except (KafkaMissing, KafkaFailed, OSError) as error:
        print(f"make kafka: {error}", file=sys.stderr)
        return 1


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def _name(running: str) -> int:
    try:
        brokers = Kafka(running).brokers(ANSWER_SECONDS)
    except KafkaException as error:
        print(f"make kafka: no Kafka answers at {running} ($PAGETRAIL_KAFKA): {error}", file=sys.stderr)
        return 1
    print(f"a Kafka of {len(brokers)} runs already ($PAGETRAIL_KAFKA), and is not stopped from here", file=sys.stderr)
    print(running)
    return 0


def _announce(cluster: Cluster) -> None:
    """Print the address to stdout, all else to stderr."""
    for node in cluster.nodes:
        print(f"broker {node.id}: {node.address}, pid {node.pid()}, log {node.log}", file=sys.stderr)
    kept = "goes when it stops" if cluster.throw_away else f"stays in {cluster.root}"
    print(f"data {kept}; Ctrl-C stops it. Bootstrap servers:", file=sys.stderr)
    print(cluster.bootstrap, flush=True)


def _stay(cluster: Cluster) -> int:
    """Wait for Ctrl-C; say so when a broker ends on its own, and give up with the last of them."""
    there = cluster.nodes
    while there:
        threading.Event().wait(LOOK_SECONDS)
        for node in [node for node in there if node.pid() is None]:
            print(f"broker {node.id} ended. The end of its log:\n{node.tail()}", file=sys.stderr)
        there = [node for node in there if node.pid() is not None]
    return 1


if __name__ == "__main__":
    sys.exit(main())
