"""Replay in a consumer group: any number of processes that share a store, each with the partitions that the group assigns to it.

The group decides who folds a partition, and nothing else: ``KafkaLogReader`` reads frames by the offsets of the cut, and the
consumer that is the group's member fetches none: its partitions are paused. Between two of the member's calls there is one step
of one partition, so a partition is never given up in the middle of a step.

No process is locked out: one that was suspended and does not know yet that its partitions were reassigned continues to fold, and
writes the same facts (see ``store.publish``).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from confluent_kafka import OFFSET_END, Consumer, KafkaError, KafkaException, Message, TopicPartition

from pagetrail.replay.log.kafka import KafkaLogReader
from pagetrail.replay.run.partition import PartitionReplay, ReplaySettings
from pagetrail.replay.run.report import ReplayReport
from pagetrail.replay.store.cut import partition_name, read_cut
from pagetrail.schemas.errors import LogUnreachable
from pagetrail.schemas.log.address import KafkaAddress
from pagetrail.schemas.log.kafka import Troubles, client_settings, make_client, unreachable

STEP_BYTES: Final = 4 << 20
"""Most bytes that one step reads: the member polls the group, and gives up partitions, only between two steps."""

READ_SECONDS: Final = 10.0
"""How long a read waits for a leader: short enough that a turn of all partitions stays below max.poll.interval.ms (300 s)."""

POLL_SECONDS: Final = 0.5
"""How long to wait when no partition has more."""

DEFAULTS: Final[dict[str, Any]] = {
    "heartbeat.interval.ms": 1000,  # a member learns of a rebalance with its next heartbeat: partitions move after two of them
}

OWN_SETTINGS: Final[dict[str, Any]] = {
    "group.protocol": "classic",
    "partition.assignment.strategy": "cooperative-sticky",
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "auto.offset.reset": "latest",  # it fetches nothing: see OFFSET_END below
    "fetch.wait.max.ms": 100,
    "queued.max.messages.kbytes": 1024,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Membership:
    """The group that a replay belongs to, and a callback for messages about temporary trouble."""

    address: KafkaAddress
    group: str
    on_trouble: Callable[[str], None] = lambda message: None


class GroupReplayer:
    """A member of a consumer group of replayers, and its present partitions."""

    def __init__(
        self,
        reader: KafkaLogReader,
        membership: Membership,
        settings: ReplaySettings,
        *,
        on_progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> None:
        self.reader, self.membership, self.settings, self.on_progress = reader, membership, settings, on_progress
        self.report = ReplayReport()
        self.partitions: dict[int, PartitionReplay] = {}
        self._assigned: set[int] = set()
        self._ends: dict[int, int] = {}
        self._committed: dict[int, int] = {}
        self._troubles = Troubles()
        config = DEFAULTS | client_settings(membership.address, self._troubles) | OWN_SETTINGS
        self._member = make_client(Consumer, membership.address, config | {"group.id": membership.group})

    def run(self, *, follow: bool = False, stop: Callable[[], bool] = lambda: False) -> ReplayReport:
        """Replay the assigned partitions: with *follow* until *stop*, else until all members together have replayed the topic.

        Partitions end where they ended when the run began. Cuts show how far other members have come in theirs.

        Raises
        ------
        LogUnreachable
            The brokers do not answer, or refuse the client; with *follow* only the latter, as the former may be temporary.
        StorageFull
            No space left; sealed segments are complete, and another member resumes from them.
        """
        topic = self.membership.address.topic
        if not follow:
            self._ends = {p: self.reader.high_watermark(p) for p in self.reader.partitions()}
        self._member.subscribe([topic], on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost)
        try:
            while not stop() and (follow or not self._is_done()):
                moved = self._turn(follow)
                self._serve(0 if moved else POLL_SECONDS)
            self._save(list(self.partitions))
        finally:
            self._assigned.clear()
            for replayed in self.partitions.values():
                replayed.close()
            self.partitions.clear()  # unsaved events are not saved on close: another member reads them again
            self._member.close()
        return self.report

    def _turn(self, follow: bool) -> bool:
        """Make one step in each partition; return whether one of them had more."""
        moved = False
        for partition in sorted(self._assigned):
            if partition not in self._assigned:
                continue
            try:
                moved |= self._replayed(partition).step()
            except LogUnreachable as error:
                if not follow or self._troubles.refused:
                    raise
                self.membership.on_trouble(str(error))
                return False
            self._commit(partition)
            self._progress()
            self._serve(0)
        return moved

    def _replayed(self, partition: int) -> PartitionReplay:
        if partition not in self.partitions:
            self.partitions[partition] = PartitionReplay(self.reader, partition, self.settings, self.report)
        return self.partitions[partition]

    def _is_done(self) -> bool:
        """Whether every partition is replayed to its end; one that is being reassigned is judged by its cut."""
        own = all(p in self.partitions and self.partitions[p].offset >= self._ends[p] for p in self._assigned)
        return own and all(self._reached(p) >= end for p, end in self._ends.items() if p not in self._assigned)

    def _reached(self, partition: int) -> int:
        """Return how far another member has come in a partition, from its cut in the store."""
        if self._ends[partition] == self.reader.low_watermark(partition):
            return self._ends[partition]
        return read_cut(self.settings.store, self.settings.fold, partition_name(self.reader.log_id, partition)).reached

    def _progress(self) -> None:
        done = sum(replayed.offset - replayed.start for replayed in self.partitions.values())
        total = sum(max(self._ends.get(p, 0) - replayed.start, 0) for p, replayed in self.partitions.items())
        self.on_progress(done, total)

    # -- the group -------------------------------------------------------------------------------------------------------

    def _serve(self, seconds: float) -> None:
        """Poll the group: partitions are assigned and revoked in here."""
        message: Message | None = self._member.poll(seconds)
        error = None if message is None else message.error()
        if error is None:
            return
        self._troubles(error)
        if self._troubles.refused or error.fatal() or error.code() in _REFUSED:
            raise unreachable(self.membership.address, self._troubles, error.str())

    def _on_assign(self, member: Consumer, partitions: list[TopicPartition]) -> None:
        member.incremental_assign([TopicPartition(p.topic, p.partition, OFFSET_END) for p in partitions])
        member.pause(partitions)
        self._assigned.update(p.partition for p in partitions)

    def _on_revoke(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        """Save the state as tips, from which the next owner resumes. This seals nothing."""
        self._save([p.partition for p in partitions if p.partition in self.partitions])
        self._drop(partitions)

    def _on_lost(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        """Drop partitions that another member already has, without saving: its state is newer."""
        self._drop(partitions)

    def _drop(self, partitions: list[TopicPartition]) -> None:
        for gone in partitions:
            self._assigned.discard(gone.partition)
            if (replayed := self.partitions.pop(gone.partition, None)) is not None:
                replayed.close()
            self._committed.pop(gone.partition, None)
            self.reader.release(gone.partition)

    def _save(self, partitions: list[int]) -> None:
        for partition in partitions:
            self.partitions[partition].save()
            self._commit(partition, asynchronous=False)

    def _commit(self, partition: int, *, asynchronous: bool = True) -> None:
        """Commit the offset that the store has reached, for lag monitors. No replay resumes from it, so a failure is harmless."""
        offset = self.partitions[partition].resume_offset
        if self._committed.get(partition) == offset:
            return
        where = [TopicPartition(self.membership.address.topic, partition, offset)]
        try:
            if asynchronous:
                self._member.commit(offsets=where, asynchronous=True)
            else:
                self._member.commit(offsets=where, asynchronous=False)
        except KafkaException as error:
            self._troubles(error.args[0])
            return
        self._committed[partition] = offset


_REFUSED: Final = (
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.FENCED_INSTANCE_ID,
    KafkaError.INCONSISTENT_GROUP_PROTOCOL,
    KafkaError.INVALID_SESSION_TIMEOUT,
)
