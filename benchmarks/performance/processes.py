"""Whole processes, from the start of Python to the last line."""

import shutil
from pathlib import Path

from benchmarks.performance.bench import Bench
from benchmarks.performance.results import SECONDS, Bound, Line
from benchmarks.performance.running import Used, pagetrail, repeated, run

PROCESSES = "5. Whole processes"
REPOSITORY = Path(__file__).resolve().parents[2]


def measure(bench: Bench, trail: Path, *, demo: bool) -> None:
    """Measure what a user waits for, with the files in memory; with *demo*, also ``make demo`` with its installation."""
    commands: dict[str, tuple[tuple[str | Path, ...], Bound | None]] = {
        "pagetrail --help": (("--help",), ("at most", 0.3)),
        "pagetrail owner 0x1234 --at -0s": (("owner", "0x1234", "--at", "-0s", "--trail", trail), ("at most", 0.6)),
        "pagetrail top --at -0s --by comm": (("top", "--at", "-0s", "--by", "comm", "--trail", trail), None),
        "pagetrail streams": (("streams", "--trail", trail), None),
    }
    for name, (arguments, goal) in commands.items():
        pagetrail(*arguments)
        figures = repeated(bench.runs, lambda given=arguments: pagetrail(*given))  # type: ignore[misc]
        goals = {} if goal is None else {SECONDS: goal}
        bench.results.add(Line(part=PROCESSES, name=name, command=name, figures=figures, goals=goals))
    if demo:
        _demo(bench)
    else:
        bench.results.leave_out("make demo with its installation: --demo was not given")


def _demo(bench: Bench) -> None:
    venv = bench.folder / "venv"
    figures = repeated(1, lambda: _make_demo(venv))
    shutil.rmtree(venv)
    bench.results.add(
        Line(
            part=PROCESSES, name="make demo, with installation", command="make demo", figures=figures,
            goals={SECONDS: ("at most", 60)},
        )
    )  # fmt: skip


def _make_demo(venv: Path) -> Used:
    return run("make", "-C", REPOSITORY, "demo", f"VENV={venv}")
