"""What page_owner dumps said of pages beside their owners: cgroup, type of the pageblock, flags, migrate reason.

It is true of the instant at which the dump was read. While the allocation lasts, it is the last that is known, but no event says
when it changes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pagetrail.queries.core.instant import Instant
from pagetrail.queries.core.runs import split
from pagetrail.queries.core.stream import Stream, fetched
from pagetrail.replay.rules.dumped.attribution import head_of, is_of_the_same_allocation
from pagetrail.replay.store.read import columns
from pagetrail.schemas.owner import OPEN_END, STAMP_DTYPE, VALUE_SAID_DTYPE, State
from pagetrail.schemas.store.names import StoreFile
from pagetrail.schemas.structs import taken

SAID_DTYPE: Final = np.dtype(
    [("pfn", np.int64), *((name, VALUE_SAID_DTYPE[name]) for name in VALUE_SAID_DTYPE.names or ()),
     *((name, STAMP_DTYPE[name]) for name in ("ts_nsec", "free_ts_nsec"))], align=True,
)  # fmt: skip
"""What one dump said of one page: the fields of VALUE_SAID_DTYPE, the page, and its times."""

_QUERY: Final = """SELECT s.pfn, v.* EXCLUDE (id), t.ts_nsec, t.free_ts_nsec
    FROM said s JOIN said_values v ON v.id = s.said LEFT JOIN said_stamps t ON t.pfn = s.pfn AND t.seq = v.seq
    {where} ORDER BY s.pfn, v.seq"""

_FEW_ROWS: Final = 1 << 12
_FEW_BYTES: Final = 1 << 18
"""So many rows, and bytes of texts, are kept of each file that is open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SaidOf:
    """What dumps said of n runs.

    Attributes
    ----------
    found
        What dumps said, by (pfn, seq of the dump): the fields of VALUE_SAID_DTYPE, and the page.
    index
        (n,) index into *found*; -1: no dump said anything of this allocation.
    texts
        The texts.
    """

    found: NDArray[np.void]
    index: NDArray[np.int64]
    texts: pa.Array

    def take(self, which: NDArray[np.int64] | slice) -> "SaidOf":
        """Return what is said of the runs *which*."""
        return SaidOf(found=self.found, index=self.index[which], texts=self.texts)

    def number(self, name: str) -> pa.Array:
        """Return a number; null where nothing is said."""
        if not self.found.size:
            return pa.nulls(self.index.size, pa.from_numpy_dtype(SAID_DTYPE[name]))
        column = self._column(name)
        return pa.array(column, mask=(self.index < 0) | (column == np.iinfo(column.dtype).min))

    def text(self, name: str) -> pa.Array:
        """Return a text; null where nothing is said."""
        if not self.found.size:
            return pa.nulls(self.index.size, pa.utf8())
        column = self._column(name)
        return self.texts.take(pa.array(column, mask=(self.index < 0) | (column < 0)))

    def name(self, number: str, names: Sequence[str]) -> pa.Array:
        """Return the names of a number; null where nothing is said, or it has none of *names*."""
        if not self.found.size:
            return pa.nulls(self.index.size, pa.utf8())
        numbers = self.number(number)
        named = pc.and_(pc.greater_equal(numbers, 0), pc.less(numbers, len(names)))
        return pa.array([*names], pa.utf8()).take(pc.if_else(named, numbers, pa.scalar(None, numbers.type)))

    def _column(self, name: str) -> NDArray[Any]:
        return np.ascontiguousarray(self.found[name][self.index])


NOTHING: Final = np.zeros(0, SAID_DTYPE)


def nothing_said_of(size: int) -> SaidOf:
    """Return that nothing is said of *size* runs."""
    return SaidOf(found=NOTHING, index=np.full(size, -1, np.int64), texts=pa.nulls(0, pa.utf8()))


def said_texts(stream: Stream, at: Instant) -> pa.Array:
    """Return the texts that dumps said, as the file has them that answers for an instant."""
    return said_texts_in(stream, stream.files[stream.holding(at)])


def says_anything(stream: Stream, at: Instant) -> bool:
    """Return whether dumps said anything beside owners, as far as the file says that answers for an instant."""
    return stream.about(stream.files[stream.holding(at)]).says


def said_texts_in(stream: Stream, file: StoreFile) -> pa.Array:
    """Return the texts that dumps said, as one file of the store has them."""
    few = stream.of_few(file, "said_texts", lambda: _few_said_texts(stream, file))
    return stream.once("said_texts", file, None, lambda: _read_said_texts(stream, file)) if few is None else few


def _few_said_texts(stream: Stream, file: StoreFile) -> pa.Array | None:
    with stream.opened(file) as db:
        size = db.execute("SELECT coalesce(sum(strlen(text) + 16), 0) FROM said_texts").fetchall()[0][0]
    return _read_said_texts(stream, file) if size <= _FEW_BYTES else None


def _read_said_texts(stream: Stream, file: StoreFile) -> pa.Array:
    with stream.opened(file) as db:
        return fetched(db, "SELECT text FROM said_texts ORDER BY id")["text"].combine_chunks()


def said_at(stream: Stream, at: Instant, runs: NDArray[np.void], records: NDArray[np.void], texts: pa.Array) -> SaidOf:
    """Return what dumps up to an instant said of the blocks between the first and the last of *runs*; of no run yet.

    *texts* are those of ``said_texts``.
    """
    return said_in(stream, stream.files[stream.holding(at)], at, runs, records, texts)


def said_in(
    stream: Stream,
    file: StoreFile,
    at: Instant | None,
    runs: NDArray[np.void],
    records: NDArray[np.void],
    texts: pa.Array,
) -> SaidOf:
    """Return the same of one file of the store, up to an instant; null: of all dumps."""
    if not runs.size:
        return nothing_said_of(0)
    what, value = ("ts", OPEN_END) if at is None else ("ts", at.ts) if at.seq is None else ("seq", at.seq)
    low, high = int(heads_of_runs(runs, records).min()), int((runs["pfn"] + runs["nr_pages"]).max())
    if not stream.about(file).says:
        return replace(nothing_said_of(0), texts=texts)
    few = stream.of_few(file, "said", lambda: _few_said(stream, file))
    if few is None:
        with stream.opened(file) as db:
            where = f"WHERE s.pfn >= $low AND s.pfn < $high AND v.{what} <= $at"
            found = columns(
                fetched(db, _QUERY.format(where=where), {"low": low, "high": high, "at": value}), SAID_DTYPE
            )
    else:
        first, stop = np.searchsorted(few["pfn"], [low, high])
        found = few[first:stop]
        found = found[found[what] <= value]
    return SaidOf(found=found, index=np.zeros(0, np.int64), texts=texts)


def _few_said(stream: Stream, file: StoreFile) -> NDArray[np.void] | None:
    """Return all that a file says that dumps said; null: that is much."""
    with stream.opened(file) as db:
        if db.execute("SELECT count(*) FROM said").fetchall()[0][0] > _FEW_ROWS:
            return None
        return columns(fetched(db, _QUERY.format(where="")), SAID_DTYPE)


def heads_of_runs(
    runs: NDArray[np.void], records: NDArray[np.void], shift: NDArray[np.int64] | int = 0
) -> NDArray[np.int64]:
    """Return the page of which a dump has the record of the first page of each run; *shift* has been added to all pages."""
    return np.asarray(head_of(np.asarray(runs["pfn"] - shift, np.int64), records["order"]) + shift)


def said_of(
    said: SaidOf, heads: NDArray[np.int64], records: NDArray[np.void], before: NDArray[np.int64] | None = None
) -> SaidOf:
    """Return what the last dump said of the owners (*records*) of the blocks with these *heads*.

    With *before*, only dumps count that ended before these stream_seqs.
    """
    found, rows = said.found, heads.size
    limit = np.full(rows, OPEN_END) if before is None else before
    pages, seqs = np.concatenate([heads, found["pfn"]]), np.concatenate([limit, found["seq"]])
    is_found = np.arange(pages.size) >= rows
    order = np.lexsort((is_found, seqs, pages))
    last = np.maximum.accumulate(np.where(is_found[order], order - rows, -1)) if order.size else order
    index = np.full(rows, -1, np.int64)
    asked = ~is_found[order]
    index[order[asked]] = last[asked]
    there = np.flatnonzero(index >= 0)
    there = there[found["pfn"][index[there]] == heads[there]]
    mine = {name: found[name][index[there]] for name in ("seq", "window_begin")}
    same = is_of_the_same_allocation(taken(records, there), mine["seq"], mine["window_begin"])
    kept = np.full(rows, -1, np.int64)
    kept[there[same]] = index[there[same]]
    return SaidOf(found=found, index=kept, texts=said.texts)


def edges_within(runs: NDArray[np.void], records: NDArray[np.void], said: SaidOf) -> NDArray[np.int64]:
    """Return the pfns at which runs of several blocks have to be split, as dumps said something of one of these blocks."""
    size = np.int64(1) << np.clip(records["order"], 0, 62).astype(np.int64)
    several = np.flatnonzero((records["state"] == State.OWNED) & (runs["nr_pages"] > size))
    if not several.size or not said.found.size:
        return np.zeros(0, np.int64)
    several = several[np.argsort(runs["pfn"][several], kind="stable")]
    pages = np.unique(said.found["pfn"])
    run = np.searchsorted(runs["pfn"][several], pages, side="right") - 1
    stop = (runs["pfn"] + runs["nr_pages"])[several]
    inside = (run >= 0) & (pages < stop[run])
    pages, run = pages[inside], run[inside]
    return np.unique(np.concatenate([pages, np.minimum(pages + size[several][run], stop[run])]))


def split_by_said(
    runs: NDArray[np.void], records: NDArray[np.void], said: SaidOf, shift: NDArray[np.int64] | int = 0
) -> tuple[NDArray[np.void], NDArray[np.int64]]:
    """Return *runs*, split so that each is of one block or of blocks of which nothing was said, and where each comes from.

    *shift* was added to the pages of each run, and to the pages of *said* as well: see ``runs.Apart``.
    """
    edges = edges_within(runs, records, said)
    pieces, parent = split(runs, edges)
    if parent.size == runs.size:
        return runs, parent
    shifts, kept = np.broadcast_to(shift, runs.shape)[parent], taken(records, parent)
    index = said_of(said, heads_of_runs(pieces, kept, shifts), kept).index
    apart = np.ones(parent.size, np.bool_)
    apart[1:] = (parent[1:] != parent[:-1]) | (index[1:] != index[:-1])
    first = np.flatnonzero(apart)
    found = taken(pieces, first)
    found["nr_pages"] = np.add.reduceat(pieces["nr_pages"], first)
    return found, parent[first]
