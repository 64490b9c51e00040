"""A capture directory as one recording, and whatever else can be opened as one."""

import gzip
import io
import os
import tarfile

import pytest
import zstandard

from pagetrail.producers.capture.clock import parse_marker
from pagetrail.producers.capture.directory import Capture
from pagetrail.producers.capture.memory_map import parse_memory_blocks
from pagetrail.producers.recordings import open_recording
from pagetrail.schemas.batch import concat
from pagetrail.schemas.columns import Kind
from pagetrail.schemas.errors import InputError
from pagetrail.schemas.linux.gfp_format import parse_gfp_format
from tests.producers.capture.capture_samples import DMESG, DUMP, FILES, TRACE, UEVENTS, kinds_of, of_kind, rows_of
from tests.shared import content_id


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
    assert (info.trace_file, info.twins) == ("trace.txt", ("perf.data.zst", "trace.dat"))


def test_a_directory_of_captures_is_refused_and_they_are_named(make, tmp_path):
    for name in ("boot1", "boot2"):
        make(name)
    with pytest.raises(InputError, match="boot1, boot2: give them one by one"):
        open_recording(tmp_path)


@pytest.mark.parametrize(
    ("trace", "says"),
    [({}, "found none"), ({"trace.dat": b"\x17\x08\x44tracing"}, "expected a whole trace.dat, found")],
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
