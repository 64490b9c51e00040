"""What one file of the store has of (pfn, time) pairs. Its tables are read for them here, and nowhere else."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pagetrail.queries.core.instant import Instants
from pagetrail.queries.core.pieces import is_whole
from pagetrail.queries.core.runs import overlaps
from pagetrail.queries.core.said import SAID_DTYPE
from pagetrail.queries.core.stream import Stream, fetched
from pagetrail.queries.pairs.holding import holding
from pagetrail.replay.store.packed.by_page import Part
from pagetrail.replay.store.packed.columns import Columns
from pagetrail.replay.store.packed.events import At
from pagetrail.replay.store.packed.run_tables import RUN_COLUMNS
from pagetrail.replay.store.packed.unpack import runs_of_page, unpacked
from pagetrail.replay.store.read import columns
from pagetrail.schemas.owner import OPEN_END, RECORD_DTYPE, RUN_DTYPE
from pagetrail.schemas.store.names import StoreFile
from pagetrail.schemas.structs import concatenated, taken

_SIZE: Final = "CAST(ceil(log2(nr_pages)) AS BIGINT)"
"""A run of so large a size has 2^size pages at most, so it begins in a page's own bucket of 2^size pages, or in the one before."""

_COVERING: Final = """WITH sizes AS (SELECT DISTINCT {size} AS size FROM {table}),
    keys AS (
        SELECT a.*, size, (a.pfn >> size) - back AS bucket FROM asked a, sizes, (VALUES (0), (1)) buckets(back)
        WHERE back = 0 OR size > 0)
    SELECT k.pair, {columns} FROM (SELECT *, {size} AS size FROM {table} WHERE pfn >= {low} AND pfn <= {high}) s
    JOIN keys k ON s.size = k.size AND s.pfn >> s.size = k.bucket
    WHERE s.pfn <= k.pfn AND k.pfn < s.pfn + s.nr_pages AND s.begin_{what} <= k.at AND s.end_{what} > k.at"""
"""Rows of ``page_ext`` that cover a page at an instant. Equal buckets make it a hash join: by ranges it takes far longer."""

_SAID: Final = """SELECT k.pair, s.pfn, v.* EXCLUDE (id), t.ts_nsec, t.free_ts_nsec
    FROM said s JOIN asked k ON s.pfn = k.pfn JOIN said_values v ON v.id = s.said
    LEFT JOIN said_stamps t ON t.pfn = s.pfn AND t.seq = v.seq WHERE v.{what} <= k.at"""

_EVENTS_A_PAIR: Final = 1 << 16
"""Events of a file that are read as fast as one pair is looked up."""

_NO_RUNS: Final = {name: np.zeros(0, np.int64 if name == "pfn" else np.int32) for name in RUN_COLUMNS}

PAGE_VALUES: Final = ("client", "field", "value", "evidence", "begin_ts", "begin_seq")


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """m rows of the store, and the pair that each belongs to.

    Attributes
    ----------
    runs, records
        (m,) RUN_DTYPE and RECORD_DTYPE; ids of texts are those of the file.
    pair
        (m,) index of a pair.
    """

    runs: NDArray[np.void]
    records: NDArray[np.void]
    pair: NDArray[np.int64]


def rows_of_pairs(stream: Stream, file: StoreFile, pfns: NDArray[np.int64], at: Instants) -> Found:
    """Return every row of *file* that covers a pair: its page (*pfns*) at its instant (*at*), in both views."""
    if not pfns.size:
        return _nothing()
    if pfns.size <= _few(stream, file):
        return _looked_up(stream, file, pfns, at)
    known, found = _events_until(stream, file, at), [(np.zeros(0, np.int64), _NO_RUNS)]
    for part, which in _parts(stream, file, pfns):
        for pair, row in holding(part, pfns[which]):
            there = np.flatnonzero(part.covers(row, known[which[pair]]))
            found.append((which[pair[there]], part.take(row[there])))
    pairs = np.concatenate([pair for pair, _ in found])
    runs = {name: np.concatenate([columns[name] for _, columns in found]) for name in RUN_COLUMNS}
    return _unpacked(stream, file, runs, pairs)


def _few(stream: Stream, file: StoreFile) -> int:
    """Return how many pairs are looked up one by one: together they take as long as reading the file."""
    return max(stream.about(file).events.size // _EVENTS_A_PAIR, 1)


def _looked_up(stream: Stream, file: StoreFile, pfns: NDArray[np.int64], at: Instants) -> Found:
    """Return the same for a few pairs."""
    parts, pages = [], stream.facts.pages_per_section
    with stream.reading(file) as (db, rows):
        for pair, (pfn, ts, seq) in enumerate(zip(pfns.tolist(), at.ts.tolist(), at.seq.tolist(), strict=True)):
            point = At(what="ts", value=ts) if seq == OPEN_END else At(what="seq", value=seq)
            runs, records = runs_of_page(db, rows, pfn, pages, point)
            parts.append(Found(runs=runs, records=records, pair=np.full(runs.size, pair)))
    return together(parts)


def with_pieces(stream: Stream, file: StoreFile, pfns: NDArray[np.int64], at: Instants, found: Found) -> Found:
    """Return the rows of ``rows_of_pairs`` and all that belong to them at the same instant, each once.

    These are the other pieces of the same records in the same section, and the kernel's own records of any of their pages.
    """
    parts = np.flatnonzero(~is_whole(found.runs, found.records, views=stream.about(file).runs.has_views))
    if not parts.size:
        return found
    pieces = _unique(together([found, _pieces(stream, file, pfns, at, found, parts)]))
    several = np.flatnonzero(pieces.runs["nr_pages"] > 1)
    return _unique(together([pieces, _views_over(stream, file, pfns, at, pieces, several)]))


def _pieces(
    stream: Stream, file: StoreFile, pfns: NDArray[np.int64], at: Instants, found: Found, rows: NDArray[np.int64]
) -> Found:
    """Return all pieces of the records of some rows, each in the section of the page that is asked for."""
    pair, found_there = found.pair[rows], [_nothing()]
    known = _events_until(stream, file, at)[pair]
    for part, which in _parts(stream, file, pfns[pair]):
        mine = Found(
            runs=taken(found.runs, rows[which]), records=taken(found.records, rows[which]), pair=found.pair[rows[which]]
        )
        found_there.append(_pieces_in(stream, file, part, pfns[mine.pair], known[which], mine))
    return together(found_there)


def _pieces_in(
    stream: Stream, file: StoreFile, part: Part, pfns: NDArray[np.int64], known: NDArray[np.int64], found: Found
) -> Found:
    """Return the same of one part of the file: of each row, with the page that is asked for and the events that are known."""
    pages, seqs = stream.facts.pages_per_section, found.records["begin_seq"]
    with stream.reading(file) as (db, rows_of):
        of_part = rows_of.events.column(db, "seq", part.others["begin_event"])
    some = np.flatnonzero(np.isin(of_part, seqs))
    some = some[np.argsort(of_part[some], kind="stable")]
    others = _unpacked(stream, file, part.take(some), some)
    start = np.searchsorted(of_part[some], seqs, side="left")
    count = np.searchsorted(of_part[some], seqs, side="right") - start
    mine = np.repeat(np.arange(seqs.size), count)
    other = np.arange(mine.size) - np.repeat(np.cumsum(count) - count, count) + np.repeat(start, count)
    same = part.covers(some[other], known[mine]) & (others.runs["pfn"][other] // pages == pfns[mine] // pages)
    same &= others.runs["kernel_view"][other] == found.runs["kernel_view"][mine]
    same &= others.records["block_pfn"][other] == found.records["block_pfn"][mine]
    chosen = other[same]
    return Found(runs=taken(others.runs, chosen), records=taken(others.records, chosen), pair=found.pair[mine[same]])


def _views_over(
    stream: Stream, file: StoreFile, pfns: NDArray[np.int64], at: Instants, pieces: Found, rows: NDArray[np.int64]
) -> Found:
    """Return the kernel's own records of any page of some pieces."""
    if not rows.size or not stream.about(file).runs.has_views:
        return _nothing()
    pair, found = pieces.pair[rows], [_nothing()]
    known = _events_until(stream, file, at)[pair]
    for part, which in _parts(stream, file, pfns[pair]):
        views, touching = np.flatnonzero(part.others["kernel_view"] == 1), [np.zeros((0, 2), np.int64)]
        for row, view in overlaps(taken(pieces.runs, rows[which]), part.take(views)):
            there = part.covers(views[view], known[which[row]])
            touching.append(np.stack([pair[which[row[there]]], views[view[there]]], axis=1))
        both = np.unique(np.concatenate(touching), axis=0)
        found.append(_unpacked(stream, file, part.take(both[:, 1]), both[:, 0]))
    return together(found)


def _parts(stream: Stream, file: StoreFile, pfns: NDArray[np.int64]) -> Iterator[tuple[Part, NDArray[np.int64]]]:
    """Yield the parts of the tables of runs of *file* that have some pages, each with the indexes of those."""
    pages = stream.facts.pages_per_section
    with stream.reading(file) as (db, rows):
        numbers = rows.by_page.numbers(pfns, pages)
        order = np.argsort(numbers, kind="stable")
        asked, begins = np.unique(numbers[order], return_index=True)
        parts = rows.by_page.parts(db, asked.tolist(), pages)
        for some, which in zip(parts, np.split(order, begins[1:]), strict=True):
            yield from ((part, which) for part in some if part.size)


def _events_until(stream: Stream, file: StoreFile, at: Instants) -> NDArray[np.int64]:
    """Return how many events of *file* happened up to each instant."""
    found = np.zeros(at.ts.size, np.int64)
    with stream.reading(file) as (db, rows):
        for what, which, instants in _kinds(at):
            found[which] = rows.events.until_each(db, what, instants)
    return found


def _unpacked(stream: Stream, file: StoreFile, runs: Columns, pair: NDArray[np.int64]) -> Found:
    """Return some runs of a file with their records; when they ended is left out."""
    if not pair.size:
        return _nothing()
    with stream.reading(file) as (db, rows):
        of_runs, records = unpacked(db, rows, runs | {"end_event": np.full(pair.size, -1)})
    return Found(runs=of_runs, records=records, pair=pair)


def says_anything(stream: Stream, file: StoreFile) -> bool:
    """Return whether dumps said anything beside owners that *file* has."""
    return stream.about(file).says


def said_of_pairs(
    stream: Stream, file: StoreFile, pages: NDArray[np.int64], pair: NDArray[np.int64], at: Instants
) -> tuple[NDArray[np.void], NDArray[np.int64]]:
    """Return what dumps up to its instant (*at*) said of each of *pages*, and the *pair* that the page belongs to.

    What is said is by pair, page and dump.
    """
    found = [(np.zeros(0, SAID_DTYPE), np.zeros(0, np.int64))]
    with stream.opened(file) as db:
        for what, which, instants in _kinds(at):
            asked = {"pair": pair[which], "pfn": pages[which], "at": instants}
            rows = _joined_with(db, "asked", asked, _SAID.format(what=what))
            found.append((columns(rows, SAID_DTYPE), rows["pair"].to_numpy().astype(np.int64)))
    said, pairs = concatenated([said for said, _ in found]), np.concatenate([pairs for _, pairs in found])
    order = np.lexsort((said["seq"], said["pfn"], pairs))
    return taken(said, order), pairs[order]


def page_values_of_pairs(stream: Stream, file: StoreFile, pfns: NDArray[np.int64], at: Instants) -> pa.Table:
    """Return what clients of page_ext held of the pairs: the columns ``pair`` and ``PAGE_VALUES`` of ``page_ext``."""
    values, found = ", ".join(f"s.{name}" for name in PAGE_VALUES), []
    with stream.opened(file) as db:
        for what, which, instants in _kinds(at):
            asked = {"pair": which, "pfn": pfns[which], "at": instants}
            names = {"table": "page_ext", "size": _SIZE, "what": what, "low": 0, "high": int(pfns.max())}
            found.append(_joined_with(db, "asked", asked, _COVERING.format(columns=values, **names)))
    return pa.concat_tables(found)


def texts_of_ids(
    stream: Stream, file: StoreFile, table: str, names: Collection[str], ids: NDArray[np.int64]
) -> list[pa.Array]:
    """Return the columns *names* of ``comms``, ``stacks`` or ``said_texts``: the texts of *ids*, which rise, in their order."""
    query = (
        f"SELECT {', '.join(f's.{name}' for name in names)} FROM {table} s JOIN asked k ON s.id = k.id ORDER BY s.id"
    )
    with stream.opened(file) as db:
        found = _joined_with(db, "asked", {"id": ids}, query)
    return [found[name].combine_chunks() for name in names]


def _kinds(at: Instants) -> Iterator[tuple[str, NDArray[np.int64], NDArray[np.int64]]]:
    """Yield (the end of the columns' names, which instants they are for, these): times, and places between two events."""
    times = at.times()
    for what, which, values in (("ts", np.flatnonzero(times), at.ts), ("seq", np.flatnonzero(~times), at.seq)):
        if which.size:
            yield what, which, values[which]


def _joined_with(
    db: duckdb.DuckDBPyConnection, name: str, rows: Mapping[str, NDArray[np.generic]], query: str
) -> pa.Table:
    with _registered(db, name, pa.table({key: np.ascontiguousarray(values) for key, values in rows.items()})):
        return fetched(db, query)


@contextmanager
def _registered(db: duckdb.DuckDBPyConnection, name: str, rows: pa.Table) -> Iterator[None]:
    db.register(name, rows)
    try:
        yield
    finally:
        db.unregister(name)


def _nothing() -> Found:
    return Found(runs=np.zeros(0, RUN_DTYPE), records=np.zeros(0, RECORD_DTYPE), pair=np.zeros(0, np.int64))


def together(parts: list[Found]) -> Found:
    """Return the rows of all *parts*, one after another."""
    parts = [_nothing(), *parts]
    return Found(
        runs=concatenated([part.runs for part in parts]), records=concatenated([part.records for part in parts]),
        pair=np.concatenate([part.pair for part in parts]),
    )  # fmt: skip


def _unique(found: Found) -> Found:
    """Return each row once: a page is in one run of each view at an instant."""
    keys = np.stack([found.pair, found.runs["kernel_view"].astype(np.int64), found.runs["pfn"]])
    order = np.lexsort(keys[::-1])
    kept = np.ones(order.size, np.bool_)
    kept[1:] = np.any(keys[:, order[1:]] != keys[:, order[:-1]], axis=0)
    chosen = order[kept]
    return Found(runs=taken(found.runs, chosen), records=taken(found.records, chosen), pair=found.pair[chosen])
