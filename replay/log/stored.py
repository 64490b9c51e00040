"""What a log holds of one recording: whose it is, which reader made it, and whether it is whole."""

from dataclasses import dataclass

from pydantic import ValidationError

from pagetrail.schemas.columns import Kind
from pagetrail.schemas.details import RecordingBegin, RecordingEnd
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
        Its first event. Its ``reader`` is null where it is from before readers had versions.
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
    begin: RecordingBegin
    end: RecordingEnd | None
    first_ts: int
    last_ts: int
    events: int
    frames: int


def superseded_by(first: bytes) -> str | None:
    """Return the recording whose place the one takes whose *first* frame this is; null: none, or the frame cannot be read."""
    try:
        _, batch = decode_frame(first)
        if int(batch.columns["kind"][0]) == Kind.RECORDING_BEGIN:
            return RecordingBegin.model_validate_json(batch.details.get(0, "")).supersedes
    except (FrameDamaged, SchemaTooNew, ValidationError):
        pass  # replay says so when it folds the frame
    return None


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
        begin=RecordingBegin.model_validate_json(batch.details[0]),
        end=RecordingEnd.model_validate_json(end.details[last_row]) if ended else None,
        first_ts=header.first_ts,
        last_ts=newest.last_ts,
        events=newest.last_seq + 1,
        frames=newest.frame + 1,
    )
