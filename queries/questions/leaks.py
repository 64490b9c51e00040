"""What was allocated in a window and is still owned at its end."""

import pyarrow as pa
import pyarrow.compute as pc

from pagetrail.queries.core.filters import NO_FILTER, Filters
from pagetrail.queries.core.holders import By, added_up, born_at, named, owned_by, page_bytes
from pagetrail.queries.core.instant import Instant
from pagetrail.queries.core.stream import Stream


def leaks(stream: Stream, since: Instant, until: Instant, by: By, filters: Filters = NO_FILTER) -> pa.Table:
    """Return what was allocated after *since* and is still owned at *until*, by each value of *by*, with its age in ns."""
    owned = owned_by(stream, until, by, ("nr_pages", "block_pfn", "certain", "alloc_ts", "ts_nsec"), filters)
    owned = owned.append_column("born_ts", born_at(stream, owned))
    owned = owned.filter(pc.greater(owned["born_ts"], since.ts))
    return added_up(named("leaks", {"owned": owned}, {"until": until.ts, "page_bytes": page_bytes(stream)}), by)
