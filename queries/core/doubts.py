"""The doubts of a stream that bear on an answer: those that files cast, that lasted into them, and of calls under way."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Final

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

_FEW_ROWS: Final = 1 << 12
"""So many doubts of each file that is open are kept: to ask for them takes longer than to look through them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bearing:
    """Which doubts are asked for: all, or those that bear on some time and pages.

    Attributes
    ----------
    since, until
        Only doubts of times (trace clock, ns) from the one to the other, both included; null: no limit.
    pages
        Only doubts of pages in [first, second); null: of any.
    reason
        Only doubts for this reason; null: for any.
    under_way
        Also doubts of calls that are under way.
    """

    since: int | None = None
    until: int | None = None
    pages: tuple[int, int] | None = None
    reason: int | None = None
    under_way: bool = True

    def condition(self) -> str:
        """Return the condition on the columns of the table."""
        low, high = self.pages or (0, 0)
        return " AND ".join([
            "true",
            *([f"to_ts >= {self.since:d}"] if self.since is not None else []),
            *([f"from_ts <= {self.until:d}"] if self.until is not None else []),
            *([f"pfn < {high:d} AND pfn + nr_pages > {low:d}"] if self.pages is not None else []),
            *([f"reason = {self.reason:d}"] if self.reason is not None else []),
            *([f"NOT (reason IN {DOUBTS_OF_CALLS} AND to_ts = {OPEN_END})"] if not self.under_way else []),
        ])  # fmt: skip

    def among(self, doubts: NDArray[np.void]) -> NDArray[np.void]:
        """Return those of some doubts that meet the condition: a copy."""
        found = np.ones(doubts.size, np.bool_)
        if self.since is not None:
            found &= doubts["to_ts"] >= self.since
        if self.until is not None:
            found &= doubts["from_ts"] <= self.until
        if self.pages is not None:
            found &= (doubts["pfn"] < self.pages[1]) & (doubts["nr_pages"] > self.pages[0] - doubts["pfn"])
        if self.reason is not None:
            found &= doubts["reason"] == self.reason
        if not self.under_way:
            found &= ~(np.isin(doubts["reason"], DOUBTS_OF_CALLS) & (doubts["to_ts"] == OPEN_END))
        return doubts[found]


ALL: Final = Bearing()


def doubts_at(stream: Stream, at: Instant, pfns: Collection[int] | None = None) -> NDArray[np.void]:
    """Return every doubt that bears on *at*, in whichever file it is: later files may doubt it, earlier doubts may last.

    With *pfns*, stored doubts may be left out that concern no page from the section of the first to that of the last.
    """
    first = stream.holding(at)
    files = [f for f in stream.files[first:] if stream.piece(f).doubts_reach_back_to <= at.ts]
    pages, some = stream.facts.pages_per_section, None
    if pfns and pages:
        some = min(pfns) // pages * pages, (max(pfns) // pages + 1) * pages
    found = doubts_in(stream, files, Bearing(since=at.ts, until=at.ts, pages=some), into=stream.files[first])
    known = found["from_ts"] <= at.ts
    return found if known.all() else found[known]


def casting(stream: Stream) -> list[StoreFile]:
    """Return the files that have doubts."""
    return [file for file in stream.files if stream.piece(file).doubts_reach_back_to != OPEN_END]


def doubts_in(stream: Stream, files: list[StoreFile], which: Bearing, *, into: StoreFile) -> NDArray[np.void]:
    """Return the doubts of *files* that are asked for, as far as they are known: DOUBT_DTYPE, in a fixed order.

    Before them are those that were cast before the file *into*, and last into it.
    The range of a call (hotplug, alloc_contig_range) that is under way is in doubt. The facts, which are newer than files, tell
    which calls are; of those that returned behind the time of ``as_of``, the doubts that their return left.
    """
    before = np.zeros(0, DOUBT_DTYPE)
    if stream.about(into).has_lasting_doubts:
        before = _stored(stream, [into], which, "lasting_doubts")
    cast = doubts_noticed(stream, files, which)
    now = once(stream.facts, "open_calls", lambda: open_call_doubts(stream.facts)).copy()
    return _joined([before, cast, now, _returned_later(stream, files, which, now)])


def doubts_noticed(stream: Stream, files: list[StoreFile], which: Bearing) -> NDArray[np.void]:
    """Return the same without the calls that are under way."""
    found = _stored(stream, files, replace(which, under_way=False))
    return found if stream.believed is None else found[_known(stream, found)]


def _returned_later(stream: Stream, files: list[StoreFile], which: Bearing, now: NDArray[np.void]) -> NDArray[np.void]:
    """Return the doubts of ranges that alloc_contig_range took at the time of ``as_of``, without those of the facts (*now*).

    A doubt that a return left begins with the call. Where that call returned in a later file, the last one has it as open.
    """
    if stream.believed is None:
        return np.zeros(0, DOUBT_DTYPE)
    until = stream.believed.ts if which.until is None else min(which.until, stream.believed.ts)
    begun = replace(which, until=until, reason=DOUBT_RANGE)
    ended, still = _stored(stream, files, begun), _stored(stream, [f for f in files if f == stream.files[-1]], begun)
    ended, still = ended[ended["to_ts"] < OPEN_END], still[still["to_ts"] == OPEN_END]
    found = np.concatenate([ended[~_known(stream, ended)], still[~np.isin(still["seq"], now["seq"])]])
    found["noticed_ts"], found["to_ts"] = found["from_ts"], OPEN_END
    found["seq"] = _entries(stream, found)
    return found[_known(stream, found)]


def _entries(stream: Stream, ranges: NDArray[np.void]) -> list[int]:
    """Return the stream_seq of the call of each range: its entry left a doubt of its own, of that instant alone."""
    if not ranges.size:
        return []
    begun = _stored(stream, stream.files, Bearing(reason=DOUBT_RANGE))
    begun = begun[begun["from_ts"] == begun["to_ts"]]
    same = [np.all([begun[name] == r[name] for name in ("from_ts", "pfn", "nr_pages")], axis=0) for r in ranges]
    before_all = ranges["from_ts"] < stream.piece(stream.files[0]).first_ts  # the file that had the entry was dropped
    least = np.where(before_all, -1, OPEN_END).tolist()
    return [int(begun["seq"][rows].min(initial=otherwise)) for rows, otherwise in zip(same, least, strict=True)]


def _known(stream: Stream, doubts: NDArray[np.void]) -> NDArray[np.bool_]:
    return np.array([stream.knows(int(d["noticed_ts"]), int(d["seq"])) for d in doubts], np.bool_)


def _stored(stream: Stream, files: list[StoreFile], which: Bearing, table: str = "doubts") -> NDArray[np.void]:
    parts = []
    for file in files:
        few = stream.of_few(file, table, lambda file=file: _few(stream, file, table))  # type: ignore[misc]
        if few is not None:
            parts.append(which.among(few))
            continue
        with stream.opened(file) as db:
            parts.append(_doubts(db, f"SELECT * FROM {table} WHERE {which.condition()}"))
    return _joined(parts)


def _few(stream: Stream, file: StoreFile, table: str) -> NDArray[np.void] | None:
    """Return all doubts of a file; null: they are many."""
    with stream.opened(file) as db:
        if db.execute(f"SELECT count(*) FROM {table}").fetchall()[0][0] > _FEW_ROWS:
            return None
        return _doubts(db, f"SELECT * FROM {table}")


def _joined(parts: list[NDArray[np.void]]) -> NDArray[np.void]:
    """Return doubts one part after another: the only part that has any itself, as there may be one of every page."""
    parts = [part for part in parts if part.size]
    return parts[0] if len(parts) == 1 else np.concatenate([np.zeros(0, DOUBT_DTYPE), *parts])


def _doubts(db: duckdb.DuckDBPyConnection, query: str) -> NDArray[np.void]:
    """Return the doubts that a query finds, in a fixed order, without all of them in another form beside that."""
    found = np.zeros(0, DOUBT_DTYPE)
    for batch in db.sql(query).to_arrow_reader(ROWS_AT_ONCE):
        done = found.size
        found.resize(done + batch.num_rows, refcheck=False)  # large arrays are moved to another address, and not copied
        for name in DOUBT_DTYPE.names or ():
            found[name][done:] = batch.column(name).to_numpy()
    order = order_of(found)
    for name in DOUBT_DTYPE.names or ():
        found[name] = found[name][order]
    return found
