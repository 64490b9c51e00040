"""Holes: frames of a recording that are missing from the log although later ones are there. Replay waits, or folds a gap.

Whether a hole is final depends on the log alone, never on time or on the process that replays, so that all replays agree. It is
final in these cases:

- The log has lost offsets since the stream's last frame (retention overtook replay, the partition was truncated, another
  frame is at a known offset): the hole is that loss.
- The log is the trail's own: frames are appended to it in order and completely.
- More than ``HOLE_FRAMES`` later frames of the stream are in the log: a producer would have sent the missing ones again before
  them. Until then, ingesting the recording again fills the hole, and no frame of the stream after the hole is folded.
"""

from pagetrail.replay.rules.engine import StreamEngine
from pagetrail.schemas.frames import FrameHeader
from pagetrail.schemas.log.contract import LogRecord

HOLE_FRAMES = 32
"""Largest number of frames of a stream that wait behind a hole: with the next one, the hole is final."""


def next_seq(engine: StreamEngine, recording: str) -> int:
    """Return the next seq of *recording* that is not folded yet."""
    return next((r.next_seq for r in engine.state.facts.recordings if r.recording == recording), 0)


def take(engine: StreamEngine, waiting: list[LogRecord], *, lost: bool) -> LogRecord | None:
    """Take the next frame to fold out of *waiting*; null: there is none, all are behind a hole.

    *lost*: the log has lost frames since the stream's last one.
    """
    head = waiting[0].header
    wanted = next_seq(engine, head.recording)
    if head.first_seq <= wanted:
        return waiting.pop(0)
    for i, record in enumerate(waiting):
        header = record.header
        if header.recording == head.recording and header.first_seq <= wanted <= header.last_seq:
            return waiting.pop(i)
    if lost or len(waiting) > HOLE_FRAMES:
        return waiting.pop(0)
    return None


def is_waiting(waiting: list[LogRecord], header: FrameHeader) -> bool:
    """Return whether a frame is already waiting: it was sent twice. One of another version was made by another reader."""
    return any(
        (r.header.recording, r.header.version, r.header.first_seq, r.header.last_seq)
        == (header.recording, header.version, header.first_seq, header.last_seq)
        for r in waiting
    )


def waiting_message(engine: StreamEngine, waiting: list[LogRecord]) -> str:
    """Return a message on the frames that the stream waits for."""
    head = waiting[0].header
    first = next((p.next_frame for p in engine.state.facts.recordings if p.recording == head.recording), 0)
    return (
        f"frames {first} to {head.frame - 1} of recording {head.recording} are not in the log, and {len(waiting)} later "
        f"frames wait for them: ingest the recording again; after {HOLE_FRAMES + 1} later ones the hole becomes a gap"
    )
