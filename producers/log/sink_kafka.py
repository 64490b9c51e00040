"""The log's writing end on Apache Kafka: frames to the partition of their host, in order, counted when acknowledged."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from pagetrail.producers.log.delivery import PATIENCE_SECONDS, Delivery
from pagetrail.producers.log.splitting import fitting
from pagetrail.producers.log.stored_kafka import LOOK_BACK, StoredFrames
from pagetrail.schemas.frames import Frame, RecordingKey
from pagetrail.schemas.log.address import KafkaAddress
from pagetrail.schemas.log.contract import AppendResult
from pagetrail.schemas.log.kafka import BOOT_HEADER, DIGEST_HEADER, partition_of
from pagetrail.schemas.log.stored import StoredRecording


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaLimits:
    """How long to wait, and how far to look back.

    Attributes
    ----------
    seconds
        An append in which nothing was acknowledged for so long gives up; the settings' ``message.timeout.ms`` is heard first.
    look_back
        Frames of a recording that is begun are looked for in so many of the last messages of its host's partition.
    """

    seconds: float = PATIENCE_SECONDS
    look_back: int = LOOK_BACK


class KafkaLogWriter:
    """Appends frames to a topic. Any number of processes may hold one at a time.

    What of an append is in the log is a beginning of it. So a re-run of the same producer leaves no hole.
    """

    def __init__(self, address: KafkaAddress, limits: KafkaLimits | None = None) -> None:
        limits = limits or KafkaLimits()
        self._delivery = Delivery(address, what="frames", seconds=limits.seconds)
        self._stored = StoredFrames(address, limits.look_back)
        self._last_offset: int | None = None

    def append(self, frames: Sequence[Frame]) -> AppendResult:
        """Store *frames* in their order, and return when all are acknowledged; see ``LogWriter.append``.

        Raises
        ------
        LogUnreachable
            Not all of them were acknowledged in time. A beginning of them is in the log; which, the next writer finds out.
        FrameTooLarge
            One event does not fit into a message; nothing of *frames* was sent.
        """
        if not self._delivery.alive():
            raise ValueError("this writer has stopped: what it was about to send is not known to be in the log")
        parts = [part for frame in frames for part in fitting(frame, self._room(frame))]
        wanted = {part.header.recording_key for part in parts}
        for part in parts:
            self._look_back(part, wanted)
        missing = self._stored.missing(parts)
        for part in missing:
            self._send(part)
        self._delivery.settle()
        appended = len({(part.header.recording_key, part.header.frame) for part in missing})
        return AppendResult(appended=appended, duplicates=len(frames) - appended, last_offset=self._last_offset)

    def stored(self, hosts: Collection[str], ids: Sequence[str]) -> StoredRecording | None:
        """Return what the topic holds of the first of the recordings *ids*, as one of *hosts*; null: nothing.

        It looks through the last messages of the hosts' partitions: ``KafkaLimits.look_back``.
        """
        partitions = {partition_of(host, self._delivery.partitions) for host in hosts}
        found = [one for partition in sorted(partitions) for one in self._stored.recordings(partition, hosts, ids)]
        return min(found, key=lambda one: ids.index(one.recording), default=None)

    def newest(self, host: str, boot_id: str) -> StoredRecording | None:
        """Return the recording of a boot that ends last, of those in the last messages of its partition; null: there is none."""
        return self._stored.newest(partition_of(host, self._delivery.partitions), host, boot_id)

    def flush(self) -> None:
        """Do nothing: an append is acknowledged when it returns."""

    def close(self) -> None:
        """Let go of the producer; what an append that was interrupted had not sent yet is dropped."""
        self._delivery.close()
        self._stored.close()

    def __enter__(self) -> "KafkaLogWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _room(self, frame: Frame) -> int:
        header = frame.header
        texts = (header.host, header.boot_id, DIGEST_HEADER, BOOT_HEADER)
        return self._delivery.room(sum(len(text.encode()) for text in texts))

    def _look_back(self, frame: Frame, wanted: set[RecordingKey]) -> None:
        partition = partition_of(frame.header.host, self._delivery.partitions)
        known = self._stored.look_back(frame.header.recording_key, partition, wanted)
        self._last_offset = self._last_offset if known is None else known

    def _send(self, frame: Frame) -> None:
        header = frame.header
        headers: list[tuple[str, str | bytes | None]] = [
            (DIGEST_HEADER, frame.digest),
            (BOOT_HEADER, header.boot_id.encode()),
        ]
        name = f"recording {header.recording} frame {header.frame}"
        self._delivery.send(header.host, frame.payload, headers, name=name, then=self._acknowledged(frame))

    def _acknowledged(self, frame: Frame) -> Callable[[int], None]:
        def on_acknowledged(offset: int) -> None:
            self._last_offset = offset
            self._stored.acknowledged(frame, offset)

        return on_acknowledged
