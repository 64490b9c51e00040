"""A capture whose trace.dat has several buffers: ring_stats.txt speaks of the top one, and of others nothing is declared."""

from pathlib import Path

import pytest

from pagetrail.producers.capture.coverage import declared_coverage
from pagetrail.producers.capture.directory import Capture
from pagetrail.producers.capture.folder import CaptureFolder
from pagetrail.producers.capture.trace import find_trace
from pagetrail.schemas.batch import concat, to_arrow
from pagetrail.schemas.columns import Kind
from pagetrail.schemas.details import Coverage
from tests.producers.formats.trace_dat.maker import Made, alloc, free, page, record

T = 1_000_000_000
RING = (
    "final cpu0 entries: {} overrun: {} commit overrun: 0 bytes: 9 oldest event ts: 1.0 now ts: 2.0 dropped events: 0 "
    "read events: 0\n"
)
ALLOCS = [record(1, alloc(256)), record(9, alloc(257))]


def captured(folder: Path, made: Made, *, entries: int, overrun: int = 0) -> Path:
    """Write a capture with a trace.dat."""
    folder.mkdir()
    (folder / "trace.dat").write_bytes(made.version_6())
    (folder / "set_event.txt").write_text("kmem:mm_page_alloc\nkmem:mm_page_free\n")
    (folder / "ring_stats.txt").write_text(RING.format(entries, overrun))
    return folder


def declared(folder: Path) -> Coverage | None:
    """Return what a capture declares."""
    found = CaptureFolder(folder)
    trace = find_trace(found)
    said = declared_coverage(found, trace.path, probes=True, losses=trace.losses, elsewhere=trace.elsewhere)
    return said.coverage


@pytest.mark.parametrize(("entries", "is_whole"), [(2, True), (3, False)])
def test_events_of_another_buffer_stand_for_none_of_the_top_one(entries: int, is_whole: bool, tmp_path: Path) -> None:
    made = Made(cpus=[[page(T, ALLOCS)]], buffers={"frees": [[page(T + 3, [record(1, free(256))])]]})
    folder = captured(tmp_path / "capture", made, entries=entries)
    rows = to_arrow(concat(list(Capture(folder).batches()))).to_pylist()
    assert sum(row["kind"] == Kind.GAP for row in rows) == (0 if is_whole else 1)
    coverage = declared(folder)
    assert coverage is not None
    assert coverage.kinds == ("alloc",)


def test_losses_of_another_buffer_stand_for_none_of_the_top_one(tmp_path: Path) -> None:
    frees = [page(T + 3, [record(1, free(256))], missed=40)]
    made = Made(cpus=[[page(T, ALLOCS, missed=60)]], buffers={"frees": [frees]})
    assert declared(captured(tmp_path / "lost", made, entries=2, overrun=100)) is None
    assert declared(captured(tmp_path / "told", made, entries=2, overrun=60)) is not None


def test_of_a_trace_of_another_buffer_alone_nothing_is_declared(tmp_path: Path) -> None:
    made = Made(cpus=[[]], buffers={"frees": [[page(T + 3, [record(1, free(256))])]]})
    coverage = declared(captured(tmp_path / "capture", made, entries=0))
    assert coverage is not None
    assert coverage.kinds == ("alloc",)
