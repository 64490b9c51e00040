"""trace.dat of real recordings: the events of the text of the same rings, to the nanosecond, and how they agree with the kernel."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from pagetrail.producers.capture.directory import without
from pagetrail.producers.formats.tracepoints.symbols import symbols_of
from pagetrail.producers.meaning import RecordedKernel
from pagetrail.schemas.columns import Kind
from pagetrail.schemas.stacks import canonical_stack
from tests.captures.conftest import ReplayedCapture
from tests.captures.trails import replayed
from tests.conftest import Unavailable
from tests.producers.formats.perf_data.against_text import column, read
from tests.shared import made_once

COLUMNS = ("kind", "cpu", "pid", "comm", "pfn", "order", "gfp_mask", "migratetype")
KERNEL = RecordedKernel(release="6.1.192")


def frames(stacks: np.ndarray) -> list[str | None]:
    """Return stacks as sequences of functions."""
    known: dict[object, str | None] = {None: None}
    for stack in set(stacks.tolist()) - {None}:
        known[stack] = canonical_stack(stack).frames
    return [known[stack] for stack in stacks.tolist()]


def check_same(data: Path, text: Path, *, stacks: bool = False, longest: int = 0) -> None:
    """Check that both have the same events in the same order; times are as far apart as they are rounded to, *longest* ns."""
    (binary, said), (printed, told) = read(data, KERNEL), read(text, KERNEL)
    assert said.events.total() == told.events.total() > 50_000
    assert (said.entries, said.failed_allocs, said.lost_events) == (told.entries, told.failed_allocs, told.lost_events)
    assert (said.not_understood, said.truncated) == (0, None)
    binary, printed = without(binary, (Kind.GAP,)), without(printed, (Kind.GAP,))
    assert len(binary) == len(printed)
    apart = np.abs(column(binary, "trace_ts_nsec") - column(printed, "trace_ts_nsec"))
    assert int(apart.max()) <= longest
    for name in COLUMNS:
        assert (column(binary, name) == column(printed, name)).all(), name
    if stacks:
        assert frames(column(binary, "stack")) == frames(column(printed, "stack"))


@pytest.mark.parametrize(("capture", "stacks"), [("small", False), ("stack", True), ("fleet/host-a", True)])
def test_the_file_gives_the_events_that_the_kernel_prints(captures: Path, capture: str, stacks: bool) -> None:
    text = captures / capture / "trace.txt.zst"
    check_same(captures / capture / "trace.dat", text, stacks=stacks, longest=1000)


def test_the_file_gives_the_events_that_trace_cmd_prints(
    captures: Path, tmp_path: Path, unavailable: Unavailable
) -> None:
    if shutil.which("trace-cmd") is None:
        unavailable("trace-cmd", "no program of that name")
    data, text = captures / "fleet/host-b/trace.dat", tmp_path / "report.txt"
    with text.open("wb") as report:
        subprocess.run(["trace-cmd", "report", "-t", "-i", data], stdout=report, stderr=subprocess.DEVNULL, check=True)
    check_same(data, text, stacks=True)


def test_its_symbols_are_those_that_were_kept_beside_it(captures: Path) -> None:
    own, _ = read(captures / "fleet/host-c/trace.dat", KERNEL)
    beside = symbols_of(captures / "common" / "kallsyms.txt.zst").as_in_kernel()
    stack = next(iter(own.texts["stack"]))
    assert all(beside.address(name) for name in ("_text", "_stext"))
    assert "__alloc_pages+0x" in stack


def from_binary(captures: Path, capture: str, shared_folder: Path) -> Path:
    """Return a copy of a capture whose trace is its trace.dat alone."""

    def make(folder: Path) -> None:
        shutil.copytree(captures / capture, folder, ignore=shutil.ignore_patterns("trace.txt*"))
        folder.chmod(0o755)

    return made_once(shared_folder, f"{capture}-trace-dat", make)


@pytest.mark.parametrize("capture", ["small", "basic"])
def test_a_capture_agrees_with_the_kernel_as_well_from_binary_as_from_text(
    captures: Path, shared_folder: Path, replayed_capture: ReplayedCapture, capture: str
) -> None:
    binary = replayed(from_binary(captures, capture, shared_folder), shared_folder)
    assert binary.agreement() == replayed_capture(capture).agreement() != []
