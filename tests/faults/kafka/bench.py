"""What a round of faults needs: a log on three brokers, the store that an undisturbed replay makes of it, and processes."""

import json
import random
import signal
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pagetrail.producers.log.ingest import ingest, origin_of
from pagetrail.producers.log.sink_kafka import KafkaLogWriter
from pagetrail.producers.log.sink_sqlite import SqliteLogWriter
from pagetrail.producers.recordings import open_recording
from pagetrail.replay.store import read as stored
from pagetrail.replay.store.local import store_of
from pagetrail.replay.store.place import StreamPlace
from pagetrail.schemas.log.address import parse_log_address
from pagetrail.schemas.store.names import streams_among
from tests.faults.forked import Forked
from tests.faults.kafka import worker
from tests.faults.kafka.worker import FLOOR, frames_of
from tests.faults.recording import write_trace
from tests.faults.small_frames import small_frames
from tests.kafka.cluster import Cluster
from tests.replay.states import replay, store

HOSTS = 4
PARTITIONS = 4
EVENTS = 20_000
"""Of each host."""


class Worker(Forked):
    """A process of ``worker``."""

    def __init__(self, command: str, **arguments: Any) -> None:
        super().__init__(worker.main, command, json.dumps(arguments))

    def end(self) -> str:
        """Wait for its end; return what it said, which has to be that it is done, unless it was killed."""
        code, said = self.outcome()
        assert code in (0, -signal.SIGKILL), f"a worker ended with {code}: {said}"
        return said


@dataclass(slots=True)
class Bench:
    """Brokers, hosts' recordings as an embedded log, a topic that holds the same, and the store that is to come of it."""

    cluster: Cluster
    folder: Path
    rng: random.Random
    source: Path = field(init=False)
    whole: dict[str, str] = field(init=False)
    events: dict[str, int] = field(init=False)
    log: str = field(init=False)
    took: float = 0.0

    def __post_init__(self) -> None:
        self.source = self.folder / "source"
        ingest_hosts(self.folder, self.source)
        replay(self.source, floor=FLOOR)
        self.whole = store(self.source)
        assert len(self.whole) > 3 * HOSTS
        self.events = _events(self.source)
        self.log = self.topic()
        with KafkaLogWriter(parse_log_address(self.log)) as topic:
            topic.append(frames_of(self.source))

    def topic(self) -> str:
        """Return the address of a new topic, three copies of each partition."""
        name = f"faults-{uuid.uuid4().hex[:12]}"
        self.cluster.kafka.create_topic(name, partitions=PARTITIONS, replication=3)
        return f"kafka://{self.cluster.bootstrap}/{name}"

    def proxied(self, log: str) -> str:
        """Return the same log as clients behind a proxy reach it."""
        return f"kafka://{self.cluster.proxied_bootstrap}/{log.rpartition('/')[2]}"

    def replayer(self, place: "Place", *, log: str | None = None, follow: bool = False) -> Worker:
        """Start a member of a group."""
        return Worker("replay", log=log or self.log, trail=str(place.trail), group=place.group, follow=follow)

    def place(self) -> "Place":
        """Return a store and a group that nobody has used."""
        name = uuid.uuid4().hex[:12]
        return Place(self.folder / name, f"group-{name}")

    def instant(self) -> float:
        """Return a random time of an undisturbed replay, seconds since a worker was ready."""
        if not self.took:
            place = self.place()
            replayer, began = self.replayer(place), time.monotonic()
            replayer.end()
            self.took = time.monotonic() - began
            self.check(place)
        return self.rng.uniform(0, self.took)

    def finish(self, place: "Place", *, log: str | None = None) -> None:
        """Replay to the end, undisturbed, and compare."""
        self.replayer(place, log=log).end()
        self.check(place)

    def check(self, place: "Place") -> None:
        """Hold a store against the undisturbed one: the same files with the same digests, no hole, every event once."""
        found = store(place.trail)
        assert found == self.whole, _difference(found, self.whole)
        for stream in _streams(place.trail):
            expected = 0
            for file in stream.chain():
                assert file.first_seq == expected, f"a hole before {file.name}"
                expected = file.last_seq + 1
        assert _events(place.trail) == self.events


@dataclass(frozen=True, slots=True)
class Place:
    """A store, and the group that makes it."""

    trail: Path
    group: str


def ingest_hosts(folder: Path, trail: Path) -> None:
    """Ingest a recording of each host, in frames of 500 events, in turns as a fleet sends them."""
    frames = []
    for host in range(HOSTS):
        file = write_trace(folder / f"trace-{host}.txt", events=EVENTS, seed=host)
        recording = open_recording(file, host=f"host-{host}", boot_id=f"boot-{host}")
        own = folder / f"ingested-{host}"
        own.mkdir()
        with SqliteLogWriter(own) as log, small_frames():
            ingest(recording, origin_of(recording, producer_version="0"), log)
        frames.append(frames_of(own))
    trail.mkdir()
    with SqliteLogWriter(trail) as log:
        for turn in range(max(map(len, frames))):
            log.append([own[turn] for own in frames if turn < len(own)])


def _events(trail: Path) -> dict[str, int]:
    """Return how many events each stream counts, of all kinds."""
    found = {}
    for stream in _streams(trail):
        with stored.opened(stream.store, stream.chain()[-1].name) as db:
            row = db.execute("SELECT value FROM state WHERE name = 'facts'").fetchone()
            host = stored.meta(db, stream.name)["host"]
        assert row is not None
        found[host] = sum(json.loads(row[0])["events"].values())
    return found


def _streams(trail: Path) -> list[StreamPlace]:
    return [StreamPlace(store_of(trail), name) for name in streams_among(store_of(trail).list())]


def _difference(found: dict[str, str], whole: dict[str, str]) -> str:
    missing = sorted(whole.keys() - found.keys())
    more = sorted(found.keys() - whole.keys())
    other = sorted(name for name in whole.keys() & found.keys() if whole[name] != found[name])
    return f"missing {_few(missing)}, more {_few(more)}, other digests {_few(other)}"


def _few(names: Sequence[str]) -> str:
    return f"{len(names)} {list(names[:3])}"
