"""Contents are followed from their allocation to their end, from page to page; and a page through its generations."""

import random
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from pagetrail.api import Trail
from pagetrail.schemas.batch import EventBatch
from pagetrail.schemas.columns import Kind
from pagetrail.schemas.errors import NotFound
from pagetrail.text.owner import owner_text
from tests.effort import effort
from tests.model.config import ModelConfig
from tests.model.kernel import ModelKernel
from tests.oracles.answers import numbered
from tests.stories import Story, told

MOVERS = ModelConfig(weights={"migrate": 9, "huge": 5})


def stays(trail: Trail, pfn: int, at: int | str) -> list[tuple[int, str]]:
    return [(row["pfn"], row["link"].split(";")[0]) for row in trail.lineage(pfn, at).to_pylist()]


def moved_twice() -> tuple[Story, dict[str, int]]:
    """A block is split, a page of it goes to an isolated page, and on to a page of another memory block; there it is freed."""
    tell, when = Story(), {}
    when["allocated"] = tell(Kind.ALLOC, 8, order=1)
    when["split"] = tell(Kind.SPLIT, 8, nr_pages=2)
    tell(Kind.ISOLATE, 20, pid=40)
    when["moved"] = tell(Kind.MIGRATE, 20, pid=40, src_pfn=9)
    when["left behind"] = tell(Kind.FREE, 30)
    tell(Kind.FREE, 9, pid=40)
    tell(Kind.ALLOC, 30, pid=90)
    when["moved again"] = tell(Kind.MIGRATE, 30, pid=90, src_pfn=20)
    tell(Kind.FREE, 20, pid=90)
    when["freed"] = tell(Kind.FREE, 30)
    when["end"] = tell(Kind.FREE, 50)
    return tell, when


def test_contents_are_followed_from_their_allocation_to_their_end(tmp_path: Path) -> None:
    tell, when = moved_twice()
    found = tell.trail(tmp_path / "trail", floor=4).lineage(20, when["moved"]).to_pylist()
    assert [(row["pfn"], row["link"]) for row in found] == [
        (9, "allocated"), (9, "split"), (20, "migrated from pfn 9; isolated before"),
        (30, "migrated from pfn 20; allocated for it by pid 90"),
    ]  # fmt: skip
    times = [when[name] for name in ("allocated", "split", "moved", "moved again", "freed")]
    assert [(row["begin_ts"], row["end_ts"]) for row in found] == list(pairwise(times))
    assert [row["end_how"] for row in found] == ["split", "migrate", "migrate", "free"]
    assert {row["pid"] for row in found} == {5}
    assert all(row["certain"] for row in found)


@pytest.mark.slow
def test_wherever_contents_are_met_the_same_is_told_of_them(tmp_path: Path) -> None:
    tell, when = moved_twice()
    trail = tell.trail(tmp_path / "trail", floor=4)
    whole = trail.lineage(20, when["moved"])
    for pfn, at in ((9, "allocated"), (9, "split"), (9, "left behind"), (20, "left behind"), (30, "moved again")):
        assert trail.lineage(pfn, when[at]).equals(whole), (pfn, at)


def test_as_of_an_earlier_time_contents_have_not_gone_further(tmp_path: Path) -> None:
    tell, when = moved_twice()
    trail = tell.trail(tmp_path / "trail", floor=4)
    found = trail.lineage(9, when["split"], as_of=when["left behind"]).to_pylist()
    assert [row["pfn"] for row in found] == [9, 9, 20]
    assert found[-1]["end_ts"] is None


def test_a_page_that_nobody_owns_has_no_contents_to_follow(tmp_path: Path) -> None:
    tell, when = moved_twice()
    trail = tell.trail(tmp_path / "trail")
    for pfn, at in ((30, "end"), (1, "end")):
        with pytest.raises(NotFound, match="no contents to follow"):
            trail.lineage(pfn, when[at])


def test_the_tails_of_a_migrated_block_go_along_and_are_said_to_be_the_migrators(tmp_path: Path) -> None:
    tell = Story()
    tell(Kind.ALLOC, 8, order=2)
    tell(Kind.ALLOC, 16, order=2, pid=90)
    at = tell(Kind.MIGRATE, 16, pid=90, src_pfn=8)
    trail = tell.trail(tmp_path / "trail")
    head, tail = trail.lineage(16, at).to_pylist(), trail.lineage(18, at).to_pylist()
    assert [(row["pfn"], row["pid"]) for row in head] == [(8, 5), (16, 5)]
    assert [(row["pfn"], row["pid"], row["dst_pfn"]) for row in tail] == [(10, 5, 18), (18, 90, None)]
    assert tail[-1]["link"] == "migrated from pfn 10, a tail: its record is the migrator's, pid 90"
    assert trail.lineage(10, at).to_pylist() == tail


def test_where_migration_is_not_covered_each_stay_says_that_there_may_be_more_links(tmp_path: Path) -> None:
    tell = Story(without="migrate")
    at = tell(Kind.ALLOC, 8)
    tell(Kind.SPLIT, 8, nr_pages=1)
    (row,) = tell.trail(tmp_path / "trail").lineage(8, at).to_pylist()
    assert not row["certain"]
    assert "migration was not recorded" in row["why"]


def test_a_history_names_where_contents_came_from_and_went_to(tmp_path: Path) -> None:
    tell, when = moved_twice()
    trail = tell.trail(tmp_path / "trail", floor=4)
    rows = {
        (row["pfn"], row["how"]): row for pfn in (8, 9, 20, 30) for row in trail.history(pfn).to_pylist()
        if row["state"] == "owned"
    }  # fmt: skip
    assert (rows[9, "split"]["dst_pfn"], rows[9, "split"]["dst_ts"]) == (20, when["moved"])
    assert rows[9, "split"]["end_ts"] > when["left behind"]
    assert (rows[20, "migrate"]["src_pfn"], rows[20, "migrate"]["dst_pfn"]) == (9, 30)
    assert (rows[30, "migrate"]["src_pfn"], rows[30, "migrate"]["dst_pfn"]) == (20, None)
    assert rows[9, "alloc"]["dst_pfn"] is None
    assert rows[8, "split"]["dst_pfn"] is None


def test_between_two_generations_of_its_section_a_page_is_absent(tmp_path: Path) -> None:
    tell, ends = Story(), []
    for _ in range(2):
        tell.hotplug("online", "entry", 64)
        tell.hotplug("online", "return", ret=0)
        tell(Kind.ALLOC, 64)
        tell.hotplug("offline", "entry", 64)
        tell.hotplug("offline", "return", ret=0)
        ends.append(tell.now)
    trail = tell.trail(tmp_path / "trail", floor=3)
    rows = trail.history(64).to_pylist()
    assert [(row["state"], row["generation"], row["end_how"]) for row in rows] == [
        ("owned", 1, "offlined"), ("absent", None, "online_pages"), ("owned", 2, "offlined"), ("absent", None, None),
    ]  # fmt: skip
    assert [row["begin_ts"] for row in rows if row["state"] == "absent"] == ends
    assert trail.lineage(64, rows[2]["begin_ts"])["end_how"].to_pylist() == ["offlined"]
    for row in rows:
        then = trail.owner([64], row["begin_ts"]).to_pylist()[0]
        assert (then["state"], then["why"]) == (row["state"], row["why"]) or row["state"] == "owned"


# -- the model kernel --------------------------------------------------------------------------------------------------------


def visited(events: EventBatch) -> dict[int, list[int]]:
    """Return of each page that holds contents at the end the pages that these were on, by the complete record of events."""
    trails: dict[int, list[int]] = {}
    order: dict[int, int] = {}
    names = ("kind", "pfn", "order", "nr_pages", "src_pfn")
    for kind, pfn, size, nr_pages, src in zip(*(events.column(name).tolist() for name in names), strict=True):
        if kind in (Kind.ALLOC, Kind.ISOLATE):
            for page in range(pfn, pfn + (1 << size)):
                trails[page], order[page] = [page], size
        elif kind in (Kind.FREE, Kind.DRAIN, Kind.REFILL):
            for page in range(pfn, pfn + (1 << size)):
                trails.pop(page, None)
        elif kind == Kind.SPLIT:
            order.update(dict.fromkeys(range(pfn, pfn + nr_pages), 0))
        elif kind == Kind.MIGRATE and src != pfn:
            for i in range(1 << order.get(src, 0)):
                before = trails.pop(src + i, None)
                trails.pop(pfn + i, None)
                if before is not None:
                    trails[pfn + i] = [*before, pfn + i]
            order[pfn] = order.get(src, 0)
    return trails


def pages(rows: list[dict[str, Any]]) -> Iterator[int]:
    """Yield the pages of stays, each once where several stays follow on one."""
    before = None
    for row in rows:
        if row["pfn"] != before:
            yield row["pfn"]
        before = row["pfn"]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(effort(1, 20)))
def test_contents_of_the_model_kernel_were_where_its_events_put_them(seed: int, tmp_path: Path) -> None:
    history = ModelKernel(seed, config=MOVERS).run(500)
    trail = told(tmp_path / "trail", numbered(history.events), correct=False, floor=1_000)
    owned = trail.snapshot("-0s").to_pylist()
    there = {p for row in owned for p in range(row["pfn"], row["pfn"] + row["nr_pages"]) if row["state"] == "owned"}
    known = {pfn: trail_ for pfn, trail_ in visited(history.events).items() if pfn in there}
    rng = random.Random(seed)
    moved = [pfn for pfn, pages_ in known.items() if len(pages_) > 1]
    assert moved
    for pfn in {*rng.sample(moved, min(12, len(moved))), *rng.sample(sorted(known), 6)}:
        rows = trail.lineage(pfn, "-0s").to_pylist()
        assert list(pages(rows)) == known[pfn], (seed, pfn)
        assert all(a["end_seq"] == b["begin_seq"] for a, b in pairwise(rows))


def test_an_owner_that_was_migrated_is_shown_with_the_reason(tmp_path: Path) -> None:
    tell = Story()
    tell(Kind.ALLOC, 8)
    tell(Kind.ALLOC, 20, pid=40)
    tell(Kind.MIGRATE, 20, src_pfn=8)
    tell(Kind.MIGRATE, 20, src_pfn=20, migrate_reason=0)
    (row,) = tell.trail(tmp_path / "trail").owner([20], "-0s").to_pylist()
    assert "\n  migrated  from pfn 8 because of compaction\n" in owner_text(row, None)
