"""What the topic of a log is to be, and why: values and texts, which need no client of Kafka."""

from dataclasses import dataclass
from typing import Final

DEFAULT_PARTITIONS: Final = 8
DEFAULT_REPLICATION: Final = 3
MESSAGE_BYTES: Final = 1_048_588
"""Kafka's own default: 1 MiB and the head of a batch. A full frame without stacks has a third of it at most (2 to 6 B an event)."""

FOREVER: Final = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicPlan:
    """How a topic is to be made; null replication: 3, or as many brokers as there are. Times in ms, -1: no limit."""

    partitions: int = DEFAULT_PARTITIONS
    replication: int | None = None
    retention_ms: int = FOREVER
    retention_bytes: int = FOREVER
    message_bytes: int = MESSAGE_BYTES


SETTINGS_WHY: Final = {
    "min.insync.replicas": "copies on which a frame is written before it counts as stored; with fewer in sync, nothing is taken",
    "max.message.bytes": "a frame above it goes as parts; full frames of 65,536 events have about 130 to 370 kB",
    "retention.ms": "-1: no limit; what retention removes, no fold can be made from again, and a replay that is later finds a gap",
    "retention.bytes": "of each partition; -1: no limit; as above",
    "cleanup.policy": "delete, never compact: compaction would keep the last frames of a host alone",
    "compression.type": "producer: frames are zstd already, brokers are to leave them as they are",
    "unclean.leader.election.enable": "false: a broker that was not in sync must not lead: acknowledged frames would be gone",
}
"""The settings that matter to a log, and why."""

PARTITIONS_WHY: Final = (
    "fixed: a host's frames are in one partition by the murmur2 hash of its name, and another number would move hosts and tear "
    "their order; at most so many replayers work at once, so choose two to four times those that there will ever be"
)
REPLICATION_WHY: Final = (
    "copies of each partition: with 3, one broker may be lost for good and another be down, and nothing is"
)
