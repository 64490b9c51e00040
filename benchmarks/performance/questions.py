"""Questions to the trail of the synthetic load, each kind in a process of its own."""

import json
import sys
from pathlib import Path

from benchmarks.performance.bench import Bench
from benchmarks.performance.results import SECONDS, Bound, Line
from benchmarks.performance.running import run

QUESTIONS = "4. Questions in process"
COMMANDS: dict[str, tuple[str, dict[str, Bound]]] = {
    "owner": (
        "trail.owner([pfn], at), at random pages and instants of the last 32 segments",
        {"ms, median": ("at most", 3), "ms, p99": ("at most", 10), "ms, first question to a Trail": ("at most", 50)},
    ),
    "owners": (
        "trail.owners(pairs), at random over the whole history",
        {"pairs/s": ("at least", 100_000)},
    ),
    "snapshot": ('trail.snapshot("-0s")', {SECONDS: ("at most", 0.5)}),
    "top": ('trail.top("-0s", "comm")', {SECONDS: ("at most", 0.3)}),
    "leaks": ('trail.leaks(middle, "-0s", "comm")', {SECONDS: ("at most", 0.3)}),
}


def measure(bench: Bench, trail: Path) -> None:
    """Ask each question."""
    for name, (command, goals) in COMMANDS.items():
        figures = asked(bench, trail, name)
        bench.results.add(Line(part=QUESTIONS, name=f"Trail.{name}", command=command, figures=figures, goals=goals))


def asked(bench: Bench, trail: Path, question: str) -> dict[str, list[float]]:
    """Return the figures of a question to a replayed trail."""
    command = (
        "-m",
        "benchmarks.performance.asking",
        trail,
        question,
        str(bench.runs),
        str(bench.pages),
        str(bench.questions),
    )
    figures: dict[str, list[float]] = json.loads(run(sys.executable, *command).out)
    return figures
