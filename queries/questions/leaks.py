"""What was allocated in a window and is still owned at its end."""

from collections.abc import Callable, Iterator, Sequence
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pagetrail.queries.core.filters import NO_FILTER, Filters
from pagetrail.queries.core.instant import Instant
from pagetrail.queries.core.stream import Stream, fetched
from pagetrail.queries.holders.attributes import By, ByOfAll
from pagetrail.queries.holders.of_processes import born_at
from pagetrail.queries.holders.owned import BESIDE, owned_in_parts
from pagetrail.queries.holders.sums import (
    PARTS,
    SumsOfAll,
    each_stream,
    named,
    of_all,
    shown,
    sums_of,
    together,
)
from pagetrail.replay.facts.clock import owner_clock
from pagetrail.schemas.owner import ABSENT64, How, State
from pagetrail.schemas.store.tables import span_rows

_ORIGINS: Final = f"""SELECT pfn, nr_pages, begin_seq, begin_ts, how, src_pfn
    FROM ({span_rows("spans")} UNION ALL {span_rows("live")})
    WHERE kernel_view = 0 AND state = {int(State.OWNED)} AND how IN ({int(How.BASELINE)}, {int(How.MIGRATE)})
    AND alloc_ts IS NULL AND begin_ts > $since AND begin_ts <= $until AND pfn + nr_pages > $low AND pfn <= $high"""
"""Where allocations without a time began, as far as replay knows: a dump was the first to list them, or they were migrated.

All else that begins a span of an owner has a time, or goes on with the allocation of the span before."""

_AGES_AT_ONCE: Final = 16
"""Tables that have texts of their own."""

_AGES: Final = ("youngest_ns", "median_age_ns", "oldest_ns")

Ints = NDArray[np.int64]


AskedWindow = Callable[[Stream], tuple[Stream, Instant, Instant]]
"""Gives the stream as it is asked, and the window there."""


def leaks(stream: Stream, since: Instant, until: Instant, by: By, filters: Filters = NO_FILTER) -> pa.Table:
    """Return what was allocated after *since* and is still owned at *until*, by each value of *by*, with its age in ns.

    Where a record has no time, as in dumps before Linux 5.11, it counts if its owner was not there at *since*: if a dump after
    that, and after another dump, is the first that lists it. Its age is unknown.
    """
    return _shown(*_sums(stream, since, until, by, filters), by)


def leaks_of_all(
    streams: Sequence[Stream], window: AskedWindow, by: ByOfAll, filters: Filters = NO_FILTER
) -> SumsOfAll:
    """Return the same over all *streams*, with how many of them have each value; ages of clocks that only count are unknown."""
    found = each_stream(streams, by, lambda stream: _in_ns(stream, *_sums(*window(stream), by, filters)))
    ages = pa.concat_tables([ages for _, ages in found.answers.values()]).unify_dictionaries()
    rows = _shown(together([sums for sums, _ in found.answers.values()]), ages, by)
    return of_all(rows, found)


def _in_ns(stream: Stream, sums: pa.Table, ages: pa.Table) -> tuple[pa.Table, pa.Table]:
    """Return sums and ages, without ages where the stream's clock only counts."""
    if stream.facts.counting_clock is None:
        return sums, ages
    for name in ("first_ns", "last_ns"):
        sums = sums.set_column(sums.column_names.index(name), name, pa.nulls(sums.num_rows, pa.int64()))
    return sums, ages.set_column(0, "at_ns", pa.nulls(ages.num_rows, pa.int64()))


def _shown(sums: pa.Table, ages: pa.Table, by: ByOfAll) -> pa.Table:
    return shown(named("leaks", {"sums": sums, "ages": ages}, None), by, {name: name for name in _AGES})


def _sums(stream: Stream, since: Instant, until: Instant, by: ByOfAll, filters: Filters) -> tuple[pa.Table, pa.Table]:
    """Return the sums of what was allocated in a window, and the age of each run, ns, by what it is added up by."""
    ages: list[pa.Table] = []
    sums = sums_of(stream, _born(stream, since, until, by, filters, ages))
    return sums, pa.concat_tables(ages).unify_dictionaries()


def _born(
    stream: Stream, since: Instant, until: Instant, by: ByOfAll, filters: Filters, ages: list[pa.Table]
) -> Iterator[pa.Table]:
    """Yield the runs that were allocated in a window, in parts, and add their ages to *ages*."""
    clock = owner_clock(stream.facts.clocks)
    for part in owned_in_parts(stream, until, by, ("pfn", *PARTS, "alloc_ts", "ts_nsec", "begin_seq"), filters):
        owned = part.append_column("born_ts", born_at(part, clock))
        listed = _first_listed(stream, owned, since, until)
        came = pc.coalesce(owned["born_ts"], pa.array(listed, mask=listed == ABSENT64))
        owned = owned.filter(pc.greater(came, since.ts))
        age = pc.subtract(until.ts, owned["born_ts"])
        owned = owned.append_column("at_ns", age).select([*PARTS, "at_ns", "key", *BESIDE])
        ages.append(owned.select(["at_ns", "key", *BESIDE]))
        if len(ages) == _AGES_AT_ONCE:
            ages[:] = [pa.concat_tables(ages).unify_dictionaries()]
        yield owned


def _first_listed(stream: Stream, owned: pa.Table, since: Instant, until: Instant) -> Ints:
    """Return when a dump after *since* was the first to list the owner of each run; ``ABSENT64``: none was, or there is a time.

    The first dump of a stream tells what was there before, not what came.
    """
    found = np.full(owned.num_rows, ABSENT64)
    rows = np.flatnonzero(owned["born_ts"].is_null().to_numpy())
    if not rows.size:
        return found
    dumps = [audit.ts for audit in stream.history.audits if audit.view == "page_owner"]
    if max(dumps, default=since.ts) <= max(since.ts, min(dumps, default=until.ts)):
        return found
    window = max(since.ts, min(dumps)), until.ts
    pages, seqs = (owned[name].to_numpy()[rows] for name in ("pfn", "begin_seq"))
    while rows.size:
        origins = _origins(stream, window, pages)
        last = _last_of(origins, pages, seqs)
        there = last >= 0
        rows, last = rows[there], last[there]
        first = origins["how"][last] == How.BASELINE
        found[rows[first]] = origins["begin_ts"][last[first]]
        moved = last[~first]
        rows, pages, seqs = rows[~first], origins["src_pfn"][moved], origins["begin_seq"][moved] - 1
    return found


def _origins(stream: Stream, window: tuple[int, int], pages: Ints) -> dict[str, Ints]:
    """Return the rows of ``_ORIGINS`` in a window of time (ns, trace clock) for pages between the first and the last of *pages*."""
    low, high = int(pages.min()), int(pages.max())
    first, last = (stream.holding(Instant(ts=ts)) for ts in window)
    tables = []
    for file in stream.files[first : last + 1]:
        with stream.opened(file) as db:
            asked: dict[str, object] = {"since": window[0], "until": window[1], "low": low, "high": high}
            tables.append(fetched(db, _ORIGINS, asked))
    rows = pa.concat_tables(tables)
    return {name: pc.fill_null(rows[name], -1).to_numpy().astype(np.int64) for name in rows.column_names}


def _last_of(origins: dict[str, Ints], pages: Ints, seqs: Ints) -> Ints:
    """Return the last of *origins* on each page that is not after an event (stream_seq); -1: there is none."""
    order = np.argsort(pages, kind="stable")
    ordered = pages[order]
    start = np.searchsorted(ordered, origins["pfn"])
    count = np.searchsorted(ordered, origins["pfn"] + origins["nr_pages"]) - start
    origin = np.repeat(np.arange(count.size), count)
    row = order[np.repeat(start - np.cumsum(count) + count, count) + np.arange(origin.size)]
    begun = origins["begin_seq"][origin] <= seqs[row]
    last = np.full(pages.size, -1, np.int64)
    by_seq = np.argsort(origins["begin_seq"][origin[begun]], kind="stable")
    last[row[begun][by_seq]] = origin[begun][by_seq]
    return last
