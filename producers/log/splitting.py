"""Frames that are too large for a message: halved by the count of their events, until each part fits."""

from pagetrail.schemas.batch import EventBatch
from pagetrail.schemas.errors import FrameTooLarge
from pagetrail.schemas.frames import Frame, FrameOrigin, decode_frame, make_frame


def fitting(frame: Frame, limit: int) -> list[Frame]:
    """Return *frame* if its bytes are at most *limit*; else its halves, and theirs, in order of their events.

    A part is a whole frame: it has the number of the frame that it is cut from, and its own ``first_seq`` and ``last_seq``.
    The same frame and limit give the same parts.

    Raises
    ------
    FrameTooLarge
        One event alone is larger.
    """
    if len(frame.payload) <= limit:
        return [frame]
    header, batch = decode_frame(frame.payload)
    origin = FrameOrigin(
        host=header.host, boot_id=header.boot_id, recording=header.recording,
        producer=header.producer, producer_version=header.producer_version, version=header.version,
    )  # fmt: skip
    return _halves(batch, origin, header.frame, limit)


def _halves(batch: EventBatch, origin: FrameOrigin, number: int, limit: int) -> list[Frame]:
    middle = len(batch) // 2
    parts: list[Frame] = []
    for half in (batch.slice(0, middle), batch.slice(middle, len(batch))):
        if not len(half):
            continue
        frame = make_frame(half, origin, number)
        if len(frame.payload) <= limit:
            parts.append(frame)
        elif len(half) == 1:
            raise FrameTooLarge(recording=origin.recording, frame=number, size=len(frame.payload), limit=limit)
        else:
            parts += _halves(half, origin, number, limit)
    return parts
