"""Who holds most pages at an instant."""

from collections.abc import Iterable, Iterator
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from pagetrail.queries.core.filters import NO_FILTER, Filters
from pagetrail.queries.core.holders import By, added_up, named, owned_in_parts, page_bytes
from pagetrail.queries.core.instant import Instant
from pagetrail.queries.core.stream import Stream

_ROWS_AT_ONCE: Final = 1 << 17
"""Runs that are added up at once: DuckDB takes 150 bytes for each to count the blocks."""

_SUMS_AT_ONCE: Final = 16


def top(stream: Stream, at: Instant, by: By, filters: Filters = NO_FILTER) -> pa.Table:
    """Return pages, bytes and blocks owned at an instant by each value of *by*, the largest first.

    ``certain_pages`` counts the pages that are certain; the others may belong to somebody else.
    """
    sums: list[pa.Table] = []
    parts = owned_in_parts(stream, at, by, ("nr_pages", "block_pfn", "certain", "alloc_ts"), filters)
    for owned in _whole_blocks(parts):
        sums.append(named("top", {"owned": owned}, {"page_bytes": page_bytes(stream)}))
        if len(sums) == _SUMS_AT_ONCE:
            sums = [_together(sums)]
    return added_up(sums[0] if len(sums) == 1 else _together(sums), by)


def _together(sums: list[pa.Table]) -> pa.Table:
    return named("top_together", {"sums": pa.concat_tables(sums)}, None)


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
