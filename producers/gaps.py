"""Losses whose end has not been read yet, and the gaps that they become."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from pagetrail.producers.meaning import Row
from pagetrail.schemas.columns import Kind, absent
from pagetrail.schemas.details import Gap

# What is remembered of the order of all events of a source, int64.
LATEST: Final = 0
"""The latest time of any event; -1 before the first."""
DISORDER: Final = 1
"""By how much an event was earlier than one before it, at most, ns: 0 where all are in order."""
SOMEWHERE: Final = 2
"""1 while a loss is open whose CPU is unknown: the next event, whatever its CPU, may end it."""
ORDER_FIELDS: Final = 3

MOST_GAPS: Final = 1 << 14
"""So many gaps of lines that were not understood end separately. One more lasts until the end of the recording."""

MOST_WAITED: Final = 1 << 10
"""A loss of unknown CPU that so many events did not end, as they are out of order, lasts until the end of the recording."""

LossKind = Literal["stated", "unread", "empty"]
"""stated: in the words of a tool; unread: lines that were not understood; empty: empty lines where events are."""

Pages = Mapping[str, int]
"""The columns of a gap that name the pages that it concerns; empty: all pages."""

MOST_NAMED: Final = 64
"""So many losses at one place name their pages. Further ones concern all pages."""

_Key = tuple[LossKind, tuple[tuple[str, int], ...]]

_REASONS: Final[dict[LossKind, str]] = {
    "unread": "lines that may have told of pages were not understood",
    "empty": "empty lines stand where events were written",
}


@dataclass(slots=True, kw_only=True)
class _Loss:
    """A loss that is open.

    Attributes
    ----------
    latest
        Where the CPU is unknown: the latest time of any event before it.
    lines, first_line
        How many lines were not understood, and the number of the first.
    waited
        How many events came since that did not end it.
    t_hi
        The least time of an event that ends it; -1 before it is known.
    """

    reason: str = ""
    t_lo: int = 0
    lost: int | None = 0
    latest: int = -1
    lines: int = 0
    first_line: int = 0
    waited: int = 0
    t_hi: int = -1


@dataclass(slots=True, kw_only=True)
class _Begin:
    """What was overwritten before the events that are there: lost until each of *cpus* CPUs was heard of."""

    cpus: int
    lost: int
    reason: str
    heard: set[int] = field(default_factory=set)


class Gaps:
    """The losses whose end has not been read yet, by CPU.

    A gap reaches from the last event read of its CPU before the loss to the first one after it. Where none was read before
    the loss, everything before it may have been lost: the gap begins at 0. Where the CPU is unknown, the order of the source
    counts: the gap reaches from the last event before it, of any CPU, to the next one, and further by as much as the events of
    this source were seen to be out of order.

    Parameters
    ----------
    last_ts, is_due
        Shapes (c,), int64, by CPU: the time of the last event read, -1 before the first; and 1 between a report of loss and
        the next event, else 0. A compiled reader may share them: it notes times itself, and asks where a gap is due.
    order
        Shape (ORDER_FIELDS,), int64, shared in the same way.
    """

    def __init__(
        self, *, last_ts: NDArray[np.int64], is_due: NDArray[np.int64], order: NDArray[np.int64] | None = None
    ) -> None:
        self._last_ts, self._is_due = last_ts, is_due
        self._order = np.zeros(ORDER_FIELDS, np.int64) if order is None else order
        self._order[LATEST] = -1
        self._open: dict[int, dict[_Key, _Loss]] = {}  # by CPU, then by kind and pages
        self._somewhere: dict[_Key, _Loss] = {}
        self._begin: _Begin | None = None
        self._unending: list[Gap] = []
        self._lasting: _Loss | None = None
        self._ended = 0

    def lose(self, cpu: int | None, lost: int | None, reason: str) -> None:
        """Remember that *lost* events, null where the source gives no number, came after the last one read.

        Parameters
        ----------
        cpu
            Null: unknown.
        """
        loss = self._loss(cpu, "stated")
        loss.reason = reason
        loss.lost = None if lost is None or loss.lost is None else loss.lost + lost

    def lose_line(
        self, cpu: int | None, line: int, kind: LossKind = "unread", pages: Pages = MappingProxyType({})
    ) -> None:
        """Remember that line number *line*, which came after the last event read, may have told of *pages*."""
        loss = self._loss(cpu, kind, pages)
        loss.reason, loss.lost = _REASONS[kind], None
        loss.lines += 1
        loss.first_line = loss.first_line or line

    def _loss(self, cpu: int | None, kind: LossKind, pages: Pages = MappingProxyType({})) -> _Loss:
        """Return the loss of *kind* that is open at *cpu*, a new one where there is none."""
        if cpu is None:
            self._order[SOMEWHERE] = 1
            open_, new = self._somewhere, _Loss(latest=int(self._order[LATEST]))
        else:
            self._is_due[cpu] = 1
            open_, new = self._open.setdefault(cpu, {}), _Loss(t_lo=max(0, int(self._last_ts[cpu])))
        named = tuple(pages.items()) if len(open_) < MOST_NAMED else ()
        loss = open_.setdefault((kind, named), new)
        if cpu is None:
            loss.t_hi = -1  # the next event after this one decides anew
        return loss

    def lose_everywhere(self, lost: int | None, reason: str) -> None:
        """Remember a loss at an unknown time: nothing in the whole recording is sure."""
        self._unending.append(Gap(t_lo=0, t_hi=0, lost=lost, reason=reason))

    def begin_late(self, cpus: int, lost: int, reason: str) -> None:
        """Remember that each of *cpus* CPUs may begin late: events before its first one were overwritten."""
        before = self._begin.lost if self._begin else 0  # of the header of another CPU's file
        self._begin = _Begin(cpus=cpus, lost=lost + before, reason=reason)
        self._is_due[:] = 1

    def are_due(self, cpu: int) -> bool:
        """Return whether an event of *cpu* (absent: unknown) may end a gap."""
        return bool(self._order[SOMEWHERE] or (cpu >= 0 and self._is_due[cpu]))

    def heard(self, cpu: int, ts: int) -> tuple[Row, ...]:
        """Note that an event of *cpu* (absent: unknown) was read at *ts*; return the gaps that it ends, before its own row."""
        rows: list[Row] = []
        if cpu >= 0 and self._is_due[cpu]:
            self._is_due[cpu] = 0
            rows += self._end_those_of(cpu, ts)
            rows += self._first_of(cpu, ts)
        order = self._order
        order[DISORDER] = max(order[DISORDER], order[LATEST] - ts)
        if order[SOMEWHERE]:
            rows += self._end_somewhere(cpu, ts)
        order[LATEST] = max(order[LATEST], ts)
        if cpu >= 0:
            self._last_ts[cpu] = ts
        return tuple(rows)

    def rest(self) -> Iterator[Row]:
        """Yield the gaps that are still open at the end of the source: they end with its last event."""
        last = max(0, int(self._last_ts.max()), int(self._order[LATEST]))
        for cpu in sorted(self._open):
            yield from self._end_all(cpu, self._open[cpu], last)
        self._open = {}
        for (kind, pages), loss in self._somewhere.items():
            loss.t_lo = self._since(loss)
            if kind != "empty":  # nothing is missing behind the last event
                yield _row(absent("cpu"), _gap(loss, last), pages)
        if self._lasting is not None:
            yield _row(absent("cpu"), _gap(self._lasting, last))
        if self._begin is not None:
            yield _row(absent("cpu"), Gap(t_lo=0, t_hi=last, lost=self._begin.lost, reason=self._begin.reason))
        for gap in self._unending:
            yield _row(absent("cpu"), gap.model_copy(update={"t_hi": last}))

    def _first_of(self, cpu: int, ts: int) -> Iterator[Row]:
        """Take the first event of a CPU after the beginning; yield the gap of the beginning when it was the last to come."""
        begin = self._begin
        if begin is None:
            return
        begin.heard.add(cpu)
        if not 0 < begin.cpus <= len(begin.heard):  # no kernel has none: such a header does not say how many there are
            return
        self._begin = None
        self._is_due[:] = 0
        self._is_due[list(self._open)] = 1
        yield _row(absent("cpu"), Gap(t_lo=0, t_hi=ts, lost=begin.lost, reason=begin.reason))

    def _end_those_of(self, cpu: int, ts: int) -> Iterator[Row]:
        """End the losses of *cpu*; one that began later stays open: one of the two times is wrong."""
        losses = self._open.pop(cpu, {})
        for key, loss in losses.items():
            if ts >= max(loss.t_lo, loss.t_hi):
                yield from self._end_all(cpu, {key: loss}, ts)
                continue
            loss.t_lo, loss.t_hi = 0, max(loss.t_lo, loss.t_hi)
            loss.waited += 1
            if loss.waited >= MOST_WAITED:
                self._leave_open(loss)
            else:
                self._open.setdefault(cpu, {})[key] = loss
                self._is_due[cpu] = 1

    def _end_all(self, cpu: int, losses: Mapping[_Key, _Loss], t_hi: int) -> Iterator[Row]:
        for (kind, pages), loss in losses.items():
            if kind != "stated" and self._ended >= MOST_GAPS:
                self._leave_open(loss)
                continue
            self._ended += kind != "stated"
            yield _row(cpu, _gap(loss, t_hi), pages)

    def _end_somewhere(self, cpu: int, ts: int) -> Iterator[Row]:
        for key, loss in tuple(self._somewhere.items()):
            if loss.t_hi < 0:
                loss.t_hi = ts + int(self._order[DISORDER])
                if cpu >= 0 and ts < loss.latest:
                    loss.latest = min(loss.latest, int(self._last_ts[cpu]))
            loss.t_lo = self._since(loss)
            loss.waited += 1
            if ts >= loss.t_hi:
                yield from self._end_all(absent("cpu"), {key: self._somewhere.pop(key)}, ts)
            elif loss.waited >= MOST_WAITED:
                self._leave_open(self._somewhere.pop(key))
        self._order[SOMEWHERE] = int(bool(self._somewhere))

    def _leave_open(self, loss: _Loss) -> None:
        """Let *loss* last until the end of the recording."""
        if self._lasting is None:
            self._lasting = loss
            return
        self._lasting.t_lo = min(self._lasting.t_lo, loss.t_lo)
        self._lasting.lines += loss.lines
        self._lasting.first_line = self._lasting.first_line or loss.first_line
        lost = (self._lasting.lost, loss.lost)
        self._lasting.lost = None if None in lost else sum(count for count in lost if count is not None)

    def _since(self, loss: _Loss) -> int:
        """Return since when the loss of an unknown CPU may have been."""
        return max(0, loss.latest - int(self._order[DISORDER]))


def gap_of_unknown_cpu(ts: int, lost: int | None, reason: str) -> Row:
    """Return the gap of a loss that was reported at *ts* without its CPU: nothing that was read before is safe."""
    return row_of(Gap(t_lo=0, t_hi=ts, lost=lost, reason=reason))


def row_of(gap: Gap) -> Row:
    """Return the row of a gap of all CPUs, whose times are known."""
    return _row(absent("cpu"), gap)


def _gap(loss: _Loss, t_hi: int) -> Gap:
    return Gap(
        t_lo=min(loss.t_lo, t_hi),
        t_hi=t_hi,
        lost=loss.lost,
        reason=loss.reason,
        count=max(1, loss.lines),
        line=loss.first_line or None,
    )


def _row(cpu: int, gap: Gap, pages: Iterable[tuple[str, int]] = ()) -> Row:
    columns = {"cpu": cpu, "trace_ts_nsec": gap.t_hi, **dict(pages)}
    return Row(kind=Kind.GAP, columns=columns, detail=gap.model_dump_json())
