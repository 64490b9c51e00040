"""perf.data of real kernels, against what perf script prints of the same file, and against the kernel's dumps."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from pagetrail.producers.capture.directory import without
from pagetrail.producers.capture.folder import CaptureFolder
from pagetrail.producers.formats.perf_data.symbols import symbols_of
from pagetrail.producers.formats.recognise import recognised
from pagetrail.producers.inputs import source_of
from pagetrail.producers.meaning import RecordedKernel
from pagetrail.producers.parsed import ReadAccount
from pagetrail.schemas.batch import EventBatch, concat
from pagetrail.schemas.columns import Kind
from tests.captures.conftest import ReplayedCapture
from tests.captures.trails import replayed
from tests.conftest import KernelDump
from tests.oracles.contradictions import Views, answers, contradictions, pages_of
from tests.oracles.kernel_truth import read_dump_of, read_kpageflags
from tests.shared import made_once

PERF = ("perf-plain", "perf-g", "perf-lost")
_TEXT = "perf-script.txt"


def read(captures: Path, capture: str, name: str) -> tuple[EventBatch, ReadAccount]:
    path = CaptureFolder(captures / capture).find(name)
    assert path is not None
    source = source_of(path)
    found, _ = recognised(source)
    assert found.opens is not None
    kernel = RecordedKernel(release="6.1.192", symbols=symbols_of(captures / "common" / "kallsyms.txt.zst"))
    with source.open(text=True) as stream:
        parser = found.opens(stream, kernel)
        return concat(list(parser.batches())), parser.account


def column(batch: EventBatch, name: str) -> NDArray[np.generic]:
    values = batch.column(name)
    return np.array([*batch.texts[name], None], object)[values] if name in batch.texts else values


@pytest.mark.parametrize("capture", PERF)
def test_the_file_gives_the_events_that_perf_script_prints_of_it(captures: Path, capture: str) -> None:
    binary, said = read(captures, capture, "perf.data")
    text, printed = read(captures, capture, _TEXT)
    assert said.events == printed.events
    assert said.not_understood == printed.not_understood == 0
    binary, text = without(binary, (Kind.GAP,)), without(text, (Kind.GAP,))
    assert len(binary) == len(text) > 50_000
    assert (
        column(binary, "trace_ts_nsec") // 1000 == column(text, "trace_ts_nsec") // 1000
    ).all()  # it prints microseconds
    unnamed = np.array([f":{pid}" for pid in column(text, "pid")])  # what perf prints of a thread whose name was lost
    comms = column(text, "comm")
    assert (column(binary, "comm") == np.where(comms == unnamed, None, comms)).all()
    for name in ("kind", "cpu", "pid", "pfn", "order", "gfp_mask", "migratetype", "stack"):
        assert (column(binary, name) == column(text, name)).all(), name


def test_what_was_lost_is_placed_to_the_event(captures: Path) -> None:
    binary, said = read(captures, "perf-lost", "perf.data")
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
    binary = replayed(from_binary(captures, capture, shared_folder), shared_folder).opened().audits().to_pylist()
    text = replayed_capture(capture).opened().audits().to_pylist()
    shown = ("name", "records", "agree", "extra")
    assert [[audit[name] for name in shown] for audit in binary] == [[audit[name] for name in shown] for audit in text]


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
