"""Events as a log holds them: the log of a trail, or a topic."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from pagetrail.queries.core.opening import open_streams
from pagetrail.queries.questions import events as questions
from pagetrail.replay.log.embedded import SqliteLogReader
from pagetrail.schemas.columns import Kind
from pagetrail.schemas.details import RecordingBegin
from pagetrail.schemas.errors import NotFound, SegmentDamaged, TrailMissing
from pagetrail.schemas.linux.trace_clock import counts_only
from pagetrail.schemas.log.address import KafkaAddress
from pagetrail.schemas.log.contract import EMBEDDED_PARTITION
from pagetrail.schemas.times import as_text

if TYPE_CHECKING:
    from pagetrail.replay.log.kafka import KafkaLogReader


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


def time_text_of(trail: str | Path, shown: pa.Table, *, log: KafkaAddress | None = None) -> Callable[[int], str]:
    """Return what makes text of the trace times of a recording, some of whose events are *shown*: seconds, or integers where its
    trace clock only counts.

    The recording's first event says which clock it is. A topic has no index: where that event is not shown, what was replayed of
    the topic into the trail says it; where that is nothing, times stay integers, which are right whatever the clock.
    """
    recording = shown["recording"][0].as_py()
    begin = _begin_of(trail, recording, shown, log)
    if begin is not None:
        return partial(as_text, counting_clock=begin.trace_clock if counts_only(begin.trace_clock) else None)
    try:
        streams = open_streams(Path(trail), correct=None).opened
    except (TrailMissing, NotFound, SegmentDamaged):
        return str
    parts = (part for stream in streams for part in stream.facts.recordings)
    found = next((part for part in parts if part.recording == recording), None)
    return str if found is None else partial(as_text, counting_clock=found.counting_clock)


def _begin_of(trail: str | Path, recording: str, shown: pa.Table, log: KafkaAddress | None) -> RecordingBegin | None:
    """Return the first event of a recording, if it is shown or the trail's own log has it."""
    if shown["kind"][0].as_py() == Kind.RECORDING_BEGIN.name.lower():
        return RecordingBegin.model_validate_json(shown["detail"][0].as_py())
    if log is not None:
        return None
    with questions.own_log(Path(trail)) as reader:
        return questions.begin_of(reader, recording)


def _log_reader(trail: str | Path, log: KafkaAddress | None) -> "KafkaLogReader | SqliteLogReader":
    if log is None:
        return questions.own_log(Path(trail))
    from pagetrail.replay.log.kafka import KafkaLogReader  # here: a trail's own log needs no client of Kafka

    return KafkaLogReader(log)
