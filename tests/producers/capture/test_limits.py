"""Numbers and sizes in the files beside a trace: what no kernel prints, or no machine has, is left out and said."""

import io

import numpy as np
import pytest

from pagetrail.producers.capture.clock import parse_marker
from pagetrail.producers.capture.directory import Capture
from pagetrail.producers.capture.dmesg import Dmesg, parse_dmesg
from pagetrail.producers.capture.memory_map import more_than_there_is, parse_iomem, parse_memory_blocks, parse_zoneinfo
from pagetrail.producers.capture.numbers import number, signed
from pagetrail.producers.capture.page_size import page_size
from pagetrail.producers.capture.snapshots import _natural
from pagetrail.producers.capture.uevents import hotplug_rows, parse_uevents
from pagetrail.producers.capture.vmstat import parse_vmstat
from pagetrail.producers.formats import kpageflags
from pagetrail.producers.formats.kpageflags import KEPT_BITS, KPageFlags
from pagetrail.schemas.columns import Kind
from pagetrail.schemas.linux.gfp_format import parse_gfp_format
from pagetrail.schemas.linux.page_flags import KPF_BUDDY, KPF_HWPOISON
from tests.producers.capture.capture_samples import UEVENTS, of_kind, rows_of

ODD = ("", "²", "٣", "-", "1e3", "0x", "1_0", " 1", "9" * 5000, str(1 << 63), str(1 << 70))


@pytest.mark.parametrize("text", ODD)
def test_a_number_is_ascii_digits_in_its_range(text: str) -> None:
    assert number(text) is None
    assert signed(text) is None


def test_numbers_are_read_to_the_ends_of_their_ranges() -> None:
    assert number(str((1 << 63) - 1)) == (1 << 63) - 1
    assert number("0x" + "0" * 5000 + "ff", base=16) == number("ff", base=16) == 255
    assert (number("7", stop=7), signed("-7")) == (None, -7)


@pytest.mark.parametrize("text", ODD[1:])
@pytest.mark.parametrize("file", ["block_size_bytes", "zoneinfo", "clocks.txt", "vmstat"])
def test_an_odd_number_beside_a_trace_leaves_the_recording_readable(make, file: str, text: str) -> None:  # type: ignore[no-untyped-def]
    whole = {
        "block_size_bytes": text, "zoneinfo": f"Node 0, zone    DMA32\n        spanned  {text}\n  start_pfn:  {text}\n",
        "clocks.txt": f"SNAPSHOT 2-end begin mono={text} raw={text}\n", "vmstat": f"pgmigrate_success {text}\n",
    }  # fmt: skip
    capture = Capture(make(**{f"snapshots__1-boot__{file}": whole[file]}))
    assert len(of_kind(rows_of(capture), Kind.ALLOC)) == 2
    if file == "block_size_bytes":
        assert any("block_size_bytes" in note for note in capture.info.notes)


@pytest.mark.parametrize("bits", [0, 11, 41, 50])
def test_a_block_size_that_no_machine_has_reads_no_hotplug_and_says_so(make, bits: int) -> None:  # type: ignore[no-untyped-def]
    capture = Capture(make(uevents_TXT=UEVENTS, **{"snapshots__1-boot__block_size_bytes": f"{1 << bits:x}\n"}))
    assert of_kind(rows_of(capture), Kind.HOTPLUG) == []
    assert any("expected the size of memory blocks" in note for note in capture.info.notes)


def test_uevents_with_numbers_of_no_machine_are_counted_and_the_others_read() -> None:
    head = "uevent mono_ns={} boot_ns=1 real_ns=1 bytes=1 header=online@/devices/system/memory/memory{}"
    lines = [
        head.format(5, 1),
        head.format("9" * 30, 1),
        head.format(5, 1 << 60),
        head.format(5, "²"),
        head.format(5, 1 << 40),
    ]
    unread: list[str] = []
    events = parse_uevents(lines, unread.append)
    rows = [make() for _, make in hotplug_rows(events, 1 << 15, 0, unread.append)]
    assert [int(row.columns["pfn"][0]) for row in rows] == [1 << 15]
    assert len(unread) == len(lines) - 1


def test_a_marker_with_a_reading_that_no_clock_has_is_none() -> None:
    assert parse_marker("SNAPSHOT a begin mono=1 real=1795386662858263654") is not None
    for reading in (f"real={1 << 70}", f"mono={10**18}", "raw=" + "9" * 5000):
        text = f"SNAPSHOT a begin mono=1 {reading}" if not reading.startswith("mono") else f"SNAPSHOT a begin {reading}"
        assert parse_marker(text) is None


def test_a_write_that_ended_before_it_began_bounds_no_error() -> None:
    marker = parse_marker("SNAPSHOT a begin mono=2000")
    assert marker is not None
    early, known = marker.clock(5, None, 1000), marker.clock(5, None, None)
    assert early is not None
    assert early == known


def test_dmesg_with_numbers_of_no_kernel_says_nothing() -> None:
    nines = "9" * 5000
    text = (
        f"[{nines}.000000] Linux version 6.1.0 x\n[    0.0] a\n[    0.000001] allocated {nines} bytes of page_ext\n"
        f"[    0.000002] sched_clock: Marking stable ({nines}, 1)->(1, 1)\n[    0.000003] Memory block size: {nines}MB\n"
        f"[    0.000004]   node   0: [mem 0x{'f' * 5000}-0x1]\n"
    )
    assert parse_dmesg(text) == Dmesg()


def test_many_empty_lines_of_zoneinfo_are_looked_at_once() -> None:
    found = page_size(config="", machine=None, dmesg="Memory: 4K/4K available", zoneinfo="\n" * 300_000, given=None)
    assert found.known_by is None


def test_lines_of_memory_that_no_machine_has_are_counted_and_left_out() -> None:
    unread: list[str] = []
    zones = "Node 0, zone DMA\n spanned 16\n start_pfn: 0\nNode 9999, zone X\n spanned 16\n start_pfn: 0\n"
    assert [
        zone.name for zone in parse_zoneinfo(zones + "Node 0, zone Y\n spanned 99999999999999999999\n", unread.append)
    ] == ["DMA"]
    assert parse_iomem(f"0000-0fff : System RAM\n0-{'f' * 5000} : System RAM\n", 12, unread.append) == ((0, 1),)
    blocks = f"memory0 phys_index=0 state=online\nmemory1 phys_index={1 << 60:x} state=online\n"
    assert parse_memory_blocks(blocks, 8, unread.append) == ((0, 8),)
    assert len(unread) == 4


def test_ranges_are_held_against_what_the_machine_says_that_it_has() -> None:
    gib = 1 << 18
    assert more_than_there_is([(0, gib)], gib) is None
    assert "it says that it has" in str(more_than_there_is([(0, 1 << 40)], gib))
    assert "no machine has more" in str(more_than_there_is([(0, 1 << 40)], 0))
    scattered = [(n << 20, (n << 20) + 1) for n in range(1000)]
    assert more_than_there_is(scattered, gib) is not None


def test_memory_that_the_machine_cannot_have_is_left_out_and_said(make) -> None:  # type: ignore[no-untyped-def]
    memory = "[    0.000300] Memory: 900000K/1048576K available\n[    0.000000] BIOS-e820: [mem 0x0-0x3ffffffffffff] usable\n"
    trace_from_boot = {
        "dmesg_TXT": memory + "[    9.0] x\n[    0.001500] sched_clock: Marking stable (9, 1)->(9000000000, 1)\n"
    }
    capture = Capture(make(**trace_from_boot))
    ((_, boot),) = of_kind(rows_of(capture), Kind.BOOT)
    assert "present" not in boot or boot["present"] == []
    assert any("what dmesg or iomem list of memory is left out" in note for note in capture.info.notes)


@pytest.mark.parametrize("expression", ["(" * 5000 + "1" + ")" * 5000, "~" * 5000 + "1", "9" * 5000, "1 << 99", "²"])
def test_an_expression_that_no_kernel_writes_names_no_flag(expression: str) -> None:
    assert parse_gfp_format(f'__print_flags(x, "|", {{{expression}, "GFP_KERNEL"}})') == {}


def test_vmstat_without_its_last_end_leaves_the_last_counter_out() -> None:
    assert parse_vmstat("a 12\nb 34") == {"a": 12}


def test_names_of_snapshots_with_odd_numbers_have_an_order() -> None:
    names = ["10-end", "2-b", "²", "9" * 5000, "1-boot"]
    assert sorted(names, key=_natural)[:3] == ["1-boot", "2-b", "10-end"]


def runs_of(flags: np.ndarray) -> list[tuple[int, int, int]]:
    columns = [batch.columns for batch in KPageFlags(io.BytesIO(flags.astype("<u8").tobytes())).batches()]
    return [tuple(map(int, row)) for c in columns for row in zip(c["pfn"], c["nr_pages"], c["page_flags"], strict=True)]  # type: ignore[misc]


@pytest.mark.parametrize("step", [8, 24, 1000, 1 << 20])
def test_the_steps_in_which_kpageflags_are_read_change_nothing(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    rng = np.random.default_rng(step)
    flags = np.repeat(rng.choice([0, 1, KPF_BUDDY, KPF_HWPOISON, KPF_BUDDY | 2], 200), rng.integers(1, 9, 200)).astype(
        np.uint64
    )
    expected, kept = [], flags & np.uint64(KEPT_BITS)
    for pfn, word in enumerate(kept.tolist()):
        if expected and expected[-1][2] == word and sum(expected[-1][:2]) == pfn:
            expected[-1] = (expected[-1][0], expected[-1][1] + 1, word)
        else:
            expected.append((pfn, 1, word))
    monkeypatch.setattr(kpageflags, "_STEP_BYTES", step)
    assert runs_of(flags) == [run for run in expected if run[2]]


def test_kpageflags_beyond_what_a_machine_has_are_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kpageflags, "MOST_PAGES", 100)
    read = KPageFlags(io.BytesIO(np.full(150, KPF_BUDDY, "<u8").tobytes()))
    (batch,) = (found for found in read.batches() if len(found))
    assert (int(batch.columns["nr_pages"][0]), read.cut) == (100, True)


def test_kpageflags_that_are_cut_are_said(make) -> None:  # type: ignore[no-untyped-def]
    capture = Capture(make(**{"snapshots__1-boot__kpageflags.bin": np.full(9, KPF_BUDDY, "<u8").tobytes()[:-1]}))
    begins = of_kind(rows_of(capture), Kind.BASELINE_BEGIN)
    assert [begin["skipped"] for _, begin in begins if begin.get("view") == "kpageflags"] == [1]
    assert any("kpageflags of snapshot 1-boot are read to where they are cut" in note for note in capture.info.notes)
