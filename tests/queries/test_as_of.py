"""As of an earlier time, an answer is what a trail would have said whose log ended then."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pytest

from pagetrail.api import Trail
from pagetrail.producers.log.framing import single
from pagetrail.schemas.batch import EventBatch, concat
from pagetrail.schemas.columns import Kind
from pagetrail.schemas.details import Boot, Clock, Coverage
from pagetrail.schemas.errors import NotFound
from tests.effort import effort
from tests.model.config import EVERYTHING, ModelConfig
from tests.model.damage import lose_stretches, skew, withhold, without_probes
from tests.model.kernel import History, ModelKernel
from tests.oracles.answers import numbered
from tests.stories import Story, told

STEPS = 160
FLOOR = 300
SKEW_NSEC = 5_000_000
HISTORIES = effort(1, 30)
"""Of each kind of damage. Each makes a whole trail, and one for every time as of which is asked."""


def undamaged(history: History, seed: int) -> EventBatch:
    return history.events


def withheld(history: History, seed: int) -> EventBatch:
    return withhold(history, seed).events


def gaps(history: History, seed: int) -> EventBatch:
    return lose_stretches(history, seed).events


def no_probes(history: History, seed: int) -> EventBatch:
    return without_probes(history, ("migrate", "isolate", "split")).events


def declared_late(history: History, seed: int) -> EventBatch:
    """Coverage of the first half, another relation of the clocks, and other constants are told in the middle."""
    events, ts = history.events, history.events.columns["trace_ts_nsec"]
    middle = len(events) // 2
    begin, now = int(ts[0]), int(ts[middle])
    late = [
        single(Kind.COVERAGE, now, Coverage(kinds=EVERYTHING, since=begin, until=now, declared_by="a reading")),
        single(Kind.CLOCK, now, Clock(ts_nsec=now + 5, valid_from=0)),
        single(Kind.BOOT, now, Boot(page_ext_clients=("debug",))),
    ]
    return concat([events.slice(0, middle), *late, events.slice(middle, len(events))])


def skewed(history: History, seed: int) -> EventBatch:
    return skew(history, seed, bound=SKEW_NSEC).events


KINDS = {
    "undamaged": undamaged, "withheld": withheld, "gaps": gaps, "no probes": no_probes, "late": declared_late, "skewed": skewed,
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A whole trail, and one whose log ends at *then*, with instants up to it."""

    whole: Trail
    cut: Trail
    then: int
    instants: list[int]
    pages: int


def pairs(folder: Path, kind: str) -> Iterator[Pair]:
    coverage = () if kind == "late" else EVERYTHING
    config = ModelConfig(hotplug_sections=4, coverage=coverage, weights={"dump": 5, "offline": 6, "online": 6})
    for seed in range(HISTORIES):
        history = ModelKernel(seed, config=config).run(STEPS)
        events = numbered(KINDS[kind](history, seed), skew=SKEW_NSEC if kind == "skewed" else 0)
        times = np.unique(events.columns["trace_ts_nsec"])
        rng = random.Random(f"{kind} {seed}")
        whole = told(folder / f"{seed}", events, correct=seed % 2 == 0, floor=FLOOR)
        for then in sorted(rng.sample(times.tolist(), 2)):
            rows = int(np.searchsorted(events.columns["trace_ts_nsec"], then, side="right"))
            cut = told(folder / f"{seed}-{then}", events.slice(0, rows), correct=seed % 2 == 0, floor=FLOOR)
            instants = [*rng.sample(times[times <= then].tolist(), min(2, int((times <= then).sum()))), then]
            yield Pair(whole=whole, cut=cut, then=then, instants=instants, pages=config.nr_pages)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_as_of_a_time_is_what_a_log_that_ends_then_says(kind: str, tmp_path: Path) -> None:
    """Owners, snapshots, sections and histories, in every field."""
    for pair in pairs(tmp_path, kind):
        whole, cut, then = pair.whole, pair.cut, pair.then
        pages = list(range(0, pair.pages, 3))
        for at in pair.instants:
            assert whole.owner(pages, at, as_of=then).to_pylist() == cut.owner(pages, at).to_pylist(), (then, at)
            rows = whole.snapshot(at, everything=True, as_of=then)
            assert rows.to_pylist() == cut.snapshot(at, everything=True).to_pylist(), (then, at)
            assert whole.sections(at, as_of=then).equals(cut.sections(at))
        assert whole.sections(as_of=then).equals(cut.sections())
        for pfn in random.Random(then).sample(pages, 5):
            assert whole.history(pfn, as_of=then).to_pylist() == cut.history(pfn).to_pylist(), (then, pfn)


def test_evidence_up_to_a_time_says_nothing_of_a_later_instant(audited: Trail) -> None:
    with pytest.raises(NotFound, match="later than --as-of"):
        audited.owner([300], "33.125", as_of="@3-t3")
    with pytest.raises(NotFound, match="later than --as-of"):
        audited.snapshot("@4-t4", as_of="@3-t3")
    with pytest.raises(NotFound, match="later than --as-of"):
        audited.leaks("@2-t2", "@4-t4", "comm", as_of="@3-t3")


def test_the_state_just_before_a_dump_can_be_asked_as_of_just_before_it(audited: Trail) -> None:
    answer = audited.owner([0x1802], "@3-t3", as_of="@3-t3").to_pylist()[0]
    assert answer["horizon"] == answer["asked_ts"] == audited.stream().instant("@3-t3").ts
    assert "disagreed" not in answer["why"]


def test_as_of_the_end_or_later_is_the_answer_of_today(audited: Trail) -> None:
    horizon = audited.stream().horizon
    for then in (horizon, horizon + 10**12):
        assert audited.snapshot("@4-t4", as_of=then).equals(audited.snapshot("@4-t4"))
        assert audited.owner([300, 0x1802], "33.125", as_of=then).equals(audited.owner([300, 0x1802], "33.125"))


def test_top_and_leaks_rest_on_the_same_evidence_as_the_snapshot(audited: Trail) -> None:
    """vmstat, read after the instant, shows that nothing was migrated until then: as of the instant, less was certain."""
    now, then = (audited.snapshot("@2-t2", as_of=as_of) for as_of in (None, "@2-t2"))
    certain = {}
    for name, rows, as_of in (("now", now, None), ("then", then, "@2-t2")):
        pages = pc.sum(pc.if_else(rows["certain"], rows["nr_pages"], 0)).as_py()
        top = audited.top("@2-t2", "pid", as_of=as_of)
        assert pc.sum(top["certain_pages"]).as_py() == pages
        certain[name] = pages
    assert certain["then"] < certain["now"]
    assert audited.leaks("@1-boot", "@2-t2", "comm", as_of="@2-t2")["pages"].to_pylist()


def test_while_a_hotplug_call_was_under_way_its_range_was_in_doubt(tmp_path: Path) -> None:
    tell = Story()
    tell(Kind.ALLOC, 64)
    tell.hotplug("offline", "entry", 64)
    between = tell(Kind.FREE, 8)
    open_trail = tell.trail(tmp_path / "open")
    tell.hotplug("offline", "return", ret=-16)
    after = tell(Kind.ALLOC, 8)
    trail = tell.trail(tmp_path / "returned")
    asked = ((open_trail, None), (trail, between), (trail, None))
    for opened, as_of in asked:
        assert not opened.owner([64], between, as_of=as_of)["certain"][0].as_py()
    assert trail.owner([64], after)["certain"][0].as_py()


def test_what_a_dump_did_not_list_stays_in_doubt_in_every_later_segment(tmp_path: Path) -> None:
    tell = Story()
    tell(Kind.ALLOC, 8)
    before = tell.now
    tell.now += 1
    tell.dump(tell.now)
    for _ in range(6):
        tell(Kind.ALLOC, 20)
        tell(Kind.FREE, 20)
    trail = tell.trail(tmp_path / "trail", floor=4)
    assert len(trail.stream().files) > 2
    assert "disagreed" in trail.owner([8], tell.now)["why"][0].as_py()
    assert "disagreed" in trail.owner([8], before)["why"][0].as_py()
    assert trail.owner([8], before, as_of=before)["certain"][0].as_py()
