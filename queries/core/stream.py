"""One stream of a trail, opened for questions: its chain of segments, its tip, and the facts up to the horizon."""

import dataclasses
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, TypeVar

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pagetrail.queries.core.holes import Holes
from pagetrail.queries.core.instant import Instant, parse_instant
from pagetrail.queries.core.pieces import PIECE_DTYPE, is_whole, pieces_of, run_key
from pagetrail.queries.core.texts import Texts
from pagetrail.replay.facts.as_of import facts_as_of
from pagetrail.replay.facts.carried import collected
from pagetrail.replay.facts.facts import Facts
from pagetrail.replay.facts.known import KnownFacts
from pagetrail.replay.store import read as stored
from pagetrail.replay.store.packed.events import At
from pagetrail.replay.store.packed.unpack import FileRows, owned_runs_of, runs_in_order, runs_of, runs_of_page
from pagetrail.replay.store.place import StreamPlace
from pagetrail.replay.store.reading.chain import follows
from pagetrail.replay.store.reading.whole import check_whole, read_whole
from pagetrail.replay.store.saved_facts import saved_facts
from pagetrail.schemas.errors import NotFound, SegmentDamaged, SegmentGone, TrailError
from pagetrail.schemas.linux.mmzone import PFN_LIMIT
from pagetrail.schemas.owner import OPEN_END, RUN_DTYPE
from pagetrail.schemas.store.names import StoreFile
from pagetrail.schemas.store.tables import RUN_TABLES
from pagetrail.schemas.structs import taken
from pagetrail.schemas.times import as_text, parse_number

Kept = TypeVar("Kept")

ROWS_AT_ONCE: Final = 1 << 16
"""Rows of an instant that a question reads at once, or those of one section: each takes half a kilobyte on its way."""

FILES_KEPT_OPEN: Final = 32
"""Files of a stream that stay open between questions: each takes a descriptor and what DuckDB knows of its tables."""


_FEW_PAGES: Final = 64
"""Up to so many pages, the runs that hold them are looked up before those of their sections."""


@dataclass(frozen=True, kw_only=True)
class Piece:
    """One file of the chain, and its table ``meta``."""

    file: StoreFile
    meta: dict[str, str]
    first_ts: int
    """Trace clock of its first event, ns."""
    last_ts: int
    """Trace clock of its last event, ns."""
    doubts_reach_back_to: int
    """Trace clock, ns, of the first instant that its doubts bear on; OPEN_END: it has none."""

    @classmethod
    def of(cls, file: StoreFile, meta: dict[str, str]) -> "Piece":
        """Return a file with what it says of itself."""
        numbers = {name: int(meta[name]) for name in ("first_ts", "last_ts", "doubts_reach_back_to")}
        return cls(file=file, meta=meta, **numbers)


@dataclass(slots=True)
class Stream:
    """A stream as its newest file knows it. Files never change, so any number of these can read while a replay runs.

    ``as_of`` gives the stream as it was known at an earlier time: it answers the same questions from evidence up to then.

    Attributes
    ----------
    trail
        The trail that is asked; its own log proves answers.
    place
        Where its files are.
    """

    host: str
    boot_id: str
    fold: str
    trail: Path
    place: StreamPlace
    files: list[StoreFile]
    facts: Facts
    """What its newest file knows: enough for instants in that file, and what the recordings say of the machine."""
    newest: Piece
    _held: stored.Held
    """Keeps the newest file readable: a replay removes a tip when there is a newer one."""
    _refused: dict[str, TrailError] = field(default_factory=dict)
    """By name, why files of it are not believed."""
    _pieces: dict[str, Piece] = field(default_factory=dict)
    _recent: dict[str, stored.Held] = field(default_factory=dict)
    """The files that were read last, the latest at the end: to open one again takes longer than to read it."""
    _last: dict[str, tuple[object, Any]] = field(default_factory=dict)
    """What ``once`` keeps, by kind."""
    believed: Instant | None = None
    """Only evidence up to this instant counts; null: all evidence."""
    _whole: "Stream | None" = None
    _since: tuple[int, Facts] | None = None
    """What ``facts_since`` has collected, and from which file on."""

    def __post_init__(self) -> None:
        if not isinstance(self.facts, KnownFacts):
            self.facts = KnownFacts.of(self.facts)

    @property
    def horizon(self) -> int:
        """Trace clock, ns, of the last event that was replayed and counts."""
        return self.newest.last_ts if self.believed is None else min(self.believed.ts, self.newest.last_ts)

    def as_of(self, text: str | None) -> "Stream":
        """Return the stream as it was known at TIME *text*; null: as it is known now."""
        if text is None:
            return self
        at = parse_instant(text, self._facts_for(text), self.horizon)
        holding = self.holding(at)
        facts = self.kept(
            "as_of",
            (at, self.believed, self.newest.file),
            lambda: KnownFacts.of(facts_as_of(self.facts_since(holding), at.ts, at.seq)),
        )
        return dataclasses.replace(
            self, files=self.files[: holding + 1], facts=facts, believed=at, _whole=self, _since=None
        )

    def when_sealed(self, file: StoreFile) -> "Stream":
        """Return the stream as it was known when one of its segments was sealed."""
        with self.opened(file) as db:
            facts = saved_facts(db)
        files = self.files[: self.files.index(file) + 1]
        return dataclasses.replace(self, files=files, facts=facts, newest=self.piece(file), _since=None)

    # -- facts -----------------------------------------------------------------------------------------------------------

    @property
    def history(self) -> Facts:
        """The facts since the stream began, or since ``since_seq``: every marker, loss, dump and section."""
        while True:
            begin = self._holes.unbroken()
            try:
                return self.facts_since(begin)
            except SegmentDamaged:
                if begin == self._holes.unbroken():
                    raise  # else it begins behind the file that turned out to be damaged

    @property
    def since_seq(self) -> int:
        """The stream_seq of the first event that ``history`` knows of: 0, or files of the store were dropped, or are damaged."""
        return self.files[self._holes.unbroken()].first_seq

    def facts_at(self, at: Instant) -> Facts:
        """Return the facts that an answer about an instant rests on; there may be others among them."""
        return self.facts_since(self.holding(at))

    def facts_since(self, index: int) -> Facts:
        """Return the facts that answers about instants in the file with that index, or in later ones, rest on.

        Raises
        ------
        SegmentMissing, SegmentDamaged
            A later file is missing or damaged, and with it what it says of these instants.
        """
        if self._since is None or index < self._since[0]:
            self._since = self._collected(index)
        return self._since[1]

    def _collected(self, index: int) -> tuple[int, Facts]:
        if self._whole is not None and self.believed is not None:
            facts = facts_as_of(self._whole.facts_since(index), self.believed.ts, self.believed.seq)
            return index, KnownFacts.of(facts)
        if index < (begin := self._holes.unbroken()):
            raise self._holes.within(begin - 1)
        known, facts = self._since or (len(self.files) - 1, self.facts)
        return index, KnownFacts.of(collected([*map(self._facts_of, self.files[index:known]), facts]))

    def _facts_of(self, file: StoreFile) -> Facts:
        """Return the facts that a file has; with them its table ``meta`` is read, which nearly every answer needs too."""
        with self._used(file) as (held, db):
            self._add_piece(file, held.meta(db))
            return saved_facts(db)

    @property
    def _holes(self) -> Holes:
        return Holes(files=self.files, refused=self._refused, where=self.where)

    def damage(self) -> list[TrailError]:
        """Return what is known to be wrong with its files; with each of them, the instants that it holds are not answered."""
        return self._holes.damage()

    def check_files(self) -> None:
        """Raise ``SegmentDamaged``, if a file that was read is not whole: every row of them is read."""
        for name in [*self._recent, self.newest.file.name]:
            check_whole(self.place.store, name)

    def check(self) -> None:
        """Open all of its files, so that ``damage`` knows those that are damaged."""
        for file in self.files:
            with suppress(SegmentDamaged):
                self.piece(file)

    def _facts_for(self, text: str) -> Facts:
        """Return the facts that say what TIME *text* means: those of all times, where it is not a number."""
        whole = self._whole or self
        return whole.facts if parse_number(text.strip()) else whole.history

    def knows(self, ts: int, seq: int) -> bool:
        """Return whether an event counts: whether it happened by the time of ``as_of``."""
        limit = self.believed
        return limit is None or ts < limit.ts or (ts == limit.ts and (limit.seq is None or seq <= limit.seq))

    def instant(self, text: str) -> Instant:
        """Return the instant that TIME *text* means here; see ``instant.FORMS``.

        Raises
        ------
        NotFound
            It is after the horizon (replay has not reached it, or the recording ends before it), or after the time of
            ``as_of``.
        """
        at = parse_instant(text, self._facts_for(text), self.horizon)
        limit = self.believed
        lost = self._holes.beyond(self.newest.file.last_seq) if limit is None else None
        if lost is not None and (at.ts > self.horizon or text.lstrip().startswith("-")):
            raise lost  # it is behind the end that is known, or counts from the one that is not
        if limit is not None and (at.ts, OPEN_END if at.seq is None else at.seq) > (
            limit.ts,
            OPEN_END if limit.seq is None else limit.seq,
        ):
            raise NotFound(f"TIME {text} is later than --as-of {limit.text}; choose an earlier TIME or a later --as-of")
        if at.ts > self.horizon:
            raise NotFound(
                f"TIME {text}: {self.time_text(at.ts)} is after the horizon: replay of {self.host} has reached "
                f"{self.time_text(self.horizon)}, "
                "its last event; choose an earlier TIME, ingest and replay more, or wait for replay (--wait SECONDS)"
            )
        return at

    def time_text(self, ts: int) -> str:
        """Return a time of its trace clock as text."""
        return as_text(ts, self.facts.counting_clock)

    def opened(self, file: StoreFile) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
        """Open one of its files for reading: see ``replay.store.read.opened``. ``FILES_KEPT_OPEN`` of them stay open."""
        return self._opened(file)

    @contextmanager
    def _opened(self, file: StoreFile) -> Iterator[duckdb.DuckDBPyConnection]:
        with self._used(file) as (_, db):
            yield db

    @contextmanager
    def reading(self, file: StoreFile) -> Iterator[tuple[duckdb.DuckDBPyConnection, FileRows]]:
        """Open one of its files to read spans: see ``opened``."""
        with self._used(file) as (held, db):
            yield db, held.rows(db)

    @contextmanager
    def _used(self, file: StoreFile) -> Iterator[tuple[stored.Held, duckdb.DuckDBPyConnection]]:
        """Read one of its files; one that turns out to be damaged is remembered, and not believed any more."""
        try:
            held = self._hold(file)
            with read_whole(held, self.place.store, file.name) as db:
                yield held, db
        except SegmentGone:
            raise
        except SegmentDamaged as error:
            if error.path == self.where(file):
                self._refused.setdefault(file.name, error)
            raise

    def about(self, file: StoreFile) -> FileRows:
        """Return what is read once of one of its files."""
        held = self._recent.get(file.name)
        if held is not None and held.known is not None:
            return held.known
        with self.reading(file) as (_, rows):
            return rows

    def _hold(self, file: StoreFile) -> stored.Held:
        held = stored.hold(self.place.store, file.name)
        self._recent.pop(file.name, None)
        self._recent[file.name] = held
        if len(self._recent) > FILES_KEPT_OPEN:
            del self._recent[next(iter(self._recent))]
        return held

    def where(self, file: StoreFile) -> str:
        """Return the name of one of its files for messages."""
        return self.place.store.where(file.name)

    def piece(self, file: StoreFile) -> Piece:
        """Return *file* with its table ``meta``."""
        found = self._pieces.get(file.name)
        if found is None:
            with self._used(file) as (held, db):
                found = self._add_piece(file, held.meta(db))
        return found

    def _add_piece(self, file: StoreFile, meta: dict[str, str]) -> Piece:
        """Add a file, after a check that it goes on from the one before it, and the next one from it, if these are known."""
        if file.name not in self._pieces:
            piece = Piece.of(file, meta)
            for before, after in pairwise(self._with_neighbours(piece)):
                if after.file.first_seq == before.file.last_seq + 1:
                    follows(self.place, after.file, after.meta, (before.file, before.meta))
            self._pieces[file.name] = piece
        return self._pieces[file.name]

    def _with_neighbours(self, piece: Piece) -> list[Piece]:
        place = bisect_left(self.files, piece.file)
        near = [self.files[i].name for i in (place - 1, place + 1) if 0 <= i < len(self.files)]
        found = [self._pieces[name] for name in near if name in self._pieces]
        return sorted([*found, piece], key=lambda one: one.file.first_seq)

    def holding(self, at: Instant) -> int:
        """Return the index of the file that holds all spans that cover *at*."""
        if at.seq is not None:
            seq = at.seq
            found = next((i for i, file in enumerate(self.files) if seq <= file.last_seq), len(self.files) - 1)
            if found and seq < self.files[found].first_seq:
                raise self._holes.within(found - 1)
            return found
        while True:
            known = len(self._refused)
            try:
                return self._holding_time(at.ts)
            except SegmentDamaged:
                if len(self._refused) == known:
                    raise  # else one turned out to be damaged: the others may tell

    def _holding_time(self, ts: int) -> int:
        """Return what ``holding`` does for a time; files that are known to be damaged are not asked for theirs."""
        there = [i for i, file in enumerate(self.files) if file.name not in self._refused]
        low, high = 0, len(there) - 1
        while low < high:  # the last file whose first event is not after the instant
            middle = (low + high + 1) // 2
            if self.piece(self.files[there[middle]]).first_ts <= ts:
                low = middle
            else:
                high = middle - 1
        found = there[low]
        hole = self._holes.behind(found)
        if hole is not None and ts >= self.piece(self.files[found]).last_ts:
            raise hole
        if found and low == 0 and ts < self.piece(self.files[found]).first_ts:
            raise self._holes.within(found - 1)  # the first ones are damaged
        return found

    def rows_at(
        self,
        at: Instant,
        pfns: list[int] | None = None,
        *,
        sections: NDArray[np.int64] | None = None,
        texts: Collection[str] = (),
        owned: bool = False,
    ) -> tuple[NDArray[np.void], NDArray[np.void], Texts]:
        """Return the spans that cover *at*, by (kernel_view, pfn): runs, records, and *texts*: those arrays of ``Texts``.

        With *pfns*, return rows that contain one of these pages, all other pieces of the same records, and the kernel's own
        records of them. With *sections*, (n, 2) ranges of pages, return the rows that begin in one of these whole sections. With
        *owned*, return only rows that are owned, if the file has no records of the kernel's own.
        """
        file = self.files[self.holding(at)]
        where = "true"
        if sections is not None:
            ranges = [f"(pfn >= {start:d} AND pfn < {stop:d})" for start, stop in sections.tolist()]
            where = f"({' OR '.join(ranges) or 'false'})"
        asked = None if pfns is None else np.unique(np.asarray(pfns, np.int64))
        if asked is None and owned:
            with self.reading(file) as (db, rows):
                if not rows.runs.has_views:
                    runs, records = owned_runs_of(db, rows, where, _point(at))
                    return runs, records, self._texts_of(file, records, frozenset(texts), few=False)
        runs, records = self.spans(file, where, at=at) if asked is None else self._pieces_of(file, at, where, asked)
        order = np.lexsort((runs["pfn"], runs["kernel_view"]))
        runs, records = taken(runs, order), taken(records, order)
        return runs, records, self._texts_of(file, records, frozenset(texts), few=asked is not None)

    def spans(
        self,
        file: StoreFile,
        where: str = "true",
        *,
        tables: Collection[str] = ("spans", "live"),
        at: Instant | None = None,
    ) -> tuple[NDArray[np.void], NDArray[np.void]]:
        """Return spans of one of its files, as runs and records: those that ended, then the open ones, table by table.

        *where* is a condition on ``RUN_COLUMNS`` of ``run_tables``; with *at*, only spans that cover that instant.
        """
        with self.reading(file) as (db, rows):
            return runs_of(db, rows, tables=tables, where=where, at=None if at is None else _point(at))

    def spans_in_order(
        self, file: StoreFile, view: str, first: int, stop: int
    ) -> tuple[NDArray[np.void], NDArray[np.void]]:
        """Return the spans of ``spans`` or ``live`` from the place *first* up to *stop*, in their order there."""
        with self.reading(file) as (db, rows):
            return runs_in_order(db, rows, view, first, stop)

    def nr_spans(self, file: StoreFile, view: str) -> int:
        """Return how many rows ``spans`` or ``live`` has."""
        return self.about(file).runs.size_of(view)

    def holding_page(self, pfn: int) -> str:
        """Return the condition on runs that hold a page: none crosses the border of a section."""
        low = pfn // self.facts.pages_per_section * self.facts.pages_per_section
        return f"(pfn >= {low:d} AND pfn <= {pfn:d} AND pfn + nr_pages > {pfn:d})"

    def _pieces_of(
        self, file: StoreFile, at: Instant, where: str, pfns: NDArray[np.int64]
    ) -> tuple[NDArray[np.void], NDArray[np.void]]:
        """Return what ``rows_at`` does for sorted *pfns*."""
        if not pfns.size:
            return self.spans(file, "false")
        if pfns.size <= _FEW_PAGES:
            runs, records = self._holding(file, at, pfns.tolist())
            if is_whole(runs, records, views=self.about(file).runs.has_views).all():
                return runs, records
        pages = self.facts.pages_per_section
        low, high = int(pfns[0]) // pages * pages, (int(pfns[-1]) // pages + 1) * pages
        runs, records = self.spans(file, f"{where} AND pfn >= {low:d} AND pfn < {high:d}", at=at)
        there = np.zeros(runs.size, PIECE_DTYPE)
        for name in PIECE_DTYPE.names or ():
            there[name] = (runs if name in (RUN_DTYPE.names or ()) else records)[name]
        chosen = np.flatnonzero(np.isin(run_key(there), run_key(pieces_of(there, pfns))))
        return taken(runs, chosen), taken(records, chosen)

    def _holding(self, file: StoreFile, at: Instant, pfns: list[int]) -> tuple[NDArray[np.void], NDArray[np.void]]:
        """Return the spans of a file that hold one of *pfns* at an instant, as ``spans`` does."""
        if len(pfns) > 1:
            return self.spans(file, " OR ".join(map(self.holding_page, pfns)), at=at)
        pages, pfn = self.facts.pages_per_section, pfns[0]
        with self.reading(file) as (db, rows):
            return runs_of_page(db, rows, pfn, pages, _point(at))

    def _texts_of(self, file: StoreFile, records: NDArray[np.void], wanted: frozenset[str], *, few: bool) -> Texts:
        """Return the texts that *records* need; of a *few*, only those, and their ids become those of the answer."""
        if not wanted:
            return Texts()
        with self.reading(file) as (db, rows):
            if few and records.size <= _FEW_PAGES:
                return Texts.of_records(db, rows, records, wanted)
            return self.once("texts", file, wanted, lambda: Texts.read(db, wanted))

    def once(self, kind: str, file: StoreFile, wanted: object, make: Callable[[], Kept]) -> Kept:
        """Return what *make* returns, or returned for the same *file* and *wanted* when this *kind* was asked for last.

        Questions often follow each other in one file of the store. One that was made again under the same name is another file.
        """
        return self.kept(kind, (file.name, stored.hold(self.place.store, file.name).version, wanted), make)

    def of_few(self, file: StoreFile, kind: str, make: Callable[[], Kept | None]) -> Kept | None:
        """Return what *make* returns, once a file and *kind* as long as the file is open; null: there is too much to keep."""
        few = self._hold(file).few
        if kind not in few:
            few[kind] = make()
        found: Kept | None = few[kind]
        return found

    def kept(self, kind: str, key: object, make: Callable[[], Kept]) -> Kept:
        """Return what *make* returns, or returned for the same *key* when this *kind* was asked for last."""
        last = self._last.get(kind)
        if last is None or last[0] != key:
            last = self._last[kind] = key, make()
        found: Kept = last[1]
        return found

    def parts_at(self, at: Instant) -> list[tuple[int, int]]:
        """Return ranges of pages, [start, stop), in whole sections, which together are all: few rows cover *at* in each."""
        file = self.files[self.holding(at)]
        with self.reading(file) as (db, of_file):
            if of_file.runs.size <= ROWS_AT_ONCE:
                return [(0, PFN_LIMIT)]
            known = of_file.events.until(db, _point(at))
        return self.once("parts", file, known, lambda: self._parts_of(file, known))

    def _parts_of(self, file: StoreFile, known: int) -> list[tuple[int, int]]:
        """Return what ``parts_at`` does, for an instant up to which so many events of a file are *known*."""
        pages = self.facts.pages_per_section
        with self.opened(file) as db:
            there = " UNION ALL ".join(
                f"SELECT pfn FROM {table} WHERE begin_event < {known:d}{f' AND end_event >= {known:d}' if view == 'spans' else ''}"
                for view, tables in RUN_TABLES.items()
                for table in tables
            )
            found = db.execute(f"SELECT pfn // {pages:d}, count(*) FROM ({there}) GROUP BY 1 ORDER BY 1").fetchall()
        borders, rows = [0], 0
        for section_nr, more in found:
            if rows and rows + more > ROWS_AT_ONCE:
                borders.append(section_nr * pages)
                rows = 0
            rows += more
        return list(pairwise([*borders, PFN_LIMIT]))


def _point(at: Instant) -> At:
    return At(what="ts", value=at.ts) if at.seq is None else At(what="seq", value=at.seq)


def fetched(db: duckdb.DuckDBPyConnection, query: str, parameters: dict[str, object] | None = None) -> pa.Table:
    """Return the answer of a query as an Arrow table."""
    return db.sql(query, params=parameters).to_arrow_table()
