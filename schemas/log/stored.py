"""What a log holds of one recording: whose it is, which reader made it, and whether it is whole."""

from dataclasses import dataclass

import numpy as np
from pydantic import ValidationError

from pagetrail.schemas.batch import EventBatch
from pagetrail.schemas.columns import SCHEMA_VERSION, Kind
from pagetrail.schemas.details import Boot, RecordingBegin, RecordingEnd
from pagetrail.schemas.errors import FrameDamaged, SchemaTooNew
from pagetrail.schemas.frames import decode_frame


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRecording:
    """A recording that is in a log.

    Attributes
    ----------
    host, boot_id
        Its stream.
    begin
        Its first event. Its ``reader`` is null where it is from before readers had versions. Null: the log no longer holds it.
    version
        Version of its frames.
    end
        Its last event; null: the log does not hold all of it.
    first_ts, last_ts
        Trace clock of its first event, and of the last one that the log holds, ns.
    events, frames
        How many the log holds.
    """

    host: str
    boot_id: str
    recording: str
    begin: RecordingBegin | None
    version: int
    end: RecordingEnd | None
    first_ts: int
    last_ts: int
    events: int
    frames: int

    def is_made_by(self, reader: int) -> bool:
        """Return whether *reader* made it; where its first event is gone, whether its events are as new as those of *reader*."""
        return self.version >= SCHEMA_VERSION if self.begin is None else self.begin.reader == reader


def superseded_by(first: bytes) -> str | None:
    """Return the recording whose place the one takes whose *first* frame this is; null: none, or the frame cannot be read."""
    try:
        begin = _begin(decode_frame(first)[1])
    except (FrameDamaged, SchemaTooNew, ValidationError):
        return None  # replay says so when it folds the frame
    return None if begin is None else begin.supersedes


def release_of(first: bytes) -> str | None:
    """Return the kernel release that a recording names whose *first* frame this is; null: none, or the frame cannot be read."""
    try:
        batch = decode_frame(first)[1]
        rows = np.flatnonzero(batch.columns["kind"] == Kind.BOOT).tolist()
        boots = [Boot.model_validate_json(batch.details[row]) for row in rows if row in batch.details]
    except (FrameDamaged, SchemaTooNew, ValidationError):
        return None  # replay says so when it folds the frame
    return next((boot.release for boot in boots if boot.release is not None), None)


def other_kernel(found: str | None, known: str | None) -> str:
    """Return why a recording that names the release *found* is not of the boot whose earlier ones name *known*; empty: it may be.

    Null: none is named. The rules of a stream are fixed before its first event of pages, so no later recording changes them.
    """
    if None in (found, known) or found == known:
        return ""
    return (
        f"it names Linux {found}, and earlier recordings of the same boot name Linux {known}: one boot has one kernel"
    )


def ends_recording(frame: bytes) -> bool:
    """Return whether a frame has the last event of its recording; false of one that cannot be read."""
    try:
        _, batch = decode_frame(frame)
    except (FrameDamaged, SchemaTooNew):
        return False
    return int(batch.columns["kind"][len(batch) - 1]) == Kind.RECORDING_END


def stored_recording(first: bytes, last: bytes) -> StoredRecording:
    """Return what the *first* and the *last* frame of a recording, as the log holds them, say of it.

    Raises
    ------
    FrameDamaged, SchemaTooNew
        One of them cannot be read.
    """
    header, batch = decode_frame(first, "the recording's first frame")
    newest, end = decode_frame(last, "the recording's last frame")
    last_row = len(end) - 1
    ended = int(end.columns["kind"][last_row]) == Kind.RECORDING_END
    return StoredRecording(
        host=header.host,
        boot_id=header.boot_id,
        recording=header.recording,
        begin=_begin(batch),
        version=header.version,
        end=RecordingEnd.model_validate_json(end.details[last_row]) if ended else None,
        first_ts=header.first_ts,
        last_ts=newest.last_ts,
        events=newest.last_seq + 1,
        frames=newest.frame + 1,
    )


def _begin(batch: EventBatch) -> RecordingBegin | None:
    """Return the first event of a recording, if *batch* begins with it."""
    if int(batch.columns["kind"][0]) != Kind.RECORDING_BEGIN:
        return None
    return RecordingBegin.model_validate_json(batch.details.get(0, ""))
