"""A dump of any size is taken in parts: in whatever order its records come, and wherever a replay stops within it."""

import base64
import json
import random
import time
from pathlib import Path

import duckdb
import numpy as np
import pytest

from pagetrail.ingesting import ingest
from pagetrail.replay.rules.dumps import in_order as ordering
from pagetrail.replay.rules.dumps.in_order import in_order
from pagetrail.replay.rules.dumps.page_set import PageSet
from pagetrail.replay.rules.open_baseline import OpenBaseline
from pagetrail.replay.store.open_records import open_records
from pagetrail.schemas.batch import EventBatch
from pagetrail.schemas.columns import Kind
from pagetrail.schemas.details import BaselineBegin, BaselineEnd
from pagetrail.schemas.store.kept_rows import packed
from tests.effort import effort
from tests.large_dumps import write_dump
from tests.replay.states import folded, replay, store, store_of, trail_of
from tests.replay.strategies import Machine, to_frames

BATCH = 50


def dump_of(pages: list[int]) -> OpenBaseline:
    """Return a dump that lists *pages* in this order; the pid of a record is its place in the dump."""
    begin = BaselineBegin(name="dump", window_begin=0, window_end=0, entries=len(pages))
    opened = OpenBaseline(begin, 0, 0, 0)
    for first in range(0, len(pages), BATCH):
        pfn = np.array(pages[first : first + BATCH], np.int64)
        place = np.arange(first, first + pfn.size, dtype=np.int32)
        columns = {
            "kind": np.full(pfn.size, int(Kind.BASELINE_ENTRY), np.int8), "seq": place.astype(np.int64),
            "trace_ts_nsec": np.zeros(pfn.size, np.int64), "pfn": pfn, "order": np.zeros(pfn.size, np.int8), "pid": place,
            "comm": place % 3,
        }  # fmt: skip
        opened.add(EventBatch(columns=columns, texts={"comm": ["a", "b", "c"]}))
    return opened


@pytest.mark.parametrize("seed", range(effort(3, 60)))
def test_a_dump_out_of_order_is_sorted_part_by_part(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ordering, "PART_RECORDS", 64)
    monkeypatch.setattr(ordering, "_STEP", 4)
    chance = random.Random(seed)
    pages = [chance.randrange((10, 400, 1 << 40)[seed % 3]) for _ in range(1_000)]
    found = list(in_order(dump_of(pages)).batches())
    rows = [
        (int(pfn), int(pid), batch.texts["comm"][comm])
        for batch in found
        for pfn, pid, comm in zip(batch.column("pfn"), batch.column("pid"), batch.column("comm"), strict=True)
    ]
    assert rows == sorted((pfn, place, "abc"[place % 3]) for place, pfn in enumerate(pages))
    own = [set(batch.column("pfn").tolist()) for batch in found]
    assert sum(map(len, own)) == len(set.union(*own)), "a page is in two parts"
    if seed % 3 == 2:
        assert max(map(len, found)) <= 64 + 4 * (1_000 // BATCH)


def test_a_dump_in_order_stays_as_it_is() -> None:
    opened = dump_of([1, 2, 2, *range(5, 200)])
    assert in_order(opened) is opened


def test_a_page_that_two_parts_of_a_dump_list_is_in_one_part() -> None:
    opened = dump_of([*range(BATCH), BATCH - 1, BATCH])
    assert opened.rises
    assert [len(batch) for batch in in_order(opened).batches()] == [BATCH + 2]


def test_a_set_of_pages_has_those_that_were_added() -> None:
    pages = PageSet(pages_per_section=64)
    chance = np.random.default_rng(3)
    added = chance.integers(0, 1_000, 300)
    pages.add(added[:100])
    pages.add(added[100:])
    assert np.array_equal(pages.has(np.arange(2_000)), np.isin(np.arange(2_000), added))


def test_a_set_of_pages_in_many_sections_takes_time_for_its_pages_alone() -> None:
    """Twice as many sections take about twice as long: where each looked at all pages, they took four times as long."""
    few, many = (cpu_time_of_pages_in(sections) for sections in (4_000, 16_000))
    assert many < 10 * few + 0.05


def cpu_time_of_pages_in(sections: int) -> float:
    """Return the least CPU time, in seconds, of adding and looking up four pages of each section."""
    pfn = np.arange(0, sections * 64, 16)
    took = []
    for _ in range(3):
        began, pages = time.process_time(), PageSet(pages_per_section=64)
        pages.add(pfn)
        assert pages.has(pfn + 1).sum() == 0
        took.append(time.process_time() - began)
    return min(took)


def test_impossible_records_are_quarantined_in_the_order_of_the_dump() -> None:
    """GIVEN a dump out of order WHEN it names blocks that cannot be THEN they are set aside as it lists them."""
    m = Machine()
    m.begin()
    m.emit(Kind.BASELINE_BEGIN, BaselineBegin(name="dump", window_begin=0, window_end=0, entries=5))
    for pfn, order in ((9, 1), (64, 0), (5, 2), (1 << 50, 0), (3, 1)):
        m.emit(Kind.BASELINE_ENTRY, pfn=pfn, order=order, pid=1, gfp_mask=0)
    m.emit(Kind.BASELINE_END, BaselineEnd(name="dump", entries=5))
    m.end()
    run = folded(to_frames(m.recordings), kept=False)
    assert (
        [pfn for _, pfn, *_ in run.quarantined] == [9, 5, 1 << 50, 3] == [pfn for _, pfn, *_ in m.reference.quarantined]
    )


@pytest.mark.slow
def test_a_stop_within_a_large_dump_keeps_its_records_in_small_rows(tmp_path: Path) -> None:
    """GIVEN a dump of many frames WHEN replay stops in it THEN no value of its tip is large, and the next takes it as a whole."""
    dump = write_dump(tmp_path / "dump.txt", 140_000, stacks=300)
    stopped, whole = tmp_path / "stopped", tmp_path / "whole"
    for trail in (stopped, whole):
        ingest(trail, dump)
    replay(stopped, frames=2)
    (tip,) = store_of(stopped).root.rglob("*.duckdb")
    with duckdb.connect(str(tip), read_only=True) as db:
        (largest,) = db.execute("SELECT max(length(value)) FROM state").fetchall()[0]
        assert largest < 1 << 11
        (view,) = db.execute("SELECT value FROM state WHERE name = 'view'").fetchall()[0]
        opened = OpenBaseline.from_plain(json.loads(view), open_records(db, json.loads(view)))
        (last,) = db.execute("SELECT value FROM meta WHERE key = 'last_seq'").fetchall()[0]
    assert opened.entries == int(last) - opened.seq > 100_000, "what the dump said so far is not in the tip"
    replay(stopped)
    replay(whole)
    assert store(stopped) == store(whole)


def test_a_stop_before_the_first_record_of_a_dump_is_resumed_there(tmp_path: Path) -> None:
    m = Machine()
    m.begin()
    m.emit(Kind.BASELINE_BEGIN, BaselineBegin(name="dump", window_begin=0, window_end=0, entries=1))
    before = len(m.recordings[-1])
    m.emit(Kind.BASELINE_ENTRY, pfn=8, order=0, pid=1, gfp_mask=0)
    m.emit(Kind.BASELINE_END, BaselineEnd(name="dump", entries=1))
    m.end()
    frames = to_frames(m.recordings, [before, 1])
    stopped, whole = trail_of(tmp_path / "stopped", frames), trail_of(tmp_path / "whole", frames)
    replay(stopped, frames=1)
    replay(stopped)
    replay(whole)
    assert store(stopped) == store(whole)


def test_records_that_an_earlier_format_has_in_one_value_are_read() -> None:
    opened = dump_of([3, 1, 2])
    (rows,) = opened.rows.batches()
    view = opened.plain() | {"records": [base64.b64encode(packed(rows)).decode()]}
    with duckdb.connect(":memory:") as db:
        db.execute("CREATE TABLE state (name VARCHAR, value VARCHAR)")
        restored = OpenBaseline.from_plain(view, open_records(db, view))
    assert restored.records() == opened.records()
    assert restored.plain() == opened.plain()
