"""Uevents of memory blocks."""

import pytest

from pagetrail.producers.capture.uevents import MemoryEvent, parse_uevents

TEXT = """\
uevent mono_ns=11337987223 boot_ns=11338029907 real_ns=1795386668639679664 bytes=115 \
header=add@/devices/system/memory/memory32
ACTION=add
DEVPATH=/devices/system/memory/memory32
SUBSYSTEM=memory
SEQNUM=828

uevent mono_ns=11338987223 boot_ns=11339029907 real_ns=1795386668640679664 bytes=90 header=change@/devices/virtual/bdi
ACTION=change

uevent mono_ns=23188180138 boot_ns=23188181130 real_ns=1795386680489823586 bytes=123 \
header=offline@/devices/system/memory/memory33
ACTION=offline
"""


def test_memory_blocks_are_read_with_their_clocks_and_others_passed_over():
    assert list(parse_uevents(TEXT.splitlines())) == [
        MemoryEvent(action="add", block=32, monotonic=11337987223, boottime=11338029907, realtime=1795386668639679664),
        MemoryEvent(
            action="offline", block=33, monotonic=23188180138, boottime=23188181130, realtime=1795386680489823586
        ),
    ]


@pytest.mark.parametrize(("capture", "count"), [("small", 21), ("lossy", 21), ("probes", 13), ("perf-g", 0)])
def test_real_recordings_have_as_many_as_their_manifest_says(captures, capture, count):
    assert len(list(parse_uevents((captures / capture / "uevents.txt").read_text().splitlines()))) == count
