"""An unclean election on real brokers: frames that were acknowledged and replayed are gone, and others take their offsets."""

from pathlib import Path

import pytest

from pagetrail.replay.log.kafka import KafkaLogReader
from pagetrail.replay.rules.fold_options import FoldOptions
from pagetrail.replay.run.partition import PartitionReplay, ReplaySettings
from pagetrail.replay.run.report import ReplayReport
from pagetrail.replay.store.local import store_of
from pagetrail.schemas.log.address import parse_log_address
from tests.kafka.client import wait_for
from tests.kafka.cluster import Cluster
from tests.replay.run.test_from_kafka import FLOOR, embedded, recorded
from tests.replay.run.test_losses import gaps, send
from tests.replay.states import store


@pytest.mark.parametrize("meanwhile", ["replay goes on", "replay begins again"])
def test_frames_that_an_election_lost_stay_known_and_those_nobody_read_are_a_gap(
    kafka_cluster: Cluster, topic: str, tmp_path: Path, meanwhile: str
) -> None:
    kafka, frames = kafka_cluster.kafka, recorded("host-0", 0, events=1_000, frame_events=16)
    kafka.create_topic(
        topic, replication=2, settings={"unclean.leader.election.enable": "true", "min.insync.replicas": "1"}
    )
    address = parse_log_address(f"kafka://{kafka_cluster.bootstrap}/{topic}")
    settings = ReplaySettings(
        store=store_of(tmp_path / "trail"), options=FoldOptions(floor=FLOOR, events_a_live=1), read_bytes=10_000
    )
    send(address, frames[:10])
    leader = kafka.leader(topic)
    assert leader is not None
    (follower,) = set(kafka.describe(topic).partitions[0].replicas) - {leader}
    kafka_cluster.kill(follower)
    wait_for(lambda: kafka.describe(topic).partitions[0].isrs == [leader], "the follower missed")
    send(address, frames[10:15])  # the leader alone has them
    with KafkaLogReader(address) as reader:
        part = PartitionReplay(reader, 0, settings, ReplayReport())
        while part.offset < 15:
            part.step()
        part.save()
        kafka_cluster.kill(leader)
        kafka_cluster.restart(follower)
        assert kafka.wait_for_leader(topic, other_than=leader) == follower
        send(address, frames[18:])
        if meanwhile == "replay begins again":
            part = PartitionReplay(reader, 0, settings, ReplayReport())
        wait_for(lambda: part.step() is False and part.offset == 10 + len(frames) - 18, "all of it replayed")
        part.save()
        assert "the log lost acknowledged frames" in part.report.losses[0]
    assert len(gaps(tmp_path / "trail")) == 1
    assert store(tmp_path / "trail") == embedded(tmp_path / "embedded", frames[:15] + frames[18:])
