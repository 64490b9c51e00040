"""Whether a stream can be folded anew: whether the log still holds all that its files were made of.

Retention removes the oldest frames of a log, and a medium may damage some. What was folded of them is in the stream's files alone,
so these are removed only after the log was read once more, and found to hold every event that was folded, in the same order.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from pagetrail.replay.facts.facts import Facts
from pagetrail.replay.facts.recording import StreamRecording
from pagetrail.replay.run.superseding import last_successor
from pagetrail.replay.store.cut import Successor
from pagetrail.schemas.errors import FrameDamaged, OffsetGap
from pagetrail.schemas.frames import FrameHeader, RecordingKey
from pagetrail.schemas.log.contract import LogReader, LogRecord

_LOOKS: Final = 5
"""How often the log is read from its beginning when retention removes frames meanwhile."""

_READ_BYTES: Final = 8 << 20

Range = tuple[int, int]
"""Numbers of events of a recording: the first, and the one after the last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldFrame:
    """A frame that the log holds: its offset and header."""

    offset: int
    header: FrameHeader


def held_frames(reader: LogReader, partition: int, stream: tuple[str, str], last_offset: int) -> list[HeldFrame]:
    """Return the intact frames of a stream (host, boot_id) that the log holds up to *last_offset*, in their order.

    Raises
    ------
    OffsetGap
        The log skips offsets, or removes frames faster than they are read.
    """
    for look in range(_LOOKS):
        try:
            records = intact_records(reader, partition, reader.low_watermark(partition), last_offset)
            found = (HeldFrame(offset=record.offset, header=record.header) for record in records)
            return [frame for frame in found if (frame.header.host, frame.header.boot_id) == stream]
        except OffsetGap:
            if look == _LOOKS - 1:
                raise
    return []


def intact_records(
    reader: LogReader, partition: int, first_offset: int, last_offset: int, read_bytes: int = _READ_BYTES
) -> Iterator[LogRecord]:
    """Yield the records from *first_offset* to *last_offset* that can be read; others are left out.

    Raises
    ------
    OffsetGap
        The log no longer has an offset from the first one on.
    """
    offset = first_offset
    while offset <= last_offset:
        try:
            records = reader.read(partition, offset, read_bytes)
        except FrameDamaged:
            offset += 1
            continue
        yield from (record for record in records if record.offset <= last_offset)
        offset = records[-1].offset + 1 if records else last_offset + 1


def lost_for_a_fold(
    facts: Facts, held: Sequence[HeldFrame], superseded: Mapping[RecordingKey, Successor], wanted: Mapping[str, int]
) -> str:
    """Return what a stream cannot be folded from anew; empty: the log holds everything.

    Parameters
    ----------
    facts
        What was folded.
    held
        The frames that the log holds of the stream.
    superseded
        What takes the place of recordings in the new fold.
    wanted
        The recordings that the new fold is to have, in their order, and how many events of each.
    """
    known = {recording.recording: recording for recording in facts.recordings}
    successors = {found.recording: found for found in superseded.values() if found.first_offset is not None}
    missing = [
        name
        for name, events in wanted.items()
        if not _has(_ranges(held, name, known.get(name), successors.get(name)), _folded(facts, known.get(name), events))
    ]
    if missing:
        return f"all events of recording{'s' if missing[1:] else ''} {', '.join(missing)}"
    begun = [name for name in _begun(held, superseded) if name in wanted]
    return "" if begun == [*wanted] else "the first frame of a recording whose place another one takes"


def _begun(held: Sequence[HeldFrame], superseded: Mapping[RecordingKey, Successor]) -> list[str]:
    """Return the recordings in the order in which a fold of *held* begins them."""
    found: dict[str, None] = {}
    for header in (frame.header for frame in held):
        if header.recording_key not in superseded:
            found.setdefault(header.recording)
        elif header.first_seq == 0:
            successor = last_successor(superseded, header.recording_key)
            if successor.first_offset is not None:
                found.setdefault(successor.recording)
    return [*found]


def _ranges(
    held: Sequence[HeldFrame], name: str, known: StreamRecording | None, placed: Successor | None
) -> list[Range]:
    """Return the events that the log holds of a recording: of frames of its version, and where the fold looks for them."""
    return [
        (frame.header.first_seq, frame.header.last_seq + 1)
        for frame in held
        if frame.header.recording == name
        and (known is None or frame.header.version == known.version)
        and (placed is None or (placed.first_offset or 0) <= frame.offset <= (placed.last_offset or 0))
    ]


def _folded(facts: Facts, known: StreamRecording | None, events: int) -> list[Range]:
    """Return the events of a recording that were folded: those before *events* that were not missing from the log then."""
    holes = [] if known is None else facts.holes(known)
    edges = [0, *(edge for hole in holes for edge in hole), events]
    return [(first, stop) for first, stop in zip(edges[::2], edges[1::2], strict=True) if first < stop]


def _has(held: Sequence[Range], wanted: Sequence[Range]) -> bool:
    """Return whether every event that is *wanted* is in one of the ranges that are *held*."""
    merged: list[Range] = []
    for first, stop in sorted(held):
        if merged and first <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], stop))
        else:
            merged.append((first, stop))
    return all(any(low <= first and stop <= high for low, high in merged) for first, stop in wanted)
