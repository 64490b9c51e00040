"""Time never falls from event to event: what does not fit in is put where it was read, and what happened around it is a loss.

A trace is written in order of time. An event whose time is lower than that of one before it is *late*; a time that is higher than
those of all events behind it is *early*. Of the events of a stretch, the most that fit together are believed, so one time that is
too high makes one event doubtful, and not all behind it. An event that does not fit gets the time of the last one that does; its
own time is kept in ``raw_ts_nsec``.

Neither its time nor its place is then known to be right. What an event of another time hides, nobody knows: a GAP of all pages
says so,

- of a late event, from its own time to the one that it was given;
- of an early one at the time that it was given, and again at its own.
"""

import heapq
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pagetrail.producers.detail_rows import detail_row
from pagetrail.producers.ordering_jit import longest_rising
from pagetrail.producers.parsed import ReadAccount
from pagetrail.schemas.batch import EventBatch, concat
from pagetrail.schemas.columns import Kind, absent
from pagetrail.schemas.details import Gap

LOOKAHEAD: Final = 1 << 12
"""Events that are held back: so many follow an event when it is decided whether it fits."""

NEAR: Final = 1 << 10
"""Events that do not fit and are nearer to each other make one gap: between two gaps of all pages, hardly anything is sure."""

_ANEW: Final = (
    "the trace begins anew: what happened since it was saved before is not in it, and it may be of another boot"
)

_NEVER: Final = int(np.iinfo(np.int64).min)


def in_order(
    batches: Iterable[EventBatch], account: ReadAccount, anew: Sequence[tuple[int, int]] = ()
) -> Iterator[EventBatch]:
    """Yield the events of *batches* with times that do not fall, and the gaps that follow from those that did.

    Parameters
    ----------
    batches
        As a parser yields them, before anything is merged in by time.
    account
        ``clamped`` counts the events whose times do not fit.
    anew
        Where the trace begins anew: the times before and behind. What happened in between is a gap.
    """
    ordered = _ordered(batches, account)
    return _with_gaps(ordered, sorted(anew, key=lambda times: times[1])) if anew else ordered


def _ordered(batches: Iterable[EventBatch], account: ReadAccount) -> Iterator[EventBatch]:
    order = _Order(account)
    for batch in batches:
        if len(batch):
            yield from order.take(batch)
    yield from order.rest()


def _with_gaps(batches: Iterator[EventBatch], anew: list[tuple[int, int]]) -> Iterator[EventBatch]:
    """Yield *batches* with a gap before the first event of each stretch that begins anew."""
    due, last = anew[::-1], 0
    for batch in batches:
        start, times = 0, _times(batch)
        while due and due[-1][1] <= int(times[-1]):
            before, behind = due.pop()
            stop = max(start, int(np.searchsorted(times, behind)))
            if stop > start:
                yield batch.slice(start, stop)
            yield detail_row(Kind.GAP, behind, Gap(t_lo=before, t_hi=behind, reason=_ANEW))
            start = stop
        if start < len(batch):
            yield batch.slice(start, len(batch)) if start else batch
        last = int(times[-1])
    for before, _ in reversed(due):  # the time behind is one that did not fit
        yield detail_row(Kind.GAP, max(last, before), Gap(t_lo=min(before, last), t_hi=max(last, before), reason=_ANEW))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Unsure:
    """Behind row *row* of a window it is known that from *t_lo* to *t_hi* nothing is sure; *events*: so many that do not fit."""

    row: int
    t_lo: int
    t_hi: int
    events: int


class _Order:
    """Events on their way; whole batches are held, as long as fewer than ``LOOKAHEAD`` events follow."""

    def __init__(self, account: ReadAccount) -> None:
        self._account = account
        self._held: list[EventBatch] = []
        self._rows = 0
        self._muddled = False
        """Whether what is held is not in order."""
        self._top = self._floor = _NEVER
        """The highest time of all that was taken in order, and the last one that was handed on."""
        self._early: list[int] = []
        """A heap of the own times of early events."""

    def take(self, batch: EventBatch) -> Iterator[EventBatch]:
        """Take a batch; yield what is sure to be in order."""
        times = _times(batch)
        due = bool(self._early) and self._early[0] <= int(times.max())
        self._muddled = self._muddled or due or not _rises(times, self._top)
        self._held.append(batch)
        self._rows += len(batch)
        if not self._muddled:
            self._top = int(times[-1])
            while self._rows - len(self._held[0]) >= LOOKAHEAD:
                yield self._hand_on(self._held.pop(0))
        elif self._rows >= 2 * LOOKAHEAD:
            window = concat(self._held)
            stop = len(window) - LOOKAHEAD
            yield from self._settle(window, stop)
            self._hold(window.slice(stop, len(window)))

    def rest(self) -> Iterator[EventBatch]:
        """Yield what is still held."""
        if self._muddled:
            window = concat(self._held)
            yield from self._settle(window, len(window))
        else:
            yield from self._held

    def _hold(self, batch: EventBatch) -> None:
        times = _times(batch)
        self._held, self._rows = [batch], len(batch)
        self._muddled = not _rises(times, self._floor) or (bool(self._early) and self._early[0] <= int(times.max()))
        self._top = int(times[-1])

    def _hand_on(self, batch: EventBatch) -> EventBatch:
        self._rows -= len(batch)
        self._floor = int(_times(batch)[-1])
        return batch

    def _settle(self, window: EventBatch, stop: int) -> Iterator[EventBatch]:
        """Yield rows [0, stop) of *window* in order, with the gaps between them."""
        raw = _times(window)
        kept = _fitting(raw, self._floor)
        given = np.maximum.accumulate(np.where(kept, raw, self._floor))
        first = int(raw[kept][0]) if kept.any() else int(raw.max())
        given[given == _NEVER] = first  # before the first event that fits
        odd = np.flatnonzero(~kept[:stop])
        unsure = [*self._odd(odd, raw, given), *self._due(given[:stop])]
        self._account.clamped += odd.size
        ordered = _with_times(window, given, raw, kept).slice(0, stop)
        start = 0
        for gap in _joined(sorted(unsure, key=lambda one: one.row)):
            if gap.row + 1 > start:
                yield ordered.slice(start, gap.row + 1)
            at = max(gap.t_hi, int(given[gap.row]))
            yield detail_row(Kind.GAP, at, Gap(t_lo=gap.t_lo, t_hi=gap.t_hi, reason=_reason(gap.events)))
            start = gap.row + 1
        if start < stop:
            yield ordered.slice(start, stop)
        self._floor = int(given[stop - 1])

    def _odd(self, odd: NDArray[np.int64], raw: NDArray[np.int64], given: NDArray[np.int64]) -> Iterator[_Unsure]:
        """Yield what is unsure around the events *odd*; remember the own times of early ones."""
        for row in odd.tolist():
            own, at = int(raw[row]), int(given[row])
            if own > at:
                heapq.heappush(self._early, own)
            yield _Unsure(row=row, t_lo=min(own, at), t_hi=at, events=1)

    def _due(self, given: NDArray[np.int64]) -> Iterator[_Unsure]:
        """Yield the own times of early events that are reached."""
        while self._early and self._early[0] <= int(given[-1]):
            own = heapq.heappop(self._early)
            row = int(np.searchsorted(given, own, side="right")) - 1
            yield _Unsure(row=max(row, 0), t_lo=own, t_hi=own, events=0)


def _joined(unsure: list[_Unsure]) -> Iterator[_Unsure]:
    """Yield *unsure*, by row, those near to each other as one behind the last of them."""
    group: _Unsure | None = None
    for one in unsure:
        if group is None or one.row - group.row > NEAR:
            if group is not None:
                yield group
            group = one
            continue
        lo, hi = min(group.t_lo, one.t_lo), max(group.t_hi, one.t_hi)
        group = _Unsure(row=one.row, t_lo=lo, t_hi=hi, events=group.events + one.events)
    if group is not None:
        yield group


def _reason(events: int) -> str:
    if not events:
        return "an event that was read earlier claims this time"
    return f"{events:,} event{'s' if events > 1 else ''} with times that do not fit: when they happened is unknown"


def _fitting(times: NDArray[np.int64], floor: int) -> NDArray[np.bool_]:
    kept = np.zeros(times.size, np.bool_)
    heads, links = np.empty(times.size, np.int64), np.empty(times.size, np.int64)
    longest_rising(times, floor, heads, links, kept)
    return kept


def _with_times(
    window: EventBatch, given: NDArray[np.int64], raw: NDArray[np.int64], kept: NDArray[np.bool_]
) -> EventBatch:
    columns = {**window.columns, "trace_ts_nsec": given}
    if not kept.all():
        columns["raw_ts_nsec"] = np.where(kept, absent("raw_ts_nsec"), raw)
    return EventBatch(columns=columns, texts=window.texts, details=window.details)


def _times(batch: EventBatch) -> NDArray[np.int64]:
    return np.asarray(batch.columns["trace_ts_nsec"], np.int64)


def _rises(times: NDArray[np.int64], floor: int) -> bool:
    return int(times[0]) >= floor and bool((times[1:] >= times[:-1]).all())
