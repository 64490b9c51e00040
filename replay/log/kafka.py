"""The log's reading end on Apache Kafka: bounded reads of partitions by offset, without a consumer group."""

import time
from collections import deque
from dataclasses import dataclass

from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from pagetrail.schemas.errors import ForeignMessage, FrameDamaged, OffsetGap
from pagetrail.schemas.frames import decode_header, frame_digest
from pagetrail.schemas.limits.names import NAME, unfit
from pagetrail.schemas.log.address import KafkaAddress
from pagetrail.schemas.log.contract import ANY_BOOT, MAX_READ_BYTES, FramePlace, LogRecord
from pagetrail.schemas.log.kafka import (
    BOOT_HEADER,
    DIGEST_HEADER,
    READ_SETTINGS,
    TopicFacts,
    Troubles,
    client_settings,
    make_client,
    offset_of,
    unreachable,
    watermarks,
)

_BATCH = 64
_PATIENCE = 30.0
"""Seconds that a read waits for records below the high watermark: a leader may have to be elected first."""

_OUT_OF_RANGE = (KafkaError.OFFSET_OUT_OF_RANGE, KafkaError._AUTO_OFFSET_RESET)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadLimits:
    """How long a read waits for the brokers.

    Attributes
    ----------
    seconds
        A read below the high watermark that gets no record for so long fails with ``LogUnreachable``.
    """

    seconds: float = _PATIENCE


class KafkaLogReader:
    """Reads the topic of a log. Each partition that is read has its own consumer, which fetches ahead.

    Offsets grow, and some may be skipped: a transaction's marker takes one without being a record. Missing frames show in the
    frames' own ``seq``, or are below the low watermark.
    """

    def __init__(self, address: KafkaAddress, limits: ReadLimits | None = None) -> None:
        self._address, self._limits = address, limits or ReadLimits()
        self._facts = TopicFacts(address)
        self._open: dict[int, _PartitionReader] = {}

    @property
    def log_id(self) -> str:
        """The topic's name and id: a topic that is created again under the same name is another log."""
        return f"{self._address.topic}.{self._facts.topic_id}"

    def partitions(self) -> tuple[int, ...]:
        """Return the partitions that the topic had when the reader was opened."""
        return tuple(range(self._facts.partitions))

    def low_watermark(self, partition: int) -> int:
        """Return the offset of the first record that is still kept."""
        return self._partition(partition).watermarks()[0]

    def high_watermark(self, partition: int) -> int:
        """Return the offset after the last record that all in-sync replicas have."""
        return self._partition(partition).watermarks()[1]

    def read(self, partition: int, offset: int, max_bytes: int = MAX_READ_BYTES) -> list[LogRecord]:
        """Return records from *offset* on: at most *max_bytes* of them, but at least one if there is one.

        For other exceptions, see ``LogReader.read``.

        Raises
        ------
        LogUnreachable
            The log has more records, but the brokers do not send them.
        """
        records: list[LogRecord] = []
        for message in self._partition(partition).messages(offset, max_bytes):
            try:
                records.append(_record(str(self._address), partition, message))
            except FrameDamaged:
                if records:
                    break
                raise
        return records

    def locate(self, recording: str, seq: int) -> FramePlace | None:
        """Return the first place of event *seq* of a recording; null: it is not in the topic, or no longer.

        A topic has no index of its recordings: this reads it until the event is found, or to the end.

        Raises
        ------
        LogUnreachable
            See ``read``.
        """
        for partition in self.partitions():
            offset, end = self.low_watermark(partition), self.high_watermark(partition)
            while offset < end:
                try:
                    records = self.read(partition, offset)
                except FrameDamaged:
                    offset += 1
                    continue
                except OffsetGap:  # retention removes what is being read
                    offset = max(offset + 1, self.low_watermark(partition))
                    continue
                for record in records:
                    h = record.header
                    if h.recording == recording and h.first_seq <= seq <= h.last_seq:
                        return FramePlace(
                            partition=partition, offset=record.offset, first_seq=h.first_seq, last_seq=h.last_seq
                        )
                offset = records[-1].offset + 1 if records else end
            self.release(partition)
        return None

    def release(self, partition: int) -> None:
        """Close the consumer of a partition that is no longer read; a later read opens it again."""
        reader = self._open.pop(partition, None)
        if reader is not None:
            reader.close()

    def close(self) -> None:
        """Close the consumers of all partitions."""
        for partition in list(self._open):
            self.release(partition)

    def __enter__(self) -> "KafkaLogReader":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _partition(self, partition: int) -> "_PartitionReader":
        if not 0 <= partition < self._facts.partitions:
            raise ValueError(f"{self._address} has partitions 0 to {self._facts.partitions - 1}, not {partition}")
        if partition not in self._open:
            self._open[partition] = _PartitionReader(self._address, partition, self._limits.seconds)
        return self._open[partition]


class _PartitionReader:
    """One partition: its consumer, and the messages that were fetched and not taken yet."""

    def __init__(self, address: KafkaAddress, partition: int, seconds: float) -> None:
        self._address, self._partition, self._seconds = address, partition, seconds
        self._troubles = Troubles()
        settings = client_settings(address, self._troubles) | READ_SETTINGS
        self._consumer = make_client(Consumer, address, settings)
        self._fetched: deque[Message] = deque()
        self._next: int | None = None  # offset of the next message to take
        self._end = -1  # the highest end of the partition that was seen
        self._lost = False  # the brokers report that the offset does not exist, or no longer

    def close(self) -> None:
        self._consumer.close()

    def watermarks(self) -> tuple[int, int]:
        return watermarks(self._consumer, self._address, self._partition, self._troubles, seconds=self._seconds)

    def messages(self, offset: int, max_bytes: int) -> list[Message]:
        """Take messages from *offset* on: at most *max_bytes* of them, but at least one if there is one."""
        if offset != self._next:
            self._go_to(offset)
        self._fetch()
        if not self._fetched:
            self._await(offset)
        taken: list[Message] = []
        room = max_bytes
        while self._fetched or (taken and room > 0 and self._fetch()):
            room -= len(self._fetched[0].value() or b"")
            if room < 0 and taken:
                break
            taken.append(self._fetched.popleft())
            self._next = offset_of(taken[-1]) + 1
        return taken

    def _go_to(self, offset: int) -> None:
        low, high = self.watermarks()
        if not low <= offset <= high:
            raise OffsetGap(partition=self._partition, expected=offset, found=low if offset < low else high)
        self._fetched.clear()
        self._consumer.assign([TopicPartition(self._address.topic, self._partition, offset)])
        self._next, self._end, self._lost = offset, -1, False

    def _await(self, offset: int) -> None:
        """Wait until a message is fetched, or *offset* is the partition's end."""
        until = time.monotonic() + self._seconds
        while not self._fetched:
            low, high = self.watermarks()
            if self._lost or offset < low or offset > high:
                self._next = None
                raise OffsetGap(partition=self._partition, expected=offset, found=low if offset < low else high)
            if offset == high or self._end >= high:
                return
            if self._troubles.refused or time.monotonic() > until:
                raise unreachable(self._address, self._troubles, f"no record of partition {self._partition} was sent")
            self._fetch(0.2)

    def _fetch(self, seconds: float = 0.0) -> bool:
        """Take the messages that the consumer has fetched; wait *seconds* for the first. Return whether there are any."""
        first = self._consumer.poll(seconds) if seconds else None
        for message in ([] if first is None else [first]) + self._consumer.consume(_BATCH, 0):
            error = message.error()
            if error is None:
                self._fetched.append(message)
            elif error.code() == KafkaError._PARTITION_EOF:
                self._end = max(self._end, offset_of(message))
            elif error.code() in _OUT_OF_RANGE:
                self._lost = True
            else:
                self._troubles(error)
        return bool(self._fetched)


def _record(log: str, partition: int, message: Message) -> LogRecord:
    payload = message.value() or b""
    offset, headers = offset_of(message), dict(message.headers() or ())
    where = f"{log}, partition {partition}, offset {offset}"
    key, stream = _bytes(message.key()), _sender(_bytes(message.key()), _bytes(headers.get(BOOT_HEADER)))
    if stream is None:
        raise ForeignMessage(where=where, reason=f"a message whose key is no host's name: {NAME}, and of one at least")
    digest = frame_digest(payload)
    if headers.get(DIGEST_HEADER, digest) != digest:
        raise FrameDamaged(where=where, reason="bytes whose digest differs from the one sent with them", stream=stream)
    try:
        header = decode_header(payload, where)
    except FrameDamaged as error:
        raise FrameDamaged(where=where, reason=error.reason, stream=stream) from error
    if key != header.host.encode():
        raise FrameDamaged(
            where=where, reason=f"a frame of host {header.host} under another host's key, so that nobody knows who sent it",
            stream=stream,
        )  # fmt: skip
    return LogRecord(partition=partition, offset=offset, header=header, payload=payload, digest=digest)


def _sender(key: bytes | None, boot_id: bytes | None) -> tuple[str, str] | None:
    """Return the stream (host, boot_id) of a message: its sender is its key, whatever is in it. Null: the key is no name, or empty.

    Without the header that gives the boot, it is any boot of the host.
    """
    host = _name(key)
    return (host, _name(boot_id) or ANY_BOOT) if host else None


def _name(content: bytes | None) -> str | None:
    """Return the name that a key or a header has; null: it has none."""
    try:
        name = (content or b"").decode()
    except UnicodeDecodeError:
        return None
    return None if unfit(name) else name


def _bytes(text: str | bytes | None) -> bytes | None:
    return text.encode() if isinstance(text, str) else text
