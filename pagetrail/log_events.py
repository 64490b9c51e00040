"""Events as a log holds them: the log of a trail, or a topic."""

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from pagetrail.queries.questions import events as questions
from pagetrail.replay.log.embedded import SqliteLogReader
from pagetrail.replay.log.kafka import KafkaLogReader
from pagetrail.schemas.log.address import KafkaAddress
from pagetrail.schemas.log.contract import EMBEDDED_PARTITION


def events(
    trail: str | Path,
    offset: int,
    numbers: Sequence[int] = (),
    *,
    log: KafkaAddress | None = None,
    partition: int = EMBEDDED_PARTITION,
) -> pa.Table:
    """Return events of the frame at an offset, as the log holds them; see ``queries.questions.events.events``.

    With *log*, read that *partition* of the topic; else the trail's own log.
    """
    with _log_reader(trail, log) as reader:
        return questions.events(reader, partition, offset, numbers)


def events_of(
    trail: str | Path, recording: str, numbers: Sequence[int], *, log: KafkaAddress | None = None
) -> pa.Table:
    """Return events of a recording by their numbers; see ``queries.questions.events.events_of``.

    A topic has no index of events: it is read until they are found.
    """
    with _log_reader(trail, log) as reader:
        return questions.events_of(reader, recording, numbers)


def _log_reader(trail: str | Path, log: KafkaAddress | None) -> KafkaLogReader | SqliteLogReader:
    return questions.own_log(Path(trail)) if log is None else KafkaLogReader(log)
