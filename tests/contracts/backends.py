"""The backends of the log that the contract suite runs over. A second one is one more entry here."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np

from pagetrail.producers.sink_sqlite import LogLimits, SqliteLogWriter
from pagetrail.replay.source_sqlite import SqliteLogReader
from pagetrail.schemas.batch import EventBatch
from pagetrail.schemas.frames import Frame, FrameOrigin, make_frame
from pagetrail.schemas.log import LogReader, LogWriter


@dataclasses.dataclass(frozen=True, kw_only=True)
class Backend:
    """How to open both ends of a log at a place; ``cramped`` opens a writer that soon runs out of space."""

    writer: Callable[[Path], LogWriter]
    reader: Callable[[Path], LogReader]
    cramped: Callable[[Path], LogWriter]


BACKENDS = {
    "sqlite": Backend(
        writer=SqliteLogWriter,
        reader=SqliteLogReader,
        cramped=lambda place: SqliteLogWriter(place, LogLimits(max_file_pages=20)),
    ),
    "sqlite-many-files": Backend(
        writer=lambda place: SqliteLogWriter(place, LogLimits(file_bytes=200_000)),
        reader=SqliteLogReader,
        cramped=lambda place: SqliteLogWriter(place, LogLimits(max_file_pages=20)),
    ),
}


def a_frame(recording: str, number: int, events: int = 20, seed: int = 0) -> Frame:
    """Return frame *number* of *recording*: other seeds have other events."""
    rng = np.random.default_rng([seed, number])
    columns = {
        "seq": np.arange(number * events, (number + 1) * events),
        "trace_ts_nsec": np.sort(rng.integers(0, 2**40, events)),
        "kind": np.full(events, 10, dtype=np.int8),
        "pfn": rng.integers(0, 2**40, events),
        "comm": rng.integers(0, 2, events).astype(np.int32),
    }
    origin = FrameOrigin(host="h", boot_id="b", recording=recording, producer="test", producer_version="0")
    return make_frame(EventBatch(columns=columns, texts={"comm": ["a", recording]}), origin, number)
