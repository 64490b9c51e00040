"""Who holds most pages at an instant."""

from collections.abc import Callable, Sequence
from typing import Final

import pyarrow as pa

from pagetrail.queries.core.filters import NO_FILTER, Filters
from pagetrail.queries.core.instant import Instant
from pagetrail.queries.core.stream import Stream
from pagetrail.queries.holders.attributes import By, ByOfAll
from pagetrail.queries.holders.owned import owned_in_parts
from pagetrail.queries.holders.sums import PARTS, SumsOfAll, each_stream, of_all, shown, sums_of, together

_TIMES: Final = {"first_ns": "oldest_ts", "last_ns": "newest_ts"}

AskedInstant = Callable[[Stream], tuple[Stream, Instant]]
"""Gives the stream as it is asked, and the instant there."""


def top(stream: Stream, at: Instant, by: By, filters: Filters = NO_FILTER) -> pa.Table:
    """Return pages, bytes and blocks owned at an instant by each value of *by*, the largest first.

    ``certain_pages`` counts the pages that are certain; the others may belong to somebody else.
    """
    return shown(_sums(stream, at, by, filters), by, _TIMES)


def top_of_all(streams: Sequence[Stream], at: AskedInstant, by: ByOfAll, filters: Filters = NO_FILTER) -> SumsOfAll:
    """Return the same over all *streams*, with how many of them have each value; without times: each host has its own clock."""
    found = each_stream(streams, by, lambda stream: _sums(*at(stream), by, filters))
    rows = shown(together(list(found.answers.values())), by, {})
    return of_all(rows, found)


def _sums(stream: Stream, at: Instant, by: ByOfAll, filters: Filters) -> pa.Table:
    names = [*PARTS, "at_ns", "key", "comm", "tgid"]
    parts = owned_in_parts(stream, at, by, (*PARTS, "alloc_ts"), filters)
    return sums_of(stream, (part.rename_columns(names) for part in parts))
