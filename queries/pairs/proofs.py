"""The events that prove answers, and their places in the log: the event that began a state, and the one that its evidence is."""

import contextlib
from collections.abc import Iterator
from functools import cached_property
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pagetrail.queries.core.instant import Instants
from pagetrail.queries.core.proof import read_frame
from pagetrail.queries.core.stream import Stream
from pagetrail.queries.pairs.asked import Pairs
from pagetrail.queries.pairs.stored import rows_of_pairs
from pagetrail.replay.log.embedded import SqliteLogReader, files_there
from pagetrail.schemas.batch import EventBatch
from pagetrail.schemas.columns import Kind, absent
from pagetrail.schemas.errors import NotFound, TrailError
from pagetrail.schemas.linux.page_flags import KPF_BUDDY
from pagetrail.schemas.log.contract import FramePlace
from pagetrail.schemas.owner import ABSENT64, How

HANDED_ON: Final = (How.SPLIT, How.SPLIT_IMPLIED, How.SPLIT_BY_PAGE_EXT, How.MIGRATE, How.MIGRATE_REASON)
"""What begins a span that keeps the evidence of the span before it."""

FROM_A_DUMP: Final = (How.BASELINE, How.EARLY, How.CONFIRMED, How.SPLIT_BY_PAGE_EXT)
"""What begins a span at the end of a baseline."""

ORIGIN_DTYPE: Final = np.dtype(
    [("pfn", np.int64), ("begin_seq", np.int64), ("src_pfn", np.int64), ("evidence_ts", np.int64), ("how", np.int8)]
)
"""What tells the origin of a span's evidence; pfn is the page that is asked for."""

PLACE_DTYPE: Final = np.dtype(
    [("recording", np.int64), ("event", np.int64), ("partition", np.int32), ("offset", np.int64)]
)
"""An event: the index of its recording, its number there, and where the log holds it. -1: there is none, or not any more."""

_FEW: Final = 4
"""So many events are looked up one by one in a long log; for more, the places of all frames are read."""

_SHORT: Final = 1 << 14
"""Frames of a log, up to which the places of all are read at once."""

_NO_PLACES: Final = np.zeros((4, 0), np.int64)

_RECORDS_KEPT: Final = 1 << 22
"""Records of baselines in memory between two questions; 24 bytes each."""


class Proofs:
    """Finds events of one stream in its log, and remembers what it found."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        files = files_there(stream.trail)
        self._places: dict[str, NDArray[np.int64]] = stream.kept("places", files, dict)
        self._listed: dict[int, NDArray[np.int64]] = {}
        self._is_there, self._opened = bool(files), False

    @cached_property
    def _reader(self) -> SqliteLogReader | None:
        """The log in the trail; null if there is none."""
        with contextlib.suppress(TrailError):
            reader = SqliteLogReader(self._stream.trail)
            self._opened = True
            return reader
        return None

    def close(self) -> None:
        """Close the log."""
        if self._opened and self._reader is not None:
            self._reader.close()

    def events(self, seqs: NDArray[np.int64]) -> NDArray[np.void]:
        """Return the event of each stream_seq: PLACE_DTYPE. Of one below 0 there is none."""
        found = np.full(seqs.size, -1, PLACE_DTYPE)
        base = np.array([part.base_seq for part in self._stream.facts.recordings], np.int64)
        part = np.searchsorted(base, seqs, side="right") - 1
        part[seqs < 0] = -1
        known = np.flatnonzero(part >= 0)
        found["recording"][known], found["event"][known] = part[known], seqs[known] - base[part[known]]
        for number in set(part[known].tolist()):
            rows = np.flatnonzero(part == number)
            self._locate(self._stream.facts.recordings[number].recording, found, rows)
        return found

    def evidence(self, spans: NDArray[np.void], began: NDArray[np.void]) -> NDArray[np.void]:
        """Return the event that is the evidence of each span (ORIGIN_DTYPE): PLACE_DTYPE; of a baseline, the entry of that page.

        *began* are the events with which the spans began.
        """
        origins = _origins(self._stream, spans)
        if (origins["begin_seq"] == spans["begin_seq"]).all() and not np.isin(origins["how"], FROM_A_DUMP).any():
            return began.copy()
        found = self.events(origins["begin_seq"])
        listed = np.isin(origins["how"], FROM_A_DUMP) & (found["offset"] >= 0)
        for seq in np.unique(origins["begin_seq"][listed]).tolist():
            rows = np.flatnonzero(listed & (origins["begin_seq"] == seq))
            entries = _last_holding(self._records(seq, found[rows[0]]), origins["pfn"][rows])
            rows, entries = rows[entries >= 0], entries[entries >= 0]
            found[rows] = self.events(entries)
        return found

    def columns(self, events: NDArray[np.void]) -> list[pa.Array]:
        """Return events as columns: recording, event, partition, offset; null where there is none."""
        names = pa.array([part.recording for part in self._stream.facts.recordings], pa.utf8())
        which, *others = (np.ascontiguousarray(events[name]) for name in PLACE_DTYPE.names or ())
        return [names.take(pa.array(which, mask=which < 0)), *(pa.array(values, mask=values < 0) for values in others)]

    def _locate(self, recording: str, found: NDArray[np.void], rows: NDArray[np.int64]) -> None:
        """Set the places of some events of one recording."""
        numbers, which = np.unique(found["event"][rows], return_inverse=True)
        places = self._places_of(recording, numbers)
        if not places.size:
            return
        first, last, partition, offset = places
        place = np.maximum(np.searchsorted(first, numbers, side="right") - 1, 0)
        there = ((first[place] <= numbers) & (numbers <= last[place]))[which]
        at, held = place[which[there]], rows[there]
        found["partition"][held], found["offset"][held] = partition[at], offset[at]

    def _places_of(self, recording: str, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the places of the frames that hold some events, and maybe of others, in the order of their events.

        They are (4, n): first and last event, partition, offset.
        """
        known = self._places.get(recording)
        if known is not None and _hold(known, numbers):
            return known
        if not self._is_there or self._reader is None:
            return _NO_PLACES
        try:
            if numbers.size > _FEW or self._is_short():
                found = self._places[recording] = _as_array(self._reader.places(recording))
                return found
            few = [self._reader.locate(recording, number) for number in numbers.tolist()]
        except TrailError:  # a log that cannot be read proves nothing; the answer comes from the store
            return _NO_PLACES
        return _as_array([place for place in few if place is not None])

    def _is_short(self) -> bool:
        """Return whether the log has so few frames that the places of all are read as fast as one."""
        log = self._reader
        return log is not None and all(
            log.high_watermark(part) - log.low_watermark(part) <= _SHORT for part in log.partitions()
        )

    def _records(self, end_seq: int, end: np.void) -> NDArray[np.int64]:
        """Return (n, 3): [first, stop) and stream_seq of each entry of the baseline that ended with an event, in their order."""
        found = self._listed.pop(end_seq, None)
        if found is None:
            try:
                parts = list(self._read_records(end_seq, end))
            except (NotFound, TrailError):
                parts = []
            found = np.concatenate([np.zeros((0, 3), np.int64), *reversed(parts)])
        self._listed[end_seq] = found
        while len(self._listed) > 1 and sum(map(len, self._listed.values())) > _RECORDS_KEPT:
            del self._listed[next(iter(self._listed))]
        return found

    def _read_records(self, end_seq: int, end: np.void) -> Iterator[NDArray[np.int64]]:
        """Yield the entries of each frame, from the last one back."""
        recording, number = self._stream.facts.recordings[int(end["recording"])].recording, int(end["event"]) - 1
        while number >= 0:
            places = self._places_of(recording, np.array([number]))
            place = np.flatnonzero((places[0] <= number) & (number <= places[1]))
            if not place.size or self._reader is None:
                break
            first_seq, _, partition, offset = places[:, place[0]].tolist()
            _, batch = read_frame(self._reader, partition, offset)
            stop = number - first_seq + 1
            others = np.flatnonzero(batch.columns["kind"][:stop] != Kind.BASELINE_ENTRY)
            first = int(others[-1]) + 1 if others.size else 0
            yield _entries(batch.slice(first, stop), end_seq - int(end["event"]))
            if first:
                break
            number = first_seq - 1


def _as_array(places: list[FramePlace]) -> NDArray[np.int64]:
    rows = [(place.first_seq, place.last_seq, place.partition, place.offset) for place in places]
    return np.array(rows, np.int64).reshape(-1, 4).T


def _hold(places: NDArray[np.int64], numbers: NDArray[np.int64]) -> bool:
    """Return whether one of some places has each event."""
    first, last = places[:2]
    place = np.searchsorted(first, numbers, side="right") - 1
    return bool(first.size and (place >= 0).all() and (numbers <= last[place]).all())


def _entries(batch: EventBatch, base_seq: int) -> NDArray[np.int64]:
    pfn, order, nr_pages = (batch.column(name).astype(np.int64) for name in ("pfn", "order", "nr_pages"))
    size = np.where(nr_pages == absent("nr_pages"), np.int64(1) << np.clip(order, 0, 40), nr_pages)
    flags = batch.column("page_flags").astype(np.int64)
    says = (flags == absent("page_flags")) | ((flags & KPF_BUDDY) != 0) | (nr_pages == absent("nr_pages"))
    seq = batch.column("seq").astype(np.int64) + base_seq
    return np.asarray(np.stack([pfn, pfn + size, seq], axis=1)[says])


def _last_holding(records: NDArray[np.int64], pfns: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the stream_seq of the last of *records* ([first, stop), seq) that holds each page; -1: none does."""
    asked, places = np.unique(pfns, return_inverse=True)
    found = np.full(asked.size, -1, np.int64)
    low, high = np.searchsorted(asked, records[:, 0]), np.searchsorted(asked, records[:, 1])
    held = np.flatnonzero(low < high)
    count = (high - low)[held]
    row = np.repeat(held, count)
    page = low[row] + np.arange(row.size) - np.repeat(np.cumsum(count) - count, count)
    np.maximum.at(found, page, records[row, 2])
    return np.asarray(found[places])


def _origins(stream: Stream, spans: NDArray[np.void]) -> NDArray[np.void]:
    """Return each span, or the earlier span whose evidence it kept through splits and migrations."""
    todo = np.flatnonzero(np.isin(spans["how"], HANDED_ON))
    if not todo.size:
        return spans
    found = spans.copy()
    while todo.size:
        todo = np.concatenate([todo[:0], *_gone_back(stream, found, todo)])
    return found


def _gone_back(stream: Stream, found: NDArray[np.void], todo: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Put in the place of each span of *todo* the one just before, if it has the same evidence; yield those to go on with.

    That is the span of its page, or of the page that it was migrated from.
    """
    spans = found[todo]
    migrated = (spans["how"] == How.MIGRATE) & (spans["src_pfn"] != ABSENT64)
    just_before = Instants(ts=np.zeros(todo.size, np.int64), seq=spans["begin_seq"] - 1)
    pairs = Pairs.of(stream, np.where(migrated, spans["src_pfn"], spans["pfn"]), just_before)
    for number in np.unique(pairs.files).tolist():
        which = np.flatnonzero(pairs.files == number)
        before = rows_of_pairs(stream, stream.files[number], pairs.pfns[which], pairs.at.take(which))
        same = before.records["evidence_ts"] == spans["evidence_ts"][which[before.pair]]
        row = np.flatnonzero(same & (before.runs["kernel_view"] == 0))
        mine = which[before.pair[row]]
        found["pfn"][todo[mine]] = pairs.pfns[mine]
        for name in ("begin_seq", "how", "src_pfn", "evidence_ts"):
            found[name][todo[mine]] = before.records[name][row]
        yield todo[mine[np.isin(before.records["how"][row], HANDED_ON)]]
