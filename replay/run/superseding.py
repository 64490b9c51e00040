"""Recordings that a later reader stored again: the later one takes the place of the earlier one, also where others follow that one.

The fold then begins the stream anew, without the earlier recording. If others of the boot follow it, that waits until the later
recording is in the log completely, and its frames are folded where the first frame of the earlier one stands.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from pagetrail.replay.facts.recording import StreamRecording
from pagetrail.replay.store.cut import Successor
from pagetrail.schemas.frames import FrameHeader, RecordingKey
from pagetrail.schemas.log.contract import LogRecord
from pagetrail.schemas.log.stored import ends_recording


@dataclass(slots=True)
class Coming:
    """A recording that is to take the place of one that others follow, as far as the log holds it.

    Attributes
    ----------
    old
        The recording whose place it is to take.
    first
        Its first frame.
    offset, last_offset
        The least and the greatest offset of its frames.
    next_seq, last_ts
        The number of its events that were seen in order, and the time of the last of them.
    complete
        Whether its last event is among them.
    """

    old: str
    first: FrameHeader
    offset: int
    last_offset: int = -1
    next_seq: int = 0
    last_ts: int = 0
    complete: bool = False
    _early: dict[int, tuple[int, int, bool]] = field(default_factory=dict)
    """Frames behind a hole, by their first event: the last one, its time, and whether it ends the recording."""

    def take(self, record: LogRecord) -> None:
        """Take note of one of its frames, and of those that came too early and follow it."""
        header = record.header
        self.offset, self.last_offset = min(self.offset, record.offset), max(self.last_offset, record.offset)
        if header.last_seq >= self.next_seq:
            frame = header.last_seq, header.last_ts, ends_recording(record.payload)
            self._early[header.first_seq] = max(frame, self._early.get(header.first_seq, frame))
        while (first := min(self._early, default=self.next_seq + 1)) <= self.next_seq:
            last_seq, last_ts, ends = self._early.pop(first)
            if last_seq >= self.next_seq:
                self.next_seq, self.last_ts, self.complete = last_seq + 1, last_ts, ends

    @property
    def successor(self) -> Successor:
        """What takes the old recording's place."""
        return Successor(recording=self.first.recording, first_offset=self.offset, last_offset=self.last_offset)

    def waiting_message(self) -> str:
        """Return a message on what its stream waits for."""
        return (
            f"recording {self.first.recording} is to take the place of recording {self.old}, which others follow; the log does "
            "not hold its end yet: ingest it again"
        )

    def misfit(self, recordings: list[StreamRecording]) -> str:
        """Return why it does not fit between the recordings beside the old one; empty: it does."""
        place = next((i for i, known in enumerate(recordings) if known.recording == self.old), None)
        if place is None:
            return ""
        before = max((known.last_ts for known in recordings[:place] if known.last_ts is not None), default=None)
        after = min((known.first_ts for known in recordings[place + 1 :] if known.first_ts is not None), default=None)
        if (before is None or before < self.first.first_ts) and (after is None or self.last_ts < after):
            return ""
        free = (
            f"after {before}"
            if after is None
            else f"before {after}"
            if before is None
            else f"between {before} and {after}"
        )
        return (
            f"recording {self.first.recording} of {self.first.host} {self.first.boot_id} was to take the place of recording "
            f"{self.old}, and has events from {self.first.first_ts} to {self.last_ts} ns; the other recordings of the boot leave "
            f"only the time {free} ns, and recordings of the same time are never merged: ingest it into another trail"
        )


def last_successor(superseded: Mapping[RecordingKey, Successor], key: RecordingKey) -> Successor:
    """Return what finally takes the place of a recording that was superseded: its successor may have one, too."""
    successor = superseded[key]
    while (following := superseded.get((key[0], key[1], successor.recording))) is not None:
        successor = following
    return successor


def superseded_message(key: RecordingKey, successor: Successor) -> str:
    """Return a message that a recording was set aside, and for what."""
    host, boot_id, old = key
    return (
        f"recording {old} of {host} {boot_id} was stored again by a later reader: recording {successor.recording} takes its "
        "place, and nothing is lost"
    )


def not_remade_message(key: RecordingKey, successor: Successor, lost: str) -> str:
    """Return a message that a recording keeps its place, because its stream cannot be folded anew, and what to do."""
    host, boot_id, old = key
    return (
        f"recording {successor.recording} of {host} {boot_id} was to take the place of recording {old}; for that, the whole boot "
        f"is folded anew, and the log no longer holds {lost} (see its retention): recording {old} keeps its place, and all "
        f"evidence stays; to ask recording {successor.recording}, ingest the same input into another trail"
    )
