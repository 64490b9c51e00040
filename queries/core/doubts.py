"""The doubts of a stream that bear on an answer: those that files cast, that lasted into them, and of calls under way."""

from collections.abc import Collection

import duckdb
import numpy as np
from numpy.typing import NDArray

from pagetrail.queries.core.instant import Instant
from pagetrail.queries.core.stream import ROWS_AT_ONCE, Stream
from pagetrail.replay.facts.doubts import order_of
from pagetrail.replay.facts.facts import open_call_doubts
from pagetrail.replay.facts.known import once
from pagetrail.schemas.owner import DOUBT_DTYPE, DOUBT_RANGE, DOUBTS_OF_CALLS, OPEN_END
from pagetrail.schemas.store.names import StoreFile


def doubts_at(stream: Stream, at: Instant, pfns: Collection[int] | None = None) -> NDArray[np.void]:
    """Return every doubt that bears on *at*, in whichever file it is: later files may doubt it, earlier doubts may last.

    With *pfns*, stored doubts may be left out that concern no page from the section of the first to that of the last.
    """
    first = stream.holding(at)
    files = [f for f in stream.files[first:] if stream.piece(f).doubts_reach_back_to <= at.ts]
    where, pages = "from_ts <= $ts AND to_ts >= $ts", stream.facts.pages_per_section
    if pfns and pages:
        low, high = min(pfns) // pages * pages, (max(pfns) // pages + 1) * pages
        where += f" AND pfn < {high:d} AND pfn + nr_pages > {low:d}"
    found = doubts_in(stream, files, where, {"ts": at.ts}, into=stream.files[first])
    known = found["from_ts"] <= at.ts
    return found if known.all() else found[known]


def casting(stream: Stream) -> list[StoreFile]:
    """Return the files that have doubts."""
    return [file for file in stream.files if stream.piece(file).doubts_reach_back_to != OPEN_END]


def doubts_in(
    stream: Stream, files: list[StoreFile], where: str, parameters: dict[str, object], *, into: StoreFile
) -> NDArray[np.void]:
    """Return the doubts of *files* for which *where* holds, as far as they are known: DOUBT_DTYPE, in a fixed order.

    Before them are those that were cast before the file *into*, and last into it.
    The range of a call (hotplug, alloc_contig_range) that is under way is in doubt. The facts, which are newer than files, tell
    which calls are; of those that returned behind the time of ``as_of``, the doubts that their return left.
    """
    before = np.zeros(0, DOUBT_DTYPE)
    if stream.about(into).has_lasting_doubts:
        before = _stored(stream, [into], where, parameters, "lasting_doubts")
    cast = doubts_noticed(stream, files, where, parameters)
    now = once(stream.facts, "open_calls", lambda: open_call_doubts(stream.facts)).copy()
    return _joined([before, cast, now, _returned_later(stream, files, where, parameters, now)])


def doubts_noticed(
    stream: Stream, files: list[StoreFile], where: str, parameters: dict[str, object]
) -> NDArray[np.void]:
    """Return the same without the calls that are under way."""
    found = _stored(stream, files, f"NOT (reason IN {DOUBTS_OF_CALLS} AND to_ts = {OPEN_END}) AND {where}", parameters)
    return found if stream.believed is None else found[_known(stream, found)]


def _returned_later(
    stream: Stream, files: list[StoreFile], where: str, parameters: dict[str, object], now: NDArray[np.void]
) -> NDArray[np.void]:
    """Return the doubts of ranges that alloc_contig_range took at the time of ``as_of``, without those of the facts (*now*).

    A doubt that a return left begins with the call. Where that call returned in a later file, the last one has it as open.
    """
    if stream.believed is None:
        return np.zeros(0, DOUBT_DTYPE)
    begun = f"reason = {DOUBT_RANGE} AND from_ts <= {stream.believed.ts:d} AND {where}"
    ended = _stored(stream, files, f"to_ts < {OPEN_END} AND {begun}", parameters)
    still = _stored(
        stream, [file for file in files if file == stream.files[-1]], f"to_ts = {OPEN_END} AND {begun}", parameters
    )
    found = np.concatenate([ended[~_known(stream, ended)], still[~np.isin(still["seq"], now["seq"])]])
    found["noticed_ts"], found["to_ts"] = found["from_ts"], OPEN_END
    found["seq"] = _entries(stream, found)
    return found[_known(stream, found)]


def _entries(stream: Stream, ranges: NDArray[np.void]) -> list[int]:
    """Return the stream_seq of the call of each range: its entry left a doubt of its own, of that instant alone."""
    if not ranges.size:
        return []
    times = ", ".join(map(str, ranges["from_ts"].tolist()))
    where = f"reason = {DOUBT_RANGE} AND from_ts = to_ts AND from_ts IN ({times})"
    begun = _stored(stream, stream.files, where, {})
    same = [np.all([begun[name] == r[name] for name in ("from_ts", "pfn", "nr_pages")], axis=0) for r in ranges]
    before_all = ranges["from_ts"] < stream.piece(stream.files[0]).first_ts  # the file that had the entry was dropped
    least = np.where(before_all, -1, OPEN_END).tolist()
    return [int(begun["seq"][rows].min(initial=otherwise)) for rows, otherwise in zip(same, least, strict=True)]


def _known(stream: Stream, doubts: NDArray[np.void]) -> NDArray[np.bool_]:
    return np.array([stream.knows(int(d["noticed_ts"]), int(d["seq"])) for d in doubts], np.bool_)


def _stored(
    stream: Stream, files: list[StoreFile], where: str, parameters: dict[str, object], table: str = "doubts"
) -> NDArray[np.void]:
    parts = []
    for file in files:
        with stream.opened(file) as db:
            parts.append(_doubts(db, f"SELECT * FROM {table} WHERE {where}", parameters))
    return _joined(parts)


def _joined(parts: list[NDArray[np.void]]) -> NDArray[np.void]:
    """Return doubts one part after another: the only part that has any itself, as there may be one of every page."""
    parts = [part for part in parts if part.size]
    return parts[0] if len(parts) == 1 else np.concatenate([np.zeros(0, DOUBT_DTYPE), *parts])


def _doubts(db: duckdb.DuckDBPyConnection, query: str, parameters: dict[str, object]) -> NDArray[np.void]:
    """Return the doubts that a query finds, in a fixed order, without all of them in another form beside that."""
    found = np.zeros(0, DOUBT_DTYPE)
    for batch in db.sql(query, params=parameters).to_arrow_reader(ROWS_AT_ONCE):
        done = found.size
        found.resize(done + batch.num_rows, refcheck=False)  # large arrays are moved to another address, and not copied
        for name in DOUBT_DTYPE.names or ():
            found[name][done:] = batch.column(name).to_numpy()
    order = order_of(found)
    for name in DOUBT_DTYPE.names or ():
        found[name] = found[name][order]
    return found
