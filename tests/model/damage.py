"""Ways to damage a history, seeded: what recordings lose, with and without saying so."""

import random
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pagetrail.producers.log.framing import single
from pagetrail.schemas.batch import EventBatch, concat
from pagetrail.schemas.columns import Kind, absent
from pagetrail.schemas.details import BaselineBegin, Coverage, Covered, Gap
from tests.model.events import of_kinds, pick, with_columns
from tests.model.kernel import History

KIND_OF: Final[dict[Covered, Kind]] = {
    "alloc": Kind.ALLOC,
    "free": Kind.FREE,
    "split": Kind.SPLIT,
    "migrate": Kind.MIGRATE,
    "isolate": Kind.ISOLATE,
    "drain": Kind.DRAIN,
    "refill": Kind.REFILL,
    "hotplug": Kind.HOTPLUG,
    "contig_range": Kind.CONTIG_RANGE,
}

TRACED: Final = (*KIND_OF.values(), Kind.POISON, Kind.UNPOISON, Kind.GUARD, Kind.UNGUARD)
"""Kinds that come from a CPU's buffer, and can be lost there."""


_DUMP: Final = (Kind.BASELINE_BEGIN, Kind.BASELINE_ENTRY, Kind.BASELINE_END)


@dataclass(frozen=True, slots=True, kw_only=True)
class Damaged:
    """What a recording got of a history.

    Attributes
    ----------
    origin
        (n,) int64: which row of the history each event was; -1 for what tells of the damage.
    lost
        Rows of the history that it did not get.
    """

    events: EventBatch
    origin: NDArray[np.int64]
    lost: NDArray[np.int64]


def _traced(history: History) -> NDArray[np.bool_]:
    return np.asarray(of_kinds(history.events, TRACED) & (history.events.columns["cpu"] != absent("cpu")))


def _kept(history: History, keep: NDArray[np.bool_]) -> Damaged:
    rows = np.flatnonzero(keep)
    return Damaged(events=pick(history.events, rows), origin=rows, lost=np.flatnonzero(~keep))


def lose_stretches(history: History, seed: int, *, stretches: int = 2, longest: int = 40) -> Damaged:
    """Lose stretches of the events of single CPUs; a GAP tells of each, just before the first event after it."""
    rng = random.Random(seed)
    ts, cpu = history.events.columns["trace_ts_nsec"], history.events.columns["cpu"]
    traced = _traced(history)
    keep = np.ones(len(history.events), np.bool_)
    gaps: list[tuple[int, EventBatch]] = []
    for which in rng.sample(range(history.config.cpus), min(stretches, history.config.cpus)):
        rows = np.flatnonzero(traced & (cpu == which))
        if rows.size < 3:
            continue
        first = rng.randrange(1, rows.size - 1)
        behind = min(first + rng.randrange(1, longest), rows.size)
        keep[rows[first:behind]] = False
        last = behind == rows.size
        gap = Gap(
            t_lo=int(ts[rows[first - 1]]), t_hi=int(ts[-1] if last else ts[rows[behind]]), lost=behind - first,
            reason="the ring of the CPU was full",
        )  # fmt: skip
        row = single(Kind.GAP, gap.t_hi, gap)
        gaps.append((len(keep) if last else int(rows[behind]), with_columns(row, {"cpu": np.array([which], np.int16)})))
    return _with_rows(history, keep, gaps)


def lose_lines(history: History, seed: int, kinds: Iterable[Kind], *, lines: int = 6) -> Damaged:
    """Lose single events; a GAP names the pages of each, just before the next event of its CPU."""
    rng = random.Random(seed)
    columns = history.events.columns
    ts, cpu = columns["trace_ts_nsec"], columns["cpu"]
    traced, lost = _traced(history), np.flatnonzero(_traced(history) & of_kinds(history.events, kinds)).tolist()
    keep = np.ones(len(history.events), np.bool_)
    gaps: list[tuple[int, EventBatch]] = []
    for row in sorted(rng.sample(lost, min(lines, len(lost)))):
        same = np.flatnonzero(traced & (cpu == cpu[row]))
        at = int(np.searchsorted(same, row))
        if 0 < at < same.size - 1:
            keep[row] = False
            before, behind = int(same[at - 1]), int(same[at + 1])
            gap = Gap(t_lo=int(ts[before]), t_hi=int(ts[behind]), reason="a line that was not understood")
            names = ("cpu", "pfn", *(("src_pfn",) if columns["kind"][row] == Kind.MIGRATE else ("order",)))
            named = {name: columns[name][row : row + 1] for name in names}
            gaps.append((behind, with_columns(single(Kind.GAP, gap.t_hi, gap), named)))
    return _with_rows(history, keep, gaps)


def _with_rows(history: History, keep: NDArray[np.bool_], extra: list[tuple[int, EventBatch]]) -> Damaged:
    """Keep some rows, and put others in before rows of the history."""
    parts, origin, done = [], [], 0
    for before, row in sorted(extra, key=lambda one: one[0]):
        rows = np.flatnonzero(keep[done:before]) + done
        parts += [pick(history.events, rows), row]
        origin += [rows, np.full(1, -1)]
        done = before
    rows = np.flatnonzero(keep[done:]) + done
    parts.append(pick(history.events, rows))
    origin.append(rows)
    events = concat([part for part in parts if len(part)])
    return Damaged(events=events, origin=np.concatenate(origin), lost=np.flatnonzero(~keep))


def without_probes(history: History, missing: Iterable[Covered]) -> Damaged:
    """Leave kinds out, and do not claim to cover them."""
    gone = set(missing)
    keep = ~of_kinds(history.events, [KIND_OF[kind] for kind in gone])
    damaged = _kept(history, keep)
    details = dict(damaged.events.details)
    for row in np.flatnonzero(damaged.events.columns["kind"] == Kind.COVERAGE).tolist():
        said = Coverage.model_validate_json(details[row])
        seen = tuple(kind for kind in said.kinds if kind not in gone)
        details[row] = said.model_copy(update={"kinds": seen}).model_dump_json(exclude_none=True)
    events = EventBatch(columns=damaged.events.columns, texts=damaged.events.texts, details=details)
    return Damaged(events=events, origin=damaged.origin, lost=damaged.lost)


def without_page_owner(history: History) -> Damaged:
    """Leave out what only page_owner shows: its dumps, and what is isolated; up to 6.1, ranges that are taken as a whole, too."""
    missing: tuple[Covered, ...] = ("isolate",) if history.config.since_6_12 else ("isolate", "contig_range")
    damaged = without_probes(history, missing)
    dumps = of_kinds(damaged.events, (Kind.BASELINE_BEGIN,))
    rows = np.arange(int(np.argmax(dumps)) if dumps.any() else len(damaged.events))
    return Damaged(events=pick(damaged.events, rows), origin=damaged.origin[rows], lost=damaged.lost)


def lossy_ring(history: History, seed: int, *, longest: int = 200) -> Damaged:
    """Lose a stretch of one CPU's events without a word; the CPU's coverage ends before it, and begins again behind it.

    Now and then it does not begin again, or all CPUs are declared anew.
    """
    rng = random.Random(seed)
    ts, cpu = history.events.columns["trace_ts_nsec"], history.events.columns["cpu"]
    which = rng.randrange(history.config.cpus)
    rows = np.flatnonzero(_traced(history) & (cpu == which))
    keep = np.ones(len(history.events), np.bool_)
    if rows.size < 3:
        return _with_rows(history, keep, [])
    first = rng.randrange(1, rows.size - 1)
    behind = min(first + rng.randrange(1, longest), rows.size)
    keep[rows[first:behind]] = False
    kinds = history.config.coverage
    ends = Coverage(kinds=kinds, cpus=(which,), begins=False, declared_by="statistics of the ring")
    told = [(int(rows[first - 1]) + 1, single(Kind.COVERAGE, int(ts[rows[first - 1]]), ends))]
    if behind < rows.size and rng.randrange(4):
        again = Coverage(kinds=kinds, cpus=rng.choice([(which,), None]), declared_by="statistics of the ring")
        told.append((int(rows[behind]), single(Kind.COVERAGE, int(ts[rows[behind]]), again)))
    return _with_rows(history, keep, told)


def covered_late(history: History, seed: int) -> Damaged:
    """Lose events until some time without a word; coverage begins then, of some CPUs first and of all a little later."""
    rng = random.Random(seed)
    events = history.events
    ts = events.columns["trace_ts_nsec"]
    traced = np.flatnonzero(_traced(history))
    until = int(traced[rng.randrange(1, max(traced.size // 2, 2))])
    keep = np.ones(len(events), np.bool_)
    early = traced[traced < until]
    keep[rng.sample(early.tolist(), early.size // 4)] = False
    keep[np.flatnonzero(events.columns["kind"] == Kind.COVERAGE)] = False
    later = int(traced[min(int(np.searchsorted(traced, until)) + rng.randrange(1, 80), traced.size - 1)])
    kinds, by = history.config.coverage, "statistics of the ring"
    some = Coverage(kinds=kinds, cpus=(0,), declared_by=by)
    every = Coverage(kinds=kinds, declared_by=by)
    told = [(row, single(Kind.COVERAGE, int(ts[row]), said)) for row, said in ((until, some), (later, every))]
    return _with_rows(history, keep, told)


def skew(history: History, seed: int, *, bound: int) -> Damaged:
    """Let each CPU's clock be off, all of them by at most *bound* ns from each other, and merge by what they say."""
    rng = random.Random(seed)
    off = np.array([rng.randrange(bound + 1) for _ in range(history.config.cpus)], np.int64)
    cpu, true = history.events.columns["cpu"], history.events.columns["trace_ts_nsec"].astype(np.int64)
    traced = _traced(history)
    read = true.copy()
    read[traced] += off[cpu[traced]]
    read[~traced] += bound  # what is written down beside the trace comes behind what it tells of
    read[: int(np.argmax(traced))] = true[: int(np.argmax(traced))]
    rows = np.argsort(read, kind="stable")
    events = with_columns(pick(history.events, rows), {"trace_ts_nsec": read[rows]})
    return Damaged(events=events, origin=rows, lost=np.zeros(0, np.int64))


def withhold(
    history: History, seed: int, *, events: int = 3, kinds: Iterable[Kind] = (Kind.ALLOC, Kind.FREE)
) -> Damaged:
    """Lose single events, and say nothing of it."""
    rng = random.Random(seed)
    rows = np.flatnonzero(of_kinds(history.events, kinds)).tolist()
    keep = np.ones(len(history.events), np.bool_)
    keep[rng.sample(rows, min(events, len(rows)))] = False
    return _kept(history, keep)


def start_late(history: History, first: int) -> Damaged:
    """Lose the first traced events: the recorder was started late. Coverage is claimed from the first that is left on."""
    events = history.events
    rows = np.flatnonzero(_traced(history))
    keep = np.ones(len(events), np.bool_)
    keep[rows[:first]] = False
    until = int(rows[min(first, rows.size - 1)])
    ts = int(events.columns["trace_ts_nsec"][until])
    keep[:until] &= ~of_kinds(events, (*_DUMP, Kind.MARKER))[:until]
    for row in np.flatnonzero(events.columns["kind"] == Kind.BASELINE_BEGIN).tolist():
        begin = BaselineBegin.model_validate_json(events.details[row])
        if begin.window_begin < ts:  # nobody saw it begin
            keep[row : row + begin.entries + 2] = False
    coverage = np.flatnonzero(events.columns["kind"] == Kind.COVERAGE)
    keep[coverage] = False
    said = [
        (until, single(Kind.COVERAGE, ts, Coverage.model_validate_json(events.details[row])))
        for row in coverage.tolist()
    ]
    return _with_rows(history, keep, said)
