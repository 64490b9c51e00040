"""Runs of pages: split where pages come to differ, and joined where they do not."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pagetrail.queries.core.instant import Instant
from pagetrail.queries.core.judgement import Judgement
from pagetrail.replay.facts.facts import Facts
from pagetrail.schemas.owner import DOUBT_BASELINE, OPEN_END, State
from pagetrail.schemas.structs import taken


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """n runs, and what is known of each.

    Attributes
    ----------
    runs, records
        (n,) RUN_DTYPE and RECORD_DTYPE, by pfn.
    kernel_row
        (n,) index of the kernel's own record where it differs from what is proven; else -1.
    """

    runs: NDArray[np.void]
    records: NDArray[np.void]
    kernel_row: NDArray[np.int64]

    def take(self, which: NDArray[np.int64], runs: NDArray[np.void]) -> "Rows":
        """Return rows *which*, as *runs*."""
        return Rows(runs=runs, records=taken(self.records, which), kernel_row=self.kernel_row[which])


def split(runs: NDArray[np.void], edges: NDArray[np.int64]) -> tuple[NDArray[np.void], NDArray[np.int64]]:
    """Return *runs* split at each pfn of *edges* (sorted, without duplicates), and the run that each piece comes from."""
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
    same &= runs["generation"][1:] == runs["generation"][:-1]
    same &= rows.records[1:] == rows.records[:-1]
    viewed = rows.kernel_row >= 0
    same &= viewed[1:] == viewed[:-1]
    both = np.flatnonzero(same & viewed[1:])
    same[both] = kernel_records[rows.kernel_row[both + 1]] == kernel_records[rows.kernel_row[both]]
    alike = np.flatnonzero(same)
    same[alike] = judged.alike(alike, alike + 1)
    first = np.flatnonzero(np.concatenate([[True], ~same]))
    found = taken(runs, first)
    found["nr_pages"] = np.add.reduceat(runs["nr_pages"], first)
    return rows.take(first, found), judged.take(first)


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
    pfn: NDArray[np.int64], records: NDArray[np.void], at: Instant, facts: Facts, doubts: NDArray[np.void]
) -> NDArray[np.bool_]:
    """Return which pages (sorted) have no record in the kernel's view at an instant, although *records* prove an owner.

    A whole dump lists every page that page_owner knows: its silence casts an open doubt on what is proven. It holds until an event
    or a dump says something new of the page.

    Source: mm/page_owner.c, read_page_owner (Linux 6.1).
    """
    found = np.zeros(pfn.size, np.bool_)
    whole = [audit.seq for audit in facts.audits if audit.whole]
    if not whole or not doubts.size:
        return found
    known = doubts["noticed_ts"] <= at.ts if at.seq is None else doubts["seq"] <= at.seq
    silent = (doubts["reason"] == DOUBT_BASELINE) & (doubts["to_ts"] == OPEN_END) & np.isin(doubts["seq"], whole)
    silent = doubts[silent & known]
    first = np.searchsorted(pfn, silent["pfn"], side="left")
    last = np.searchsorted(pfn, silent["pfn"] + silent["nr_pages"], side="left")
    owned, since = records["state"] == State.OWNED, records["evidence_ts"]
    for start, stop, until in zip(first.tolist(), last.tolist(), silent["from_ts"].tolist(), strict=True):
        found[start:stop] |= owned[start:stop] & (since[start:stop] <= until)
    return found
