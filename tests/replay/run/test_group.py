"""A consumer group of replayers makes the store that one replay makes, whoever comes, goes, and has which partition."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, TopicPartition

from pagetrail.producers.log.sink_kafka import KafkaLogWriter
from pagetrail.replay.log.kafka import KafkaLogReader
from pagetrail.replay.rules.fold_options import FoldOptions
from pagetrail.replay.run.group import GroupReplayer, Membership
from pagetrail.replay.run.memory import Memory
from pagetrail.replay.run.partition import PartitionReplay, ReplaySettings
from pagetrail.replay.run.report import ReplayReport
from pagetrail.replay.store.cut import partition_name, read_cut, write_cut
from pagetrail.replay.store.local import store_of
from pagetrail.replay.store.lock import replay_lock
from pagetrail.schemas.frames import Frame
from pagetrail.schemas.log.address import KafkaAddress
from tests.contracts.topics import MakeTopic, topic_maker
from tests.effort import effort
from tests.faults.kafka.bench import Worker
from tests.kafka.client import Kafka
from tests.replay.run.test_from_kafka import FLOOR, embedded, recorded
from tests.replay.states import store

FOLD = FoldOptions().name
GROUP = "replayers"


@pytest.fixture
def make_topic(kafka: Kafka, topic: str) -> MakeTopic:
    return topic_maker(kafka, topic)


@pytest.fixture(scope="module")
def hosts() -> list[list[Frame]]:
    return [recorded(f"host-{number}", number, events=effort(600, 1_000)) for number in range(3)]


@pytest.fixture(scope="module")
def expected(hosts: list[list[Frame]], tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return embedded(tmp_path_factory.mktemp("embedded") / "trail", [frame for host in hosts for frame in host])


def settings(trail: Path, **more: Any) -> ReplaySettings:
    return ReplaySettings(
        store=store_of(trail), options=FoldOptions(floor=FLOOR, events_a_live=1), read_bytes=20_000, **more
    )


def append(address: KafkaAddress, frames: Sequence[Frame]) -> None:
    with KafkaLogWriter(address) as writer:
        writer.append(frames)


def a_topic(make_topic: MakeTopic, hosts: list[list[Frame]]) -> KafkaAddress:
    """Return a topic of 4 partitions that holds all hosts, in turns."""
    address = make_topic(partitions=4)
    append(address, [frame for together in zip(*hosts, strict=False) for frame in together])
    append(address, [frame for host in hosts for frame in host])
    return address


def replayed(
    trail: Path, address: KafkaAddress, *, frames: int | None = None, group: str = GROUP, **more: float
) -> ReplayReport:
    """Replay as the only member of a group, to the end, or until so many frames are folded."""
    with KafkaLogReader(address) as reader:
        member = GroupReplayer(reader, Membership(address=address, group=group), settings(trail, **more))
        return member.run(stop=lambda: frames is not None and member.report.frames >= frames)


def committed(address: KafkaAddress, partition: int) -> int:
    """Return the offset that the group committed."""
    asked = Consumer({"bootstrap.servers": ",".join(address.brokers), "group.id": GROUP})
    try:
        found: int = asked.committed([TopicPartition(address.topic, partition)], 15)[0].offset
        return found
    finally:
        asked.close()


def test_two_members_make_the_store_of_one_replay(
    make_topic: MakeTopic, hosts: list[list[Frame]], expected: dict[str, str], tmp_path: Path
) -> None:
    address = a_topic(make_topic, hosts)
    asked = {"log": str(address), "trail": str(tmp_path), "group": GROUP, "floor": FLOOR}
    for worker in [Worker("replay", **asked), Worker("replay", **asked)]:
        worker.end()
    assert store(tmp_path) == expected


def test_a_member_that_leaves_and_comes_back_goes_on_and_seals_nothing_early(
    make_topic: MakeTopic, hosts: list[list[Frame]], expected: dict[str, str], tmp_path: Path
) -> None:
    address = a_topic(make_topic, hosts)
    before = -1
    while replayed(tmp_path, address, frames=15).frames:
        segments = {name: digest for name, digest in store(tmp_path).items() if "/TIP-" not in name}
        assert segments.items() <= expected.items()
        assert len(segments) >= before
        before = len(segments)
    assert store(tmp_path) == expected


def test_a_group_goes_on_by_the_store_and_not_by_its_committed_offset(
    make_topic: MakeTopic, hosts: list[list[Frame]], expected: dict[str, str], tmp_path: Path
) -> None:
    address = a_topic(make_topic, hosts)
    replayed(tmp_path, address, frames=5)
    liar = Consumer({"bootstrap.servers": ",".join(address.brokers), "group.id": GROUP, "enable.auto.commit": False})
    with KafkaLogReader(address) as reader:
        ends = [TopicPartition(address.topic, p, reader.high_watermark(p)) for p in reader.partitions()]
    liar.commit(offsets=ends, asynchronous=False)
    liar.close()
    replayed(tmp_path, address)
    assert store(tmp_path) == expected


def test_committed_offsets_are_those_that_the_store_has_reached(
    make_topic: MakeTopic, hosts: list[list[Frame]], tmp_path: Path
) -> None:
    address = a_topic(make_topic, hosts)
    replayed(tmp_path, address)
    with KafkaLogReader(address) as reader:
        for partition in reader.partitions():
            if end := reader.high_watermark(partition):
                assert committed(address, partition) == end


def test_nobody_is_locked_out_by_a_process_that_was_stopped_with_its_lock(
    make_topic: MakeTopic, hosts: list[list[Frame]], expected: dict[str, str], tmp_path: Path
) -> None:
    address = a_topic(make_topic, hosts)
    with KafkaLogReader(address) as reader:
        part = partition_name(reader.log_id, 0)
    with replay_lock(tmp_path, FOLD, part):
        replayed(tmp_path, address)
    assert store(tmp_path) == expected


def test_a_zombie_that_writes_on_harms_nothing(
    make_topic: MakeTopic, hosts: list[list[Frame]], expected: dict[str, str], tmp_path: Path
) -> None:
    """It saves an older tip and an older cut after its successor's: they lose, or cost time."""
    address = make_topic(partitions=1)
    append(address, [frame for host in hosts for frame in host])
    with KafkaLogReader(address) as reader, KafkaLogReader(address) as others:
        zombie = PartitionReplay(reader, 0, settings(tmp_path), ReplayReport())
        for turn in range(1000):
            moved = zombie.step()
            zombie.save()
            successor = PartitionReplay(others, 0, settings(tmp_path), ReplayReport())
            for _ in range(turn % 3 + 1):
                successor.step()
            successor.save()
            if not moved:
                break
        zombie.save()
    replayed(tmp_path, address)
    assert store(tmp_path) == expected


def test_a_cut_that_a_zombie_put_back_costs_time_and_no_truth(
    make_topic: MakeTopic, hosts: list[list[Frame]], expected: dict[str, str], tmp_path: Path
) -> None:
    address = make_topic(partitions=1)
    append(address, [frame for host in hosts for frame in host])
    with KafkaLogReader(address) as reader:
        part = partition_name(reader.log_id, 0)
    replayed(tmp_path, address, frames=6)
    old = read_cut(store_of(tmp_path), FOLD, part)
    replayed(tmp_path, address, frames=20)
    write_cut(store_of(tmp_path), FOLD, old, part)
    replayed(tmp_path, address)
    assert store(tmp_path) == expected


def test_streams_that_leave_memory_come_back_as_they_were(
    make_topic: MakeTopic, hosts: list[list[Frame]], expected: dict[str, str], tmp_path: Path
) -> None:
    address = make_topic(partitions=1)
    append(address, [frame for together in zip(*hosts, strict=False) for frame in together])
    append(address, [frame for host in hosts for frame in host])
    replayed(tmp_path, address, memory=Memory(most=0))
    assert store(tmp_path) == expected


MANY, LIMIT = 10, 1 << 20


def test_many_streams_take_no_more_memory_than_they_may(make_topic: MakeTopic, tmp_path: Path) -> None:
    hosts = [recorded(f"host-{number}", number, events=200) for number in range(MANY)]
    turns = [host[turn] for turn in range(max(map(len, hosts))) for host in hosts if turn < len(host)]
    address, most = make_topic(partitions=1), 0
    append(address, turns)
    with KafkaLogReader(address) as reader:
        part = PartitionReplay(reader, 0, settings(tmp_path, memory=Memory(most=LIMIT)), ReplayReport())
        while part.step():
            assert sum(stream.nbytes for stream in part.streams.values()) <= LIMIT
            most = max(most, len(part.streams))
        part.save()
    assert 1 < most < MANY
    assert store(tmp_path) == embedded(tmp_path / "embedded", turns)


def test_an_idle_stream_pins_no_offset(make_topic: MakeTopic, hosts: list[list[Frame]], tmp_path: Path) -> None:
    address, (idle, busy) = make_topic(partitions=1), hosts[:2]
    append(address, idle[:3] + busy)
    with KafkaLogReader(address) as reader:
        part = PartitionReplay(reader, 0, settings(tmp_path, tip_seconds=0.0, idle_seconds=0.0), ReplayReport())
        while part.step():
            pass
        assert part.streams == {}
        assert part.resume_offset == reader.high_watermark(0)
