"""What dumps said of pages beside their owners, for rows that answer pairs."""

from dataclasses import replace
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pagetrail.queries.core.runs import Apart, Rows, moved
from pagetrail.queries.core.said import SAID_DTYPE, SaidOf, heads_of_runs, nothing_said_of, said_of, split_by_said
from pagetrail.queries.core.stream import Stream
from pagetrail.queries.core.texts import known_ids, new_ids
from pagetrail.queries.pairs.asked import Pairs, in_parts
from pagetrail.queries.pairs.stored import said_of_pairs, says_anything, texts_of_ids
from pagetrail.schemas.owner import State
from pagetrail.schemas.store.names import StoreFile
from pagetrail.schemas.structs import concatenated, copied, taken

_TEXTS: Final = ("cgroup", "page_flag_names")


def with_said(stream: Stream, pairs: Pairs, rows: Rows) -> tuple[Rows, SaidOf]:
    """Return the rows, one a pair, cut where dumps said something else of the next block, and what they said."""
    files, texts = pairs.files[rows.of_questions], [pa.array([], pa.utf8())]
    runs, found, index = copied(rows.runs), [np.zeros(0, SAID_DTYPE)], np.full(files.size, -1, np.int64)
    for number in np.unique(files).tolist():
        mine = np.flatnonzero(files == number)
        if not says_anything(stream, stream.files[number]):
            continue
        for which in in_parts(mine, _blocks(rows, mine)):
            some, said = _of_file(stream, stream.files[number], pairs, rows.take(which, taken(rows.runs, which)), texts)
            runs[which] = some
            index[which] = np.where(said.index >= 0, said.index + sum(part.size for part in found), -1)
            found.append(said.found)
    said = SaidOf(found=concatenated(found), index=index, texts=pa.concat_arrays(texts))
    return replace(rows, runs=runs), said


def _blocks(rows: Rows, which: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return of how many pages dumps have to be asked for each of some rows: one a block."""
    return np.diff(_heads(taken(rows.runs, which), taken(rows.records, which))[1])


def _heads(runs: NDArray[np.void], records: NDArray[np.void]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the first head of each run's blocks, and where the heads of each run begin in a list of all."""
    first = heads_of_runs(runs, records)
    size = _size(records)
    count = np.where(records["state"] == State.OWNED, -(-(runs["pfn"] + runs["nr_pages"] - first) // size), 0)
    return first, np.concatenate([[0], np.cumsum(count)])


def _size(records: NDArray[np.void]) -> NDArray[np.int64]:
    return np.asarray(np.int64(1) << np.clip(records["order"], 0, 62).astype(np.int64))


def _of_file(
    stream: Stream, file: StoreFile, pairs: Pairs, rows: Rows, texts: list[pa.Array]
) -> tuple[NDArray[np.void], SaidOf]:
    """Return the runs of some rows of one file, cut, and what dumps said of them; its texts are added to *texts*."""
    question = np.arange(rows.runs.size)  # here each row is a question of its own
    first, begins = _heads(rows.runs, rows.records)
    row = np.repeat(question, np.diff(begins))
    pages = first[row] + (np.arange(row.size) - begins[row]) * _size(rows.records)[row]
    asked, at = pairs.pfns[rows.of_questions], pairs.at.take(rows.of_questions)
    found, of = said_of_pairs(stream, file, pages, row, at.take(row))
    if not found.size:
        return rows.runs, nothing_said_of(rows.runs.size)
    _read_texts(stream, file, found, texts)
    stop = rows.runs["pfn"] + rows.runs["nr_pages"]
    apart = Apart.of(asked, question, first, stop)
    shift = apart.shift(question)
    said = SaidOf(found=moved(found, apart.shift(of)), index=np.zeros(0, np.int64), texts=pa.nulls(0, pa.utf8()))
    pieces, parent = split_by_said(moved(rows.runs, shift), rows.records, said, shift)
    place = asked[parent] + shift[parent]
    holds = np.flatnonzero((pieces["pfn"] <= place) & (place < pieces["pfn"] + pieces["nr_pages"]))
    cut = taken(pieces, holds)
    return moved(cut, -shift), said_of(said, heads_of_runs(cut, rows.records, shift), rows.records)


def _read_texts(stream: Stream, file: StoreFile, found: NDArray[np.void], texts: list[pa.Array]) -> None:
    ids = known_ids([found[name] for name in _TEXTS])
    before = sum(map(len, texts))
    texts += texts_of_ids(stream, file, "said_texts", ["text"], ids)
    for name in _TEXTS:
        found[name] = new_ids(ids, found[name], before)
