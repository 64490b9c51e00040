"""A capture directory as one recording, and whatever else can be opened as one."""

import dataclasses
import gzip
import io
import json
import os
import shutil
import sys
import tarfile

import numpy as np
import pytest
import zstandard

from pagetrail.producers.capture.boot import parse_memory_blocks
from pagetrail.producers.capture.clock import parse_marker
from pagetrail.producers.capture.coverage import lost_events
from pagetrail.producers.capture.directory import Capture
from pagetrail.producers.recordings import open_recording
from pagetrail.schemas.batch import concat, to_arrow
from pagetrail.schemas.columns import Kind
from pagetrail.schemas.details import DETAIL_MODELS
from pagetrail.schemas.errors import InputError, PagetrailError
from pagetrail.schemas.linux.gfp import GFP_FLAGS_6_1
from pagetrail.schemas.linux.gfp_format import parse_gfp_format
from tests.shared import content_id

DMESG = "[    0.001500] sched_clock: Marking stable (900000, 100000)->(2000000, -1000000)\n"
# So: page_owner's clock = trace - 1 ms; CLOCK_MONOTONIC = trace - 1.1 ms.

TRACE = """\
# tracer: nop
              sh-44      [000] .....     1.000000: mm_page_alloc: page=(____ptrval____) pfn=0x100 order=0 \
migratetype=0 gfp_flags=GFP_KERNEL
           snapd-48      [000] .....     2.000000: tracing_mark_write: SNAPSHOT 1-boot begin mono=1998800000 \
raw=1998800001 boot=1998800002 real=1795386662858263654
           snapd-48      [000] .....     3.000000: tracing_mark_write: SNAPSHOT 1-boot page_owner_end mono=2998800000
           snapd-48      [000] .....     3.100000: tracing_mark_write: SNAPSHOT 1-boot end mono=3098800000
              sh-44      [001] .....     4.000000: mm_page_free: page=(____ptrval____) pfn=0x100 order=0
           snapd-48      [000] .....     5.000000: tracing_mark_write: SNAPSHOT 2-end begin mono=4998800000
           snapd-48      [000] .....     6.000000: tracing_mark_write: SNAPSHOT 2-end page_owner_end mono=5998800000
              sh-44      [000] .....     7.000000: mm_page_alloc: page=(____ptrval____) pfn=0x101 order=0 \
migratetype=0 gfp_flags=GFP_KERNEL
"""
DUMP = """\
Page allocated via order 0, mask 0xcc0(GFP_KERNEL), pid 44, tgid 44 (sh), ts 999000000 ns, free_ts 0 ns
PFN 256 type Unmovable Block 0 type Unmovable Flags 0x0()
 __alloc_pages+0x16f/0x2a0

"""
RING = (
    "{} entries: {} overrun: 0 commit overrun: 0 bytes: 9 oldest event ts:     1.000000 now ts:     2.000000 "
    "dropped events: 0 read events: 0 \n"
)
RINGS = "".join(RING.format(*ring) for ring in (("1-boot cpu0", 2), ("final cpu0", 7), ("final cpu1", 1)))
UEVENTS = """\
uevent mono_ns=3998900000 boot_ns=1 real_ns=1 bytes=1 header=add@/devices/system/memory/memory32
uevent mono_ns=4498900000 boot_ns=1 real_ns=1 bytes=1 header=online@/devices/system/memory/memory32
uevent mono_ns=8998900000 boot_ns=1 real_ns=1 bytes=1 header=offline@/devices/system/memory/memory32
"""
FILES = {
    "trace.txt": TRACE,
    "dmesg.txt": DMESG,
    "uname.txt": "Linux (none) 6.1.192-polab #1 SMP Sun Nov 22 21:46:13 UTC 2026 x86_64 GNU/Linux\n",
    "set_event.txt": "kmem:mm_page_alloc\nkmem:mm_page_free\n",
    "ring_stats.txt": RINGS,
    "snapshots/1-boot/page_owner.txt": DUMP,
    "snapshots/1-boot/block_size_bytes": "8000000\n",
    "snapshots/2-end/page_owner.txt": DUMP,
    "snapshots/2-end/clocks.txt": "SNAPSHOT 2-end begin mono=4998800000 raw=1 boot=1 real=1 after_mono=4998950000\n",
}


@pytest.fixture
def make(tmp_path):
    """Return a function that writes a capture of FILES with changes; None leaves a file out."""

    def make(name="capture", **changes):
        files = FILES | {key.replace("__", "/").replace("_TXT", ".txt"): text for key, text in changes.items()}
        directory = tmp_path / name
        for file, text in files.items():
            if text is not None:
                (path := directory / file).parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return directory

    return make


def rows_of(parser):
    """Return (trace time in ms, kind, detail) of all rows."""
    rows = []
    for batch in parser.batches():
        assert to_arrow(with_seq(batch)).num_rows == len(batch)
        for i in range(len(batch)):
            kind = Kind(int(batch.columns["kind"][i]))
            if i in batch.details:
                DETAIL_MODELS[kind].model_validate_json(batch.details[i])
            detail = json.loads(batch.details.get(i, "{}"))
            rows.append((int(batch.columns["trace_ts_nsec"][i]) // 1_000_000, kind, detail))
    return rows


def with_seq(batch):
    return dataclasses.replace(batch, columns={**batch.columns, "seq": batch.columns["trace_ts_nsec"]})


def of_kind(rows, kind):
    return [(at, detail) for at, found, detail in rows if found is kind]


def kinds_of(rows):
    return [kind for _, kind, _ in rows]


def test_the_rows_come_in_the_order_of_the_docstring(make):
    dump = [Kind.BASELINE_BEGIN, Kind.BASELINE_ENTRY, Kind.BASELINE_END]
    assert kinds_of(rows_of(Capture(make()))) == [
        Kind.BOOT, Kind.CLOCK, Kind.ALLOC, Kind.MARKER, Kind.CLOCK, Kind.COVERAGE, Kind.MARKER, Kind.CLOCK, *dump,
        Kind.MARKER, Kind.CLOCK, Kind.FREE, Kind.MARKER, Kind.CLOCK, Kind.MARKER, Kind.CLOCK, *dump, Kind.ALLOC,
    ]  # fmt: skip


def test_a_dump_is_bound_to_its_markers(make):
    begins = of_kind(rows_of(Capture(make())), Kind.BASELINE_BEGIN)
    assert [(at, d["name"], d["window_begin"], d["window_end"], d["entries"]) for at, d in begins] == [
        (3000, "1-boot", 2_000_000_000, 3_000_000_000, 1),
        (6000, "2-end", 5_000_000_000, 6_000_000_000, 1),
    ]


def test_what_dmesg_says_of_the_clocks_comes_first(make):
    at, clock = of_kind(rows_of(Capture(make())), Kind.CLOCK)[0]
    assert at == 1000
    assert clock["ts_nsec"] == 1_000_000_000 - 1_000_000
    assert clock["monotonic"] == 1_000_000_000 - 1_100_000
    assert clock["valid_from"] == 1_500_000 + 1000 + 1_000_000


def test_a_markers_reading_bears_its_error(make):
    clocks = of_kind(rows_of(Capture(make())), Kind.CLOCK)
    assert clocks[1][1]["realtime"] == 1795386662858263654
    assert clocks[1][1]["error"] == 100_000 + 1000  # against dmesg: the marker was written 0.1 ms after the reading
    assert next(d for at, d in clocks if at == 5000)["error"] == 150_000 + 1000  # the snapshot says when it was written


def test_a_snapshot_without_a_dump_is_noted_and_the_rest_is_read(make):
    capture = Capture(make(**{"snapshots/1-boot/page_owner.txt": None}))
    assert [d["name"] for _, d in of_kind(rows_of(capture), Kind.BASELINE_BEGIN)] == ["2-end"]
    assert any("1-boot" in note and "missing" in note for note in capture.info.notes)


def test_a_dump_without_a_marker_is_noted_and_left_out(make):
    capture = Capture(make(**{"snapshots/9-later/page_owner.txt": DUMP}))
    assert len(of_kind(rows_of(capture), Kind.BASELINE_BEGIN)) == 2
    assert any("9-later" in note for note in capture.info.notes)


def test_reports_of_pages_in_dmesg_are_noted_as_they_are_not_read(make):
    told = Capture(make(**{"dmesg.txt": DMESG + "[    9.000000] page_owner tracks the page as freed\n"})).info.notes
    assert [note for note in told if "1 report of a single page" in note]
    assert not [note for note in Capture(make()).info.notes if "page_owner tracks" in note]


def test_a_dump_without_a_page_of_one_of_the_nodes_is_noted(make):
    zone = "Node {}, zone   Normal\n        spanned  1000\n        managed  900\n  start_pfn:           {}\n"
    zones = zone.format(0, 0) + zone.format(1, 1000)
    capture = open_recording(make("c", **{"snapshots/1-boot/zoneinfo": zones}))
    rows_of(capture.parser)
    noted = [note for note in capture.info.notes if "node 1" in note]
    assert [note.partition(",")[0] for note in noted] == [
        f"the dump of snapshot {name} has no page of node 1" for name in ("1-boot", "2-end")
    ]
    assert not any("node 0" in note for note in capture.info.notes)


def test_an_empty_dump_says_nothing(make):
    capture = Capture(make(**{"snapshots/1-boot/page_owner.txt": ""}))
    assert len(of_kind(rows_of(capture), Kind.BASELINE_BEGIN)) == 1
    assert any("page_owner was off" in note for note in capture.info.notes)


def test_a_dump_cut_short_says_that_records_are_missing(make):
    cut = zstandard.ZstdCompressor().compress(DUMP.encode() * 1000 + os.urandom(300_000))[:-200_000]
    capture = Capture(make(**{"snapshots/1-boot/page_owner.txt": None, "snapshots/1-boot/page_owner.txt.zst": cut}))
    begins = of_kind(rows_of(capture), Kind.BASELINE_BEGIN)
    assert begins[0][1]["entries"] == 1000
    assert begins[0][1]["skipped"] > 0
    assert "cut short" in capture.account.truncated


def test_dumps_may_lie_in_an_archive(make):
    plain = rows_of(Capture(make("plain")))
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name in ("1-boot", "2-end"):
            member = tarfile.TarInfo(f"./snapshots/{name}/page_owner.txt")
            member.size = len(DUMP)
            tar.addfile(member, io.BytesIO(DUMP.encode()))
    changes = {f"snapshots/{name}/page_owner.txt": None for name in ("1-boot", "2-end")}
    packed = zstandard.ZstdCompressor().compress(archive.getvalue())
    assert rows_of(Capture(make("packed", **changes, **{"page_owner_dumps.tar.zst": packed}))) == plain


def test_packing_the_trace_changes_nothing(make):
    packed = make("packed", **{"trace.txt": None, "trace.txt.gz": gzip.compress(TRACE.encode())})
    plain = make("plain")
    assert rows_of(Capture(packed)) == rows_of(Capture(plain))
    assert Capture(packed).info.recording_id == Capture(plain).info.recording_id == content_id(plain / "trace.txt")


def test_without_dumps_there_are_no_baselines(make):
    assert Kind.BASELINE_BEGIN not in kinds_of(rows_of(Capture(make(), dumps=False)))


def test_coverage_is_declared_from_the_first_marker_on(make):
    assert of_kind(rows_of(Capture(make())), Kind.COVERAGE) == [
        (2000, {"kinds": ["alloc", "free"], "begins": True, "declared_by": "set_event.txt, ring_stats.txt"})
    ]


PROBED = {
    "trace.txt": TRACE.replace("     1.000000: mm_page_alloc", "     0.001000: mm_page_alloc", 1),
    "dmesg.txt": f"[    0.000000] Linux version 6.1.192\n{DMESG}[    0.500000] Run /init as init process\n",
    "set_event.txt": f"{FILES['set_event.txt']}po:split_owner\n",
    "kprobe_events.txt": "p:po/split_owner __split_page_owner page=%di:x64 nr=%si:u32\n",
    "cmdline.txt": "kprobe_event=p:po/split_owner,__split_page_owner,page=%di:x64,nr=%si:u32\n",
}


def test_probes_of_the_command_line_are_declared_since_init_ran(make):
    early = of_kind(rows_of(Capture(make(**PROBED))), Kind.COVERAGE)[-1]
    by = "kprobe_event= in cmdline.txt, set_event.txt, kprobe_events.txt, ring_stats.txt"
    stretch = {"since": 500_000_000 + 1000 + 1_000_000, "until": 2_000_000_000}
    assert early == (2000, {"kinds": ["split"], "begins": True, **stretch, "declared_by": by})


@pytest.mark.parametrize(
    "damage",
    [
        {"trace.txt": TRACE},  # it begins after the boot
        {"dmesg.txt": PROBED["dmesg.txt"].partition("\n")[2]},  # its beginning is missing
        {"dmesg.txt": PROBED["dmesg.txt"] + "[    0.000100] trace_kprobe: Failed to add event(-2): p:po/split_owner\n"},
        {"dmesg.txt": f"[    0.000000] Linux version 6.1.192\n{DMESG}"},
        {"kprobe_events.txt": "p:po/split_owner __split_page_owner page=%di:x64 nr=%dx:u32\n"},
    ],
    ids=["late", "cut", "refused", "no init", "another probe later"],
)
def test_what_does_not_show_that_probes_were_on_declares_no_time_before_the_marker(make, damage):
    declared = of_kind(rows_of(Capture(make(**PROBED | damage))), Kind.COVERAGE)
    assert all("since" not in detail for _, detail in declared)


@pytest.mark.parametrize("damage", ["overrun: 5 commit overrun: 0", "overrun: 0 commit overrun: 5"])
def test_a_cpu_whose_ring_lost_events_silently_is_not_covered(make, damage):
    rings = RINGS.replace("final cpu1 entries: 1 overrun: 0 commit overrun: 0", f"final cpu1 entries: 1 {damage}")
    capture = Capture(make(**{"ring_stats.txt": rings}))
    assert [d["cpus"] for _, d in of_kind(rows_of(capture), Kind.COVERAGE)] == [[0]]
    assert any("CPU 1" in note for note in capture.info.notes)


def test_a_cpu_whose_losses_the_trace_names_is_covered(make):
    rings = RINGS.replace("final cpu1 entries: 1 overrun: 0", "final cpu1 entries: 1 overrun: 5")
    trace = TRACE.replace("# tracer: nop\n", "CPU:1 [LOST 2 EVENTS]\n") + "CPU:1 [LOST 3 EVENTS]\n"
    rows = rows_of(Capture(make(**{"ring_stats.txt": rings, "trace.txt": trace})))
    assert [d.get("cpus") for _, d in of_kind(rows, Kind.COVERAGE)] == [None]


@pytest.mark.parametrize("missing", ["set_event.txt", "ring_stats.txt"])
def test_without_its_files_nothing_is_declared(make, missing):
    capture = Capture(make(**{missing: None}))
    assert Kind.COVERAGE not in kinds_of(rows_of(capture))
    assert any(missing in note for note in capture.info.notes)


def test_what_the_operator_declares_comes_first(make):
    assert of_kind(rows_of(Capture(make(), covers=("migrate",))), Kind.COVERAGE)[0] == (
        1000,
        {"kinds": ["migrate"], "begins": True, "declared_by": "the operator"},
    )


def test_uevents_tell_of_hotplug_where_no_probe_does(make):
    capture = Capture(make(**{"uevents.txt": UEVENTS}))
    rows = rows_of(capture)
    assert [(at, d["call"], d["phase"]) for at, d in of_kind(rows, Kind.HOTPLUG)] == [
        (4500, "online_pages", "notified"),
        (9000, "offline_pages", "notified"),
    ]
    batch = concat([b for b in Capture(make()).batches() if Kind.HOTPLUG in b.columns["kind"]])
    assert batch.column("pfn").tolist() == [32 * 32768] * 2
    assert batch.column("nr_pages").tolist() == [32768] * 2


def test_uevents_say_nothing_where_probes_are_on_hotplug(make):
    events = FILES["set_event.txt"] + "hp:online_pages\n"
    assert Kind.HOTPLUG not in kinds_of(rows_of(Capture(make(**{"uevents.txt": UEVENTS, "set_event.txt": events}))))


def test_times_never_go_back(make):
    times = [at for at, _, _ in rows_of(Capture(make(**{"uevents.txt": UEVENTS})))]
    assert times == sorted(times)


@pytest.mark.parametrize(
    ("hostname", "uname", "host"),
    [("host-d\n", FILES["uname.txt"], "host-d"), (None, "Linux box 6.1 #1 x86_64 GNU/Linux", "box"),
     (None, FILES["uname.txt"], "capture"), (None, None, "capture")],
)  # fmt: skip
def test_the_host_is_named_by_itself_else_by_the_directory(make, hostname, uname, host):
    assert Capture(make(**{"hostname.txt": hostname, "uname.txt": uname})).info.host == host


def test_twins_are_named_and_not_read(make):
    info = Capture(make(**{"trace.dat": b"\x17\x08\x44tracing", "perf.data.zst": b""})).info
    assert (info.trace_file, info.twins) == ("trace.txt", ("trace.dat", "perf.data.zst"))


def test_a_directory_of_captures_is_refused_and_they_are_named(make, tmp_path):
    for name in ("boot1", "boot2"):
        make(name)
    with pytest.raises(InputError, match="boot1, boot2: give them one by one"):
        open_recording(tmp_path)


@pytest.mark.parametrize(
    ("trace", "says"), [({}, "found none"), ({"trace.dat": b"\x17\x08\x44tracing"}, "found trace.dat")]
)
def test_a_directory_without_a_readable_trace_is_refused(make, trace, says):
    with pytest.raises(InputError, match=says):
        open_recording(make(**{"trace.txt": None}, **trace))


def test_a_trace_cut_short_is_read_as_far_as_it_is_whole(make):
    packed = zstandard.ZstdCompressor().compress(TRACE.encode()) + zstandard.ZstdCompressor().compress(os.urandom(9999))
    capture = Capture(make(**{"trace.txt": None, "trace.txt.zst": packed[:-100]}))
    assert of_kind(rows_of(capture), Kind.ALLOC)[-1][0] == 7000
    assert "cut short" in capture.account.truncated


def test_a_file_that_is_no_trace_is_not_read_as_one_whatever_its_name(make):
    with pytest.raises(InputError, match="expected a trace, found a page_owner dump"):
        Capture(make(**{"trace.txt": DUMP}))


# Alone -------------------------------------------------------------------------------------------------------------


def test_a_trace_alone_has_neither_constants_nor_coverage(make):
    recording = open_recording(make() / "trace.txt")
    assert set(kinds_of(rows_of(recording.parser))) == {Kind.ALLOC, Kind.FREE, Kind.MARKER}
    assert (recording.info.host, recording.info.boot_id, recording.info.format) == (None, None, "ftrace-text")
    assert recording.info.recording_id == content_id(make() / "trace.txt")


def test_what_the_operator_says_of_a_trace_alone_is_kept(make):
    recording = open_recording(make() / "trace.txt", host="h", boot_id="b", covers=("alloc", "free"))
    assert of_kind(rows_of(recording.parser), Kind.COVERAGE)[0][1]["kinds"] == ["alloc", "free"]
    assert (recording.info.host, recording.info.boot_id) == ("h", "b")


def test_a_dump_alone_is_a_recording(make):
    recording = open_recording(make() / "snapshots" / "1-boot" / "page_owner.txt")
    assert kinds_of(rows_of(recording.parser)) == [
        Kind.CLOCK, Kind.BASELINE_BEGIN, Kind.BASELINE_ENTRY, Kind.BASELINE_END,
    ]  # fmt: skip
    assert recording.info.format == "page_owner"


@pytest.mark.parametrize(
    "line",
    [
        "              sh-44      [000] .....     1.000000: split_owner: (f+0x0/0x50) page=0xfffff0c180002000 nr=4\n",
        "              sh    44 [000]     1.000000: po:split_owner: (ffffffff81234567) page=0xfffff0c180002000 nr=4\n",
    ],
    ids=["ftrace", "perf"],
)
def test_the_vmemmap_base_that_the_operator_gives_counts_for_every_trace(tmp_path, line):
    (tmp_path / "trace").write_text(line)
    recording = open_recording(tmp_path / "trace", vmemmap_base=0xFFFFF0C180000000)
    (batch,) = recording.parser.batches()
    assert batch.column("pfn").tolist() == [0x80]


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstandard.ZstdCompressor().compress])
def test_stdin_is_read_like_a_file_and_has_its_id(make, monkeypatch, pack):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(pack(TRACE.encode()))))
    recording = open_recording("-")
    assert (recording.info.recording_id, recording.info.source) == (content_id(make() / "trace.txt"), "-")
    assert rows_of(recording.parser) == rows_of(open_recording(make() / "trace.txt").parser)


@pytest.mark.parametrize("content", [b"", b"\0\1\2", b"Dear all\n", b"PERFILE2", DMESG.encode()])
def test_what_is_no_recording_is_refused_with_a_reason(tmp_path, content):
    (path := tmp_path / "file").write_bytes(content)
    with pytest.raises(PagetrailError, match="expected ftrace text"):
        open_recording(path)


# Parts -------------------------------------------------------------------------------------------------------------


def test_a_kernels_format_file_names_its_gfp_flags(captures):
    flags = parse_gfp_format((captures / "small" / "formats" / "mm_page_alloc.format").read_text())
    assert list(flags.items()) == list(GFP_FLAGS_6_1.items())


@pytest.mark.parametrize("text", ["", 'x __print_flags(REC->f, "|", {(unsigned long)(1u | sizeof(int)), "A"})'])
def test_a_format_that_cannot_be_evaluated_names_nothing(text):
    assert parse_gfp_format(text) == {}


def test_memory_blocks_that_are_not_offline_are_joined_to_ranges():
    blocks = [(1, "online"), (0, "online"), (32, "offline"), (33, "online")]
    text = "".join(f"memory{block} phys_index={block:08x} state={state}\n" for block, state in blocks)
    assert parse_memory_blocks(text, 8) == ((0, 16), (264, 272))


@pytest.mark.parametrize("text", ["LAB snap 1-boot", "SNAPSHOT", "SNAPSHOT x started"])
def test_other_markers_are_none_of_a_snapshot(text):
    assert parse_marker(text) is None


# Real --------------------------------------------------------------------------------------------------------------


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


# Counts ------------------------------------------------------------------------------------------------------------


def gaps_of(capture):
    return [detail for _, detail in of_kind(rows_of(capture), Kind.GAP)]


def test_lines_that_the_statistics_count_and_the_trace_does_not_have_are_a_gap(make):
    trace = TRACE.splitlines(keepends=True)
    (gap,) = gaps_of(Capture(make(**{"trace.txt": "".join(trace[:1] + trace[2:])})))
    assert (gap["t_lo"], gap["t_hi"], gap["lost"]) == (0, 7_000_000_000, 1)


def test_a_line_that_was_not_understood_is_not_missing_too(make):
    (gap,) = gaps_of(Capture(make(**{"trace.txt": TRACE.replace("pfn=0x100 order=0 migratetype", "pfn=0x1x", 1)})))
    assert gap["line"] == 2


def test_a_line_more_than_the_statistics_count_does_not_fit_them(make):
    trace = TRACE.splitlines(keepends=True)
    (gap,) = gaps_of(Capture(make(**{"trace.txt": "".join([*trace, trace[-1].replace(".000000:", ".000001:")])})))
    assert "one of the two is not whole" in gap["reason"]


def test_an_event_that_is_there_twice_is_stored_once_and_said_and_fits_the_statistics(make):
    trace = TRACE.splitlines(keepends=True)
    whole = rows_of(Capture(make()))
    capture = Capture(make(**{"trace.txt": "".join([*trace, trace[-1]])}))
    assert rows_of(capture) == whole
    assert [note for note in capture.account.notes if "repeat an event" in note]


def test_an_event_in_place_of_another_is_missed_by_the_statistics(make):
    trace = TRACE.splitlines(keepends=True)
    (gap,) = gaps_of(Capture(make(**{"trace.txt": "".join([*trace[:-1], trace[-2]])})))
    assert gap["lost"] == 1


def test_a_cpu_that_is_in_the_trace_and_not_in_the_statistics_leaves_nothing_certain(make):
    capture = Capture(make(**{"ring_stats.txt": "".join(RINGS.splitlines(keepends=True)[:2])}))
    assert [gap["reason"][:22] for gap in gaps_of(capture)] == ["CPU 1 is in the trace "]
