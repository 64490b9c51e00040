"""Captures of real kernels, and what their files are known to hold."""

import json
import shutil

import numpy as np
import pytest
import zstandard

from pagetrail.producers.capture.coverage import lost_events
from pagetrail.producers.capture.directory import Capture
from pagetrail.schemas.batch import concat
from pagetrail.schemas.columns import Kind
from pagetrail.schemas.linux.gfp import GFP_FLAGS_6_1
from pagetrail.schemas.linux.gfp_format import parse_gfp_format


def test_a_kernels_format_file_names_its_gfp_flags(captures):
    flags = parse_gfp_format((captures / "small" / "formats" / "mm_page_alloc.format").read_text())
    assert list(flags.items()) == list(GFP_FLAGS_6_1.items())


@pytest.fixture(scope="module")
def small(captures):
    capture = Capture(captures / "small")
    return capture, concat(list(capture.batches()))


def test_all_of_a_real_recording_is_read(small):
    capture, batch = small
    kinds = batch.columns["kind"]
    counts = {kind: int((kinds == kind).sum()) for kind in Kind}
    assert (counts[Kind.FREE], counts[Kind.ALLOC], counts[Kind.DRAIN]) == (76451, 75108, 34926)
    assert (counts[Kind.HOTPLUG], counts[Kind.BASELINE_BEGIN], counts[Kind.CLOCK]) == (
        38,
        20,
        31,
    )  # a dump and a reading of kpageflags a snapshot
    assert capture.account.not_understood == 0
    assert [note for note in capture.info.notes if "14 reports of single pages" not in note] == []


def test_pages_of_a_real_dump_were_allocated_when_the_clock_relation_says(small):
    capture, batch = small
    offset = capture._relation.ts_offset
    kinds, times = batch.columns["kind"], batch.columns["trace_ts_nsec"]
    last = np.flatnonzero(kinds == Kind.BASELINE_BEGIN)[
        2
    ]  # the dump of 2-workload, after both views of 1-boot: nothing but alloc and free before it
    allocs = np.flatnonzero((kinds == Kind.ALLOC) & (np.arange(kinds.size) < last))
    allocated = dict(zip(batch.column("pfn")[allocs].tolist(), times[allocs].tolist(), strict=True))
    entries = np.flatnonzero((kinds == Kind.BASELINE_ENTRY) & (times == times[last]))
    stamped = zip(batch.column("pfn")[entries].tolist(), batch.column("ts_nsec")[entries].tolist(), strict=True)
    stable = capture._relation.valid_from
    late = [ts - offset - allocated[p] for p, ts in stamped if allocated.get(p, 0) > stable and ts - offset > stable]
    assert len(late) > 3000
    assert np.percentile(late, [1, 50, 99]) == pytest.approx([-100_000, -1_000, 0], abs=100_000)


def test_real_markers_were_written_after_their_reading_and_within_its_error(small):
    capture, batch = small
    for row in np.flatnonzero(batch.columns["kind"] == Kind.CLOCK)[1:].tolist():
        clock = json.loads(batch.details[row])
        late = int(batch.columns["trace_ts_nsec"][row]) + capture._relation.mono_offset - clock["monotonic"]
        assert 0 <= late <= clock["error"] + 100_000  # 0.1 ms: what NTP steered in a minute


def test_probes_are_covered_unless_they_are_ignored(captures):
    on, off = (Capture(captures / "probes", probes=probes)._coverage.kinds for probes in (True, False))
    assert on == ("alloc", "free", "drain", "refill", "split", "migrate", "isolate", "hotplug")
    assert off == ("alloc", "free", "drain", "refill", "hotplug")


def test_real_losses_are_all_named_by_the_trace(captures):
    assert lost_events(captures / "lossy" / "trace.txt.zst") == {0: 491193, 1: 358566}
    assert Capture(captures / "lossy")._coverage.cpus is None


@pytest.mark.parametrize(("capture", "trace_clock"), [("perf-plain", "perf"), ("perf-g", "mono")])
def test_a_trace_without_markers_gets_those_that_its_snapshots_kept(captures, capture, trace_clock):
    opened = Capture(captures / capture)
    batch = concat(list(opened.batches()))
    assert opened.info.trace_clock == trace_clock
    assert opened.info.snapshots == ("1-boot", "p0-perf-base", "p1-perf-mid", "p2-perf-end")
    assert int((batch.columns["kind"] == Kind.BASELINE_BEGIN).sum()) == 8  # a dump and a reading of kpageflags each
    assert np.all(np.diff(batch.columns["trace_ts_nsec"]) >= -1_000_000)  # its CPUs are merged no closer


def test_ignored_probes_leave_no_events(captures, tmp_path):
    trace = zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(
        (captures / "probes" / "trace.txt.zst").read_bytes()
    )
    head = trace.read(30_000_000)
    shutil.copy(captures / "probes" / "dmesg.txt", tmp_path)
    (tmp_path / "trace.txt").write_bytes(head[: head.rindex(b"\n") + 1])
    probed = {Kind.SPLIT, Kind.MIGRATE, Kind.ISOLATE}
    assert probed & set(concat(list(Capture(tmp_path).batches())).columns["kind"].tolist())
    assert not probed & set(concat(list(Capture(tmp_path, probes=False).batches())).columns["kind"].tolist())
