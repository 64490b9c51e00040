"""From the batches of a parser to frames: number the events, keep time from going back, cut by event count alone."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from pagetrail.schemas.batch import EventBatch, concat
from pagetrail.schemas.columns import Kind, absent
from pagetrail.schemas.details import Detail, Gap
from pagetrail.schemas.frames import FRAME_EVENTS, Frame, FrameOrigin, make_frame


def single(kind: Kind, ts: int, detail: Detail, *, given_only: bool = False) -> EventBatch:
    """Return one rare event as a batch; with *given_only*, without those fields of *detail* that were not given."""
    return EventBatch(
        columns={"kind": np.array([kind], np.int8), "trace_ts_nsec": np.array([ts], np.int64)},
        details={0: detail.model_dump_json(exclude_unset=given_only)},
    )


class Framer:
    """Turns batches into full frames. What a batch brings is kept until a frame is full; ``finish`` gives the rest.

    ``trace_ts_nsec`` never decreases with ``seq``. The events of a trace are in order when they come here (``producers.ordering``).
    What is out of order all the same is clamped, its raw value kept, the case counted, and a gap of all pages follows its batch.
    """

    def __init__(self, origin: FrameOrigin, *, frame_events: int = FRAME_EVENTS) -> None:
        self.origin, self.frame_events = origin, frame_events
        self.seq = self.frame = self.clamped = 0
        self.last_ts: int | None = None
        self._waiting: list[EventBatch] = []
        self._rows = 0

    def add(self, batch: EventBatch) -> Iterator[Frame]:
        """Take a batch; yield the frames that it fills."""
        if not len(batch):
            return
        clamped = self.clamped
        self._take(batch)
        if self.clamped > clamped:
            self._take(self._unsure(batch, self.clamped - clamped))
        if self._rows < self.frame_events:
            return
        whole = concat(self._waiting)
        full = len(whole) - len(whole) % self.frame_events
        for start in range(0, full, self.frame_events):
            yield self._make(whole.slice(start, start + self.frame_events))
        rest = whole.slice(full, len(whole))
        self._waiting, self._rows = ([rest], len(rest)) if len(rest) else ([], 0)

    def finish(self) -> Iterator[Frame]:
        """Yield what is left as the last, smaller frame."""
        if self._rows:
            yield self._make(concat(self._waiting))
            self._waiting, self._rows = [], 0

    def _take(self, batch: EventBatch) -> None:
        self._waiting.append(self._numbered(batch))
        self._rows += len(batch)

    def _unsure(self, batch: EventBatch, events: int) -> EventBatch:
        """Return the gap that follows *batch*, of which the times of some *events* went back."""
        t_hi = self.last_ts or 0
        t_lo = min(int(batch.columns["trace_ts_nsec"].min()), t_hi)
        return single(Kind.GAP, t_hi, Gap(t_lo=t_lo, t_hi=t_hi, reason=f"{events:,} times went back"))

    def _make(self, batch: EventBatch) -> Frame:
        frame = make_frame(batch, self.origin, self.frame)
        self.frame += 1
        return frame

    def _numbered(self, batch: EventBatch) -> EventBatch:
        raw = np.asarray(batch.columns["trace_ts_nsec"], np.int64)
        least = int(raw[0]) if self.last_ts is None else self.last_ts
        rises = int(raw[0]) >= least and bool((raw[1:] >= raw[:-1]).all())
        ts = raw if rises else np.maximum(np.maximum.accumulate(raw), least)
        columns: dict[str, NDArray[np.generic]] = dict(batch.columns)
        columns["seq"] = np.arange(self.seq, self.seq + raw.size, dtype=np.int64)
        columns["trace_ts_nsec"] = ts
        if not rises:
            late = ts != raw
            columns["raw_ts_nsec"] = np.where(late, raw, absent("raw_ts_nsec"))
            self.clamped += int(late.sum())
        self.seq += raw.size
        self.last_ts = int(ts[-1])
        return EventBatch(columns=columns, texts=batch.texts, details=batch.details)
