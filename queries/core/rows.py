"""The pages at an instant: a row a run, with how sure it is, and with both views where the kernel is known to be wrong."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pagetrail.queries.core.certainty import judge
from pagetrail.queries.core.doubts import doubts_at
from pagetrail.queries.core.filters import (
    NO_FILTER,
    Filters,
    PfnRanges,
    Selection,
    intersection,
    select,
    touching,
    within,
)
from pagetrail.queries.core.instant import Instant, Instants
from pagetrail.queries.core.judgement import Judgement
from pagetrail.queries.core.row_columns import ROW_SCHEMA, SAID, JudgedRows, texts_of, to_table, unknown_records
from pagetrail.queries.core.runs import Rows, joined, row_holding, split, unlisted
from pagetrail.queries.core.said import (
    SaidOf,
    heads_of_runs,
    nothing_said_of,
    said_at,
    said_of,
    said_texts,
    says_anything,
    split_by_said,
)
from pagetrail.queries.core.stream import Stream
from pagetrail.queries.core.texts import Texts
from pagetrail.replay.facts.facts import Facts
from pagetrail.replay.facts.known import once
from pagetrail.schemas.owner import OPEN_END, RUN_DTYPE, State
from pagetrail.schemas.structs import concatenated, taken

ABSENT_WHY: Final = "the page's section has no extension: the page was not online"
"""Why nothing is known of a page that is absent."""


_TABLE_ROWS: Final = 1 << 14
"""Rows that have their texts at once: a stack is half a kilobyte."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is asked of the pages at an instant.

    Attributes
    ----------
    pfns
        Only runs that contain one of these pages; a page without evidence gets a row of its own, if its section exists. Null: all.
    everything
        Also free and unknown runs; else runs that are owned, or that the kernel's own record shows as owned.
    columns
        Only these columns of ``ROW_SCHEMA`` are made, and only the texts that they show are read.
    filters
        Only pages that they select: a run of which only some are is cut to these.
    """

    pfns: Sequence[int] | None = None
    everything: bool = False
    columns: Sequence[str] = tuple(ROW_SCHEMA.names)
    filters: Filters = NO_FILTER


OWNED_ROWS: Final = Asked()
"""The rows that are owned, with all columns."""


def rows_at(stream: Stream, at: Instant, asked: Asked = OWNED_ROWS) -> pa.Table:
    """Return the runs at an instant, by pfn: the columns that are asked for."""
    return pa.concat_tables(rows_in_parts(stream, at, asked))


def rows_in_parts(stream: Stream, at: Instant, asked: Asked = OWNED_ROWS) -> Iterator[pa.Table]:
    """Yield the table of ``rows_at`` in parts, the rows of some sections in each; at least one part, maybe without rows."""
    selected = select(asked.filters, stream.facts)
    reader = _Reader(stream, at, asked, selected)
    for sections in [selected.sections] if asked.pfns is not None else parts_of(stream, at, selected.sections):
        yield from reader.part(sections)


class _Reader:
    """Reads the rows of one answer, part by part; what all parts need is read once."""

    def __init__(self, stream: Stream, at: Instant, asked: Asked, selected: Selection) -> None:
        self._stream, self._at, self._asked, self._selected = stream, at, asked, selected
        self._facts = stream.facts_at(at)
        self._doubts = doubts_at(stream, at, asked.pfns)
        self._texts: Texts | None = None
        self._said_texts: pa.Array | None = None
        asks_dumps = not SAID.isdisjoint(asked.columns) and says_anything(stream, at)
        self._asks_dumps = selected.asks_dumps or asks_dumps

    def part(self, sections: PfnRanges | None) -> Iterator[pa.Table]:
        """Yield the rows of some sections, null: of all; at least one table."""
        runs, records, texts = self._read(sections)
        rows, kernel_records, judged = self._judged(runs, records, sections)
        chosen = self._chosen(rows, texts)
        if chosen.size < rows.runs.size:
            rows, judged = rows.take(chosen, taken(rows.runs, chosen)), judged.take(chosen)
        said = nothing_said_of(chosen.size)
        if self._asks_dumps:
            rows, judged, said = self._with_said(rows, judged)
        known = JudgedRows(
            rows=rows, kernel_records=kernel_records, judged=judged, texts=texts, facts=self._facts, said=said
        )
        for first in range(0, max(rows.runs.size, 1), _TABLE_ROWS):
            yield to_table(known.slice(first, first + _TABLE_ROWS), self._asked.columns)

    def _read(self, sections: PfnRanges | None) -> tuple[NDArray[np.void], NDArray[np.void], Texts]:
        """Return what the store has of some sections, and the texts of its ids, which are read with the first part."""
        pfns = None if self._asked.pfns is None else sorted(set(self._asked.pfns))
        wanted = texts_of(self._asked.columns) | self._selected.texts if self._texts is None else ()
        runs, records, read = self._stream.rows_at(
            self._at, pfns, sections=sections, texts=wanted, owned=not self._asked.everything
        )
        self._texts = read if self._texts is None else self._texts
        return runs, records, self._texts

    def _judged(
        self, runs: NDArray[np.void], records: NDArray[np.void], sections: PfnRanges | None
    ) -> tuple[Rows, NDArray[np.void], Judgement]:
        """Return the runs, the kernel's records, and how sure each run is; runs are cut to the pages that are selected."""
        facts, pfns = self._facts, self._asked.pfns
        runs, records, kernel_row, kernel_records = both_views(runs, records)
        if self._asked.everything or pfns is not None:
            runs, records, kernel_row = self._with_unknown(sections, runs, records, kernel_row)
        rows = Rows(runs=runs, records=records, kernel_row=kernel_row)
        near = self._doubts if sections is None else self._doubts[touching(self._doubts, sections)]
        at = Instants.of([self._at])
        rows, kernel_records, judged = judged_rows(facts, at, rows, kernel_records, Doubts.of(near, facts))
        if self._selected.ranges is not None:
            rows, judged = _cut(rows, judged, self._selected.ranges)
        return rows, kernel_records, judged

    def _with_unknown(
        self,
        sections: PfnRanges | None,
        runs: NDArray[np.void],
        records: NDArray[np.void],
        kernel_row: NDArray[np.int64],
    ) -> tuple[NDArray[np.void], NDArray[np.void], NDArray[np.int64]]:
        """Add rows of unknown state for pages that no row covers: see ``_with_unknown``."""
        facts, pfns = self._facts, self._asked.pfns
        if pfns is not None and (row_holding(runs, np.asarray(pfns, np.int64)) >= 0).all():
            return runs, records, kernel_row
        there = sections_at(facts, self._at, within_pages=sections)
        return _with_unknown(facts, there, runs, records, kernel_row, pfns)

    def _chosen(self, rows: Rows, texts: Texts) -> NDArray[np.int64]:
        """Return which runs are in the answer, as far as it does not depend on what dumps said."""
        if self._asked.pfns is not None:
            chosen = np.flatnonzero(_holding(rows.runs, np.unique(np.asarray(self._asked.pfns, np.int64))))
        elif self._asked.everything:
            chosen = np.arange(rows.runs.size)
        else:
            chosen = np.flatnonzero((rows.records["state"] == State.OWNED) | (rows.kernel_row >= 0))
        if self._asked.filters == NO_FILTER:
            return chosen
        return np.asarray(chosen[self._selected.keeps(taken(rows.records, chosen), texts)])

    def _with_said(self, rows: Rows, judged: Judgement) -> tuple[Rows, Judgement, SaidOf]:
        """Return the rows, split where dumps said something else, and what they said; only those that it selects."""
        if self._said_texts is None:
            self._said_texts = said_texts(self._stream, self._at)
        found = said_at(self._stream, self._at, rows.runs, rows.records, self._said_texts)
        said = nothing_said_of(rows.runs.size)
        if found.found.size:
            pieces, parent = split_by_said(rows.runs, rows.records, found)
            rows, judged = rows.take(parent, pieces), judged.take(parent)
            said = said_of(found, heads_of_runs(rows.runs, rows.records), rows.records)
        if not self._selected.asks_dumps:
            return rows, judged, said
        kept = np.flatnonzero(self._selected.keeps_said(said.text("cgroup"), said.number("block_migratetype")))
        return rows.take(kept, taken(rows.runs, kept)), judged.take(kept), said.take(kept)


def parts_of(stream: Stream, at: Instant, sections: PfnRanges | None) -> list[PfnRanges | None]:
    """Return the pages to read, of *sections* or all, part by part: no row crosses the border of a section."""
    parts = stream.parts_at(at)
    if len(parts) == 1:
        return [sections]
    ranges = [np.array([part], np.int64) for part in parts]
    if sections is None:
        return list(ranges)
    return [both for part in ranges if (both := intersection(sections, part)).size] or [sections]


def both_views(
    runs: NDArray[np.void], records: NDArray[np.void]
) -> tuple[NDArray[np.void], NDArray[np.void], NDArray[np.int64], NDArray[np.void]]:
    """Return proven runs, their records, the row of the kernel's own record of each, or -1, and the records of these rows.

    *runs* and *records* are those of the store, by pfn in each view.
    """
    kernel = runs["kernel_view"] == 1
    if not kernel.any():
        return runs, records, np.full(runs.size, -1, np.int64), records
    listed = ~(kernel & (records["state"] == State.FREE))  # the others are stamps that no dump lists
    runs, records, kernel = taken(runs, listed), taken(records, listed), kernel[listed]
    return *_both_views(runs, records, kernel), records


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubts:
    """What runs are judged by, beside the facts of their stream.

    Attributes
    ----------
    rows
        DOUBT_DTYPE: the doubts of the pages that are asked for, and maybe others.
    borders
        The pfns at which no runs are joined: the borders of zones, sorted.
    edges
        The pfns at which runs are split, sorted: where a doubt or a zone begins or ends.
    """

    rows: NDArray[np.void]
    borders: NDArray[np.int64]
    edges: NDArray[np.int64]

    @classmethod
    def of(cls, rows: NDArray[np.void], facts: Facts) -> "Doubts":
        """Return the doubts *rows* of a stream with these facts."""
        borders = once(facts, "borders", lambda: _borders(facts))
        if not rows.size:
            return cls(rows=rows, borders=borders, edges=borders)
        edges = np.unique(np.concatenate([rows["pfn"], rows["pfn"] + rows["nr_pages"], borders]))
        return cls(rows=rows, borders=borders, edges=edges)


def _borders(facts: Facts) -> NDArray[np.int64]:
    return np.unique(np.array([pfn for zone in facts.zones for pfn in (zone.start_pfn, zone.stop_pfn)], np.int64))


def judged_rows(
    facts: Facts, at: Instants, rows: Rows, kernel_records: NDArray[np.void], doubts: Doubts
) -> tuple[Rows, NDArray[np.void], Judgement]:
    """Return how sure each run is, and the kernel's records; runs are split where a doubt or a zone begins or ends.

    *at* has the instant of each question. The kernel's records are those given, and at most one behind them.
    """
    pieces, parent = split(rows.runs, doubts.edges)
    if parent.size > rows.runs.size:
        rows = rows.take(parent, pieces)
    then = rows.instants(at)
    judged = judge(rows.runs, rows.records, rows.kernel_row >= 0, then.ts, facts, doubts.rows)
    silent = unlisted(rows.runs["pfn"], rows.records, then, facts, doubts.rows) & (rows.kernel_row < 0)
    if silent.any():
        rows = replace(rows, kernel_row=np.where(silent, kernel_records.size, rows.kernel_row))
        kernel_records = concatenated([kernel_records, unknown_records(1)])
    rows, judged = joined(rows, kernel_records, judged, facts.pages_per_section, doubts.borders)
    return rows, kernel_records, judged


def _cut(rows: Rows, judged: Judgement, ranges: PfnRanges) -> tuple[Rows, Judgement]:
    """Return the rows, each cut to its pages in *ranges*."""
    pieces, parent = split(rows.runs, np.unique(ranges))
    inside = np.flatnonzero(within(pieces["pfn"], ranges))
    return rows.take(parent[inside], taken(pieces, inside)), judged.take(parent[inside])


def _holding(runs: NDArray[np.void], pfns: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return whether each run contains one of *pfns* (sorted)."""
    first = np.searchsorted(pfns, runs["pfn"], side="left")
    return np.asarray(first < np.searchsorted(pfns, runs["pfn"] + runs["nr_pages"], side="left"))


def _both_views(
    runs: NDArray[np.void], records: NDArray[np.void], kernel: NDArray[np.bool_]
) -> tuple[NDArray[np.void], NDArray[np.void], NDArray[np.int64]]:
    """Return proven runs, split where a differing record of the kernel begins or ends, with the row of that record, or -1."""
    proven, mine = taken(runs, ~kernel), taken(records, ~kernel)
    if not kernel.any():
        return proven, mine, np.full(proven.size, -1, np.int64)
    views = np.flatnonzero(kernel)
    edges = np.unique(np.concatenate([runs["pfn"][views], runs["pfn"][views] + runs["nr_pages"][views]]))
    pieces, parent = split(proven, edges)
    first, cut_records = pieces["pfn"], taken(mine, parent)
    order = views[np.argsort(runs["pfn"][views], kind="stable")]
    view_start, view_stop = runs["pfn"][order], runs["pfn"][order] + runs["nr_pages"][order]
    where = np.searchsorted(view_start, first, side="right") - 1
    inside = (where >= 0) & (first < view_stop[np.maximum(where, 0)])
    kernel_row = np.where(inside, order[np.maximum(where, 0)], -1)
    return _add_lone_views(pieces, cut_records, kernel_row, runs, order)


def _add_lone_views(
    pieces: NDArray[np.void],
    cut_records: NDArray[np.void],
    kernel_row: NDArray[np.int64],
    runs: NDArray[np.void],
    views: NDArray[np.int64],
) -> tuple[NDArray[np.void], NDArray[np.void], NDArray[np.int64]]:
    """Add a row of unknown state for pages that only the kernel's own record covers."""
    covered_pages = np.bincount(
        kernel_row[kernel_row >= 0], weights=pieces["nr_pages"][kernel_row >= 0], minlength=runs.size
    )
    lone = views[covered_pages[views] == 0]
    if not lone.size:
        return pieces, cut_records, kernel_row
    merged = concatenated([pieces, taken(runs, lone)])
    records = concatenated([cut_records, unknown_records(lone.size)])
    rows = np.concatenate([kernel_row, lone])
    order = np.argsort(merged["pfn"], kind="stable")
    return taken(merged, order), taken(records, order), rows[order]


def sections_at(facts: Facts, at: Instant, *, within_pages: PfnRanges | None = None) -> list[tuple[int, int]]:
    """Return (section_nr, generation) of the sections that have an extension at an instant, and begin *within_pages*."""
    key, value = ("ts", at.ts) if at.seq is None else ("seq", at.seq)
    found = {}
    for section in facts.sections:
        if getattr(section, f"begin_{key}") <= value < getattr(section, f"end_{key}"):
            found[section.section_nr] = section.generation
    if within_pages is None:
        return sorted(found.items())
    starts = np.array(sorted(found), np.int64) * facts.pages_per_section
    return [(nr, found[nr]) for nr in (starts[within(starts, within_pages)] // facts.pages_per_section).tolist()]


def _with_unknown(
    facts: Facts,
    there: Sequence[tuple[int, int]],
    runs: NDArray[np.void],
    records: NDArray[np.void],
    kernel_row: NDArray[np.int64],
    pfns: Sequence[int] | None,
) -> tuple[NDArray[np.void], NDArray[np.void], NDArray[np.int64]]:
    """Add rows of unknown state for pages that no row covers, in the sections *there*; with *pfns*, only for these."""
    pages = facts.pages_per_section
    missing: list[tuple[int, int, int]] = []
    starts = runs["pfn"]
    for section_nr, generation in there:
        low, high = section_nr * pages, (section_nr + 1) * pages
        inside = (starts >= low) & (starts < high)
        if pfns is None:
            at_pfn = low
            for start, count in zip(starts[inside].tolist(), runs["nr_pages"][inside].tolist(), strict=True):
                if start > at_pfn:
                    missing.append((at_pfn, start - at_pfn, generation))
                at_pfn = start + count
            if at_pfn < high:
                missing.append((at_pfn, high - at_pfn, generation))
        else:
            ends = starts + runs["nr_pages"]
            wanted = [p for p in set(pfns) if low <= p < high and not ((starts <= p) & (p < ends)).any()]
            missing += [(p, 1, generation) for p in wanted]
    extra = np.zeros(len(missing), RUN_DTYPE)
    for row, (pfn, count, generation) in zip(extra, missing, strict=True):
        row["pfn"], row["nr_pages"], row["generation"], row["end_ts"] = pfn, count, generation, OPEN_END
    return with_unknown(runs, records, kernel_row, extra)


def with_unknown(
    runs: NDArray[np.void], records: NDArray[np.void], kernel_row: NDArray[np.int64], extra: NDArray[np.void]
) -> tuple[NDArray[np.void], NDArray[np.void], NDArray[np.int64]]:
    """Return the rows and those of *extra* runs, of which nothing is known, by pfn."""
    merged = concatenated([runs, extra])
    all_records = concatenated([records, unknown_records(extra.size)])
    rows = np.concatenate([kernel_row, np.full(extra.size, -1)])
    order = np.argsort(merged["pfn"], kind="stable")
    return taken(merged, order), taken(all_records, order), rows[order]
