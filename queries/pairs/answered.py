"""The rows that answer (pfn, time) pairs, each judged at its own instant; the store is read once a file for all of them."""

from collections.abc import Collection, Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from pagetrail.queries.core.doubts import ALL, casting, doubts_in
from pagetrail.queries.core.judgement import Judgement
from pagetrail.queries.core.row_columns import SAID, JudgedRows, texts_of
from pagetrail.queries.core.rows import Doubts, both_views, judged_rows, with_unknown
from pagetrail.queries.core.runs import Apart, Rows, moved, row_holding
from pagetrail.queries.core.said import nothing_said_of
from pagetrail.queries.core.stream import Stream
from pagetrail.queries.core.texts import Texts
from pagetrail.queries.pairs.asked import NO_EXTENSION, Pairs, generations_at, in_parts
from pagetrail.queries.pairs.said import with_said
from pagetrail.queries.pairs.stored import Found, rows_of_pairs, together, with_pieces
from pagetrail.queries.pairs.texts import TextsOfFiles
from pagetrail.replay.facts.facts import Facts
from pagetrail.schemas.owner import OPEN_END, RUN_DTYPE
from pagetrail.schemas.structs import taken


def answered(stream: Stream, pairs: Pairs, columns: Collection[str]) -> JudgedRows:
    """Return the row that holds the page of each pair at its instant, with what *columns* of ``ROW_SCHEMA`` need.

    They are by pair, whose index is their ``question``; a pair whose page is absent has none.
    """
    found, texts = _read(stream, pairs, texts_of(columns))
    facts = pairs.facts(stream)
    section_nr = pairs.pfns // max(facts.pages_per_section, 1)
    rows, kernel_records = _listed(pairs, found, generations_at(facts, section_nr, pairs.at))
    rows, kernel_records, judged = _judged(doubts_of(stream), facts, pairs, rows, kernel_records)
    said = nothing_said_of(rows.runs.size)
    if not SAID.isdisjoint(columns):
        rows, said = with_said(stream, pairs, rows)
    return JudgedRows(rows=rows, kernel_records=kernel_records, judged=judged, texts=texts, facts=facts, said=said)


def _read(stream: Stream, pairs: Pairs, wanted: Collection[str]) -> tuple[Found, Texts]:
    """Return what the store has of the pairs, and the texts of its records."""
    texts, parts = TextsOfFiles(wanted), [together([])]
    for number in np.unique(pairs.files).tolist():
        which, file = np.flatnonzero(pairs.files == number), stream.files[number]
        pfns, at = pairs.pfns[which], pairs.at.take(which)
        found = with_pieces(stream, file, pfns, at, rows_of_pairs(stream, file, pfns, at))
        texts.add(stream, file, found)
        parts.append(replace(found, pair=which[found.pair]))
    return together(parts), texts.texts()


def _listed(pairs: Pairs, found: Found, generations: NDArray[np.int64]) -> tuple[Rows, NDArray[np.void]]:
    """Return what is proven, with the row of the kernel's own record of each run, and the records of these rows.

    A page that no row holds has a run of unknown state, where its section has an extension.
    """
    stop = found.runs["pfn"] + found.runs["nr_pages"]
    apart = Apart.of(pairs.pfns, found.pair, found.runs["pfn"], stop)
    places = moved(found.runs, apart.shift(found.pair))
    order = np.lexsort((places["pfn"], places["kernel_view"]))
    places, records, kernel_row, kernel_records = both_views(taken(places, order), taken(found.records, order))
    asked = pairs.pfns + apart.shift(np.arange(pairs.pfns.size))
    missing = np.flatnonzero((generations != NO_EXTENSION) & (row_holding(places, asked) < 0))
    extra = np.zeros(missing.size, RUN_DTYPE)
    extra["pfn"], extra["generation"] = asked[missing], generations[missing]
    extra["nr_pages"], extra["end_ts"] = 1, OPEN_END
    places, records, kernel_row = with_unknown(places, records, kernel_row, extra)
    question = apart.question(places["pfn"])
    runs = moved(places, -apart.shift(question))
    return Rows(runs=runs, records=records, kernel_row=kernel_row, question=question), kernel_records


def _holding(pairs: Pairs, rows: Rows) -> NDArray[np.int64]:
    """Return which rows hold the page of their pair."""
    asked = pairs.pfns[rows.of_questions]
    first = rows.runs["pfn"]
    return np.flatnonzero((first <= asked) & (asked < first + rows.runs["nr_pages"]))


def _judged(
    doubts: Doubts, facts: Facts, pairs: Pairs, rows: Rows, kernel_records: NDArray[np.void]
) -> tuple[Rows, NDArray[np.void], Judgement]:
    """Return the row of each pair that has one, how sure it is, and the kernel's records."""
    chosen: list[Rows] = []
    judged: list[Judgement] = []
    kept = kernel_records
    for part in _parts(rows, doubts.edges):
        found, with_none, judgement = judged_rows(facts, pairs.at, part, kernel_records, doubts)
        holding = _holding(pairs, found)
        chosen.append(found.take(holding, taken(found.runs, holding)))
        judged.append(judgement.take(holding))
        kept = max(kept, with_none, key=len)  # a record that says that there is none is the same in all
    return Rows.together(chosen), kept, Judgement.together(judged)


def doubts_of(stream: Stream) -> Doubts:
    """Return all doubts of a stream, in the order of ``core.doubts``; they are read once."""

    def read() -> Doubts:
        return Doubts.of(doubts_in(stream, casting(stream), ALL, into=stream.files[0]), stream.facts)

    return stream.once("doubts", stream.files[-1], stream.believed, read)


def _parts(rows: Rows, edges: NDArray[np.int64]) -> Iterator[Rows]:
    """Yield the rows of some questions at a time; at least once. Each may be split at many *edges*."""
    first, stop = rows.runs["pfn"], rows.runs["pfn"] + rows.runs["nr_pages"]
    pieces = np.searchsorted(edges, stop, side="left") - np.searchsorted(edges, first, side="right") + 1
    question, begins = np.unique(rows.of_questions, return_index=True)
    if not question.size:
        yield rows
        return
    ends = np.append(begins[1:], rows.runs.size)
    for some in in_parts(np.arange(question.size), np.add.reduceat(pieces, begins)):
        which = np.arange(begins[some[0]], ends[some[-1]])
        yield rows.take(which, taken(rows.runs, which))
