"""The events that prove an answer, and their places in the log: the event that began a state, and the one that its evidence is."""

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from pagetrail.queries.core.instant import Instant
from pagetrail.queries.core.stream import Stream
from pagetrail.replay.log.embedded import SqliteLogReader
from pagetrail.schemas.batch import EventBatch
from pagetrail.schemas.columns import Kind, absent
from pagetrail.schemas.errors import NotFound, OffsetGap, TrailError
from pagetrail.schemas.frames import FrameHeader, decode_frame
from pagetrail.schemas.linux.page_flags import KPF_BUDDY
from pagetrail.schemas.log.contract import FramePlace, LogReader, LogRecord
from pagetrail.schemas.owner import ABSENT64, How

HANDED_ON: Final = (How.SPLIT, How.SPLIT_IMPLIED, How.SPLIT_BY_PAGE_EXT, How.MIGRATE, How.MIGRATE_REASON)
"""What begins a span that keeps the evidence of the span before it."""

FROM_A_DUMP: Final = (How.BASELINE, How.EARLY, How.CONFIRMED, How.SPLIT_BY_PAGE_EXT)
"""What begins a span at the end of a baseline."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanOrigin:
    """What tells the origin of a span's evidence; *pfn* is the page that was asked for."""

    pfn: int
    begin_seq: int
    how: int
    src_pfn: int | None
    evidence_ts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedEvent:
    """An event by its number in its recording, and its place in the log; null if the log does not hold it any more."""

    recording: str | None = None
    event: int | None = None
    partition: int | None = None
    offset: int | None = None


class Proofs:
    """Finds events of one stream in its log, and remembers what it found."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._places: list[tuple[str, FramePlace]] = []
        self._frames: dict[tuple[int, int], EventBatch] = {}
        self._listed: dict[int, list[tuple[int, int, int]]] = {}
        self._reader = _reader(stream.trail)

    def close(self) -> None:
        """Close the log."""
        if self._reader is not None:
            self._reader.close()

    def event(self, seq: int | None) -> LoggedEvent:
        """Return the event with a stream_seq."""
        parts = reversed(self._stream.facts.recordings)
        part = next((p for p in parts if seq is not None and p.base_seq <= seq), None)
        if part is None or seq is None:
            return LoggedEvent()
        number = seq - part.base_seq
        place = self._place(part.recording, number)
        if place is None:
            return LoggedEvent(recording=part.recording, event=number)
        return LoggedEvent(recording=part.recording, event=number, partition=place.partition, offset=place.offset)

    def evidence(self, spans: list[SpanOrigin]) -> list[LoggedEvent]:
        """Return the event that is the evidence of each span; of a baseline, the entry of that page."""
        return [self._evidence(span) for span in _origins(self._stream, spans)]

    def _evidence(self, span: SpanOrigin) -> LoggedEvent:
        event = self.event(span.begin_seq)
        if span.how not in FROM_A_DUMP or event.offset is None:
            return event
        listed = [seq for first, stop, seq in self._records(span.begin_seq, event) if first <= span.pfn < stop]
        return self.event(listed[-1]) if listed else event

    def _place(self, recording: str, number: int) -> FramePlace | None:
        for name, place in self._places:
            if name == recording and place.first_seq <= number <= place.last_seq:
                return place
        if self._reader is None:
            return None
        try:
            found = self._reader.locate(recording, number)
        except TrailError:  # a log that cannot be read proves nothing; the answer comes from the store
            return None
        if found is not None:
            self._places.append((recording, found))
        return found

    def _records(self, end_seq: int, end: LoggedEvent) -> list[tuple[int, int, int]]:
        """Return [first, stop) and stream_seq of each entry of the baseline that ended with an event, in their order."""
        if end_seq not in self._listed:
            try:
                self._listed[end_seq] = list(self._read_records(end_seq, end))
            except (NotFound, TrailError):
                self._listed[end_seq] = []
        return self._listed[end_seq]

    def _read_records(self, end_seq: int, end: LoggedEvent) -> list[tuple[int, int, int]]:
        assert end.event is not None
        assert end.recording is not None
        found: list[tuple[int, int, int]] = []
        number = end.event - 1
        while number >= 0:
            place = self._place(end.recording, number)
            if place is None:
                break
            batch = self._frame(place)
            stop = number - place.first_seq + 1
            others = np.flatnonzero(batch.columns["kind"][:stop] != Kind.BASELINE_ENTRY)
            first = int(others[-1]) + 1 if others.size else 0
            found = _entries(batch.slice(first, stop), end_seq - end.event) + found
            if first:
                break
            number = place.first_seq - 1
        return found

    def _frame(self, place: FramePlace) -> EventBatch:
        key = (place.partition, place.offset)
        if key not in self._frames:
            assert self._reader is not None
            _, self._frames[key] = read_frame(self._reader, *key)
        return self._frames[key]


def _reader(trail: Path) -> LogReader | None:
    """Return the log in the trail; null if there is none."""
    with contextlib.suppress(TrailError):
        return SqliteLogReader(trail)
    return None


def _entries(batch: EventBatch, base_seq: int) -> list[tuple[int, int, int]]:
    pfn, order, nr_pages = (batch.column(name).astype(np.int64) for name in ("pfn", "order", "nr_pages"))
    size = np.where(nr_pages == absent("nr_pages"), np.int64(1) << np.clip(order, 0, 40), nr_pages)
    flags = batch.column("page_flags").astype(np.int64)
    says = (flags == absent("page_flags")) | ((flags & KPF_BUDDY) != 0) | (nr_pages == absent("nr_pages"))
    seq = batch.column("seq").astype(np.int64) + base_seq
    return list(zip(pfn[says].tolist(), (pfn + size)[says].tolist(), seq[says].tolist(), strict=True))


def _origins(stream: Stream, spans: list[SpanOrigin]) -> list[SpanOrigin]:
    """Return each span, or the earlier span whose evidence it kept through splits and migrations."""
    found = list(spans)
    todo = [i for i, span in enumerate(found) if span.how in HANDED_ON]
    while todo:
        by_file: dict[int, list[int]] = {}
        for i in todo:
            just_before = Instant(ts=0, seq=found[i].begin_seq - 1)
            by_file.setdefault(stream.holding(just_before), []).append(i)
        todo = []
        for position, rows in by_file.items():
            for i, before in _before(stream, position, {i: found[i] for i in rows}).items():
                if before.evidence_ts != found[i].evidence_ts:
                    continue
                found[i] = before
                if before.how in HANDED_ON:
                    todo.append(i)
    return found


def _before(stream: Stream, position: int, spans: dict[int, SpanOrigin]) -> dict[int, SpanOrigin]:
    """Return the span just before each span began: of its page, or of the page that it was migrated from."""
    pages = {i: s.src_pfn if s.how == How.MIGRATE and s.src_pfn is not None else s.pfn for i, s in spans.items()}
    where = " OR ".join(map(stream.holding_page, sorted(set(pages.values()))))
    runs, records = stream.spans(stream.files[position], f"kernel_view = 0 AND ({where})")
    found = {}
    for i, pfn in pages.items():
        seq = spans[i].begin_seq - 1
        holds = (runs["pfn"] <= pfn) & (pfn < runs["pfn"] + runs["nr_pages"])
        for record in records[holds & (records["begin_seq"] <= seq) & (seq < runs["end_seq"])]:
            source = int(record["src_pfn"])
            found[i] = SpanOrigin(
                pfn=pfn, begin_seq=int(record["begin_seq"]), how=int(record["how"]),
                src_pfn=None if source == ABSENT64 else source, evidence_ts=int(record["evidence_ts"]),
            )  # fmt: skip
    return found


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
