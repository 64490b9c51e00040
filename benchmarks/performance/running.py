"""Run a command as a process of its own; how long it takes, on how much CPU, in how much memory.

The process that measures stays small: what a child is said to have had at most is at least what its parent had.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.performance.results import CPU, MEMORY, RATE, SECONDS

PAGETRAIL = (sys.executable, "-m", "pagetrail")


@dataclass(frozen=True, slots=True, kw_only=True)
class Used:
    """What a process took: seconds of the wall and of CPU, bytes of memory; and what it wrote to stdout."""

    wall: float
    cpu: float
    memory: int
    out: str


def run(*command: str | Path, to: Path | None = None, folder: Path | None = None) -> Used:
    """Run a command; its stdout goes to the file *to*, else into what is returned.

    Raises
    ------
    subprocess.CalledProcessError
        It failed.
    """
    with tempfile.TemporaryFile() as own, tempfile.TemporaryFile() as errors:
        file = own if to is None else to.open("wb")
        began = time.monotonic()
        child = subprocess.Popen(list(map(str, command)), stdout=file, stderr=errors, cwd=folder, env=_environment())
        _, status, usage = os.wait4(child.pid, 0)
        wall = time.monotonic() - began
        child.returncode = os.waitstatus_to_exitcode(status)
        if file is not own:
            file.close()
        own.seek(0)
        errors.seek(0)
        if child.returncode:
            raise subprocess.CalledProcessError(
                child.returncode, command, stderr=errors.read().decode(errors="replace")
            )
        return Used(
            wall=wall, cpu=usage.ru_utime + usage.ru_stime, memory=usage.ru_maxrss << 10, out=own.read().decode()
        )


def pagetrail(*arguments: str | Path, to: Path | None = None) -> Used:
    """Run ``pagetrail ARGUMENTS``."""
    return run(*PAGETRAIL, *arguments, to=to)


def repeated(
    runs: int, command: Callable[[], Used], *, events: int | None = None, before: Callable[[], None] = lambda: None
) -> dict[str, list[float]]:
    """Run a command so many times, each after *before*; return the figures of all runs: of *events*, as rates too."""
    used = []
    for _ in range(runs):
        before()
        used.append(command())
    figures = {SECONDS: [one.wall for one in used]}
    if events is None:
        figures["s of CPU"] = [one.cpu for one in used]
    else:
        figures[RATE] = [events / one.wall / 1e6 for one in used]
        figures[CPU] = [one.cpu / events * 1e6 for one in used]
    figures[MEMORY] = [one.memory / (1 << 20) for one in used]
    return figures


def unpack(packed: Path, to: Path) -> None:
    """Write the uncompressed bytes of a .zst file to another file."""
    run(sys.executable, "-m", "benchmarks.performance.unpacked", packed, to=to)


def size_of(folder: Path) -> int:
    """Return the bytes of all files in a folder."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def _environment() -> dict[str, str]:
    """Return the environment of a user: compiled Python is kept."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
