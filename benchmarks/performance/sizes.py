"""Cost against size: ingest, replay and single questions, of loads that differ in nothing but their events."""

import json
import shutil

from benchmarks.performance.bench import Bench, LoggedTrail
from benchmarks.performance.questions import asked
from benchmarks.performance.results import Line
from benchmarks.performance.running import pagetrail, repeated, size_of

SIZES = "6. Cost against size"
_BYTES_A_LINE = 160
_BYTES_IN_A_TRAIL = 200


def measure(bench: Bench) -> None:
    """Measure each size, as far as the disk has room for it."""
    for events in bench.sizes:
        needed = events * (_BYTES_A_LINE + _BYTES_IN_A_TRAIL)
        if shutil.disk_usage(bench.folder).free < needed:
            bench.results.leave_out(f"{events:,} events: {needed >> 30} GiB of disk are needed, and not free")
            continue
        _ingest(bench, events)
        _replay(bench, events)


def name_of(what: str, events: int) -> str:
    """Return the name of the line of a size."""
    return f"{what} of {events:,} events"


def _ingest(bench: Bench, events: int) -> None:
    text, trail = bench.folder / "sized.txt", bench.folder / "sized"
    size = ("--events", str(events), "--pages", str(bench.pages), "--live", str(bench.live))
    made = json.loads(pagetrail("synth", *size, "-o", text, "--json").out)[0]
    figures = repeated(
        _runs(bench, events),
        lambda: pagetrail("ingest", text, *made["ingest"], "--trail", trail),
        events=events,
        before=lambda: shutil.rmtree(trail, ignore_errors=True),
    )
    command = f"pagetrail synth --events {events} -o sized.txt; pagetrail ingest sized.txt --trail sized"
    bench.results.add(Line(part=SIZES, name=name_of("ingest", events), command=command, figures=figures))
    text.unlink()
    shutil.rmtree(trail)


def _replay(bench: Bench, events: int) -> None:
    path = bench.folder / "sized"
    bench.synth("--trail", path, events=events)
    log, trail = size_of(path), LoggedTrail(path)
    figures = repeated(
        _runs(bench, events), lambda: pagetrail("replay", "--trail", path), events=events, before=trail.forget
    )
    figures |= {"B of store an event": [(size_of(path) - log) / events], "B of log an event": [log / events]}
    command = f"pagetrail synth --events {events} --trail sized; pagetrail replay --trail sized"
    bench.results.add(Line(part=SIZES, name=name_of("replay", events), command=command, figures=figures))
    owner = Line(
        part=SIZES, name=name_of("owner", events), command="trail.owner([pfn], at)", figures=asked(bench, path, "owner")
    )
    bench.results.add(owner)
    shutil.rmtree(path)


def _runs(bench: Bench, events: int) -> int:
    """Return how often a size is measured: what is much larger than the rest, once."""
    return bench.runs if events <= bench.events else 1
