"""The arrays of one stream's state, and how they grow.

Dimensions: s = slots (sections of whose pages something is or was known), p = pages a section, r = records,
q = section numbers known so far.
"""

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pagetrail.schemas.owner import (
    ACT_FIELDS,
    DETAIL_FIELDS,
    DOUBT_DTYPE,
    ENDED_RUN_DTYPE,
    OPEN_END,
    OWNER_FIELDS,
    RECORD_DTYPE,
    RUN_DTYPE,
)
from pagetrail.schemas.store.memory import forget
from pagetrail.schemas.structs import whole

Array = NDArray[Any]
"""An array; a comment gives its dtype. NumPy's types have no structured dtypes, and mypy allows no casts between the others."""


class EventColumns(NamedTuple):
    """What began and ended spans, by stream_seq: e events."""

    seq: Array  # int64 stream_seq
    ts: Array  # int64 trace clock, ns
    act: Array  # int32 row of acts
    owner: Array  # int32 row of owners; -1: it began no span
    age: Array  # int64 ns since the owner allocated; ABSENT64: unknown
    detail: Array  # int32 row of details; -1: none


def no_events(size: int) -> EventColumns:
    """Return columns for so many events."""
    wide = {name: np.zeros(size, np.int64) for name in ("seq", "ts", "age")}
    return EventColumns(**wide, **{name: np.zeros(size, np.int32) for name in ("act", "owner", "detail")})


class RunColumns(NamedTuple):
    """Runs of pages, and the numbers of the events that began and ended their spans; *end_event* is -1 where they are open."""

    pfn: NDArray[np.int64]
    nr_pages: NDArray[np.int32]
    begin_event: NDArray[np.int32]
    end_event: NDArray[np.int32]
    generation: NDArray[np.int32]
    kernel_view: NDArray[np.int8]


def run_columns(size: int) -> RunColumns:
    """Return columns for so many runs; they hold anything."""
    return RunColumns(**{name: np.empty(size, ENDED_RUN_DTYPE[name]) for name in RunColumns._fields})


HELD_DTYPE: Final = np.dtype(
    [
        ("alloc_ts", np.int64),
        ("pages", np.int32),  # pages that refer to the record; 0: it is unused
        ("event", np.int32),  # row of events: what began the span
        ("owner", np.int32),  # row of owners; of a record with a draft, -1: it is looked up when the draft is complete
        ("detail", np.int32),  # row of details; -1: none
        ("cpu", np.int16),
        ("order", np.int8),
        ("state", np.int8),
        ("evidence", np.int8),
        ("how", np.int8),
        ("migrate_reason", np.int8),
        ("unordered", np.int8),
    ],
    align=True,
)
"""What is held of a record (RECORD_DTYPE): what most rules ask. The rest is in the rows that *event*, *owner* and *detail* name."""

DRAFT_DTYPE: Final = np.dtype(
    [*((name, RECORD_DTYPE[name]) for name in RECORD_DTYPE.names or ()), ("owner", np.int32), ("event", np.int32)],
    align=True,
)
"""A record that the present event began: its event has no row yet. What is held of it is here only when its span ended."""


def sorted_bytes(size: int) -> int:
    """Return what so many runs take as columns."""
    return size * sum(ENDED_RUN_DTYPE[name].itemsize for name in RunColumns._fields)


class Tables(NamedTuple):
    """The arrays that the jit functions work on. When one has to grow, the whole tuple is replaced."""

    owner: Array  # int32 (s, p) record of each page; -1: unknown
    kernel: Array  # int32 (s, p) the kernel's own record, where it is known to be wrong; -1: both views are equal
    slot: Array  # int32 (q,) slot of a section; -1: it is absent, or nothing was ever known of its pages
    generation: Array  # int32 (q,) number of extensions that the section has had
    records: Array  # void (r,) HELD_DTYPE
    spare: Array  # int32 (r,) stack of unused records
    fresh: Array  # int32 records that the present event began
    drafts: Array  # void what is not held of each of them (DRAFT_DTYPE); it has as many rows as ``fresh``
    runs: Array  # void closed spans (ENDED_RUN_DTYPE)
    events: EventColumns  # (e,) what began and ended spans
    acts: Array  # int64 (a, 10) by ACT_FIELDS
    owners: Array  # int64 (o, 7) by OWNER_FIELDS
    details: Array  # int64 (d, 5) by DETAIL_FIELDS
    act_table: Array  # int32 (power of 2,) hash table of rows of acts; -1: empty
    owner_table: Array  # int32 likewise
    detail_table: Array  # int32 likewise
    key: Array  # int64 (10,) room for a row that is looked up
    by_how: Array  # int32 (HOWS,) by How: the first row of the present event that began or ended spans so; -1 between events
    doubts: Array  # void DOUBT_DTYPE
    quarantine: Array  # int64 (k, 4): seq, pfn, order, Anomaly
    anomalies: Array  # int64 (128, 4) by Anomaly: events, pages, seq of the first, 1 + seq of the last
    doubted: Array  # int64 (s or 0, p) up to when the evidence of each page is in a doubt that lasts; NO_EVENT: it is in none
    moves: Array  # int64 (MOVE_ROWS, MOVE_COLUMNS) ring of the last migrations, see the columns below
    counts: Array  # int64 see the indices below


SPARE, LIVE, RUNS, DOUBTS, QUARANTINE, EVENTS, LAST_TS, LAST_SEQ, MOVES = range(9)
FRESH, EVENT_ROWS, ACTS, OWNERS, DETAILS, SETTLED_RUNS, SETTLED_EVENTS, BEGUN_RUNS = range(9, 17)
COUNTS = 17
MOVE_ROWS = 1 << 10
"""Migrations that are remembered: events on their sources, and losses of them, may turn out to have come first."""
MOVE_TS, MOVE_CPU, MOVE_SRC, MOVE_PFN, MOVE_UNORDERED, MOVE_PAGES, MOVE_DOUBTED = range(7)
MOVE_COLUMNS = 7
"""MOVE_UNORDERED is 1 where the order of a migration is not sure, MOVE_DOUBTED where a loss put its copy in doubt afterwards."""
KINDS: Final = {"acts": ACTS, "owners": OWNERS, "details": DETAILS}
"""What events refer to: rows, and their count."""

ANOMALY_ROWS = 128
NO_EVENT = np.iinfo(np.int64).min

ROWS_A_PAGE, ROWS_BESIDES = 2, 8
"""An event on n pages gets room for 2 n + 8 rows in each table; ``room_jit.py`` gives the number that it may write."""
QUARANTINE_ROWS = 2
EVENTS_A_ROW = 3
"""For each row of room so many of events: for a record that it begins, and for the beginning and the end of a span that it ends."""
TAKES_A_ROW = 2
"""For each row of room, so many records may be taken in an event: some are given back before it is over."""
HOWS = 128
"""So many ways in which spans begin and end, at most."""
_FIRST_ROWS: Final = 1 << 13
_FIRST_DRAFTS: Final = 1 << 7

_SMALL_BYTES: Final = 1 << 24
"""Arrays of up to so many bytes grow by more: what is not written takes no memory."""

_MOVED_BYTES: Final = 1 << 22
"""So much of an array is moved at once to a larger one: both are never there as a whole."""


def new_tables(pages_per_section: int) -> Tables:
    """Return the tables of a stream before its first event."""
    records = 1 << 12
    tables = Tables(
        owner=np.full((0, pages_per_section), -1, np.int32),
        kernel=np.full((0, pages_per_section), -1, np.int32),
        slot=np.full(0, -1, np.int32),
        generation=np.zeros(0, np.int32),
        records=np.zeros(records, HELD_DTYPE),
        spare=np.arange(records - 1, -1, -1, dtype=np.int32),
        fresh=np.zeros(_FIRST_DRAFTS, np.int32),
        drafts=np.zeros(_FIRST_DRAFTS, DRAFT_DTYPE),
        by_how=np.full(HOWS, -1, np.int32),
        **_nothing_ended(),
        doubts=np.zeros(1 << 12, DOUBT_DTYPE),
        quarantine=np.zeros((1 << 8, 4), np.int64),
        anomalies=np.zeros((ANOMALY_ROWS, 4), np.int64),
        doubted=np.zeros((0, pages_per_section), np.int64),
        moves=np.zeros((MOVE_ROWS, MOVE_COLUMNS), np.int64),
        counts=np.zeros(COUNTS, np.int64),
    )
    tables.counts[SPARE] = records
    tables.counts[LAST_TS] = NO_EVENT
    tables.counts[LAST_SEQ] = -1
    return tables


def _nothing_ended() -> dict[str, Any]:
    """Return the arrays of what ended, and of events, before the first one."""
    sizes = {"acts": len(ACT_FIELDS), "owners": len(OWNER_FIELDS), "details": len(DETAIL_FIELDS)}
    tables = {name: np.full(1 << 8, -1, np.int32) for name in ("act_table", "owner_table", "detail_table")}
    rows = {name: np.zeros((1 << 7, width), np.int64) for name, width in sizes.items()}
    ended = {"runs": np.zeros(_FIRST_ROWS, ENDED_RUN_DTYPE), "events": no_events(_FIRST_ROWS)}
    return {**ended, **rows, **tables, "key": np.zeros(len(ACT_FIELDS), np.int64)}


def with_events(
    tables: Tables,
    *,
    runs: NDArray[np.void],
    events: EventColumns,
    acts: NDArray[np.int64],
    owners: NDArray[np.int64],
    details: NDArray[np.int64],
) -> Tables:
    """Return *tables* with these runs that ended, events, and what those refer to, in place of its own."""
    counts = tables.counts
    counts[[RUNS, EVENT_ROWS, ACTS, OWNERS, DETAILS]] = [
        len(rows) for rows in (runs, events.seq, acts, owners, details)
    ]
    counts[[FRESH, BEGUN_RUNS, SETTLED_RUNS, SETTLED_EVENTS]] = 0, len(runs), len(runs), len(events.seq)
    small = np.full(1, -1, np.int32)
    tables = tables._replace(
        runs=runs, events=events, acts=acts, owners=owners, details=details, act_table=small, owner_table=small, detail_table=small
    )  # fmt: skip
    return with_event_rows(tables, EVENTS_A_ROW * ROWS_BESIDES)


_COUNTED: Final = {
    "records": LIVE,
    "spare": LIVE,
    "runs": RUNS,
    "acts": ACTS,
    "owners": OWNERS,
    "details": DETAILS,
    "doubts": DOUBTS,
}
"""Arrays that have room for more rows than are written, and the count of those: memory is taken when a row is written."""

_OF_SLOTS: Final = ("owner", "kernel", "doubted")
"""So have these, with a row a slot."""


def used_bytes(tables: Tables, slots: int) -> int:
    """Return the bytes of the rows that are in use, *slots* of them with pages: approximately what the arrays take of memory."""
    counts = tables.counts
    used = int(counts[EVENT_ROWS]) * sum(column.itemsize for column in tables.events)
    for name, array in zip(Tables._fields, tables, strict=True):
        if isinstance(array, np.ndarray):
            rows = array.shape[0]
            if name in _OF_SLOTS:
                rows = min(slots, rows)
            elif name in _COUNTED:
                rows = int(counts[_COUNTED[name]])
            used += rows * (array.nbytes // max(array.shape[0], 1))
    return used


def rows_of_events(tables: Tables) -> dict[str, int]:
    """Return how many rows there are of events, and of what they refer to, by name."""
    return {name: int(tables.counts[which]) for name, which in (("events", EVENT_ROWS), *KINDS.items())}


def numbers(used: NDArray[np.int8]) -> NDArray[np.int32]:
    """Return for each row which of the *used* ones it is (n,), and -1 behind them, so that row -1 stays -1."""
    found = np.full(used.size + 1, -1, np.int32)
    np.cumsum(used, out=found[:-1], dtype=np.int32)
    found[:-1] -= 1
    return found


def without_runs(tables: Tables) -> Tables:
    """Return *tables* with a new array of runs, which has none: the old one is a segment's.

    Like those of events, it has room for as many as there were, and some more, so that it need not grow: memory is taken when it is
    written.
    """
    runs = np.zeros(_room(int(tables.counts[RUNS])), ENDED_RUN_DTYPE)
    tables.counts[[RUNS, BEGUN_RUNS, SETTLED_RUNS]] = 0
    return tables._replace(runs=runs)


def with_lasting_column(tables: Tables, name: str, used: Mapping[str, NDArray[np.int8]]) -> Tables:
    """Return *tables* with a new array for a column of events: of the *used* ones, and with the new numbers of what they refer to.

    *used* has 1 for each row that lasts, by the names of ``rows_of_events``. The counts are still those before.
    """
    of_events = used["events"].view(bool)
    column = _lasting(getattr(tables.events, name), of_events, _room(of_events.size))
    if (kind := f"{name}s") in KINDS:
        refers = column[: np.count_nonzero(of_events)]
        refers[:] = numbers(used[kind])[refers]
    return tables._replace(events=tables.events._replace(**{name: column}))


def with_lasting_rows(tables: Tables, kind: str, used: Mapping[str, NDArray[np.int8]]) -> Tables:
    """Return *tables* with a new array of acts, owners or details: the *used* rows, in their order."""
    rows: dict[str, Any] = {kind: _lasting(getattr(tables, kind), used[kind].view(bool), _FIRST_ROWS)}
    return tables._replace(**rows)


def with_lasting_counts(tables: Tables, used: Mapping[str, NDArray[np.int8]]) -> Tables:
    """Return *tables* with the counts of the rows that last, which are there already."""
    counts = tables.counts
    for kind, which in (("events", EVENT_ROWS), *KINDS.items()):
        counts[which] = np.count_nonzero(used[kind])
    counts[[FRESH, SETTLED_EVENTS]] = 0, counts[EVENT_ROWS]
    return without_hash_tables(tables)


def _room(before: int) -> int:
    return before + before // 8 + _FIRST_ROWS


def _lasting(rows: Array, used: NDArray[np.bool_], room: int) -> Array:
    """Return the *used* rows, with room for more: so many in all, or so many more."""
    kept = rows[: used.size][used]
    found = np.zeros((max(room, kept.shape[0] + _FIRST_ROWS), *rows.shape[1:]), rows.dtype)
    found[: kept.shape[0]] = kept
    return found


def grown(array: Array, size: int, used: int | None = None) -> Array:
    """Return *array* with at least *size* rows, doubling; see ``extended``."""
    return array if array.shape[0] >= size else extended(array, max(size, 2 * array.shape[0]), used)


def extended(array: Array, rows: int, used: int | None = None) -> Array:
    """Return *array* with *rows* rows, the first *used* of which, null: all, are those of it. A large one is lost meanwhile.

    The others are zero, and take no memory until they are written.
    """
    larger = np.zeros((rows, *array.shape[1:]), array.dtype)
    source, target = (whole(array), whole(larger)) if array.dtype.names else (array, larger)
    kept = array.shape[0] if used is None else used
    at_once = max(_MOVED_BYTES * array.shape[0] // max(array.nbytes, 1), 1)
    for start in range(0, kept, at_once):
        moved = source[start : min(start + at_once, kept)]
        large = array.nbytes > _MOVED_BYTES
        if not large or moved.view(np.uint8).any():  # what was never written stays so
            target[start : start + moved.shape[0]] = moved
        if large and array.flags.owndata:
            forget(moved)
    return larger


def with_room(tables: Tables, pages: int) -> Tables:
    """Return *tables* with room for an event that touches *pages* pages, as ``has_room`` requires."""
    need = ROWS_A_PAGE * pages + ROWS_BESIDES
    counts = tables.counts
    if counts[SPARE] < need:
        tables = with_records(tables, int(counts[SPARE]) + max(need, tables.records.shape[0]))
    tables = with_drafts(with_event_rows(tables, EVENTS_A_ROW * need), TAKES_A_ROW * need)
    return tables._replace(
        runs=_with_rows(tables.runs, int(counts[RUNS]), need),
        doubts=_with_rows(tables.doubts, int(counts[DOUBTS]), need),
        quarantine=_with_rows(tables.quarantine, int(counts[QUARANTINE]), QUARANTINE_ROWS),
    )


def with_event_rows(tables: Tables, rows: int) -> Tables:
    """Return *tables* with room for so many events, and for as many acts, owners and details; hash tables stay half empty."""
    counts = tables.counts
    if _has_event_rows(tables, rows):
        return tables
    events = EventColumns(*(_with_rows(column, int(counts[EVENT_ROWS]), rows) for column in tables.events))
    more: dict[str, Any] = {"events": events}
    for name, which in KINDS.items():
        table, used = _table_of(name), int(counts[which])
        more[name] = _with_rows(getattr(tables, name), used, rows)
        if 2 * (used + rows) > getattr(tables, table).size:
            more[table] = _hash_table(more[name], used, used + rows)
    return tables._replace(**more)


def _has_event_rows(tables: Tables, rows: int) -> bool:
    """Whether there is room for so many events: nearly always, and rare events ask one by one."""
    if tables.events.seq.shape[0] - tables.counts[EVENT_ROWS] < rows:
        return False
    wanted = ((int(tables.counts[which]) + rows, name) for name, which in KINDS.items())
    return all(
        getattr(tables, name).shape[0] >= more and getattr(tables, _table_of(name)).size >= 2 * more
        for more, name in wanted
    )


def without_hash_tables(tables: Tables) -> Tables:
    """Return *tables* with no hash tables: the next event finds no room, and ``with_event_rows`` makes some that fit.

    So they are small enough for the processor's caches, and are not there while a segment is written.
    """
    counts = tables.counts
    none = {_table_of(name): np.full(1, -1, np.int32) for name, which in KINDS.items() if counts[which]}
    return tables._replace(**none)  # type: ignore[arg-type]


@cache
def _table_of(name: str) -> str:
    return f"{name.removesuffix('s')}_table"


def _hash_table(rows: Array, used: int, room: int) -> Array:
    from pagetrail.replay.fold.unique_rows_jit import rehash  # here: questions use these types, and load no compiler

    table = np.full(1 << (2 * room).bit_length(), -1, np.int32)
    rehash(rows, used, table)
    return table


def with_drafts(tables: Tables, rows: int) -> Tables:
    """Return *tables* with room for so many drafts."""
    used = int(tables.counts[FRESH])
    return tables._replace(fresh=_with_rows(tables.fresh, used, rows), drafts=_with_rows(tables.drafts, used, rows))


def with_doubts(tables: Tables, rows: int) -> Tables:
    """Return *tables* with room for so many doubts."""
    return tables._replace(doubts=_with_rows(tables.doubts, int(tables.counts[DOUBTS]), rows))


def with_doubted(tables: Tables) -> Tables:
    """Return *tables* in which every slot has room for the doubts of its pages that last: no recording without one needs it.

    It is written where a section has the slot; ``placed`` writes it for the next ones.
    """
    slots = tables.owner.shape[0]
    known = tables.doubted.shape[0]
    if known >= slots:
        return tables
    doubted = extended(tables.doubted, slots)
    if not known:
        doubted[tables.slot[tables.slot >= 0]] = NO_EVENT
    return tables._replace(doubted=doubted)


def _with_rows(array: Array, used: int, more: int) -> Array:
    """Return *array* with room for *more* rows than the *used* ones. A small one grows by more, so that it is moved less often."""
    if array.shape[0] >= used + more:
        return array
    times = 4 if array.nbytes <= _SMALL_BYTES else 2
    return extended(array, max(used + more, times * array.shape[0]), used)


def with_records(tables: Tables, unused: int) -> Tables:
    """Return *tables* with at least *unused* unused records, and no more than that if there were fewer."""
    counts, old = tables.counts, tables.records.shape[0]
    left = int(counts[SPARE])
    if left >= unused:
        return tables
    rows = old + unused - left
    records, spare = extended(tables.records, rows), extended(tables.spare, rows)
    fresh = np.arange(rows - 1, old - 1, -1, dtype=np.int32)
    spare[fresh.size : fresh.size + left] = spare[:left].copy()
    spare[: fresh.size] = fresh
    counts[SPARE] = left + fresh.size
    return tables._replace(records=records, spare=spare)


class LivePiece(NamedTuple):
    """Some open spans, of one section and view: the first page of each in it, its number of pages, the handle of its record.

    It takes a quarter of what the same spans take as rows.
    """

    base: int
    generation: int
    view: int
    first: NDArray[np.int32]
    nr_pages: NDArray[np.int32]
    handles: NDArray[np.int32]

    def runs(self, start: int = 0, stop: int | None = None) -> NDArray[np.void]:
        """Return the spans from *start* to *stop* as RUN_DTYPE."""
        first = self.first[start:stop]
        runs = np.zeros(first.size, RUN_DTYPE)
        runs["pfn"], runs["nr_pages"] = first.astype(np.int64) + self.base, self.nr_pages[start:stop]
        runs["generation"], runs["kernel_view"] = self.generation, self.view
        runs["end_seq"] = runs["end_ts"] = OPEN_END
        return runs


def live_pieces(tables: Tables) -> Iterator[LivePiece]:
    """Yield the open spans, sorted by (kernel_view, pfn), a section at a time.

    Pages next to each other, in one section, with the same record are one run.
    """
    for view, pages in ((0, tables.owner), (1, tables.kernel)):
        for section_nr in np.flatnonzero(tables.slot >= 0).tolist():
            handles = pages[tables.slot[section_nr]]
            starts = np.flatnonzero(np.concatenate(([True], handles[1:] != handles[:-1])))
            lengths = np.diff(np.append(starts, handles.size))
            known = np.flatnonzero(handles[starts] >= 0)
            if known.size:
                first, nr_pages = starts[known].astype(np.int32), lengths[known].astype(np.int32)
                generation = int(tables.generation[section_nr])
                yield LivePiece(section_nr * handles.size, generation, view, first, nr_pages, handles[starts[known]])


def open_runs(tables: Tables) -> RunColumns:
    """Return the open spans of ``live_pieces``; they have no *end_event*."""
    pieces = list(live_pieces(tables))
    runs = run_columns(sum(piece.handles.size for piece in pieces))
    runs.end_event[:] = -1
    done = 0
    for piece in pieces:
        some = slice(done, done + piece.handles.size)
        np.add(piece.first, piece.base, out=runs.pfn[some], casting="unsafe", dtype=np.int64)
        runs.nr_pages[some], runs.begin_event[some] = piece.nr_pages, tables.records["event"][piece.handles]
        runs.generation[some], runs.kernel_view[some] = piece.generation, piece.view
        done += piece.handles.size
    return runs


def remembered_moves(tables: Tables) -> Array:
    """Return the rows of ``moves``, oldest first."""
    rows, count = tables.moves.shape[0], int(tables.counts[MOVES])
    return np.asarray(tables.moves[[n % rows for n in range(max(count - rows, 0), count)]])
