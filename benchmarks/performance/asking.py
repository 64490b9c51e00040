"""``python -m benchmarks.performance.asking TRAIL QUESTION RUNS PAGES QUESTIONS``: seconds of questions in process, as JSON.

The pages and instants are random, over all pages that the load has and all the time that was replayed, the same in each run.
"""

import json
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pagetrail

FIRST_PFN = 1 << 12
WARM = 100
"""Of single questions, so many at most are not counted."""
SEGMENTS_OPEN = 32
"""Single questions are about instants of so many segments, the last ones: they stay open."""
SECONDS_OF_OWNERS = 20.0
LEAST_SECONDS = 0.5
MOST_PAIRS = 1_000_000

MEDIAN, P99, FIRST = "ms, median", "ms, p99", "ms, first question to a Trail"
PAIRS = "pairs/s"

Figures = dict[str, list[float]]


def pairs(trail: pagetrail.Trail, count: int, pages: int, *, segments: int | None = None) -> list[tuple[int, int]]:
    """Return random (pfn, trace clock in ns) pairs: of the whole history, or of about the last *segments* of it."""
    stream = trail.streams().to_pylist()[0]
    first, last = stream["first_ts"], stream["horizon"]
    if segments is not None and stream["segments"] > segments:
        first = last - (last - first) * segments // stream["segments"]
    draw = random.Random(count)
    return [(FIRST_PFN + draw.randrange(pages), draw.randint(first, last)) for _ in range(count)]


def owner(path: Path, runs: int, pages: int, questions: int) -> Figures:
    """Return the median and the 99th percentile of single questions, and what the first one takes, all in ms."""
    figures: Figures = {MEDIAN: [], P99: [], FIRST: []}
    for _ in range(runs):
        fresh = pagetrail.open(path)
        asked = pairs(fresh, questions, pages, segments=SEGMENTS_OPEN)
        figures[FIRST].append(_milliseconds(lambda: fresh.owner([asked[0][0]], asked[0][1])))  # noqa: B023
        taken: list[float] = []
        until = time.perf_counter() + SECONDS_OF_OWNERS
        for pfn, at in asked[1:]:
            taken.append(_milliseconds(lambda: fresh.owner([pfn], at)))  # noqa: B023
            if time.perf_counter() > until:
                break
        known = sorted(taken[min(WARM, len(taken) // 10) :])
        figures[MEDIAN].append(known[len(known) // 2])
        figures[P99].append(known[len(known) * 99 // 100])
    return figures


def owners(path: Path, runs: int, pages: int, _questions: int) -> Figures:
    """Return pairs a second, of as many pairs as take half a second."""
    trail = pagetrail.open(path)
    count, seconds = 100, 0.0
    while True:
        asked = pairs(trail, count, pages)
        seconds = _milliseconds(lambda asked=asked: trail.owners(asked)) / 1e3  # type: ignore[misc]
        if seconds >= LEAST_SECONDS or count >= MOST_PAIRS:
            break
        count *= 10
    taken = [_milliseconds(lambda: trail.owners(asked)) / 1e3 for _ in range(runs)]
    return {PAIRS: [count / one for one in taken], "pairs": [float(count)]}


def snapshot(path: Path, runs: int, _pages: int, _questions: int) -> Figures:
    """Return seconds of a snapshot, and its rows."""
    trail = pagetrail.open(path)
    rows = trail.snapshot("-0s").num_rows
    return {"s": [_milliseconds(lambda: trail.snapshot("-0s")) / 1e3 for _ in range(runs)], "rows": [float(rows)]}


def top(path: Path, runs: int, _pages: int, _questions: int) -> Figures:
    """Return seconds of top by comm."""
    trail = pagetrail.open(path)
    trail.top("-0s", "comm")
    return {"s": [_milliseconds(lambda: trail.top("-0s", "comm")) / 1e3 for _ in range(runs)]}


def leaks(path: Path, runs: int, _pages: int, _questions: int) -> Figures:
    """Return seconds of leaks by comm, since the middle of the recording."""
    trail = pagetrail.open(path)
    stream = trail.streams().to_pylist()[0]
    middle = (stream["first_ts"] + stream["horizon"]) // 2
    trail.leaks(middle, "-0s", "comm")
    return {"s": [_milliseconds(lambda: trail.leaks(middle, "-0s", "comm")) / 1e3 for _ in range(runs)]}


QUESTIONS: dict[str, Callable[[Path, int, int, int], Figures]] = {
    "owner": owner,
    "owners": owners,
    "snapshot": snapshot,
    "top": top,
    "leaks": leaks,
}


def _milliseconds(ask: Callable[[], object]) -> float:
    began = time.perf_counter()
    ask()
    return (time.perf_counter() - began) * 1e3


if __name__ == "__main__":
    path, question, runs, pages, questions = sys.argv[1:]
    print(json.dumps(QUESTIONS[question](Path(path), int(runs), int(pages), int(questions))))
