"""Holes: frames of a recording that the log does not have, though it has later ones. Replay waits, or folds a gap.

When a hole is final is a function of the log, never of time or of who replays, so that all replays agree:

- The log has lost offsets since the stream's last frame (retention overtook replay, the partition was truncated, another
  frame stands at a known offset): the hole is that loss, and final at once.
- The log is the trail's own: what appends to it appends in order, and whole.
- ``HOLE_FRAMES`` later frames of the stream stand in the log, and the missing ones do not: who sent them would have sent them
  again before. Until then an ingest that is done again heals it, and nothing of the stream after the hole is folded.
"""

from pagetrail.replay.rules.engine import StreamEngine
from pagetrail.schemas.frames import FrameHeader
from pagetrail.schemas.log.contract import LogRecord

HOLE_FRAMES = 32
"""Frames of a stream that wait behind a hole, at most: with the next one, it is final."""


def next_seq(engine: StreamEngine, recording: str) -> int:
    """Return the seq that *recording* goes on with."""
    return next((part.next_seq for part in engine.state.facts.recordings if part.recording == recording), 0)


def take(engine: StreamEngine, waiting: list[LogRecord], *, lost: bool) -> LogRecord | None:
    """Take the frame that is to be folded next out of *waiting*; null: none is, all stand behind a hole.

    *lost*: the log has lost frames since the stream's last one.
    """
    head = waiting[0].header
    wanted = next_seq(engine, head.recording)
    if head.first_seq <= wanted:
        return waiting.pop(0)
    for i, record in enumerate(waiting):
        said = record.header
        if said.recording == head.recording and said.first_seq <= wanted <= said.last_seq:
            return waiting.pop(i)
    if lost or len(waiting) > HOLE_FRAMES:
        return waiting.pop(0)
    return None


def is_waiting(waiting: list[LogRecord], header: FrameHeader) -> bool:
    """Say whether a frame is among those that wait: it came twice."""
    return any(
        (r.header.recording, r.header.first_seq, r.header.last_seq)
        == (header.recording, header.first_seq, header.last_seq)
        for r in waiting
    )


def told(engine: StreamEngine, waiting: list[LogRecord]) -> str:
    """Return what the stream waits for, in words."""
    head = waiting[0].header
    first = next((p.next_frame for p in engine.state.facts.recordings if p.recording == head.recording), 0)
    return (
        f"frames {first} to {head.frame - 1} of recording {head.recording} are not in the log, and {len(waiting)} later "
        f"frames wait for them: ingest the recording again; after {HOLE_FRAMES + 1} later ones the hole is final, and a gap"
    )
