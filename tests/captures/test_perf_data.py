"""perf.data of real kernels, against what perf script prints of the same file, and against the kernel's dumps."""

import shutil
from pathlib import Path

import pytest

from pagetrail.producers.capture.folder import CaptureFolder
from pagetrail.producers.formats.tracepoints.symbols import symbols_of
from pagetrail.producers.meaning import RecordedKernel
from pagetrail.schemas.columns import Kind
from tests.captures.conftest import ReplayedCapture
from tests.captures.trails import replayed
from tests.conftest import KernelDump
from tests.oracles.contradictions import Views, answers, contradictions, pages_of
from tests.oracles.kernel_truth import read_dump_of, read_kpageflags
from tests.producers.formats.perf_data.against_text import check_same, read
from tests.shared import made_once

PERF = ("perf-plain", "perf-g", "perf-lost")
_TEXT = "perf-script.txt"


def kernel_of(captures: Path) -> RecordedKernel:
    return RecordedKernel(release="6.1.192", symbols=symbols_of(captures / "common" / "kallsyms.txt.zst"))


def file_of(captures: Path, capture: str, name: str) -> Path:
    path = CaptureFolder(captures / capture).find(name)
    assert path is not None
    return path


@pytest.mark.parametrize("capture", PERF)
def test_the_file_gives_the_events_that_perf_script_prints_of_it(captures: Path, capture: str) -> None:
    binary, text = (read(file_of(captures, capture, name), kernel_of(captures)) for name in ("perf.data", _TEXT))
    columns = ("kind", "cpu", "pid", "pfn", "order", "gfp_mask", "migratetype", "stack")
    assert check_same(binary, text, columns, step=1000) > 50_000


def test_what_was_lost_is_placed_to_the_event(captures: Path) -> None:
    binary, said = read(file_of(captures, "perf-lost", "perf.data"), kernel_of(captures))
    assert said.lost_events == 75_140  # as perf counts them
    assert int((binary.column("kind") == Kind.GAP).sum()) == 1_068


def from_binary(captures: Path, capture: str, shared_folder: Path) -> Path:
    """Return a copy of a capture whose trace is its perf.data alone, with the symbols of its kernel."""

    def make(folder: Path) -> None:
        shutil.copytree(captures / capture, folder, ignore=shutil.ignore_patterns(f"{_TEXT}*", "trace.dat"))
        folder.chmod(0o755)
        shutil.copy(captures / "common" / "kallsyms.txt.zst", folder)

    return made_once(shared_folder, f"{capture}-binary", make)


@pytest.mark.parametrize("capture", ["perf-plain", "perf-g"])
def test_a_capture_agrees_with_the_kernel_as_well_from_binary_as_from_text(
    captures: Path, shared_folder: Path, replayed_capture: ReplayedCapture, capture: str
) -> None:
    binary = replayed(from_binary(captures, capture, shared_folder), shared_folder)
    assert binary.agreement() == replayed_capture(capture).agreement() != []


@pytest.mark.parametrize("snapshot", ["p1-perf-mid", "p2-perf-end"])
def test_nothing_certain_is_wrong_where_perf_lost_events(
    captures: Path, shared_folder: Path, kernel_dump: KernelDump, snapshot: str
) -> None:
    trail = replayed(from_binary(captures, "perf-lost", shared_folder), shared_folder)
    table = trail.opened().snapshot(f"@{snapshot}", everything=True)
    dump = read_dump_of(kernel_dump("perf-lost", snapshot))
    flags = read_kpageflags(captures / "perf-lost" / "snapshots" / snapshot)
    pages = pages_of(table, dump, flags)
    begin, dumped, end = trail.window(snapshot)
    views = Views(
        dump=dump, kpageflags=flags, touched_in_dump=trail.touched.between(begin, dumped, pages),
        touched=trail.touched.between(begin, end, pages),
    )  # fmt: skip
    assert contradictions(answers(table, pages), views) == {}
