"""Runs of pages: split where pages come to differ, and joined where they do not."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pagetrail.queries.core.instant import Instants
from pagetrail.queries.core.judgement import Judgement
from pagetrail.replay.facts.facts import Facts
from pagetrail.schemas.owner import DOUBT_BASELINE, OPEN_END, State
from pagetrail.schemas.structs import concatenated, copied, taken

Columns: TypeAlias = NDArray[np.void] | Mapping[str, NDArray[Any]]
"""Columns by name."""

_RANGE_DTYPE: Final = np.dtype([("pfn", np.int64), ("nr_pages", np.int64)])

_AT_ONCE: Final = 1 << 20
"""Pairs of ranges in memory at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """n runs, and what is known of each.

    Attributes
    ----------
    runs, records
        (n,) RUN_DTYPE and RECORD_DTYPE, by pfn.
    kernel_row
        (n,) index of the kernel's own record where it differs from what is proven; else -1.
    question
        (n,) which of several questions each run answers; the runs are in this order, and by pfn within. Null: all answer one.
    """

    runs: NDArray[np.void]
    records: NDArray[np.void]
    kernel_row: NDArray[np.int64]
    question: NDArray[np.int64] | None = None

    def take(self, which: NDArray[np.int64], runs: NDArray[np.void]) -> "Rows":
        """Return rows *which*, as *runs*."""
        question = None if self.question is None else self.question[which]
        return Rows(runs=runs, records=taken(self.records, which), kernel_row=self.kernel_row[which], question=question)

    def part(self, which: slice) -> "Rows":
        """Return a part of the rows."""
        question = None if self.question is None else self.question[which]
        return Rows(
            runs=self.runs[which], records=self.records[which], kernel_row=self.kernel_row[which], question=question
        )

    @classmethod
    def together(cls, parts: "Sequence[Rows]") -> "Rows":
        """Return the rows of all *parts*, one after another; they answer several questions."""
        return cls(
            runs=concatenated([part.runs for part in parts]), records=concatenated([part.records for part in parts]),
            kernel_row=np.concatenate([part.kernel_row for part in parts]),
            question=np.concatenate([part.of_questions for part in parts]),
        )  # fmt: skip

    @property
    def of_questions(self) -> NDArray[np.int64]:
        """Which question each run answers, by number."""
        return np.zeros(self.runs.size, np.int64) if self.question is None else self.question

    def instants(self, at: Instants) -> Instants:
        """Return the instant of each run: *at* has that of each question, or of the only one."""
        return at.take(self.of_questions)


@dataclass(frozen=True, slots=True, kw_only=True)
class Apart:
    """Places in one order for the pages of several questions: none is next to a place of another question.

    What is made for the runs of one question is so made for those of many: a place is a page, moved by a *shift*.

    Attributes
    ----------
    low
        The lowest page of each question.
    width
        Places that each question has.
    """

    low: NDArray[np.int64]
    width: int

    @classmethod
    def of(
        cls, asked: NDArray[np.int64], question: NDArray[np.int64], first: NDArray[np.int64], stop: NDArray[np.int64]
    ) -> "Apart":
        """Return places for the page that each question asks for (*asked*), and for [first, stop) of some of them."""
        low, high = asked.copy(), asked + 1
        np.minimum.at(low, question, first)
        np.maximum.at(high, question, stop)
        return cls(low=low, width=int((high - low).max(initial=0)) + 1)

    def shift(self, question: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return what is to be added to a page of each question for its place."""
        return np.asarray(question * self.width - self.low[question])

    def question(self, place: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the question of each place."""
        return np.asarray(place // self.width)


def row_holding(runs: NDArray[np.void], pfns: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the index of the run that holds each of *pfns*; -1: there is none. The runs rise and do not overlap."""
    if not runs.size:
        return np.full(pfns.size, -1, np.int64)
    row = np.searchsorted(runs["pfn"], pfns, side="right") - 1
    stop = (runs["pfn"] + runs["nr_pages"])[np.maximum(row, 0)]
    return np.where((row >= 0) & (pfns < stop), row, -1)


def moved(runs: NDArray[np.void], shift: NDArray[np.int64]) -> NDArray[np.void]:
    """Return *runs*, each moved by *shift* pages."""
    found = copied(runs)
    found["pfn"] += shift
    return found


def split(runs: NDArray[np.void], edges: NDArray[np.int64]) -> tuple[NDArray[np.void], NDArray[np.int64]]:
    """Return *runs* split at each pfn of *edges* (sorted, without duplicates), and the run that each piece comes from."""
    if not edges.size:
        return runs, np.arange(runs.size)
    start, stop = runs["pfn"], runs["pfn"] + runs["nr_pages"]
    low, high = np.searchsorted(edges, start, side="right"), np.searchsorted(edges, stop, side="left")
    pieces = np.maximum(high - low, 0) + 1
    parent = np.repeat(np.arange(runs.size), pieces)
    if parent.size == runs.size:
        return runs, parent
    nth = np.arange(parent.size) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    first = np.where(nth == 0, start[parent], edges[np.minimum(low[parent] + nth - 1, edges.size - 1)])
    last = np.where(nth == pieces[parent] - 1, stop[parent], edges[np.minimum(low[parent] + nth, edges.size - 1)])
    found = taken(runs, parent)
    found["pfn"], found["nr_pages"] = first, last - first
    return found, parent


def joined(
    rows: Rows, kernel_records: NDArray[np.void], judged: Judgement, pages_per_section: int, borders: NDArray[np.int64]
) -> tuple[Rows, Judgement]:
    """Return the longest runs: neighbouring pages of a section about which the same is known, for the same reasons.

    No run crosses one of *borders*, which are pfns as well.
    The store keeps some runs in pieces, because they ended in pieces. Without joining, the rows of an instant would depend on what
    happened later.
    """
    runs, size = rows.runs, rows.runs.size
    if size < 2:
        return rows, judged
    same = runs["pfn"][1:] == runs["pfn"][:-1] + runs["nr_pages"][:-1]
    same &= (runs["pfn"][1:] % pages_per_section != 0) & ~np.isin(runs["pfn"][1:], borders)
    if rows.question is not None:
        same &= rows.question[1:] == rows.question[:-1]
    same &= runs["generation"][1:] == runs["generation"][:-1]
    same &= rows.records["begin_seq"][1:] == rows.records["begin_seq"][:-1]
    likely = np.flatnonzero(same)
    same[likely] = taken(rows.records, likely + 1) == taken(rows.records, likely)
    viewed = rows.kernel_row >= 0
    same &= viewed[1:] == viewed[:-1]
    both = np.flatnonzero(same & viewed[1:])
    same[both] = kernel_records[rows.kernel_row[both + 1]] == kernel_records[rows.kernel_row[both]]
    alike = np.flatnonzero(same)
    same[alike] = judged.alike(alike, alike + 1)
    if not same.any():
        return rows, judged
    first = np.flatnonzero(np.concatenate([[True], ~same]))
    found = taken(runs, first)
    found["nr_pages"] = np.add.reduceat(runs["nr_pages"], first)
    return rows.take(first, found), judged.take(first)


def overlaps(runs: Columns, others: Columns) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Yield (index of a run, index of another) for each two that have a page in common, some at a time, each once.

    Both have ``pfn`` and ``nr_pages``, in any order. Of two that overlap, one begins within the other.
    """
    start, stop = runs["pfn"], runs["pfn"] + runs["nr_pages"]
    other_start, other_stop = others["pfn"], others["pfn"] + others["nr_pages"]
    order = np.argsort(other_start, kind="stable")
    begins = other_start[order]
    low, high = np.searchsorted(begins, start, side="left"), np.searchsorted(begins, stop, side="left")
    for row, place in slices(low, high):
        yield row, order[place]
    order = np.argsort(start, kind="stable")
    begins = start[order]
    low, high = np.searchsorted(begins, other_start, side="right"), np.searchsorted(begins, other_stop, side="left")
    for other, place in slices(low, high):
        yield order[place], other


def slices(low: NDArray[np.int64], high: NDArray[np.int64]) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Yield (slice, place) for each place in the slices [low, high), ``_AT_ONCE`` at a time."""
    ends = np.cumsum(np.maximum(high - low, 0))
    total = int(ends[-1]) if ends.size else 0
    for first in range(0, total, _AT_ONCE):
        nth = np.arange(first, min(first + _AT_ONCE, total))
        which = np.searchsorted(ends, nth, side="right")
        yield which, high[which] - ends[which] + nth


def heads(runs: NDArray[np.void], records: NDArray[np.void]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return (pfn, row) of every page for which page_owner prints a record, by pfn: in the kernel's view where it differs."""
    owned = np.flatnonzero(records["state"] == State.OWNED)
    step = np.int64(1) << np.maximum(records["order"][owned], 0).astype(np.int64)
    first = -(-runs["pfn"][owned] // step) * step
    stop = runs["pfn"][owned] + runs["nr_pages"][owned]
    count = np.maximum(-(-(stop - first) // step), 0)
    row = np.repeat(owned, count)
    nth = np.arange(row.size) - np.repeat(np.cumsum(count) - count, count)
    pfn = np.repeat(first, count) + nth * np.repeat(step, count)
    order = np.lexsort((-runs["kernel_view"][row].astype(np.int64), pfn))
    pfn, row = pfn[order], row[order]
    kept = np.ones(pfn.size, np.bool_)
    kept[1:] = pfn[1:] != pfn[:-1]
    return pfn[kept], row[kept]


def unlisted(
    pfn: NDArray[np.int64], records: NDArray[np.void], at: Instants, facts: Facts, doubts: NDArray[np.void]
) -> NDArray[np.bool_]:
    """Return which pages have no record in the kernel's view at an instant, although *records* prove an owner.

    A whole dump lists every page that page_owner knows: its silence casts an open doubt on what is proven. It holds until an event
    or a dump says something new of the page. *at* has the instant of each page.

    Source: mm/page_owner.c, read_page_owner (Linux 6.1).
    """
    found = np.zeros(pfn.size, np.bool_)
    whole = facts.whole_dumps()
    if not whole or not doubts.size:
        return found
    silent = (doubts["reason"] == DOUBT_BASELINE) & (doubts["to_ts"] == OPEN_END) & np.isin(doubts["seq"], whole)
    silent = doubts[silent]
    since, noticed, seq = (np.ascontiguousarray(silent[name]) for name in ("from_ts", "noticed_ts", "seq"))
    owned, evidence = records["state"] == State.OWNED, records["evidence_ts"]
    pages = np.zeros(pfn.size, _RANGE_DTYPE)
    pages["pfn"], pages["nr_pages"] = pfn, 1
    for row, doubt in overlaps(pages, silent):
        holds = owned[row] & (evidence[row] <= since[doubt]) & (since[doubt] <= at.ts[row])
        holds &= at.take(row).include(noticed[doubt], seq[doubt])
        found[row[holds]] = True
    return found
