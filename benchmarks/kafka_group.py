"""Hosts on 8 partitions, replayed by one process and by two: the same digests, and the ratio of their throughputs.

``python -m benchmarks.kafka_group CAPTURE… [--copies N] [--processes N…]``: each capture N times, under other host names, chosen
so that the partitions have as many hosts each: few hosts, placed as the hash of their names falls, would measure the hash.
A broker of its own, or the one at $PAGETRAIL_KAFKA. Times run from the first process's start to the last one's end, imports
and joining the group included, and without them (from when the first frame can be folded: measured by a replay of nothing).
"""

import argparse
import itertools
import os
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

from benchmarks import brokers
from pagetrail import api
from pagetrail.schemas.log.address import parse_log_address
from pagetrail.schemas.log.kafka import partition_of
from tests.kafka.client import Kafka
from tests.replay.states import store

PARTITIONS = 8


def main() -> int:
    """Ingest, replay, compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("captures", nargs="+", type=Path)
    parser.add_argument("--copies", type=int, default=2)
    parser.add_argument("--processes", nargs="+", type=int, default=[1, 2])
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, brokers.kafka() as kafka:
        return _measure(kafka, asked, Path(folder))


def _measure(kafka: Kafka, asked: argparse.Namespace, folder: Path) -> int:
    log = f"kafka://{kafka.bootstrap}/bench-{uuid.uuid4().hex[:8]}"
    kafka.create_topic(log.rpartition("/")[2], partitions=PARTITIONS)
    events = 0
    captures = asked.captures * asked.copies
    for number, capture in enumerate(captures):
        name = _host(f"{capture.name}-{number // PARTITIONS}", number % PARTITIONS)
        report = api.ingest(folder, capture, host=name, boot_id=f"{name}-{number}", log=parse_log_address(log))
        events += report.events
    print(f"{len(captures)} hosts, {events:,} events, {PARTITIONS} partitions", flush=True)
    nothing = _seconds(folder, log, 1, _replay(folder, log, 1)[1])
    rates, stores = {}, []
    for count in asked.processes:
        took, trail = _replay(folder, log, count)
        rates[count] = events / max(took - nothing, 1e-9)
        stores.append(store(trail))
        print(
            f"{count} processes: {took:.1f} s, {nothing:.1f} s of it to begin; {rates[count]:,.0f} events/s", flush=True
        )
    for name in sorted({name for found in stores for name in found}):
        if len({found.get(name) for found in stores}) > 1:
            print(f"differs: {name}: {[found.get(name) for found in stores]}")
    same = all(found == stores[0] for found in stores)
    first = asked.processes[0]
    ratios = ", ".join(f"{count}: {rate / rates[first]:.2f}" for count, rate in rates.items())
    print(
        f"digests {'the same' if same else 'DIFFER'}; throughput to that of {first}: {ratios}; load {os.getloadavg()}"
    )
    return 0 if same else 1


def _host(name: str, partition: int) -> str:
    """Return a host name that hashes to *partition*."""
    named = (f"{name}-{number}" for number in itertools.count())
    return next(host for host in named if partition_of(host, PARTITIONS) == partition)


def _replay(folder: Path, log: str, count: int) -> tuple[float, Path]:
    trail = folder / uuid.uuid4().hex[:8]
    return _seconds(folder, log, count, trail), trail


def _seconds(folder: Path, log: str, count: int, trail: Path) -> float:
    """Return how long so many members of a new group take to replay to the end."""
    command = [sys.executable, "-m", "pagetrail", "replay", "--log", log, "--trail", str(trail)]
    command += ["--group", uuid.uuid4().hex]
    began = time.monotonic()
    members = [subprocess.Popen(command, stderr=subprocess.DEVNULL) for _ in range(count)]
    if any(member.wait() for member in members):
        raise SystemExit(f"a replay failed; see 'pagetrail replay --log {log} --trail {folder}'")
    return time.monotonic() - began


if __name__ == "__main__":
    sys.exit(main())
