"""The backends of the log that the contract suite runs over: one more is one more entry here."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np

from pagetrail.producers.log.sink_kafka import KafkaLogWriter
from pagetrail.producers.log.sink_sqlite import LogLimits, SqliteLogWriter
from pagetrail.replay.log.embedded import SqliteLogReader
from pagetrail.replay.log.kafka import KafkaLogReader
from pagetrail.schemas.batch import EventBatch
from pagetrail.schemas.frames import Frame, FrameOrigin, make_frame
from pagetrail.schemas.log.contract import LogReader, LogWriter
from tests.contracts.topics import address_of


@dataclasses.dataclass(frozen=True, kw_only=True)
class Backend:
    """How to open both ends of a log at a place, and what it promises beyond the contract.

    Attributes
    ----------
    whole
        An append is whole or not at all, and a frame is stored once, whoever appends it.
    cramped
        Opens a writer that soon runs out of space, where that can be had.
    needs
        The fixture that it runs on.
    """

    writer: Callable[[Path], LogWriter]
    reader: Callable[[Path], LogReader]
    whole: bool
    cramped: Callable[[Path], LogWriter] | None = None
    needs: str | None = None


BACKENDS = {
    "sqlite": Backend(
        writer=SqliteLogWriter,
        reader=SqliteLogReader,
        whole=True,
        cramped=lambda place: SqliteLogWriter(place, LogLimits(max_file_pages=20)),
    ),
    "sqlite-many-files": Backend(
        writer=lambda place: SqliteLogWriter(place, LogLimits(file_bytes=200_000)),
        reader=SqliteLogReader,
        whole=True,
        cramped=lambda place: SqliteLogWriter(place, LogLimits(max_file_pages=20)),
    ),
    "kafka": Backend(
        writer=lambda place: KafkaLogWriter(address_of(place)),
        reader=lambda place: KafkaLogReader(address_of(place)),
        whole=False,
        needs="kafka",
    ),
}


def a_frame(
    recording: str, number: int, events: int = 20, seed: int = 0, host: str = "h", comm: str | None = None
) -> Frame:
    """Return frame *number* of *recording*: other seeds have other events. *comm* is of some; null: the recording's name."""
    rng = np.random.default_rng([seed, number])
    columns = {
        "seq": np.arange(number * events, (number + 1) * events),
        "trace_ts_nsec": np.sort(rng.integers(0, 2**40, events)),
        "kind": np.full(events, 10, dtype=np.int8),
        "pfn": rng.integers(0, 2**40, events),
        "comm": rng.integers(0, 2, events).astype(np.int32),
    }
    origin = FrameOrigin(host=host, boot_id="b", recording=recording, producer="test", producer_version="0")
    return make_frame(EventBatch(columns=columns, texts={"comm": ["a", comm or recording]}), origin, number)
