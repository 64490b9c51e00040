"""A capture directory whose trace is copies of the kernel's rings: the same rows as the trace.dat of the same pages."""

import tarfile
from pathlib import Path

import pytest
import zstandard

from pagetrail.producers.capture.coverage import declared_coverage
from pagetrail.producers.capture.directory import Capture
from pagetrail.producers.capture.folder import CaptureFolder
from pagetrail.producers.capture.trace import find_trace
from pagetrail.producers.inputs import source_of
from pagetrail.producers.unpacking import Unpacking
from pagetrail.schemas.batch import concat, to_arrow
from pagetrail.schemas.columns import Kind
from pagetrail.schemas.errors import InputError
from tests.producers.formats.perf_data.maker import ALLOC, FORMATS, FREE, format_text
from tests.producers.formats.trace_dat import maker as mk
from tests.producers.formats.trace_dat.maker import alloc, free, page, record

T = 1_000_000_000
PAGES = (
    [
        page(T, [record(1, alloc(256)), record(1, mk.stack(0xFFFFFFFF81000105))]),
        page(T + 9, [record(1, free(256))], missed=2),
    ],
    [page(T + 3, [record(2, alloc(300, pid=9)), record(1, mk.marker("SNAPSHOT 1 begin"))])],
)


def rings(folder: Path, *, formats: str = "events", packed: bool = False) -> Path:
    """Write a capture directory with the rings of two CPUs; *formats*: the layout of what says how they are to be read."""
    for cpu, pages in enumerate(PAGES):
        path = folder / f"per_cpu/cpu{cpu}/trace_pipe_raw"
        path.parent.mkdir(parents=True)
        data = b"".join(pages)
        if packed:
            path.with_name("trace_pipe_raw.zst").write_bytes(zstandard.compress(data))
        else:
            path.write_bytes(data)
    (folder / formats).mkdir()
    (folder / formats / "header_page").write_bytes(mk.header_page())
    texts = {FORMATS[number][1]: format_text(number) for number in (ALLOC, FREE)}
    texts |= {mk.OF_FTRACE[number][0]: mk.own_format(number) for number in mk.OF_FTRACE}
    for name, text in texts.items():
        path = folder / (f"events/some/{name}/format" if formats == "events" else f"formats/{name}.format")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text)
    (folder / "saved_cmdlines.txt").write_text("7 worker\n")
    (folder / "kallsyms.txt").write_bytes(mk.KALLSYMS)
    (folder / "trace_clock.txt").write_text("local [mono]\n")
    return folder


@pytest.mark.parametrize(("formats", "packed"), [("events", False), ("formats", True)])
def test_copies_of_rings_are_read_as_a_trace(formats: str, packed: bool, tmp_path: Path) -> None:
    capture = Capture(rings(tmp_path / "capture", formats=formats, packed=packed))
    rows = to_arrow(concat(list(capture.batches()))).to_pylist()
    shown = [(row["trace_ts_nsec"], row["kind"], row["cpu"], row["pfn"], row["comm"], row["stack"]) for row in rows]
    assert [one for one in shown if one[1] in (Kind.ALLOC, Kind.FREE, Kind.MARKER)] == [
        (T + 1, Kind.ALLOC, 0, 256, "worker", "inner+0x5"), (T + 5, Kind.ALLOC, 1, 300, None, None),
        (T + 6, Kind.MARKER, 1, None, "worker", None), (T + 10, Kind.FREE, 0, 256, "worker", None),
    ]  # fmt: skip
    assert [one[:3] for one in shown if one[1] == Kind.GAP] == [(T + 10, Kind.GAP, 0)]
    assert (capture.info.trace_format, capture.info.trace_clock) == ("trace.dat", "mono")


def test_a_ring_that_says_what_it_lost_is_covered(tmp_path: Path) -> None:
    folder = rings(tmp_path / "capture")
    (folder / "set_event.txt").write_text("kmem:mm_page_alloc\nkmem:mm_page_free\n")
    ring = (
        "final cpu{} entries: {} overrun: {} commit overrun: 0 bytes: 9 oldest event ts: 1.0 now ts: 2.0 dropped events: 0 "
        "read events: 0\n"
    )
    for overrun, cpus in ((2, None), (3, (1,))):
        (folder / "ring_stats.txt").write_text(ring.format(0, 3, overrun) + ring.format(1, 2, 0))
        found = CaptureFolder(folder)
        trace = find_trace(found)
        declared = declared_coverage(found, trace.path, probes=True, losses=trace.losses)
        assert declared.coverage is not None
        assert declared.coverage.cpus == cpus


@pytest.mark.parametrize("at", ["a page's end", "within a page"])
def test_a_copy_that_ends_within_its_compression_is_a_gap_and_is_told(at: str, tmp_path: Path) -> None:
    folder = rings(tmp_path / "capture", packed=True)
    packing, data = zstandard.ZstdCompressor().compressobj(), b""
    for n in range(3):
        whole = page(T + 100 * n, [record(1, alloc(256 + n))] * 40)
        for part in (whole[:500], whole[500:]):
            data += packing.compress(part) + packing.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)
            if (n, len(part)) == (1, 500 if at == "within a page" else 3596):
                (folder / "per_cpu/cpu0/trace_pipe_raw.zst").write_bytes(data)
    capture = Capture(folder)
    rows = to_arrow(concat(list(capture.batches()))).to_pylist()
    assert 40 < sum(row["cpu"] == 0 and row["kind"] == Kind.ALLOC for row in rows) <= 80
    assert [row["cpu"] for row in rows if row["kind"] == Kind.GAP] == [0]
    assert "cpu0/trace_pipe_raw.zst: cut short" in str(capture.account.truncated)


def test_an_archive_of_rings_is_a_capture(tmp_path: Path) -> None:
    folder = rings(tmp_path / "host")
    for name in ("saved_cmdlines.txt", "kallsyms.txt", "trace_clock.txt"):
        (folder / name).unlink()
    with tarfile.open(tmp_path / "host.tar", "w") as archive:
        archive.add(folder, "host")
    unpacking = Unpacking(source_of(tmp_path / "host.tar"), "tar", tmp_path)
    assert [found.name for found in unpacking.recordings()] == ["host"]


def test_a_ring_at_whose_page_an_archive_is_cut_is_a_gap_and_is_told(tmp_path: Path) -> None:
    folder, path = rings(tmp_path / "host"), tmp_path / "host.tar"
    last = "per_cpu/cpu0/trace_pipe_raw"
    with tarfile.open(path, "w") as archive:
        archive.add(folder, "host", filter=lambda one: None if one.name.endswith(last) else one)
        archive.add(folder / last, f"host/{last}")
    with tarfile.open(path) as archive:
        at = archive.getmember(f"host/{last}").offset_data
    path.write_bytes(path.read_bytes()[: at + 4096])
    unpacking = Unpacking(source_of(path), "tar", tmp_path)
    for found in unpacking.recordings():
        assert isinstance(found.path, Path)
        rows = to_arrow(concat(list(Capture(found.path).batches()))).to_pylist()
        assert [row["pfn"] for row in rows if row["kind"] == Kind.ALLOC][-1] == 300
        assert [row["cpu"] for row in rows if row["kind"] == Kind.GAP] == [0]
    assert any(last in note for note in unpacking.notes)


def test_rings_without_header_page_are_refused(tmp_path: Path) -> None:
    folder = rings(tmp_path / "capture")
    (folder / "events/header_page").unlink()
    with pytest.raises(InputError, match="expected events/header_page beside per_cpu"):
        Capture(folder)
