"""Three brokers: one may die, and nothing that was acknowledged is lost, unless a topic allows it."""

from tests.kafka.client import wait_for
from tests.kafka.cluster import Cluster
from tests.kafka.records import acknowledged, all_records


def leader_of(cluster: Cluster, topic: str) -> int:
    leader = cluster.kafka.leader(topic)
    assert leader is not None
    return leader


def test_another_broker_leads_when_the_leader_is_killed_and_has_all_that_was_acknowledged(
    kafka_cluster: Cluster, topic: str
) -> None:
    kafka_cluster.kafka.create_topic(topic, replication=3)
    before = acknowledged(kafka_cluster.bootstrap, topic, 200)
    killed = leader_of(kafka_cluster, topic)
    kafka_cluster.kill(killed)
    after = acknowledged(kafka_cluster.bootstrap, topic, 200, first=200)  # waits for the election
    assert leader_of(kafka_cluster, topic) != killed
    assert all_records(kafka_cluster.bootstrap, topic) == before | after
    kafka_cluster.restart(killed)
    kafka_cluster.kafka.wait_until_in_sync(topic)


def test_another_broker_leads_when_the_leader_stands_still(kafka_cluster: Cluster, topic: str) -> None:
    kafka_cluster.kafka.create_topic(topic, replication=3)
    sent = acknowledged(kafka_cluster.bootstrap, topic, 50)
    paused = leader_of(kafka_cluster, topic)
    kafka_cluster.pause(paused)
    assert kafka_cluster.kafka.wait_for_leader(topic, other_than=paused) != paused
    kafka_cluster.resume(paused)
    kafka_cluster.kafka.wait_until_in_sync(topic)
    # A new leader shows what it has once its followers have asked for it (KIP-207): until then, it seems to have less.
    wait_for(lambda: all_records(kafka_cluster.bootstrap, topic) == sent, "all that was acknowledged")


def test_a_topic_that_allows_it_loses_what_only_a_dead_leader_had(kafka_cluster: Cluster, topic: str) -> None:
    settings = {"unclean.leader.election.enable": "true", "min.insync.replicas": "1"}
    kafka_cluster.kafka.create_topic(topic, replication=2, settings=settings)
    early = acknowledged(kafka_cluster.bootstrap, topic, 10)
    leader = leader_of(kafka_cluster, topic)
    (follower,) = set(kafka_cluster.kafka.describe(topic).partitions[0].replicas) - {leader}
    kafka_cluster.kill(follower)
    wait_for(lambda: kafka_cluster.kafka.describe(topic).partitions[0].isrs == [leader], "the follower missed")
    acknowledged(kafka_cluster.bootstrap, topic, 5, first=10)
    kafka_cluster.kill(leader)
    kafka_cluster.restart(follower)
    assert kafka_cluster.kafka.wait_for_leader(topic, other_than=leader) == follower
    late = acknowledged(kafka_cluster.bootstrap, topic, 3, first=20)
    assert all_records(kafka_cluster.bootstrap, topic) == early | late
