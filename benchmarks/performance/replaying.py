"""Replay of a load and of a real kernel's recording; the bytes of log and store that an event takes."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks.performance.bench import Bench, LoggedTrail
from benchmarks.performance.results import BYTES, CPU, RATE, SECONDS, Line
from benchmarks.performance.running import pagetrail, repeated, run, size_of, unpack

REPLAY, BYTES_PART = "1. Replay", "2. Bytes"
DEMO = Path(__file__).parents[2] / "pagetrail" / "demo_data" / "host-b"


def measure(bench: Bench) -> Path:
    """Measure both loads; return the trail of the synthetic one, replayed."""
    trail = bench.folder / "load"
    bench.synth("--trail", trail)
    size = f"--events {bench.events} --pages {bench.pages} --live {bench.live}"
    _measure(
        bench, trail, "synthetic load", bench.events, f"pagetrail synth {size} --trail load", store_goal=20, log_goal=5
    )
    found = bench.capture("probes")
    if found is None:
        bench.results.leave_out("the recording 'probes' is not there: the demo's takes its place")
    capture = found or DEMO
    fleet = bench.folder / "fleet"
    events = _ingest_copies(bench, capture, fleet)
    what = (
        f"pagetrail ingest {capture.name} --host host-N --boot-id boot-N --trail fleet, for N from 1 to {bench.copies}"
    )
    _measure(bench, fleet, f"{capture.name} as {bench.copies} hosts", events, what, store_goal=24, log_goal=None)
    shutil.rmtree(fleet)
    return trail


def replayed(bench: Bench) -> Path:
    """Return the trail of the synthetic load, replayed; nothing is measured."""
    trail = bench.folder / "load"
    bench.synth("--trail", trail)
    pagetrail("replay", "--trail", trail)
    return trail


def _measure(
    bench: Bench, path: Path, name: str, events: int, made: str, *, store_goal: float, log_goal: float | None
) -> None:
    """Measure replay of a trail's log, and the limits of it: its frames decoded, its columns copied."""
    trail = LoggedTrail(path)
    log = size_of(path)
    limits = json.loads(run(sys.executable, "-m", "benchmarks.performance.limits", path, str(bench.runs)).out)
    for limit, seconds in limits.items():
        figures = {SECONDS: seconds, RATE: [events / one / 1e6 for one in seconds]}
        bench.results.add(Line(part=REPLAY, name=f"{name}: {limit}", command="in process", figures=figures))
    figures = repeated(bench.runs, lambda: pagetrail("replay", "--trail", path), events=events, before=trail.forget)
    command = f"{made}; pagetrail replay --trail {path.name}"
    bench.results.add(
        Line(
            part=REPLAY, name=f"{name}: replay", command=command, figures=figures,
            goals={RATE: ("at least", 3), CPU: ("at most", 0.7)}, beside=[f"{name}: {limit}" for limit in limits],
        )
    )  # fmt: skip
    store = size_of(path) - log
    goals = {} if log_goal is None else {BYTES: ("at most", log_goal)}
    bench.results.add(
        Line(part=BYTES_PART, name=f"{name}: log", command=made, figures={BYTES: [log / events]}, goals=goals)
    )
    bench.results.add(
        Line(
            part=BYTES_PART, name=f"{name}: store", command=command, figures={BYTES: [store / events]},
            goals={BYTES: ("at most", store_goal)},
        )
    )  # fmt: skip


def _ingest_copies(bench: Bench, capture: Path, trail: Path) -> int:
    """Ingest a recording under several names; return how many events that are. A comment makes each copy another recording."""
    text = bench.folder / "trace.txt"
    unpack(capture / "trace.txt.zst", text)
    events = 0
    for number in range(1, bench.copies + 1):
        copy = bench.folder / f"copy-{number}"
        shutil.copytree(capture, copy, ignore=shutil.ignore_patterns("trace*", "*.dat", "perf*"), symlinks=True)
        for file in capture.glob("trace_*"):
            shutil.copy(file, copy)
        (copy / "trace.txt").write_bytes(f"# copy {number}\n".encode())
        with (copy / "trace.txt").open("ab") as trace, text.open("rb") as whole:
            shutil.copyfileobj(whole, trace)
        arguments = ("--host", f"host-{number}", "--boot-id", f"boot-{number}", "--trail", trail, "--json")
        try:
            events += json.loads(pagetrail("ingest", copy, *arguments).out)[0]["events"]
        except subprocess.CalledProcessError as error:
            raise SystemExit(f"{capture.name}: {error.stderr}") from None
        shutil.rmtree(copy)
    text.unlink()
    return events
