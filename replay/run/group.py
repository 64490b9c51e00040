"""Replay in a consumer group: any number of processes that share a store, each with the partitions that the group gives it.

The group says who folds a partition, and nothing else: frames are read by offsets of the cut (``KafkaLogReader``), and the
member of the group beside it fetches none, its partitions are paused. What is between two of its calls is one step of one
partition, so that a partition is given up with nothing half done.

Nobody is locked out: a process that was stopped and does not know yet that its partitions are another's folds on, and writes
the same facts (see ``store.publish``).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from confluent_kafka import OFFSET_END, Consumer, KafkaError, KafkaException, Message, TopicPartition

from pagetrail.replay.log.kafka import KafkaLogReader
from pagetrail.replay.run.partition import PartitionReplay, ReplayReport, ReplaySettings
from pagetrail.replay.store.cut import part_name, read_cut
from pagetrail.schemas.errors import LogUnreachable
from pagetrail.schemas.log.address import KafkaAddress
from pagetrail.schemas.log.kafka import Troubles, client_settings, make_client, unreachable

STEP_BYTES: Final = 4 << 20
"""What one step reads, at most: the group hears of us between two, and gets back what it asks for."""

READ_SECONDS: Final = 10.0
"""How long a read waits for a leader: all partitions in turn stay below max.poll.interval.ms (300 s)."""

POLL_SECONDS: Final = 0.5
"""How long to wait where no partition has more."""

DEFAULTS: Final[dict[str, Any]] = {
    "heartbeat.interval.ms": 1000,  # a member hears of a rebalance with its next heartbeat: two of them until partitions move
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
    """The group that a replay is part of, and whom it tells of trouble that passes."""

    address: KafkaAddress
    group: str
    on_trouble: Callable[[str], None] = lambda said: None


class GroupReplayer:
    """A member of a consumer group of replayers, and the partitions that it has at the time."""

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
        self.parts: dict[int, PartitionReplay] = {}
        self._assigned: set[int] = set()
        self._ends: dict[int, int] = {}
        self._committed: dict[int, int] = {}
        self._troubles = Troubles()
        given = DEFAULTS | client_settings(membership.address, self._troubles) | OWN_SETTINGS
        self._member = make_client(Consumer, membership.address, given | {"group.id": membership.group})

    def run(self, *, follow: bool = False, stop: Callable[[], bool] = lambda: False) -> ReplayReport:
        """Replay what the group gives us: with *follow* until *stop*, else until the whole topic is replayed, by whomever.

        The ends of its partitions are where they were at the beginning. Of those that others have, the cuts tell.

        Raises
        ------
        LogUnreachable
            The brokers do not answer, or refuse us; with *follow* only the latter, as the former may pass.
        StorageFull
            No space left; sealed segments are whole, and another member goes on from them.
        """
        topic = self.membership.address.topic
        if not follow:
            self._ends = {p: self.reader.high_watermark(p) for p in self.reader.partitions()}
        self._member.subscribe([topic], on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost)
        try:
            while not stop() and (follow or not self._is_done()):
                moved = self._turn(follow)
                self._serve(0 if moved else POLL_SECONDS)
            self._save(list(self.parts))
        finally:
            self._assigned.clear()
            self.parts.clear()  # what could not be saved is not tried again: another member reads it again
            self._member.close()
        return self.report

    def _turn(self, follow: bool) -> bool:
        """Give each partition a step; return whether one of them had more."""
        moved = False
        for partition in sorted(self._assigned):
            if partition not in self._assigned:
                continue
            try:
                moved |= self._part(partition).step()
            except LogUnreachable as error:
                if not follow or self._troubles.refused:
                    raise
                self.membership.on_trouble(str(error))
                return False
            self._commit(partition)
            self._progress()
            self._serve(0)
        return moved

    def _part(self, partition: int) -> PartitionReplay:
        if partition not in self.parts:
            self.parts[partition] = PartitionReplay(self.reader, partition, self.settings, self.report)
        return self.parts[partition]

    def _is_done(self) -> bool:
        """Whether every partition has come to its end: a partition between two owners is nobody's, and not done."""
        own = all(p in self.parts and self.parts[p].offset >= self._ends[p] for p in self._assigned)
        return own and all(self._reached(p) >= end for p, end in self._ends.items() if p not in self._assigned)

    def _reached(self, partition: int) -> int:
        """Return how far another member has come in a partition, as the store says."""
        if self._ends[partition] == self.reader.low_watermark(partition):
            return self._ends[partition]
        return read_cut(self.settings.store, self.settings.fold, part_name(self.reader.log_id, partition)).reached

    def _progress(self) -> None:
        done = sum(part.offset - part.start for part in self.parts.values())
        self.on_progress(done, sum(max(self._ends.get(p, 0) - part.start, 0) for p, part in self.parts.items()))

    # -- the group -------------------------------------------------------------------------------------------------------

    def _serve(self, seconds: float) -> None:
        """Let the group have its say: partitions come and go in here."""
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
        """Keep what is folded as tips; the next owner goes on from there. Seals nothing."""
        there = [p.partition for p in partitions if p.partition in self.parts]
        self._save(there)
        self._drop(partitions)

    def _on_lost(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        """Another member has them already: write nothing more, it is further."""
        self._drop(partitions)

    def _drop(self, partitions: list[TopicPartition]) -> None:
        for gone in partitions:
            self._assigned.discard(gone.partition)
            self.parts.pop(gone.partition, None)
            self._committed.pop(gone.partition, None)
            self.reader.release(gone.partition)

    def _save(self, partitions: list[int]) -> None:
        for partition in partitions:
            self.parts[partition].save()
            self._commit(partition, asynchronous=False)

    def _commit(self, partition: int, *, asynchronous: bool = True) -> None:
        """Tell lag monitors how far the store has come. Nobody resumes from there, so that a failure costs nothing."""
        offset = self.parts[partition].resume_offset
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
