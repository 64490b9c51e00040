"""What dmesg says."""

import re

import pytest

from pagetrail.producers.capture.clock import relation
from pagetrail.producers.capture.dmesg import Dmesg, StableClock, parse_dmesg

TEXT = """\
[    0.000000] Linux version 6.1.192-polab (root@vm) #1 SMP Sun Nov 22 21:46:13 UTC 2026
[    0.000000] Command line: console=ttyS0 page_owner=on
[    0.000000] BIOS-e820: [mem 0x0000000000000000-0x000000000009fbff] usable
[    0.000000] BIOS-e820: [mem 0x000000000009fc00-0x000000000009ffff] reserved
[    0.000000] Zone ranges:
[    0.000000]   DMA32    [mem 0x0000000000001000-0x000000003ffdffff]
[    0.000000]   Normal   empty
[    0.000000] Movable zone start for each node
[    0.000000] Early memory node ranges
[    0.000000]   node   0: [mem 0x0000000000001000-0x000000000009efff]
[    0.000000]   node   1: [mem 0x0000000000100000-0x000000003ffdffff]
[    0.000000] Kernel command line: console=ttyS0 page_owner=on
[    0.835257] allocated 16777216 bytes of page_ext
[    0.851659] Node 0, zone    DMA32: page owner found early allocated 9018 pages
[    0.851700] Node 0, zone   Normal: page owner found early allocated 2 pages
[    0.864562] x86/mm: Memory block size: 128MB
[    2.100297] sched_clock: Marking stable (2200245532, -109318469)->(2263586658, -172659595)
"""
STABLE = StableClock(
    monotonic=2200245532, gtod_offset=-109318469, raw=2263586658, offset=-172659595, printed_nsec=2100297000
)


def test_everything_it_says_is_read():
    assert parse_dmesg(TEXT) == Dmesg(
        release="6.1.192-polab",
        cmdline="console=ttyS0 page_owner=on",
        stable=STABLE,
        page_ext_bytes=16777216,
        memory_block_bytes=128 << 20,
        early_pages=9020,
        node_ranges=((0, 0x1, 0x9F), (1, 0x100, 0x3FFE0)),
        zone_ranges=(("DMA32", 0x1, 0x3FFE0),),
        usable=((0, 0x9F),),
    )


def test_levels_and_callers_before_a_line_do_not_matter():
    decorated = re.sub(r"^(\[[^]]*\])", r"<6>\1[    T0]", TEXT, flags=re.MULTILINE)
    assert parse_dmesg(decorated) == parse_dmesg(TEXT)


@pytest.mark.parametrize(
    ("more", "at"),
    [
        ("[    2.300000] Run /init as init process\n", 2_300_000_000),
        ("[    2.300000] Run /sbin/init as init process\n[    2.400000] Run /bin/sh as init process\n", 2_300_000_000),
        ("[    2.300000] Running /init as init process\n", None),
        ("", None),
    ],
)
def test_it_says_when_init_was_started(more, at):
    assert parse_dmesg(TEXT + more).init_ran_nsec == at


def test_init_that_ran_before_the_clock_was_stable_has_no_time():
    assert parse_dmesg("[    1.300000] Run /init as init process\n" + TEXT).init_ran_nsec is None


def test_a_probe_of_the_command_line_that_was_refused_is_noticed():
    refused = "[    1.300000] trace_kprobe: Failed to add event(-2): p:po/copy_owner __folio_copy_owners\n"
    assert parse_dmesg(refused + TEXT).probe_refused
    assert not parse_dmesg(TEXT).probe_refused


def test_reports_of_single_pages_are_counted():
    report = (
        "[    9.100000] page_owner tracks the page as allocated\n[    9.200000] page_owner tracks the page as freed\n"
    )
    assert parse_dmesg(TEXT + report).page_reports == 2


@pytest.mark.parametrize("text", ["", "no timestamps here\n", "[    0.000000]\n"])
def test_what_it_does_not_say_is_absent(text):
    assert parse_dmesg(text) == Dmesg()


@pytest.mark.parametrize("trace_clock", ["local", "global", "perf", "mono"])
def test_the_clocks_read_at_one_instant_satisfy_the_relation(trace_clock):
    known = relation(STABLE, trace_clock)
    local_clock = STABLE.raw + STABLE.offset
    at = {"perf": local_clock, "mono": STABLE.monotonic}.get(trace_clock, STABLE.raw)
    assert at + known.ts_offset == local_clock == STABLE.monotonic + STABLE.gtod_offset
    assert at + known.mono_offset == STABLE.monotonic
    assert known.valid_from + known.ts_offset == STABLE.printed_nsec + 1000


def test_a_clock_that_dmesg_does_not_relate_has_no_relation():
    assert relation(STABLE, "x86-tsc") is None


@pytest.mark.parametrize("capture", ["small", "basic", "stack", "probes", "lossy", "fleet/host-d/boot1", "perf-g"])
def test_real_recordings_name_their_clocks_and_their_memory(captures, capture):
    said = parse_dmesg((captures / capture / "dmesg.txt").read_text())
    assert said.stable.monotonic + said.stable.gtod_offset == said.stable.raw + said.stable.offset
    assert said.page_ext_bytes == said.memory_block_bytes // 4096 * 64 * -(-said.node_ranges[-1][2] // 32768)
