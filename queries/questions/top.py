"""Who holds most at an instant, and who came to hold it in a window (leaks)."""

from typing import Final, Literal, get_args

import pyarrow as pa
import pyarrow.compute as pc

from pagetrail.queries.core import named
from pagetrail.queries.core.instant import Instant
from pagetrail.queries.core.rows import rows_at
from pagetrail.queries.core.stream import Stream
from pagetrail.replay.facts.clock import owner_clock

By = Literal["stack", "comm", "pid", "tgid", "gfp", "order", "migratetype"]
BY: Final = get_args(By)

_COLUMN: Final = {"gfp": "gfp_mask"}


def page_bytes(stream: Stream) -> int:
    """Return the size of a page of the stream's machine."""
    return 1 << stream.facts.page_shift


def top(stream: Stream, at: Instant, by: By) -> pa.Table:
    """Return pages, bytes and blocks owned at an instant by each value of *by*, the largest first.

    ``certain_pages`` counts those that are certain; the rest may be another's.
    """
    owned = _owned(stream, at, by)
    return named.run("top", {"owned": owned}, {"page_bytes": page_bytes(stream)})


def leaks(stream: Stream, since: Instant, until: Instant, by: By) -> pa.Table:
    """Return what was allocated after *since* and is alive at *until*, by each value of *by*, with its age in ns."""
    owned = _owned(stream, until, by)
    clock = owner_clock(stream.facts.clocks)
    born = owned["alloc_ts"]
    if clock is not None:
        born = pc.coalesce(born, pc.subtract(owned["ts_nsec"], clock.offset))
    owned = owned.append_column("born_ts", born)
    owned = owned.filter(pc.greater(owned["born_ts"], since.ts))
    return named.run("leaks", {"owned": owned}, {"until": until.ts, "page_bytes": page_bytes(stream)})


def _owned(stream: Stream, at: Instant, by: By) -> pa.Table:
    rows = rows_at(stream, at)
    rows = rows.filter(pc.equal(rows["state"], "owned"))
    wanted = ["nr_pages", "block_pfn", "certain", "alloc_ts", "ts_nsec"]
    return rows.select(wanted).append_column("key", rows[_COLUMN.get(by, by)])
