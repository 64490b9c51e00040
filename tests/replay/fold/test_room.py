"""An event writes no more rows than ``room_jit.py`` states, whatever the state is."""

from random import Random

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pagetrail.replay.fold.decode import Events, no_events
from pagetrail.replay.fold.fold_jit import DONE, ROOM, fold
from pagetrail.replay.fold.options import (
    OPT_FLOOR,
    OPT_MAX_PFN,
    OPT_REFILL_COVERED,
    OPT_SKEW,
    OPT_SPLIT_COVERED,
    OPTIONS,
)
from pagetrail.replay.fold.tables import (
    DOUBTS,
    HELD_DTYPE,
    LIVE,
    MOVES,
    QUARANTINE,
    RUNS,
    SPARE,
    Tables,
    new_tables,
    with_events,
    with_room,
)
from pagetrail.replay.fold.tables import (
    no_events as no_event_rows,
)
from pagetrail.schemas.columns import Kind
from pagetrail.schemas.owner import ABSENT64, ACT_FIELDS, DETAIL_FIELDS, OPEN_END, OWNER_FIELDS, State

PAGES, SECTIONS, ORDERS = 64, 2, 7
NOBODYS = 0
"""The record that lies where the fold must not reach: it says so in its number of pages."""
UNTOUCHED = -7
KINDS = (Kind.ALLOC, Kind.FREE, Kind.DRAIN, Kind.REFILL, Kind.SPLIT, Kind.MIGRATE, Kind.ISOLATE)


class Layout:
    """A state at random, with no room in any table: blocks over blocks, each of one to three records that share its pages."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.records: list[dict[str, int]] = [{}]
        self.owner = np.full((SECTIONS, PAGES), -1, np.int32)
        self.kernel = np.full((SECTIONS, PAGES), -1, np.int32)
        for view, blocks in ((self.owner, random.choice((2, 20))), (self.kernel, random.choice((0, 2, 20)))):
            for _ in range(blocks):
                self._block(view, random.choice((0, 0, 1, 2, 4, 6, 6)))

    def _block(self, view: np.ndarray, order: int) -> None:
        section, first = self.random.randrange(SECTIONS), self.random.randrange(PAGES) >> order << order
        shared = [self._record(section * PAGES + first, order) for _ in range(self.random.choice((1, 1, 2, 3)))]
        left_out = self.random.choice((0.0, 0.0, 0.5))
        for page in range(first, first + 2**order):
            if self.random.random() >= left_out:
                view[section, page] = self.random.choice(shared)

    def _record(self, pfn: int, order: int) -> int:
        """Add a record: of an owner, of a free block, of a migrated page; or page_owner's own early stamp."""
        stamp = self.random.random() < 0.3
        free = self.random.random() < 0.3 and not stamp
        self.records.append({
            "block_pfn": pfn, "order": 0 if stamp else order, "state": State.FREE if free else State.OWNED,
            "gfp_mask": 0 if stamp else 8, "pid": 1, "src_pfn": self.random.choice((ABSENT64, 3)),
        })  # fmt: skip
        return len(self.records) - 1

    def tables(self) -> Tables:
        """Return the state as the fold has it: every record counts its pages."""
        tables = new_tables(PAGES)
        count = len(self.records)
        records = np.zeros(count, HELD_DTYPE)
        records["alloc_ts"] = ABSENT64
        rows = {
            fields: np.zeros((count, len(fields)), np.int64) for fields in (ACT_FIELDS, OWNER_FIELDS, DETAIL_FIELDS)
        }
        for number, record in enumerate(self.records):
            for name, value in record.items():
                if name in (HELD_DTYPE.names or ()):
                    records[number][name] = value
                for fields, of in rows.items():
                    if name in fields:
                        of[number, fields.index(name)] = value
        events = no_event_rows(count)
        for column in (records["event"], records["owner"], records["detail"], events.act, events.owner, events.detail):
            column[:] = np.arange(count)
        used = np.concatenate([self.owner.ravel(), self.kernel.ravel()])
        records["pages"] = np.bincount(used[used >= 0], minlength=records.size)
        tables.counts[SPARE], tables.counts[LIVE] = 0, int((records["pages"] > 0).sum())
        tables.counts[MOVES] = self.random.choice((0, 3, 4, 9))
        records["pages"][NOBODYS] = UNTOUCHED
        tables = with_events(
            tables, runs=tables.runs[:0], events=events, acts=rows[ACT_FIELDS], owners=rows[OWNER_FIELDS],
            details=rows[DETAIL_FIELDS],
        )  # fmt: skip
        moves = [(90, self.random.randrange(3), *self._pages(), 0, 1, 0) for _ in range(4)]
        return tables._replace(
            owner=self.owner, kernel=self.kernel, slot=np.arange(SECTIONS, dtype=np.int32),
            generation=np.ones(SECTIONS, np.int32), records=records, spare=np.zeros(0, np.int32), fresh=tables.fresh[:0],
            drafts=tables.drafts[:0], doubts=tables.doubts[:0],
            quarantine=tables.quarantine[:0], moves=np.array(moves, np.int64),
        )  # fmt: skip

    def _pages(self) -> tuple[int, int]:
        return self.random.randrange(SECTIONS * PAGES), self.random.randrange(SECTIONS * PAGES)


def event(random: Random) -> Events:
    """Return one event of a kind that the fold knows, mostly on a block that can be."""
    order = random.choice((0, 1, 3, 6))
    pfn = random.randrange(SECTIONS * PAGES) >> order << order
    nr_pages = random.choice((2**order, 2**order, min(5, PAGES - pfn % PAGES)))
    columns = {
        "kind": random.choice(KINDS), "pfn": pfn + (random.random() < 0.05), "order": order, "nr_pages": nr_pages,
        "src_pfn": random.randrange(SECTIONS * PAGES), "ts": 100, "cpu": random.randrange(3), "pid": 1, "gfp_mask": 8,
    }  # fmt: skip
    if columns["kind"] == Kind.SPLIT:
        columns["order"] = random.choice((0, 0, 1))
    return Events(**{
        name: np.full(1, columns.get(name, 0), column.dtype) for name, column in no_events()._asdict().items()
    })  # fmt: skip


def options(random: Random) -> np.ndarray:
    opts = np.zeros(OPTIONS, np.int64)
    opts[OPT_FLOOR], opts[OPT_MAX_PFN] = OPEN_END, SECTIONS * PAGES
    for option, values in ((OPT_SKEW, (0, 50)), (OPT_SPLIT_COVERED, (0, 1)), (OPT_REFILL_COVERED, (0, 1))):
        opts[option] = random.choice(values)
    return opts


def in_use(tables: Tables) -> dict[int, int]:
    """Return how many pages refer to each record."""
    used = np.concatenate([tables.owner.ravel(), tables.kernel.ravel()])
    handles, counts = np.unique(used[used >= 0], return_counts=True)
    return dict(zip(handles.tolist(), counts.tolist(), strict=True))


@given(st.integers(0, 2**64 - 1))
def test_an_event_writes_no_more_rows_than_room_is_made_for(seed: int) -> None:
    random = Random(seed)
    tables, opts, events, pages = Layout(random).tables(), options(random), event(random), np.zeros(1, np.int64)
    live = int(tables.counts[LIVE])
    assert fold(tables, opts, events, 0, 0, pages) == (0, ROOM)
    n = int(pages[0])
    tables = with_room(tables, n)
    room = int(tables.counts[SPARE])
    tables.spare[: room - (2 * n + 1)] = NOBODYS
    assert fold(tables, opts, events, 0, 0, pages) == (1, DONE)
    taken = room - int(tables.counts[SPARE])
    assert tables.counts[RUNS] <= 2 * n
    assert taken <= 2 * n
    assert tables.records[NOBODYS]["pages"] == UNTOUCHED, "more than 2 n + 1 records were taken at once"
    assert tables.counts[DOUBTS] <= n + 1
    assert tables.counts[QUARANTINE] <= 1
    assert tables.counts[LIVE] == live + taken == len(in_use(tables))
    assert {handle: int(tables.records[handle]["pages"]) for handle in in_use(tables)} == in_use(tables)
