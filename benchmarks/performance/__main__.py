"""``python -m benchmarks.performance``: measure, and print what was measured; keep it as JSON, and as a page of the docs.

``make bench`` runs it with what is wanted of a release, 20 million events and five runs, and writes docs/performance.md.
``--events 1M --runs 1`` is a quick look.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

from benchmarks.performance import binary, ingesting, page, processes, questions, replaying, sizes
from benchmarks.performance.bench import Bench, compile_all
from benchmarks.performance.results import Results, machine

REPOSITORY = Path(__file__).resolve().parents[2]
PARTS = ("replay", "ingest", "binary", "questions", "processes", "sizes")
_UNITS = {"k": 1_000, "M": 1_000_000}


def main(arguments: list[str] | None = None) -> int:
    """Measure the parts that are asked for."""
    asked = _parser().parse_args(arguments)
    events, pages, live = (_count(text) for text in (asked.events, asked.pages, asked.live))
    counts = (
        [_count(text) for text in asked.sizes.split(",")] if asked.sizes else [events // 20, events // 2, events * 5]
    )
    settings = {"events": f"{events:,}", "pages": f"{pages:,}", "live pages": f"{live:,}", "runs": str(asked.runs)}
    results = Results(machine=machine(), settings=settings)
    with tempfile.TemporaryDirectory(dir=asked.folder) as folder:
        bench = Bench(
            results=results, folder=Path(folder), events=events, runs=asked.runs, pages=pages, live=live,
            sizes=tuple(counts), questions=asked.questions, copies=asked.copies, captures=_captures(),
        )  # fmt: skip
        compile_all(bench.folder)
        _measure(bench, asked.parts.split(","), demo=asked.demo, record=asked.record)
    if asked.output:
        results.write(asked.output)
        print(f"written: {asked.output}")
    if asked.page:
        for file in page.write(results, asked.page):
            print(f"written: {file}")
    return 0


def _measure(bench: Bench, parts: list[str], *, demo: bool, record: bool) -> None:
    trail = None
    if "replay" in parts:
        trail = replaying.measure(bench)
    elif {"questions", "processes"} & {*parts}:
        trail = replaying.replayed(bench)
    if "ingest" in parts:
        ingesting.measure(bench)
    if "binary" in parts and record:
        binary.measure(bench)
    elif "binary" in parts:
        bench.results.leave_out("perf.data recorded here: --record was not given")
    if trail is not None and "questions" in parts:
        questions.measure(bench, trail)
    if trail is not None and "processes" in parts:
        processes.measure(bench, trail, demo=demo)
    if "sizes" in parts:
        sizes.measure(bench)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.performance", description=__doc__)
    parser.add_argument("--events", default="20M", help="allocations and frees of the load (20M)")
    parser.add_argument("--pages", default="1M", help="page frames of the load (1M)")
    parser.add_argument("--live", default="400k", help="its live pages (400k)")
    parser.add_argument("--runs", type=int, default=5, help="runs of each command; medians are shown (5)")
    parser.add_argument(
        "--sizes", default="", help="counts of events, with commas (a 20th, half and five times --events)"
    )
    parser.add_argument(
        "--copies", type=int, default=10, help="hosts that the recording of a real kernel is given to (10)"
    )
    parser.add_argument("--questions", type=int, default=1_000, help="single questions of each run (1000)")
    parser.add_argument("--parts", default=",".join(PARTS), help="of " + ", ".join(PARTS))
    parser.add_argument("--demo", action="store_true", help="measure make demo with its installation too")
    parser.add_argument("--record", action="store_true", help="record the kernel that runs here, as root, with perf")
    parser.add_argument("--output", type=Path, default=None, help="file of the results")
    parser.add_argument("--page", type=Path, default=None, help="folder of the page that is made from them")
    parser.add_argument("--folder", type=Path, default=None, help="where trails and texts are made (the system's)")
    return parser


def _count(text: str) -> int:
    unit = _UNITS.get(text[-1:], 1)
    return int(text.rstrip("kM")) * unit


def _captures() -> Path | None:
    """Return the folder of recordings of real kernels, if there is one."""
    found = Path(os.environ.get("PAGETRAIL_CAPTURES", REPOSITORY.parent / "shared" / "captures"))
    return found if found.is_dir() else None


if __name__ == "__main__":
    sys.exit(main())
