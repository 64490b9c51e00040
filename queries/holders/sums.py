"""Sums of owned pages by a key: made in parts, and added up over parts and over streams.

A part has ``key``, ``comm``, ``tgid``, ``nr_pages``, ``block_pfn``, ``certain`` and ``at_ns``, a time of each run; sums have the
columns of ``sql/sums_together.sql``. Adding up is associative: sums of sums are those of all.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Final, Generic, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pagetrail.queries.core.stream import Stream
from pagetrail.queries.holders.attributes import ByOfAll
from pagetrail.queries.holders.owned import BESIDE, page_bytes
from pagetrail.replay.store.read import in_memory
from pagetrail.schemas.errors import BadArgument, NotFound, SegmentDamaged, SegmentMissing

PARTS: Final = ("nr_pages", "block_pfn", "certain")
"""The columns of ``ROW_SCHEMA`` that a part has."""

_COUNTS: Final = ("key", "pages", "bytes", "blocks", "certain_pages")

_GROUPS: Final = ("key", "comm", "tgid")
_INT64: Final = np.iinfo(np.int64)

_ROWS_AT_ONCE: Final = 1 << 17
"""Runs that are added up at once."""

_SUMS_AT_ONCE: Final = 16

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True, kw_only=True)
class OfStreams(Generic[Answer]):
    """Answers of several streams.

    Attributes
    ----------
    answers
        By HOST/BOOT_ID.
    left_out
        Of each stream that has no answer: why.
    """

    answers: dict[str, Answer]
    left_out: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class SumsOfAll:
    """Sums over streams.

    Attributes
    ----------
    rows
        The sums, with ``streams``, how many have the key, and ``of_streams``, how many were asked.
    streams, left_out
        The streams that they are of, and why others are left out.
    """

    rows: pa.Table
    streams: tuple[str, ...]
    left_out: dict[str, str]


def sums_of(stream: Stream, parts: Iterable[pa.Table]) -> pa.Table:
    """Return the sums of parts of a stream's pages, which are in the order of their pfn."""
    sums: list[pa.Table] = []
    for owned in _whole_blocks(parts):
        sums.append(added_up(owned, page_bytes(stream)))
        if len(sums) == _SUMS_AT_ONCE:
            sums = [together(sums).drop_columns("streams")]
    return together(sums).drop_columns("streams")


def added_up(owned: pa.Table, page_size: int) -> pa.Table:
    """Return the sums of runs by key, comm and tgid, in no order; *page_size* in bytes."""
    columns = {name: owned[name].combine_chunks() for name in owned.column_names}
    group, first = groups_of([columns[name] for name in _GROUPS])
    order = np.argsort(group, kind="stable")
    begins = np.searchsorted(group[order], np.arange(first.size))
    pages = columns["nr_pages"].to_numpy()[order]
    certain = np.where(columns["certain"].to_numpy(zero_copy_only=False)[order], pages, 0)

    def of_groups(add: np.ufunc, values: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.asarray(add.reduceat(values, begins)) if first.size else np.zeros(0, np.int64)

    at, known = columns["at_ns"], columns["at_ns"].is_valid().to_numpy(zero_copy_only=False)[order]
    low, high = (of_groups(add, pc.fill_null(at, end).to_numpy()[order]) for add, end in (
        (np.minimum, _INT64.max), (np.maximum, _INT64.min),
    ))  # fmt: skip
    none = of_groups(np.add, known.astype(np.int64)) == 0
    total = of_groups(np.add, pages)
    key, comm, tgid = (columns[name].take(pa.array(first)) for name in _GROUPS)
    return pa.table(
        {
            "key": key, "pages": total, "bytes": total * page_size, "blocks": _blocks(columns["block_pfn"], order, begins),
            "certain_pages": of_groups(np.add, certain), "first_ns": pa.array(low, mask=none),
            "last_ns": pa.array(high, mask=none), "comm": comm, "tgid": tgid,
        }
    )  # fmt: skip


def groups_of(columns: Sequence[pa.Array]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the group of each row, by number, and the first row of each: equal values in all *columns* are a group."""
    group = np.zeros(len(columns[0]), np.int64)
    for column in columns:
        if column.null_count == len(column):
            continue
        codes = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
        code = pc.fill_null(codes.indices, len(codes.dictionary)).to_numpy()
        group = _numbered(group * (len(codes.dictionary) + 1) + code)
    first = np.zeros(int(group.max(initial=-1)) + 1, np.int64)
    first[group[::-1]] = np.arange(group.size)[::-1]
    return group.astype(np.min_scalar_type(first.size)), first


def _numbered(codes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return codes as numbers from 0 on without a hole, in their order."""
    highest = int(codes.max(initial=0))
    if highest > 4 * codes.size:
        return np.unique(codes, return_inverse=True)[1].astype(np.int64)
    there = np.zeros(highest + 1, np.bool_)
    there[codes] = True
    return np.asarray((np.cumsum(there) - 1)[codes])


def _blocks(block_pfn: pa.Array, order: NDArray[np.int64], begins: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return how many blocks each group has: the rows of a group, at *order* from *begins* on, are by pfn."""
    if not begins.size:
        return np.zeros(0, np.int64)
    blocks = pc.fill_null(block_pfn, -1).to_numpy()[order]
    is_first = np.zeros(blocks.size, np.bool_)
    is_first[begins] = True
    if (blocks[1:] < blocks[:-1])[~is_first[1:]].any():
        group = np.cumsum(is_first)
        blocks = blocks[np.lexsort((blocks, group))]
    differs = is_first.copy()
    differs[1:] |= blocks[1:] != blocks[:-1]
    return np.asarray(np.add.reduceat((differs & (blocks >= 0)).astype(np.int64), begins))


def together(sums: Sequence[pa.Table]) -> pa.Table:
    """Return the sums of sums, with ``streams``: how many of them have the key."""
    return named("sums_together", {"sums": pa.concat_tables(sums)}, None)


def each_stream(streams: Sequence[Stream], by: ByOfAll, ask: Callable[[Stream], Answer]) -> OfStreams[Answer]:
    """Return the answers of all streams that have one; where the time or a filter means nothing, a stream is left out.

    Raises
    ------
    BadArgument, NotFound
        Keys are numbers that mean something on one host only, or no stream has an answer.
    """
    if by in ("pid", "tgid"):
        raise BadArgument(
            f"--by {by} of several streams: the same number is another process on another host, or after a boot; "
            "add up by comm, or choose one stream with --stream HOST[/BOOT_ID]"
        )
    answers: dict[str, Answer] = {}
    left_out: dict[str, str] = {}
    for stream in streams:
        name = f"{stream.host}/{stream.boot_id}"
        try:
            answers[name] = ask(stream)
        except (BadArgument, NotFound, SegmentDamaged, SegmentMissing) as error:
            if len(left_out) == len(streams) - 1:
                raise
            left_out[name] = str(error)
    return OfStreams(answers=answers, left_out=left_out)


def of_all(rows: pa.Table, found: OfStreams[Answer]) -> SumsOfAll:
    """Return the sums over the streams that have an answer."""
    counted = rows.append_column("of_streams", pa.array([len(found.answers)] * rows.num_rows, pa.int64()))
    return SumsOfAll(rows=counted, streams=tuple(found.answers), left_out=found.left_out)


def shown(sums: pa.Table, by: ByOfAll, times: dict[str, str]) -> pa.Table:
    """Return sums as a question shows them: *times* names columns anew; what is beside the key stays where it tells some apart."""
    beside = BESIDE if by == "pid" else ()
    streams = ("streams",) if "streams" in sums.column_names else ()
    columns = {**dict(zip(_COUNTS, _COUNTS, strict=True)), **times, **{name: name for name in (*beside, *streams)}}
    return sums.select(list(columns)).rename_columns(list(columns.values()))


def named(name: str, tables: dict[str, pa.Table], parameters: dict[str, object] | None) -> pa.Table:
    """Return the answer of the named query ``sql/NAME.sql``, which refers to *tables* by their names."""
    text = files("pagetrail.queries").joinpath("sql", f"{name}.sql").read_text()
    with in_memory() as db:
        for table_name, table in tables.items():
            db.register(table_name, table)
        return db.sql(text, params=parameters).to_arrow_table()


def _whole_blocks(parts: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Yield runs, by pfn, in groups that share no block: a block larger than a section is counted once."""
    held: list[pa.Table] = []
    for part in parts:
        rows = sum(one.num_rows for one in held)
        if rows >= _ROWS_AT_ONCE and part.num_rows and _apart(held[-1], part):
            yield pa.concat_tables(held).unify_dictionaries()
            held = []
        if part.num_rows or not held:
            held.append(part)
    yield pa.concat_tables(held).unify_dictionaries()


def _apart(before: pa.Table, after: pa.Table) -> bool:
    """Return whether all blocks of *after* begin behind those of *before*."""
    last, first = pc.max(before["block_pfn"]).as_py(), pc.min(after["block_pfn"]).as_py()
    return last is not None and first is not None and bool(last < first)
