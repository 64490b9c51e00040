"""A frame of the log: the proof of an answer."""

from pagetrail.schemas.batch import EventBatch
from pagetrail.schemas.errors import NotFound, OffsetGap
from pagetrail.schemas.frames import FrameHeader, decode_frame
from pagetrail.schemas.log.contract import LogReader, LogRecord


def read_frame(reader: LogReader, partition: int, offset: int) -> tuple[FrameHeader, EventBatch]:
    """Return the frame at an offset of the log.

    Raises
    ------
    NotFound
        The log has no frame there.
    """
    low, high = reader.low_watermark(partition), reader.high_watermark(partition)
    if not low <= offset < high:
        held = f"offsets {low} to {high - 1}" if low < high else "no frames"
        raise NotFound(
            f"log offset {offset}: the log holds {held}" + ("; older files were dropped" if offset < low else "")
        )
    try:
        records: list[LogRecord] = reader.read(partition, offset, 1)
    except OffsetGap as error:
        raise NotFound(f"log offset {offset}: {error}") from error
    return decode_frame(records[0].payload, f"log offset {offset}")
