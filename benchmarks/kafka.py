"""Events a second from a topic to sealed segments, beside a bare consumer of the same bytes, and the embedded log: ``make bench``.

Recordings (the demo's, or those named as arguments) go into a topic of one partition and into a trail, under several host names.
Each round reads or replays all of them, in turns; the best of three counts, after one that compiles. Threads of librdkafka and of
DuckDB work beside ours, so the time is the wall's. A broker of its own, or the one at $PAGETRAIL_KAFKA; without Java it says so.
"""

import argparse
import os
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from confluent_kafka import Consumer, TopicPartition

from benchmarks import brokers
from pagetrail import api
from pagetrail.producers.log.ingest import ingest, origin_of
from pagetrail.producers.log.sink_kafka import KafkaLogWriter
from pagetrail.producers.log.sink_sqlite import SqliteLogWriter
from pagetrail.producers.recordings import open_recording
from pagetrail.replay.log.kafka import KafkaLogReader
from pagetrail.schemas.log.address import KafkaAddress, parse_log_address
from tests.kafka.client import Kafka
from tests.kafka.installation import KafkaMissing
from tests.replay.states import store

DEMO = Path(__file__).parents[1] / "pagetrail" / "demo_data" / "host-b"
ROUNDS = 3
PATIENCE = 30.0


def main() -> int:
    """Fill both logs, then measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("captures", nargs="*", type=Path, default=[DEMO])
    parser.add_argument("--copies", type=int, default=4, help="hosts that each recording is given to")
    asked = parser.parse_args()
    try:
        with brokers.kafka() as kafka, tempfile.TemporaryDirectory() as folder:
            return _measure(kafka, asked.captures, asked.copies, Path(folder))
    except KafkaMissing as missing:
        print(f"not measured: {missing}")
        return 0


def _measure(kafka: Kafka, captures: list[Path], copies: int, folder: Path) -> int:
    topic, trail, events = f"bench-{uuid.uuid4().hex[:8]}", folder / "embedded", 0
    trail.mkdir()
    kafka.create_topic(topic)
    log = parse_log_address(f"kafka://{kafka.bootstrap}/{topic}")
    for capture in captures:
        for copy in range(copies):
            name = f"{capture.name}-{copy}"
            for make in (lambda: KafkaLogWriter(log), lambda: SqliteLogWriter(trail)):
                recording = open_recording(capture, host=name, boot_id=name)
                origin = replace(
                    origin_of(recording, producer_version="0"), recording=name
                )  # a copy is another recording
                with make() as writer:  # type: ignore[attr-defined]
                    report = ingest(recording, origin, writer)
            events += report.events
    size = _bare(log)
    print(f"{len(captures) * copies} hosts, {events:,} events, {size / 1e6:.1f} MB in one partition", flush=True)
    stores: dict[str, dict[str, str]] = {}
    best = _best({
        "a bare consumer": lambda: _bare(log),
        "our reader, frames only": lambda: _frames(log),
        "topic to segments": lambda: _replay(folder, stores, "topic", log),
        "embedded to segments": lambda: _replay(trail, stores, "embedded", None),
    })  # fmt: skip
    for name, seconds in best.items():
        print(f"{name:25} {seconds:7.3f} s  {events / seconds / 1e6:8.2f} M events/s  {size / seconds / 1e6:7.0f} MB/s")
    took, same = best["topic to segments"], stores["topic"] == stores["embedded"]
    print(
        f"topic to segments: {best['embedded to segments'] / took:.2f} of the embedded log, "
        f"{best['a bare consumer'] / took:.4f} of the bare consumer; digests {'the same' if same else 'DIFFER'}; "
        f"load {os.getloadavg()[0]:.1f}"
    )
    return 0 if same else 1


def _best(work: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Return the best time of each; they take turns, so that what else the machine does falls on all of them."""
    times: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(ROUNDS + 1):
        for name, run in work.items():
            began = time.perf_counter()
            run()
            times[name].append(time.perf_counter() - began)
    return {name: min(taken[1:]) for name, taken in times.items()}


def _bare(log: KafkaAddress) -> int:
    """Read the partition as confluent-kafka does it by default; return how many bytes its messages have."""
    consumer = Consumer({"bootstrap.servers": ",".join(log.brokers), "group.id": "bare", "enable.auto.commit": False})
    place = TopicPartition(log.topic, 0, 0)
    _, high = consumer.get_watermark_offsets(place, PATIENCE)
    consumer.assign([place])
    size, offset, until = 0, 0, time.monotonic() + PATIENCE
    while offset < high:
        first = consumer.poll(0.05)  # returns with the first message; a batch would be waited for until it is full
        for message in ([] if first is None else [first]) + consumer.consume(64, 0):
            if message.error() is None:
                size += len(message.value() or b"")
                offset = (message.offset() or 0) + 1
        if time.monotonic() > until:
            raise SystemExit(f"a bare consumer came to offset {offset} of {high} within {PATIENCE:g} s")
    consumer.close()
    return size


def _frames(log: KafkaAddress) -> None:
    with KafkaLogReader(log) as reader:
        offset = 0
        while records := reader.read(0, offset):
            offset = records[-1].offset + 1


def _replay(place: Path, stores: dict[str, dict[str, str]], name: str, log: KafkaAddress | None) -> None:
    """Replay all of a log into a store that is new, and take what it became."""
    trail = place / uuid.uuid4().hex[:8]
    trail.mkdir()
    if log is None:
        (trail / "log").symlink_to(place / "log")
    api.replay(trail, log=log)
    stores[name] = store(trail)


if __name__ == "__main__":
    sys.exit(main())
