"""The rings of the kernel that runs the tests: as trace-cmd records them, against its report, and as copies, against their text."""

import os
import re
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from pagetrail.producers.capture.directory import Capture, without
from pagetrail.producers.meaning import RecordedKernel
from pagetrail.schemas.batch import concat
from pagetrail.schemas.columns import Kind
from tests.conftest import Unavailable
from tests.kernel.trace_cmd import allowed
from tests.kernel.tracefs import TRACEFS, MissingTracefs, instance, mounted, workload
from tests.producers.formats.perf_data.against_text import column, read

pytestmark = [pytest.mark.kernel, pytest.mark.slow]

EVENTS = ("mm_page_alloc", "mm_page_free", "mm_page_pcpu_drain", "mm_page_alloc_zone_locked", "mm_page_alloc_extfrag")
WAYS = {
    "version 7": (), "version 6": ("--file-version", "6"), "not compressed": ("--compression", "none", "-C", "mono"),
    "stacks": ("-T",), "small rings": ("-b", "8"), "user stacks": ("-O", "userstacktrace"),
    "a filter": ("-e", "kmem:mm_page_free_batched", "-f", "order > 0"),
}  # fmt: skip
"""Options of trace-cmd record."""

WORK = ["sh", "-c", "for i in 1 2 3 4 5 6 7 8; do ls / >/dev/null; done"]
COLUMNS = ("kind", "cpu", "pid", "comm", "pfn", "order", "migratetype")
KERNEL = RecordedKernel(release="6.12")


def record(folder: Path, options: tuple[str, ...]) -> Path:
    """Record what a shell does; return the trace.dat."""
    data, text = folder / "trace.dat", folder / "report.txt"
    chosen = [option for name in EVENTS for option in ("-e", f"kmem:{name}")]
    try:
        with mounted(), allowed(folder) as before:
            command = [*before, "trace-cmd", "record", *chosen, *options, "-o", str(data), *WORK]
            done = subprocess.run(command, capture_output=True, timeout=120, cwd=folder)
            with text.open("wb") as report:
                shown = ["trace-cmd", "report", "-t", "-i", str(data)]
                told = subprocess.run(shown, stdout=report, stderr=subprocess.PIPE, timeout=120)
    except OSError as error:
        raise MissingTracefs(str(error)) from error
    if done.returncode or told.returncode or not data.exists():
        raise MissingTracefs((done.stderr + told.stderr).decode(errors="replace")[-300:])
    return data


def left_in_the_rings(data: Path, report: Path) -> int:
    """Return how many records the file's statistics count and the file does not have: at times trace-cmd leaves the last ones."""
    shown = subprocess.run(["trace-cmd", "dump", "--options", str(data)], capture_output=True, text=True, timeout=120)
    counted = re.findall(r"^CPU: (\d+)\nentries: (\d+)\n.*?^read events: (\d+)", shown.stdout, re.MULTILINE | re.DOTALL)
    there = Counter(int(cpu) for cpu in re.findall(r"^.{16,}? \[(\d{3,})\] ", report.read_text(), re.MULTILINE))
    return sum(max(0, int(entries) + int(read_) - there[int(cpu)]) for cpu, entries, read_ in counted)


@pytest.mark.parametrize("way", WAYS)
def test_a_trace_dat_gives_what_trace_cmd_reports_of_it(way: str, tmp_path: Path, unavailable: Unavailable) -> None:
    if shutil.which("trace-cmd") is None:
        unavailable("trace-cmd", "no program of that name")
    try:
        data = record(tmp_path, WAYS[way])
    except MissingTracefs as error:
        unavailable("trace-cmd", str(error))
    (binary, said), (printed, told) = read(data, KERNEL), read(tmp_path / "report.txt", KERNEL)
    assert said.events == told.events
    left = left_in_the_rings(data, tmp_path / "report.txt")
    assert (said.failed_allocs, said.lost_events) == (told.failed_allocs, told.lost_events + left)
    if left:  # the report does not say so
        assert int(binary.columns["kind"][-1]) == Kind.GAP
        binary = binary.slice(0, len(binary) - 1)
    assert said.not_understood == told.not_understood == 0
    assert len(binary) == len(printed) > 50
    for name in ("trace_ts_nsec", *COLUMNS):
        assert (column(binary, name) == column(printed, name)).all(), name


def test_copies_of_the_rings_give_what_the_kernel_prints_of_them(tmp_path: Path, unavailable: Unavailable) -> None:
    capture = tmp_path / "capture"
    try:
        with instance("pagetrail-rings") as ftrace:
            (ftrace / "buffer_size_kb").write_text("20000")
            for event in EVENTS:
                (ftrace / "events/kmem" / event / "enable").write_text("1")
            workload(tmp_path)
            for _ in range(3):
                subprocess.run(WORK, check=True, capture_output=True)
            (ftrace / "tracing_on").write_text("0")
            (tmp_path / "trace.txt").write_bytes((ftrace / "trace").read_bytes())
            copy(ftrace, capture)
    except MissingTracefs as error:
        unavailable("tracefs", str(error))
    binary = without(concat(list(Capture(capture).batches())), (Kind.BOOT, Kind.GAP))
    printed = without(read(tmp_path / "trace.txt", KERNEL)[0], (Kind.GAP,))
    assert len(binary) == len(printed) > 1000
    assert int(np.abs(column(binary, "trace_ts_nsec") - column(printed, "trace_ts_nsec")).max()) <= 1000
    for name in COLUMNS:
        assert (column(binary, name) == column(printed, name)).all(), name


def copy(ftrace: Path, capture: Path) -> None:
    """Copy the rings of an instance, and what says how to read them, as docs/guide.md says."""
    for cpu in sorted((ftrace / "per_cpu").iterdir()):
        (capture / "per_cpu" / cpu.name).mkdir(parents=True)
        ring = os.open(cpu / "trace_pipe_raw", os.O_RDONLY | os.O_NONBLOCK)
        with (capture / "per_cpu" / cpu.name / "trace_pipe_raw").open("wb") as pages:
            try:
                while page := os.read(ring, 1 << 16):
                    pages.write(page)
            except BlockingIOError:
                pass
            finally:
                os.close(ring)
    events = TRACEFS / "events"
    for name in ("header_page", *(f"kmem/{event}/format" for event in EVENTS)):
        (capture / "events" / name).parent.mkdir(parents=True, exist_ok=True)
        (capture / "events" / name).write_bytes((events / name).read_bytes())
    (capture / "saved_cmdlines.txt").write_bytes((TRACEFS / "saved_cmdlines").read_bytes())
