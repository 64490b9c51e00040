"""What was measured, and where: kept as JSON, from which the page of the docs is made."""

import json
import os
import platform
import statistics
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

Bound = tuple[Literal["at least", "at most"], float]

SECONDS = "s"
CPU = "µs of CPU an event"
RATE = "M events/s"
MEMORY = "MiB of memory"
BYTES = "B an event"
PACKAGES = ("duckdb", "numba", "numpy", "pyarrow")


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One thing that was measured.

    Attributes
    ----------
    name
        What it is; unique.
    command
        What a user types to do it.
    figures
        By unit: a value of each run.
    goals
        By unit: what is wanted.
    beside
        Names of lines whose seconds are compared with this one's.
    """

    part: str
    name: str
    command: str
    figures: Mapping[str, Sequence[float]]
    goals: Mapping[str, Bound] = field(default_factory=dict)
    beside: Sequence[str] = field(default_factory=list)

    def median(self, unit: str) -> float:
        """Return the median of the runs."""
        return statistics.median(self.figures[unit])


@dataclass(slots=True, kw_only=True)
class Results:
    """All lines, in their order, and what was not measured and why."""

    machine: dict[str, str]
    settings: dict[str, str]
    lines: list[Line] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    def add(self, line: Line) -> None:
        """Keep a line, and show it."""
        self.lines.append(line)
        print("\n".join(shown(line, self)), flush=True)

    def leave_out(self, why: str) -> None:
        """Keep why something was not measured, and show it."""
        self.left_out.append(why)
        print(f"not measured: {why}", flush=True)

    def line(self, name: str) -> Line:
        """Return the line of that name."""
        return next(line for line in self.lines if line.name == name)

    def write(self, file: Path) -> None:
        """Keep all as JSON."""
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n")


def read_results(file: Path) -> Results:
    """Return what ``Results.write`` kept."""
    kept: dict[str, Any] = json.loads(file.read_text())
    lines = [
        Line(**{**line, "goals": {unit: tuple(goal) for unit, goal in line["goals"].items()}})
        for line in kept.pop("lines")
    ]
    return Results(**kept, lines=lines)


def shown(line: Line, results: Results) -> list[str]:
    """Return a line as text: its name, then each figure's median, range and goal, and how it compares."""
    rows = [f"  {value}  {rest}" for value, rest in rows_of(line, results)]
    return [f"{line.name}: {line.command}", *rows]


def rows_of(line: Line, results: Results) -> list[tuple[str, str]]:
    """Return the median of each figure with its unit, and beside it the range of the runs and the goal; then the comparisons."""
    rows = []
    for unit, values in line.figures.items():
        spread = f"{number(min(values))} to {number(max(values))}" if len(values) > 1 else ""
        goal = line.goals.get(unit)
        wanted = f"{goal[0]} {number(goal[1])}" if goal else ""
        rows.append((f"{number(line.median(unit))} {unit}", "; ".join(part for part in (spread, wanted) if part)))
    for other in line.beside:
        times = line.median(SECONDS) / results.line(other).median(SECONDS)
        rows.append((f"{number(times)} times {other}", ""))
    return rows


def number(value: float) -> str:
    """Return a number with three digits that count."""
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if value < 100 else f"{value:.0f}"


def machine() -> dict[str, str]:
    """Return what the figures depend on."""
    models = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    cpu = models[0].partition(":")[2].strip() if models else platform.processor()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 30
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    ).stdout.strip()
    return {
        "processors": f"{len(os.sched_getaffinity(0))} of {cpu}",
        "memory": f"{memory} GiB",
        "system": f"Linux {platform.release()}",
        "Python": f"{platform.python_version()}, {packages}",
        "pagetrail": f"commit {commit}" if commit else version("pagetrail"),
        "date": datetime.now(UTC).date().isoformat(),
        "load before": f"{os.getloadavg()[0]:.1f}",
    }
