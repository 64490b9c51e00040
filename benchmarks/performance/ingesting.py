"""Ingest of text, beside the tools that write such text."""

import json
import shutil
from pathlib import Path

from benchmarks.performance.bench import Bench
from benchmarks.performance.results import RATE, Line
from benchmarks.performance.running import Used, pagetrail, repeated, run, unpack

INGEST = "3. Text ingest"
_TRACE_CMD_RECORDING, _PERF_RECORDING = "basic", "perf-plain"


def measure(bench: Bench) -> None:
    """Measure ingest of the load as text, and of what perf and trace-cmd write, beside themselves."""
    size = f"--events {bench.events} --pages {bench.pages} --live {bench.live}"
    for form in ("ftrace", "perf"):
        text = bench.folder / f"load.{form}"
        arguments = ("--format", form, "-o", text)
        figures = repeated(bench.runs, lambda made=arguments: _synth(bench, *made), events=bench.events)  # type: ignore[misc]
        command = f"pagetrail synth {size} --format {form} -o load.{form}"
        bench.results.add(
            Line(
                part=INGEST, name=f"{form} text: synth writes it", command=command, figures=figures,
                goals={RATE: ("at least", 2)},
            )
        )  # fmt: skip
        made = json.loads(pagetrail("synth", *size.split(), *arguments, "--json").out)[0]
        _ingest(bench, f"{form} text: ingest", text, bench.events, tuple(made["ingest"]), goal=1.5)
        text.unlink()
    _beside_perf(bench)
    _beside_trace_cmd(bench)


def _synth(bench: Bench, *arguments: str | Path) -> Used:
    size = ("--events", str(bench.events), "--pages", str(bench.pages), "--live", str(bench.live))
    return pagetrail("synth", *size, *arguments)


def _ingest(
    bench: Bench, name: str, text: Path, events: int, arguments: tuple[str, ...], *, beside: str = "", goal: float = 0
) -> None:
    trail = bench.folder / "ingested"
    figures = repeated(
        bench.runs,
        lambda: pagetrail("ingest", text, *arguments, "--trail", trail),
        events=events,
        before=lambda: shutil.rmtree(trail, ignore_errors=True),
    )
    shutil.rmtree(trail)
    bench.results.add(
        Line(
            part=INGEST, name=name, command=f"pagetrail ingest {text.name} --trail ingested", figures=figures,
            goals={RATE: ("at least", goal)} if goal else {}, beside=[beside] if beside else [],
        )
    )  # fmt: skip


def _beside_perf(bench: Bench) -> None:
    capture = bench.capture(_PERF_RECORDING)
    if shutil.which("perf") is None or capture is None:
        bench.results.leave_out("perf script: perf is not installed, or its recording is not there")
        return
    data = bench.folder / "perf.data"
    unpack(capture / "perf.data.zst", data)
    _beside(bench, "perf script", ("perf", "script", "-f", "-i", data), "perf script -i perf.data")


def _beside_trace_cmd(bench: Bench) -> None:
    capture = bench.capture(_TRACE_CMD_RECORDING)
    if shutil.which("trace-cmd") is None or capture is None:
        bench.results.leave_out("trace-cmd report: trace-cmd is not installed, or its recording is not there")
        return
    _beside(
        bench, "trace-cmd report", ("trace-cmd", "report", "-i", capture / "trace.dat"), "trace-cmd report -i trace.dat"
    )


def _beside(bench: Bench, tool: str, command: tuple[str | Path, ...], typed: str) -> None:
    """Measure a tool that writes text, and the ingest of that text."""
    text = bench.folder / f"{tool.replace(' ', '-')}.txt"
    run(*command, to=text)
    with text.open("rb") as lines:
        events = sum(b"mm_page_" in line for line in lines)
    figures = repeated(bench.runs, lambda: run(*command, to=text), events=events)
    bench.results.add(Line(part=INGEST, name=f"{tool} writes text", command=f"{typed} > {text.name}", figures=figures))
    _ingest(bench, f"{tool}: ingest of its text", text, events, (), beside=f"{tool} writes text")
    text.unlink()
