"""Laws of the fold, over histories of the model kernel: it equals the truth; and it is never wrong and certain."""

import random
from collections.abc import Callable

import numpy as np
import pytest

from pagetrail.replay.fold.tables import DOUBTS
from pagetrail.replay.rules.clients.client import UNKNOWN
from pagetrail.schemas.columns import Kind
from pagetrail.schemas.owner import Evidence, How, State
from tests.effort import effort
from tests.model.config import ModelConfig
from tests.model.damage import (
    Damaged,
    covered_late,
    lose_lines,
    lose_stretches,
    lossy_ring,
    skew,
    start_late,
    withhold,
    without_page_owner,
    without_probes,
)
from tests.model.kernel import History, ModelKernel
from tests.model.page_ext import PageState
from tests.oracles.answers import (
    answers,
    contradictions,
    describe,
    expected,
    flags_said,
    folded,
    listed,
    said,
    settled,
    wrong,
    wrong_and_certain,
)

HISTORIES = effort(120, 10_000)
PARTS = 20  # a failing part names its seed; pytest-xdist spreads the parts
STEPS = 250
SKEW_NSEC = 5_000_000  # of four CPUs: the lower, the rarer is it that two events of one page change places

PLAIN = ModelConfig()
LATE = ModelConfig(page_owner_step=100, weights={"bulk": 6})
OLD = ModelConfig(release="5.10.223")
NEW = ModelConfig(release="6.12.117")
MACHINES = {
    "plain": PLAIN,
    "late page_owner": LATE,
    "large memory blocks": ModelConfig(block_sections=2, hotplug_sections=4, cpus=4),
    "hotplug and dumps": ModelConfig(weights={"dump": 6, "offline": 9, "online": 9}),
    "poison and guards": ModelConfig(flags=True, weights={"guards": 3}),
    "flags and hotplug": ModelConfig(flags=True, weights={"offline": 9, "online": 9, "guards": 2}),
    "flat memory": ModelConfig(memory_model="FLATMEM", flags=True),
    "huge pages move": ModelConfig(max_order=7, weights={"huge": 9, "migrate": 9}),
    "Linux 5.10": OLD,
    "Linux 6.12": NEW,
    "Linux 7.2, huge pages move": ModelConfig(
        release="7.2.0", max_order=7, weights={"huge": 9, "migrate": 9, "split_huge": 6, "compact": 9}
    ),
    "Linux 6.12, contiguous ranges": ModelConfig(release="6.12.117", weights={"contiguous": 12, "compact": 6}),
}
NO_HOTPLUG = ModelConfig(hotplug_sections=0)
FOUR_CPUS = ModelConfig(hotplug_sections=0, cpus=4)
MOVING = ModelConfig(hotplug_sections=0, cpus=4, weights={"migrate": 12, "compact": 6})
NEW_MOVING = ModelConfig(hotplug_sections=0, cpus=4, release="6.12.117", weights={"migrate": 12, "compact": 6})
ALREADY_RUNNING = ModelConfig(untraced_steps=150)

Damage = Callable[[History, int], Damaged]


def undamaged(history: History, seed: int) -> Damaged:
    rows = np.arange(len(history.events))
    return Damaged(events=history.events, origin=rows, lost=rows[:0])


def without(*kinds: str) -> Damage:
    return lambda history, seed: without_probes(history, kinds)  # type: ignore[arg-type]


def lost_lines(*kinds: Kind) -> Damage:
    return lambda history, seed: lose_lines(history, seed, kinds)


def seeds(part: int, of: int = HISTORIES) -> range:
    """Return the seeds of one part of *of* histories."""
    return range(part, of, PARTS)


def instants(history: History, damaged: Damaged, seed: int, count: int = 8) -> list[int]:
    """Return instants (trace clock), rising, the last one at the end; all lie after the recording's first event."""
    begin = int(damaged.events.columns["trace_ts_nsec"][0])
    times = np.unique(history.events.columns["trace_ts_nsec"])
    times = times[times >= begin].tolist()
    return sorted({*random.Random(seed).sample(times, min(count, len(times))), times[-1]})


def rows_at(history: History, times: list[int]) -> list[int]:
    """Return the last row of the history up to and with each instant."""
    return [int(row) - 1 for row in np.searchsorted(history.events.columns["trace_ts_nsec"], times, side="right")]


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("part", range(PARTS))
def test_with_full_coverage_the_fold_equals_the_truth(machine: str, part: int) -> None:
    """Every page of every block, in both views; and the generations of sections. Sampled from the first dump on."""
    config = MACHINES[machine]
    for seed in seeds(part, -(-HISTORIES // len(MACHINES))):
        history = ModelKernel(seed, config=config).run(STEPS)
        last = len(history.events) - 1
        first = int(np.argmax(history.events.columns["kind"] == Kind.BASELINE_END))
        rows = sorted({first, last, *random.Random(seed).sample(range(first, last), 10)})
        for row, engine, truth in zip(rows, folded(history.events, rows), history.journal.truths(rows), strict=True):
            ours, kernel, proven = said(engine, config), truth.kernel.pages, expected(truth)
            where = f"seed {seed}, after event {row}"
            assert np.array_equal(ours.absent, kernel["state"] == PageState.ABSENT), where
            assert np.array_equal(ours.generation, kernel["generation"]), where
            for view, real in ((ours.kernel, listed(truth)), (ours.proven, proven)):
                # of a page that came to a per-cpu list before it was stamped, nobody knows whether it was allocated
                open_ = (view["how"] == How.EARLY) & (view["evidence"] == Evidence.INFERRED)
                assert not (open_ & ~kernel["early"]).any(), where
                known = {name: pages & ~open_ for name, pages in wrong(view, real, config).items()}
                known = {name: pages for name, pages in known.items() if pages.any()}
                assert not known, (where, describe(known, view, real))
                missing = (view["state"] == State.UNKNOWN) & (real["state"] == PageState.OWNED)
                assert not missing.any(), (where, np.flatnonzero(missing))
            # the views differ exactly where page_owner stamped a page of which the trace knows better
            stamped = kernel["early"] & (truth.actual.pages["event"] >= 0)
            assert not (ours.viewed & ~stamped).any(), (where, np.flatnonzero(ours.viewed & ~stamped))
            unseen = stamped & ~ours.viewed & (proven["state"] == PageState.OWNED) & ~open_
            assert not unseen.any(), (where, np.flatnonzero(unseen))


@pytest.mark.parametrize("machine", ["poison and guards", "flags and hotplug", "flat memory"])
def test_every_flag_that_the_fold_says_is_the_pages(machine: str) -> None:
    """And it says one of every page that an event told of, or that came with memory that was seen to come."""
    config = MACHINES[machine]
    told = 0
    for seed in range(-(-HISTORIES // 4)):
        history = ModelKernel(seed, config=config).run(STEPS)
        rows = rows_at(history, instants(history, undamaged(history, seed), seed))
        for row, engine, truth in zip(rows, folded(history.events, rows), history.journal.truths(rows), strict=True):
            here = truth.actual.pages["state"] != PageState.ABSENT
            for name, value in flags_said(engine, config).items():
                known = value != UNKNOWN
                where = f"seed {seed}, after event {row}, {name}"
                assert np.array_equal(value[known], truth.actual.pages[name][known].astype(np.int64)), where
                assert not (known & ~here).any(), where
                assert not (flagged_since(history, row, name) & here & ~known).any(), where
                told += int(known.sum())
    assert told


def flagged_since(history: History, row: int, flag: str) -> np.ndarray:
    """Return the pages that an event up to and with *row* told a flag of, or whose extension came, and did not go since."""
    pages = np.zeros(history.config.nr_pages, np.bool_)
    for event, op, arguments in history.journal.entries:
        if not 0 <= event <= row:
            continue
        if op == "set_flag" and arguments[2] == flag:
            pages[arguments[0] : arguments[0] + arguments[1]] = True
        elif op in ("online", "offline"):
            pages[arguments[0] : arguments[1]] = op == "online"
    return pages


CASES: dict[str, tuple[ModelConfig, Damage]] = {
    "undamaged": (PLAIN, undamaged),
    "no alloc": (PLAIN, without("alloc")),
    "no free": (PLAIN, without("free")),
    "no drain": (PLAIN, without("drain")),
    "no split": (PLAIN, without("split")),
    "no migrate": (PLAIN, without("migrate")),
    "no isolate": (PLAIN, without("isolate")),
    "no refill": (PLAIN, without("refill")),
    "no hotplug": (PLAIN, without("hotplug")),
    "tracepoints only": (PLAIN, without("split", "migrate", "isolate", "hotplug")),
    "gaps": (PLAIN, lambda history, seed: lose_stretches(history, seed)),
    "started late": (PLAIN, lambda history, seed: start_late(history, 60)),
    "already running": (ALREADY_RUNNING, undamaged),
    "a CPU's coverage ends": (PLAIN, lambda history, seed: lossy_ring(history, seed)),
    "covered from some time on": (PLAIN, lambda history, seed: covered_late(history, seed)),
    "Linux 5.10": (OLD, undamaged),
    "Linux 6.6, which may do as 6.1": (ModelConfig(release="6.6.0", weights={"migrate": 6, "huge": 6}), undamaged),
    "Linux 6.12": (NEW, undamaged),
    "Linux 6.12, contiguous ranges without their probe": (
        ModelConfig(release="6.12.117", weights={"contiguous": 12}),
        without("contig_range"),
    ),
    "Linux 6.12.5, whose contiguous ranges may be of either kind": (
        ModelConfig(release="6.12.5", weights={"contiguous": 12, "compact": 6}),
        undamaged,
    ),
    "Linux 6.6, whose contiguous ranges may be of either kind": (
        ModelConfig(release="6.6.0", weights={"contiguous": 12, "compact": 6}),
        undamaged,
    ),
    "Linux 6.12, no split": (NEW, without("split")),
    "Linux 6.12, no migrate": (NEW, without("migrate")),
    "Linux 6.12, no isolate": (NEW, without("isolate")),
    "Linux 6.12, tracepoints only": (NEW, without("split", "migrate", "isolate", "hotplug", "contig_range")),
    "Linux 6.12, gaps": (NEW, lambda history, seed: lose_stretches(history, seed)),
    "lost lines of allocations and frees": (MOVING, lost_lines(Kind.ALLOC, Kind.FREE, Kind.ISOLATE)),
    "lost lines of migrations": (MOVING, lost_lines(Kind.MIGRATE)),
    "Linux 6.12, lost lines of migrations": (NEW_MOVING, lost_lines(Kind.MIGRATE)),
    "late page_owner": (LATE, undamaged),
    "late page_owner, no drain": (LATE, without("drain")),
}


@pytest.mark.parametrize("case", CASES)
def test_no_answer_is_wrong_and_certain(case: str) -> None:
    config, damage = CASES[case]
    for seed in range(-(-HISTORIES // len(CASES))):
        history = ModelKernel(seed, config=config).run(STEPS)
        damaged = damage(history, seed)
        times = instants(history, damaged, seed)
        found, _ = answers(damaged.events, times, config)
        for answer, truth in zip(found, history.journal.truths(rows_at(history, times)), strict=True):
            bad = {name: pages for name, pages in wrong_and_certain(answer, truth, config).items() if pages.any()}
            assert not bad, (case, seed, answer.ts, describe(bad, answer.said.proven, expected(truth)))


@pytest.mark.parametrize("release", ["5.10.223", "6.1.192", "6.12.117", "7.2.13"])
def test_without_page_owner_owners_are_certain_and_none_is_wrong(release: str) -> None:
    """Pages are taken in bulk, and isolated, without an event; probes on functions that every kernel has show the rest."""
    bulk = {} if release.startswith("5.10") else {"bulk": 6.0}
    weights = {"migrate": 6.0, "huge": 4.0, "compact": 6.0, **bulk}
    config = ModelConfig(release=release, page_owner_step=STEPS, weights=weights)
    sure = owned = 0
    for seed in range(-(-HISTORIES // 20)):
        history = ModelKernel(seed, config=config).run(STEPS)
        damaged = without_page_owner(history)
        last = damaged.events.columns["trace_ts_nsec"][-1]
        times = [ts for ts in instants(history, damaged, seed) if ts < last]
        found, _ = answers(damaged.events, times, config)
        for answer, truth in zip(found, history.journal.truths(rows_at(history, times)), strict=True):
            bad = {name: pages for name, pages in wrong_and_certain(answer, truth, config).items() if pages.any()}
            assert not bad, (seed, answer.ts, describe(bad, answer.said.proven, expected(truth)))
            pages = answer.said.proven["state"] == State.OWNED
            sure += int(answer.certain[pages].all(axis=1).sum())
            owned += int(pages.sum())
    assert sure > 0.5 * owned > 0


@pytest.mark.parametrize("case", ["undamaged", "no drain"])
def test_nearly_everything_is_certain_where_nothing_is_missing(case: str) -> None:
    """The law above would hold for a fold that is certain of nothing."""
    config, damage = CASES[case]
    sure = owned = 0
    for seed in range(10):
        history = ModelKernel(seed, config=config).run(STEPS)
        damaged = damage(history, seed)
        for answer in answers(damaged.events, instants(history, damaged, seed), config)[0]:
            pages = answer.said.proven["state"] == State.OWNED
            sure += int(answer.certain[pages].all(axis=1).sum())
            owned += int(pages.sum())
    assert sure > 0.95 * owned > 0


def test_skewed_clocks_within_the_declared_bound_make_no_certain_answer_wrong() -> None:
    """Asked for pages that nothing happens to within the bound around the instant."""
    for seed in range(-(-HISTORIES // 10)):
        history = ModelKernel(seed, config=FOUR_CPUS).run(STEPS)
        damaged = skew(history, seed, bound=SKEW_NSEC)
        times = instants(history, damaged, seed)
        found, _ = answers(damaged.events, times, FOUR_CPUS, skew=SKEW_NSEC)
        for answer, truth in zip(found, history.journal.truths(rows_at(history, times)), strict=True):
            quiet = settled(history, answer.ts, SKEW_NSEC)
            wrongs = wrong_and_certain(answer, truth, FOUR_CPUS)
            bad = {name: pages & quiet for name, pages in wrongs.items() if (pages & quiet).any()}
            assert not bad, (seed, answer.ts, describe(bad, answer.said.proven, expected(truth)))


@pytest.mark.parametrize("part", range(4))
def test_what_was_withheld_is_noticed_at_the_first_contradiction_and_casts_doubt_back(part: int) -> None:
    noticed = 0
    for seed in range(part, -(-HISTORIES // 4), 4):
        history = ModelKernel(seed, config=NO_HOTPLUG).run(STEPS)
        damaged = withhold(history, seed)
        times = instants(history, damaged, seed)
        found, engine = answers(damaged.events, times, NO_HOTPLUG)
        doubts = engine.state.tables.doubts[: engine.state.tables.counts[DOUBTS]]
        doubted = np.full(NO_HOTPLUG.nr_pages, -1, np.int64)  # until when each page is doubted, from the first loss on
        for pfn, since, now in contradictions(damaged.events):
            on = (doubts["pfn"] <= pfn) & (pfn < doubts["pfn"] + doubts["nr_pages"])
            assert (on & (doubts["from_ts"] <= since) & (doubts["to_ts"] >= now)).any(), (seed, pfn, since, now)
            doubted[pfn] = max(doubted[pfn], now)
            noticed += 1
        for answer, truth in zip(found, history.journal.truths(rows_at(history, times)), strict=True):
            wrongs = wrong_and_certain(answer, truth, NO_HOTPLUG)
            bad = {name: pages & (doubted >= answer.ts) for name, pages in wrongs.items()}
            assert not any(pages.any() for pages in bad.values()), (
                seed, answer.ts, describe(bad, answer.said.proven, expected(truth)),
            )  # fmt: skip
    assert noticed
