"""The topic of a log: created with the settings that the log's promises need, and described with the reason for each."""

import time
from dataclasses import dataclass
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic, OffsetSpec  # type: ignore[attr-defined]

from pagetrail.producers.log.topic_plan import DEFAULT_REPLICATION, SETTINGS_WHY, TopicPlan
from pagetrail.schemas.errors import BadArgument, LogUnreachable, TopicMissing
from pagetrail.schemas.log.address import KafkaAddress
from pagetrail.schemas.log.kafka import (
    CONNECT_SECONDS,
    TopicFacts,
    Troubles,
    client_settings,
    make_client,
    unreachable,
    wait_for_brokers,
)

_ELECTING: Final = (
    KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE, KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError.OFFSET_NOT_AVAILABLE, KafkaError.UNKNOWN_LEADER_EPOCH, KafkaError.FENCED_LEADER_EPOCH,
)  # fmt: skip
"""Errors that brokers return for a moment, while a partition gets its leader."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionState:
    """One partition as it is: its leader's id, replicas, those in sync, and the offsets that are kept."""

    partition: int
    leader: int | None
    replicas: int
    in_sync: int
    low: int
    high: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicReport:
    """A topic as it is. ``settings`` are those that matter to a log."""

    log: str
    topic_id: str
    partitions: tuple[PartitionState, ...]
    settings: dict[str, str]

    @property
    def replication(self) -> int:
        """Copies of each partition."""
        return max((part.replicas for part in self.partitions), default=0)


def create_topic(address: KafkaAddress, plan: TopicPlan) -> TopicReport:
    """Make the topic at *address*, and return what it became.

    Raises
    ------
    BadArgument
        There is one of that name, or the brokers do not take the numbers.
    LogUnreachable
        They do not answer, or refuse us.
    """
    troubles = Troubles()
    admin = make_client(AdminClient, address, client_settings(address, troubles))
    brokers = wait_for_brokers(admin, address, troubles)
    replication = min(DEFAULT_REPLICATION, brokers) if plan.replication is None else plan.replication
    topic = NewTopic(address.topic, plan.partitions, replication, config=_settings(plan, replication))
    try:
        asked = admin.create_topics([topic], request_timeout=CONNECT_SECONDS, operation_timeout=CONNECT_SECONDS)
        asked[address.topic].result()
    except KafkaException as error:
        raise _explained(error.args[0], address, troubles) from None
    until = time.monotonic() + CONNECT_SECONDS
    while True:  # the controller knows it, and tells each broker in its time
        try:
            return describe_topic(address)
        except TopicMissing:
            if time.monotonic() > until:
                raise
            time.sleep(0.1)


def describe_topic(address: KafkaAddress) -> TopicReport:
    """Return the topic at *address* as it is.

    Raises
    ------
    TopicMissing, LogUnreachable
        There is none, or no broker answers.
    """
    facts = TopicFacts(address, check=False)
    troubles = Troubles()
    admin = make_client(AdminClient, address, client_settings(address, troubles))
    found, low, high = _described(admin, address, troubles)
    parts = (
        PartitionState(
            partition=part.id, leader=None if part.leader is None else part.leader.id, replicas=len(part.replicas),
            in_sync=len(part.isr), low=low[part.id], high=high[part.id],
        )
        for part in found
    )  # fmt: skip
    named = {name: facts.settings[name] for name in SETTINGS_WHY if name in facts.settings}
    return TopicReport(log=str(address), topic_id=facts.topic_id, partitions=tuple(parts), settings=named)


def _described(
    admin: AdminClient, address: KafkaAddress, troubles: Troubles
) -> tuple[list[Any], dict[int, int], dict[int, int]]:
    """Return the partitions, and their first and next offsets. One that was just made has no leader yet: it is asked again."""
    until = time.monotonic() + CONNECT_SECONDS
    while True:
        try:
            asked = admin.describe_topics(TopicCollection([address.topic]), request_timeout=CONNECT_SECONDS)
            found = asked[address.topic].result().partitions
            ids = [part.id for part in found]
            low = _offsets(admin, address, ids, OffsetSpec.earliest())  # type: ignore[no-untyped-call]
            high = _offsets(admin, address, ids, OffsetSpec.latest())  # type: ignore[no-untyped-call]
        except KafkaException as error:
            reason = error.args[0]
            if troubles.refused or reason.code() not in _ELECTING or time.monotonic() > until:
                raise unreachable(address, troubles, reason.str()) from None
            time.sleep(0.1)
        else:
            return found, low, high


def _settings(plan: TopicPlan, replication: int) -> dict[str, str]:
    return {
        "cleanup.policy": "delete",
        "compression.type": "producer",
        "max.message.bytes": str(plan.message_bytes),
        "min.insync.replicas": str(max(1, replication - 1)),
        "retention.bytes": str(plan.retention_bytes),
        "retention.ms": str(plan.retention_ms),
        "unclean.leader.election.enable": "false",
    }


def _offsets(admin: AdminClient, address: KafkaAddress, ids: list[int], which: Any) -> dict[int, int]:
    asked = admin.list_offsets(
        {TopicPartition(address.topic, partition): which for partition in ids}, request_timeout=CONNECT_SECONDS
    )
    return {place.partition: int(future.result().offset) for place, future in asked.items()}


def _explained(error: KafkaError, address: KafkaAddress, troubles: Troubles) -> BadArgument | LogUnreachable:
    if error.code() == KafkaError.TOPIC_ALREADY_EXISTS:
        return BadArgument(
            f"{address}: expected no topic of that name yet, found one; 'pagetrail topic describe' shows it"
        )
    if error.code() in (
        KafkaError.INVALID_PARTITIONS, KafkaError.INVALID_REPLICATION_FACTOR, KafkaError.INVALID_CONFIG,
        KafkaError.POLICY_VIOLATION, KafkaError.TOPIC_EXCEPTION,
    ):  # fmt: skip
        return BadArgument(f"{address}: expected numbers that the brokers take, found: {error.str()}; nothing was made")
    return unreachable(address, troubles, error.str())
