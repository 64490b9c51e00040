"""Who holds most pages at an instant."""

import pyarrow as pa

from pagetrail.queries.core.filters import NO_FILTER, Filters
from pagetrail.queries.core.holders import By, added_up, named, owned_by, page_bytes
from pagetrail.queries.core.instant import Instant
from pagetrail.queries.core.stream import Stream


def top(stream: Stream, at: Instant, by: By, filters: Filters = NO_FILTER) -> pa.Table:
    """Return pages, bytes and blocks owned at an instant by each value of *by*, the largest first.

    ``certain_pages`` counts the pages that are certain; the others may belong to somebody else.
    """
    owned = owned_by(stream, at, by, ("nr_pages", "block_pfn", "certain", "alloc_ts"), filters)
    return added_up(named("top", {"owned": owned}, {"page_bytes": page_bytes(stream)}), by)
