"""Which frames of a recording a topic already holds: those that this writer sent, and those that it finds by reading back.

A frame counts as stored when a copy of it follows the last copies of the frames before it. After a frame that has to be sent
(again), those behind it are sent again too: so there is always a copy of the recording in order, and replay skips the rest.
"""

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Final

from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from pagetrail.schemas.errors import FrameConflict, FrameDamaged
from pagetrail.schemas.frames import Frame, FrameHeader, RecordingKey, decode_header, frame_digest
from pagetrail.schemas.log.address import KafkaAddress
from pagetrail.schemas.log.kafka import (
    CONNECT_SECONDS,
    READ_SETTINGS,
    Troubles,
    client_settings,
    make_client,
    offset_of,
    unreachable,
    watermarks,
)
from pagetrail.schemas.log.stored import StoredRecording, stored_recording

LOOK_BACK: Final = 1024
"""Messages at the end of a partition that are looked through when a recording begins: 64 Mi events in full frames."""

KEPT: Final = 16_384
"""Copies that are remembered of a recording, the last ones: a billion events in full frames."""

KEPT_RECORDINGS: Final = 64

_PLANNED: Final = 1 << 63
"""The offset of a frame that is about to be sent: after all others."""

_BATCH: Final = 64

_Note = Callable[[FrameHeader, bytes, int], None]  # a frame, and its offset
_Key = tuple[int, int]  # frame number and first_seq: a frame that was cut has several of one number


@dataclass(frozen=True, slots=True)
class _Copy:
    digest: bytes
    last_seq: int
    offset: int


@dataclass(slots=True)
class _Copies:
    """The last copy of each frame of a recording, and where the last one of all stands."""

    by_key: dict[_Key, _Copy] = field(default_factory=dict)
    last: tuple[int, int] = (-1, -1)  # first_seq, offset

    def add(self, header: FrameHeader, digest: bytes, offset: int) -> None:
        key = (header.frame, header.first_seq)
        self.by_key.pop(key, None)
        self.by_key[key] = _Copy(digest, header.last_seq, offset)
        self.last = (header.first_seq, offset)
        if len(self.by_key) > KEPT:
            del self.by_key[next(iter(self.by_key))]

    def holds(self, header: FrameHeader, digest: bytes) -> bool:
        copy = self.by_key.get((header.frame, header.first_seq))
        if copy is None:
            return False
        if copy.digest != digest and copy.last_seq == header.last_seq:
            stored, offered = copy.digest.hex()[:16], digest.hex()[:16]
            raise FrameConflict(recording=header.recording, frame=header.frame, stored=stored, offered=offered)
        seq, offset = self.last
        return copy.digest == digest and (header.first_seq <= seq or copy.offset > offset)

    def copy(self) -> "_Copies":
        return _Copies(dict(self.by_key), self.last)


class StoredFrames:
    """The frames of the recordings that a writer has met, as far as it knows them to be in the log."""

    def __init__(self, address: KafkaAddress, look_back: int) -> None:
        self._address, self._look_back = address, look_back
        self._recordings: dict[RecordingKey, _Copies] = {}
        self._sought: dict[tuple[int, str], int] = {}  # (partition, recording) → the partition's end then
        self._troubles = Troubles()
        self._consumer: Consumer | None = None

    def missing(self, frames: Sequence[Frame]) -> list[Frame]:
        """Return those of *frames* that have to be sent, in order; they are taken to be on their way from now on.

        Raises
        ------
        FrameConflict
            The log holds other bytes under one's number and seq; none of them is on its way then.
        """
        before = {key: self._recordings[key].copy() for key in {frame.header.recording_key for frame in frames}}
        missing = []
        try:
            for frame in frames:
                copies = self._recordings[frame.header.recording_key]
                if not copies.holds(frame.header, frame.digest):
                    copies.add(frame.header, frame.digest, _PLANNED)
                    missing.append(frame)
        except FrameConflict:
            self._recordings.update(before)
            raise
        return missing

    def acknowledged(self, frame: Frame, offset: int) -> None:
        """Take note of where a frame that was sent stands."""
        copies = self._recordings.get(frame.header.recording_key)
        if copies is not None:
            copies.add(frame.header, frame.digest, offset)

    def look_back(self, recording: RecordingKey, partition: int, wanted: Collection[RecordingKey]) -> int | None:
        """Look for frames of *recording* at the end of *partition*, once; return the partition's last offset then.

        Recordings that were met long ago are forgotten, but none of those that are *wanted* now.
        """
        if recording in self._recordings:
            return None
        old = [known for known in self._recordings if known not in wanted]
        for known in old[: max(len(self._recordings) + 1 - KEPT_RECORDINGS, 0)]:
            del self._recordings[known]
            self._sought = {place: end for place, end in self._sought.items() if place[1] != known[2]}
        copies = self._recordings[recording] = _Copies()
        high = self._sought.get((partition, recording[2]))
        if high is None:
            low, high = watermarks(self._reader(), self._address, partition, self._troubles)

            def note(header: FrameHeader, payload: bytes, offset: int) -> None:
                if header.recording_key == recording:
                    copies.add(header, frame_digest(payload), offset)

            self._read(partition, max(low, high - self._look_back), high, note)
        return high - 1 if high > 0 else None

    def recordings(self, partition: int, hosts: Collection[str], ids: Collection[str]) -> list[StoredRecording]:
        """Return what the end of *partition* holds of recordings of *hosts* with these *ids*; ``look_back`` reads it no more.

        It looks as far as ``look_back``, and further only for the first event of a recording that it has found.
        """
        ends: dict[RecordingKey, tuple[bytes | None, bytes]] = {}

        def note(header: FrameHeader, payload: bytes, offset: int) -> None:
            if header.recording in ids and header.host in hosts:
                key = header.recording_key
                self._recordings.setdefault(key, _Copies()).add(header, frame_digest(payload), offset)
                first = ends[key][0] if key in ends else None
                ends[key] = (payload if first is None and header.first_seq == 0 else first, payload)

        def note_begin(header: FrameHeader, payload: bytes, _: int) -> None:
            if header.recording_key in ends and header.first_seq == 0:
                ends[header.recording_key] = (payload, ends[header.recording_key][1])

        low, high = watermarks(self._reader(), self._address, partition, self._troubles)
        start = max(low, high - self._look_back)
        self._read(partition, start, high, note)
        while start > low and any(first is None for first, _ in ends.values()):
            start, stop = max(low, start - self._look_back), start
            self._read(partition, start, stop, note_begin)
        self._sought |= {(partition, recording): high for recording in ids}
        return [stored_recording(last if first is None else first, last) for first, last in ends.values()]

    def newest(self, partition: int, host: str, boot_id: str) -> StoredRecording | None:
        """Return the recording of a boot that ends last among those at the end of *partition*; null: there is none."""
        ends: dict[str, tuple[bytes, bytes, int]] = {}  # first frame, last frame, time of its last event

        def note(header: FrameHeader, payload: bytes, _: int) -> None:
            if (header.host, header.boot_id) != (host, boot_id):
                return
            first, last, ts = ends.get(header.recording, (payload, payload, header.last_ts))
            first = payload if header.first_seq == 0 else first
            ends[header.recording] = (first, payload, header.last_ts) if header.last_ts >= ts else (first, last, ts)

        low, high = watermarks(self._reader(), self._address, partition, self._troubles)
        self._read(partition, max(low, high - self._look_back), high, note)
        newest = max(ends.values(), key=lambda end: end[2], default=None)
        return None if newest is None else stored_recording(newest[0], newest[1])

    def close(self) -> None:
        """Let go of the consumer that looks back."""
        if self._consumer is not None:
            self._consumer.close()
            self._consumer = None

    def _read(self, partition: int, start: int, stop: int, note: _Note) -> None:
        """Call *note* with each frame of *partition* from *start* to *stop*."""
        if start >= stop:
            return
        reader, offset, moved = self._reader(), start, time.monotonic()
        reader.assign([TopicPartition(self._address.topic, partition, start)])
        while offset < stop:
            for message in reader.consume(_BATCH, 0.05):
                error = message.error()
                if error is None:
                    moved, offset = time.monotonic(), offset_of(message) + 1
                    _noted(message, note)
                elif error.code() == KafkaError._PARTITION_EOF:
                    offset = max(offset, offset_of(message))
                else:
                    self._troubles(error)
            if self._troubles.refused or time.monotonic() - moved > CONNECT_SECONDS:
                raise unreachable(self._address, self._troubles)
        reader.unassign()

    def _reader(self) -> Consumer:
        if self._consumer is None:
            settings = client_settings(self._address, self._troubles) | READ_SETTINGS
            self._consumer = make_client(Consumer, self._address, settings)
        return self._consumer


def _noted(message: Message, note: _Note) -> None:
    payload = message.value() or b""
    try:
        header = decode_header(payload)
    except FrameDamaged:
        return  # replay says so; here it is enough that it is no frame of a recording
    note(header, payload, offset_of(message))
