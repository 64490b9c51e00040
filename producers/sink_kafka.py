"""The log's writing end on Apache Kafka: frames to the partition of their host, in order, counted when acknowledged."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from pagetrail.producers.splitting import fitting
from pagetrail.producers.stored_kafka import LOOK_BACK, StoredFrames
from pagetrail.schemas.errors import LogUnreachable
from pagetrail.schemas.frames import Frame
from pagetrail.schemas.log import AppendResult
from pagetrail.schemas.log_address import DELIVERY_SETTINGS, KafkaAddress
from pagetrail.schemas.log_kafka import (
    BOOT_HEADER,
    DIGEST_HEADER,
    MESSAGE_OVERHEAD,
    TopicFacts,
    Troubles,
    client_settings,
    make_client,
    offset_of,
    partition_of,
    partitions_of,
    unreachable,
)

_DEFAULT_MESSAGE_BYTES = 1_000_000  # librdkafka's own, where the topic does not say
_MAX_MESSAGE_BYTES = 1_000_000_000  # librdkafka takes no more


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

    seconds: float = 60.0
    look_back: int = LOOK_BACK


@dataclass(slots=True)
class _Sending:
    """The frames of one append on their way: what came of each is said in the order of acknowledgement."""

    asked: int
    acknowledged: int = 0
    last_offset: int | None = None
    error: KafkaError | None = None
    failed: list[str] = field(default_factory=list)
    moved: float = field(default_factory=time.monotonic)

    def told(self, frame: Frame, then: Callable[[int], None]) -> Callable[[KafkaError | None, Message], None]:
        """Return what is called when *frame* was delivered, or was not."""

        def delivered(error: KafkaError | None, message: Message) -> None:
            self.moved = time.monotonic()
            if error is None:
                self.acknowledged += 1
                self.last_offset = offset_of(message)
                then(offset_of(message))
                return
            self.error = self.error or error
            self.failed.append(f"recording {frame.header.recording} frame {frame.header.frame}: {error.str()}")

        return delivered


class KafkaLogWriter:
    """Appends frames to a topic. Any number of processes may hold one at a time.

    The producer is idempotent and waits for all in-sync replicas, and never gives up on one frame to go on with the next: what
    of an append is in the log is a beginning of it. So a re-run of the same producer leaves no hole.
    """

    def __init__(self, address: KafkaAddress, limits: KafkaLimits | None = None) -> None:
        self._address, self._limits = address, limits or KafkaLimits()
        self._troubles = Troubles()
        facts = TopicFacts(address)
        self._message_bytes = int(facts.settings.get("max.message.bytes", _DEFAULT_MESSAGE_BYTES))
        self._producer: Producer | None = make_client(Producer, address, self._settings())
        self._partitions = partitions_of(self._producer, address, self._troubles)
        self._stored = StoredFrames(address, self._limits.look_back)
        self._last_offset: int | None = None
        self._acknowledged = 0

    def append(self, frames: Sequence[Frame]) -> AppendResult:
        """Store *frames* in their order, and return when all are acknowledged; see ``LogWriter.append``.

        Raises
        ------
        LogUnreachable
            Not all of them were acknowledged in time. A beginning of them is in the log; which, the next writer finds out.
        FrameTooLarge
            One event does not fit into a message; nothing of *frames* was sent.
        """
        self._alive()
        parts = [part for frame in frames for part in fitting(frame, self._room(frame))]
        wanted = {part.header.recording for part in parts}
        for part in parts:
            self._look_back(part, wanted)
        missing = self._stored.missing(parts)
        if missing:
            self._send(missing)
        appended = len({(part.header.recording, part.header.frame) for part in missing})
        return AppendResult(appended=appended, duplicates=len(frames) - appended, last_offset=self._last_offset)

    def flush(self) -> None:
        """Do nothing: an append is acknowledged when it returns."""

    def close(self) -> None:
        """Let go of the producer; what an append that was interrupted had not sent yet is dropped."""
        self._drop()
        self._stored.close()

    def __enter__(self) -> "KafkaLogWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- before sending --------------------------------------------------------------------------------------------------

    def _settings(self) -> dict[str, Any]:
        return client_settings(self._address, self._troubles) | {
            "acks": "all",
            "enable.idempotence": True,
            "enable.gapless.guarantee": True,  # a frame that fails fails all after it
            "message.timeout.ms": 0,  # … and none is dropped for its age: we wait, and then stop as a whole
            "compression.type": "none",  # frames are zstd already
            "message.max.bytes": min(self._message_bytes, _MAX_MESSAGE_BYTES),
        }

    def _patience(self) -> float:
        given = (self._address.settings.get(name) for name in DELIVERY_SETTINGS)
        return next((int(text) / 1000 for text in given if text is not None and int(text) > 0), self._limits.seconds)

    def _room(self, frame: Frame) -> int:
        said = frame.header
        texts = (said.host, said.boot_id, DIGEST_HEADER, BOOT_HEADER)
        return self._message_bytes - MESSAGE_OVERHEAD - sum(len(text.encode()) for text in texts)

    def _look_back(self, frame: Frame, wanted: set[str]) -> None:
        partition = partition_of(frame.header.host, self._partitions)
        known = self._stored.look_back(frame.header.recording, partition, wanted)
        self._last_offset = self._last_offset if known is None else known

    # -- sending ---------------------------------------------------------------------------------------------------------

    def _send(self, frames: Sequence[Frame]) -> None:
        sending = _Sending(len(frames))
        patience = self._patience()
        for frame in frames:
            self._produce(frame, sending, patience)
        while sending.acknowledged + len(sending.failed) < sending.asked:
            self._wait(sending, patience)
        if sending.error is not None:
            raise self._stopped(sending)
        self._last_offset = sending.last_offset

    def _produce(self, frame: Frame, sending: _Sending, patience: float) -> None:
        said, producer = frame.header, self._alive()
        headers: list[tuple[str, str | bytes | None]] = [
            (DIGEST_HEADER, frame.digest),
            (BOOT_HEADER, said.boot_id.encode()),
        ]
        while True:
            try:
                producer.produce(
                    self._address.topic, frame.payload, said.host.encode(),
                    partition=partition_of(said.host, self._partitions), headers=headers,
                    on_delivery=sending.told(frame, lambda offset: self._acknowledge(frame, offset)),
                )  # fmt: skip
            except BufferError:  # librdkafka's queue is full: wait for acknowledgements
                self._wait(sending, patience)
            except KafkaException as error:
                sending.error = error.args[0]
                raise self._stopped(sending) from None
            else:
                return

    def _acknowledge(self, frame: Frame, offset: int) -> None:
        self._acknowledged += 1
        self._stored.acknowledged(frame, offset)

    def _wait(self, sending: _Sending, patience: float) -> None:
        """Serve acknowledgements; stop the producer when none came for too long, or we are refused."""
        try:
            self._alive().poll(0.1)
        except KafkaException as error:  # a fatal one: the producer cannot go on
            sending.error = error.args[0]
        if sending.error is not None or self._troubles.refused or time.monotonic() - sending.moved > patience:
            raise self._stopped(sending)

    def _alive(self) -> Producer:
        if self._producer is None:
            raise ValueError("this writer has stopped: what it was about to send is not known to be in the log")
        return self._producer

    def _stopped(self, sending: _Sending) -> LogUnreachable:
        """Give up: nothing more leaves this producer. Say what of the append is sure."""
        said = sending.error.str() if sending.error is not None else f"no acknowledgement for {self._patience():g} s"
        self._drop()
        each = "".join(f"{line}; " for line in sending.failed[:3])
        done = (
            f"{self._acknowledged} frames were acknowledged by this run, and the same command goes on after them; "
            f"of the last append {sending.asked - sending.acknowledged} of {sending.asked} were not: {each}"
        )
        return unreachable(self._address, self._troubles, said, done=done)

    def _drop(self) -> None:
        """Let nothing more leave: what is in flight stays a beginning of what was to be sent."""
        if self._producer is not None:
            self._producer.purge(in_queue=True, in_flight=False)
            self._producer = None
