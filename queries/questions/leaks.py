"""What was allocated in a window and is still owned at its end."""

import pyarrow as pa
import pyarrow.compute as pc

from pagetrail.queries.core.filters import NO_FILTER, Filters
from pagetrail.queries.core.holders import By, added_up, born_at, named, owned_by, page_bytes
from pagetrail.queries.core.instant import Instant
from pagetrail.queries.core.row_columns import HOW_WORDS
from pagetrail.queries.core.stream import Stream
from pagetrail.schemas.owner import How


def leaks(stream: Stream, since: Instant, until: Instant, by: By, filters: Filters = NO_FILTER) -> pa.Table:
    """Return what was allocated after *since* and is still owned at *until*, by each value of *by*, with its age in ns.

    Where a record has no time, as in dumps before Linux 5.11, it counts if a dump after *since*, and after another dump, is the
    first that lists it; its age is unknown.
    """
    asked = ("nr_pages", "block_pfn", "certain", "alloc_ts", "ts_nsec", "begin_ts", "how")
    owned = owned_by(stream, until, by, asked, filters)
    first_dump = min((audit.ts for audit in stream.facts.audits if audit.view == "page_owner"), default=until.ts)
    by_later = pc.and_(pc.equal(owned["how"], HOW_WORDS[How.BASELINE]), pc.greater(owned["begin_ts"], first_dump))
    listed = pc.if_else(by_later, owned["begin_ts"], None)
    owned = owned.append_column("born_ts", born_at(stream, owned))
    owned = owned.filter(pc.greater(pc.coalesce(owned["born_ts"], listed), since.ts))
    return added_up(named("leaks", {"owned": owned}, {"until": until.ts, "page_bytes": page_bytes(stream)}), by)
