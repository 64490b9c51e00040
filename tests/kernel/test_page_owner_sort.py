"""The harness around page_owner_sort tells what the tool does, and loses nothing of the kernel's own dumps."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from pagetrail.schemas import stacks
from tests.conftest import KernelDump
from tests.kernel.page_owner_sort import Group, canonical_stack, joined, normalised_groups, run_page_owner_sort

pytestmark = pytest.mark.kernel

HEAD = "Page allocated via order {order}, mask 0x0(), pid 1, tgid 1 (init), ts {ts} ns, free_ts 0 ns\n"
PFN = "PFN {pfn} type Unmovable Block 0 type Unmovable Flags 0x0(node=0|zone=0)\n"
STACK = " get_page_from_freelist+0x14ae/0x1580\n __alloc_pages+0x16f/0x2a0\n pipe_write+0x1/0x2\n vfs_write+0x3/0x4\n"
MIGRATED = "Page has been migrated, last migrate reason: compaction\n"
PIPE_WRITE = ("pipe_write", "vfs_write")


def record(pfn: int, *, order: int = 0, stack: str = STACK, ts: int | None = None) -> str:
    return HEAD.format(order=order, ts=pfn if ts is None else ts) + PFN.format(pfn=pfn) + stack + "\n"


def records_of(text: Path) -> Iterator[tuple[list[str], Group]]:
    """Read a page_owner text without the kernel's tool: one group a record."""
    for block in text.read_text(errors="replace").split("\n\n"):
        lines = block.strip("\n").split("\n")
        order = re.match(r"Page allocated via order (\d+),", lines[0])
        if order:
            yield lines[1:], Group(times=1, pages=1 << int(order[1]))


def test_offsets_and_the_allocators_prefix_do_not_tell_stacks_apart(page_owner_sort: Path) -> None:
    moved = " __alloc_pages_slowpath.constprop.0+0x9/0x99\n __alloc_pages\n pipe_write+0x8/0x9\n vfs_write\n"
    groups = normalised_groups(page_owner_sort, record(8, order=3) + record(16, order=1, stack=moved))
    assert groups == {PIPE_WRITE: Group(times=2, pages=10)}


def test_a_migrated_page_belongs_to_the_group_of_its_stack(page_owner_sort: Path) -> None:
    text = record(1) + record(2, stack=STACK + MIGRATED)
    assert run_page_owner_sort(page_owner_sort, text, "--cull=stacktrace").count(" times, ") == 2
    assert normalised_groups(page_owner_sort, text) == {PIPE_WRITE: Group(times=2, pages=2)}


def test_records_alike_but_for_the_pfn_count_each(page_owner_sort: Path) -> None:
    text = record(1, ts=5) + record(2, ts=5) + record(3, ts=5)
    assert normalised_groups(page_owner_sort, text) == {PIPE_WRITE: Group(times=3, pages=3)}


def test_a_record_without_a_stack_is_a_group_of_its_own(page_owner_sort: Path) -> None:
    groups = normalised_groups(page_owner_sort, record(1, stack="") + record(2))
    assert groups == {(): Group(times=1, pages=1), PIPE_WRITE: Group(times=1, pages=1)}


def test_a_last_record_without_an_empty_line_is_dropped_in_silence(page_owner_sort: Path) -> None:
    groups = normalised_groups(page_owner_sort, record(1) + record(2).removesuffix("\n"))
    assert groups == {PIPE_WRITE: Group(times=1, pages=1)}


def test_a_module_is_part_of_the_frame_and_its_build_id_is_not() -> None:
    line = " ext4_map_blocks+0x12/0x34 [ext4 8f2a]"
    assert canonical_stack([line]) == ("ext4_map_blocks [ext4]",)


def test_frames_beyond_the_depth_are_not_compared() -> None:
    assert canonical_stack([f" f{i}+0x1/0x2" for i in range(14)], depth=12) == tuple(f"f{i}" for i in range(12))


def test_the_harness_and_pagetrail_agree_what_a_kernels_stack_is(kernel_dump: KernelDump) -> None:
    for lines in {tuple(lines) for lines, _ in records_of(kernel_dump("stack", "6-compact-cma-split"))}:
        raw = "\n".join(line for line in lines if line.startswith(" "))
        ours = stacks.canonical_stack(raw).frames.removesuffix("\n" + stacks.CUT_OFF)
        assert "\n".join(canonical_stack(lines)) == ours


@pytest.mark.parametrize(("capture", "snapshot"), [("stack", "2-workload"), ("stack", "6-compact-cma-split")])
def test_the_groups_of_a_kernels_dump_hold_all_its_records(
    page_owner_sort: Path, kernel_dump: KernelDump, capture: str, snapshot: str
) -> None:
    dump = kernel_dump(capture, snapshot)
    groups = normalised_groups(page_owner_sort, dump)
    assert groups == joined(records_of(dump))
    assert sum(group.times for group in groups.values()) > 10_000


def test_a_dump_rewritten_with_canonical_stacks_sorts_into_the_same_groups(
    page_owner_sort: Path, kernel_dump: KernelDump, tmp_path: Path
) -> None:
    """What pagetrail writes has no offsets, no prefix, no migration lines, and ``...`` where a stack was cut off."""
    dump = kernel_dump("stack", "6-compact-cma-split")
    rewritten = tmp_path / "page_owner.txt"
    with rewritten.open("w") as out:
        for block in dump.read_text(errors="replace").rstrip("\n").split("\n\n"):
            head, pfn, *lines = block.split("\n")
            raw = "\n".join(line for line in lines if line.startswith(" "))
            frames = stacks.canonical_stack(raw).frames.split("\n")
            out.write("\n".join([head, pfn, *(f" {frame}" for frame in frames)]) + "\n\n")
    assert normalised_groups(page_owner_sort, rewritten) == normalised_groups(page_owner_sort, dump)
