"""What was allocated in a window and is still owned at its end."""

import pyarrow as pa
import pyarrow.compute as pc

from pagetrail.queries.core.filters import NO_FILTER, Filters
from pagetrail.queries.core.holders import By, added_up, named, owned_by, page_bytes
from pagetrail.queries.core.instant import Instant
from pagetrail.queries.core.stream import Stream
from pagetrail.replay.facts.clock import owner_clock


def leaks(stream: Stream, since: Instant, until: Instant, by: By, filters: Filters = NO_FILTER) -> pa.Table:
    """Return what was allocated after *since* and is still owned at *until*, by each value of *by*, with its age in ns."""
    owned = owned_by(stream, until, by, ("nr_pages", "block_pfn", "certain", "alloc_ts", "ts_nsec"), filters)
    clock = owner_clock(stream.facts.clocks)
    born = owned["alloc_ts"]
    if clock is not None:
        born = pc.coalesce(born, pc.subtract(owned["ts_nsec"], clock.offset))
    owned = owned.append_column("born_ts", born)
    owned = owned.filter(pc.greater(owned["born_ts"], since.ts))
    return added_up(named("leaks", {"owned": owned}, {"until": until.ts, "page_bytes": page_bytes(stream)}), by)
