"""Binary recordings of the kernel that runs here, beside the tools that wrote them."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.performance.bench import Bench
from benchmarks.performance.results import SECONDS, Line
from benchmarks.performance.running import Used, pagetrail, repeated, run
from tests.kernel.trace_cmd import allowed
from tests.kernel.tracefs import MissingTracefs, mounted

BINARY: Final = "3b. Binary ingest"
FILE: Final = "FILE"
_ROUND_EVENTS: Final = 3_000
"""Events of a round of the work, at least."""
_WORK: Final = """
import subprocess, sys
for _ in range(int(sys.argv[1])):
    for size in (1, 3, 9):
        held = bytearray(size << 20)
        held[::4096] = b"x" * (size << 8)
        del held
    subprocess.run(["sh", "-c", "for i in 1 2 3 4 5; do ls /usr/bin >/dev/null; done"], check=True)
"""
_NOT_HUGE: Final = "import ctypes; ctypes.CDLL(None).prctl(41, 1, 0, 0, 0)"  # PR_SET_THP_DISABLE: pages of 4 KiB
_EVENTS: Final = (
    "mm_page_alloc", "mm_page_free", "mm_page_pcpu_drain", "mm_page_alloc_zone_locked", "mm_page_alloc_extfrag",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorder:
    """A tool that records in a binary file, and the tools that read it: what they are called, and their commands.

    Attributes
    ----------
    file
        Name of what it records.
    records
        Writes a file of what the kernel does in so many rounds of the work.
    peers
        Commands, with ``FILE`` where the file is, and the least that pagetrail is to be faster by: its ingest.
    replayed
        Of ingest and replay together, by peer.
    """

    name: str
    file: str
    records: Callable[[Path, int], None]
    peers: dict[str, tuple[tuple[str, ...], float]]
    replayed: dict[str, float]


def perf_records(data: Path, rounds: int) -> None:
    """Write a perf.data."""
    events = [option for name in _EVENTS for option in ("-e", f"kmem:{name}")]
    work = [sys.executable, "-c", f"{_NOT_HUGE}\n{_WORK}", str(rounds)]
    subprocess.run(
        ["perf", "record", "-m", "4096", "-a", *events, "-o", data, "--", *work], check=True, capture_output=True
    )


def trace_cmd_records(*options: str) -> Callable[[Path, int], None]:
    """Return what writes a trace.dat with these options of ``trace-cmd record``."""

    def records(data: Path, rounds: int) -> None:
        events = [option for name in _EVENTS for option in ("-e", f"kmem:{name}")]
        work = [sys.executable, "-c", f"{_NOT_HUGE}\n{_WORK}", str(rounds)]
        with allowed(data.parent) as before:
            command = [*before, "trace-cmd", "record", *events, "-b", "65536", *options, "-o", str(data), *work]
            subprocess.run(command, check=True, capture_output=True, cwd=data.parent)

    return records


_REPORT: Final = {"trace-cmd report": (("trace-cmd", "report", "-t", "-i", FILE), 10.0)}

RECORDERS: Final = (
    Recorder(
        name="perf.data", file="perf.data", records=perf_records,
        peers={
            "perf kmem --page stat": (("perf", "kmem", "-f", "-i", FILE, "--page", "stat"), 4),
            "perf script --ns": (("perf", "script", "--ns", "-f", "-i", FILE), 10),
        },
        replayed={"perf kmem --page stat": 1.3},
    ),
    Recorder(name="trace.dat", file="trace.dat", records=trace_cmd_records(), peers=_REPORT, replayed={}),
    Recorder(
        name="trace.dat with stacks", file="stacks.dat", records=trace_cmd_records("-T"), peers=_REPORT, replayed={}
    ),
)  # fmt: skip


def measure(bench: Bench) -> None:
    """Measure each recorder's file: its own tools, our ingest, and our ingest with the replay behind it."""
    for recorder in RECORDERS:
        data = bench.folder / recorder.file
        try:
            with mounted():
                recorder.records(data, max(1, bench.events // _ROUND_EVENTS))
        except (MissingTracefs, OSError, subprocess.CalledProcessError) as error:
            bench.results.leave_out(f"{recorder.name}: nothing was recorded: {error}")
            continue
        _beside(bench, recorder, data)
        data.unlink()


def _beside(bench: Bench, recorder: Recorder, data: Path) -> None:
    trail = bench.folder / "ingested"

    def forget() -> None:
        shutil.rmtree(trail, ignore_errors=True)

    pagetrail("ingest", data, "--trail", trail)
    events = _events_of(trail)
    forget()
    peers: dict[str, float] = {}
    for name, (command, _) in recorder.peers.items():
        try:
            given = [data if word == FILE else word for word in command]
            figures = repeated(bench.runs, lambda words=given: run(*words, to=Path(os.devnull)), events=events)  # type: ignore[misc]
        except subprocess.CalledProcessError as error:
            bench.results.leave_out(f"{name} of a {recorder.name}: it failed ({error.returncode})")
            continue
        peers[name] = sorted(figures[SECONDS])[len(figures[SECONDS]) // 2]
        typed = f"{' '.join(command).replace(FILE, data.name)} > /dev/null"
        bench.results.add(Line(part=BINARY, name=f"{recorder.name}: {name}", command=typed, figures=figures))
    typed = f"pagetrail ingest {data.name} --trail ingested"
    wanted = {name: times for name, (_, times) in recorder.peers.items()}
    for what, command, least in (
        ("ingest", lambda: pagetrail("ingest", data, "--trail", trail), wanted),
        ("ingest and replay", lambda: _both(data, trail), recorder.replayed),
    ):
        figures = repeated(bench.runs, command, events=events, before=forget)
        limits = [peers[name] / times for name, times in least.items() if name in peers]
        goals = {SECONDS: ("at most", round(min(limits), 2))} if limits else {}
        beside = [f"{recorder.name}: {name}" for name in peers]
        shown = typed if what == "ingest" else f"{typed}; pagetrail replay --trail ingested"
        name = f"{recorder.name}: {what}"
        bench.results.add(Line(part=BINARY, name=name, command=shown, figures=figures, goals=goals, beside=beside))  # type: ignore[arg-type]
    forget()


def _both(data: Path, trail: Path) -> Used:
    first = pagetrail("ingest", data, "--trail", trail)
    second = pagetrail("replay", "--trail", trail)
    memory = max(first.memory, second.memory)
    return Used(wall=first.wall + second.wall, cpu=first.cpu + second.cpu, memory=memory, out=second.out)


def _events_of(trail: Path) -> int:
    from pagetrail.replay.log.embedded import SqliteLogReader
    from pagetrail.schemas.log.contract import EMBEDDED_PARTITION

    count = offset = 0
    with SqliteLogReader(trail) as log:
        while records := log.read(EMBEDDED_PARTITION, offset):
            count += sum(record.header.rows for record in records)
            offset = records[-1].offset + 1
    return count
