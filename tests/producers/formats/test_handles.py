"""Dumps that name a stack by its handle: with the file that explains handles, and without it."""

import io
import json
from pathlib import Path

import numpy as np
import pytest

from pagetrail import api
from pagetrail.producers.formats.page_owner.dump import PageOwnerDump
from pagetrail.producers.formats.page_owner.stack_sums import read_stack_handles
from pagetrail.schemas.errors import BadArgument, InputError
from tests.commands.cli import run

PIPE = " __alloc_pages_noprof+0x20/0x1a0\n pipe_write+0x30/0x1c0\n vfs_write+0x38/0x1d0\n"
FAULT = " __alloc_pages_noprof+0x20/0x1a0\n handle_mm_fault+0x30/0x1c0\n do_user_addr_fault+0x1/0x2\n"
HANDLES = f"{PIPE}handle: 17432583\n\n{FAULT}handle: 17432584\n\n"
STACKS = {17432583: PIPE, 17432584: FAULT}
FLAGS = "0x3fffe800000084(referenced|lru|active|private|node={node}|zone=1)"


def record(pfn: int, rest: str, *, pid: int = 7, node: int = 1) -> str:
    return (
        f"Page allocated via order 0, mask 0x1100ca(GFP_HIGHUSER), pid {pid}, tgid {pid} (sh), ts 1000 ns\n"
        f"PFN {pfn:#x} type Unmovable Block 0 type Unmovable Flags {FLAGS.format(node=node)}\n{rest}\n"
    )


def handle(number: int) -> str:
    return f"handle: {number}\n"


def stacks(text: str, known: dict[int, str], chunk_bytes: int = 1 << 16) -> list[str | None]:
    dump = PageOwnerDump(io.BytesIO(text.encode()), source="dump", stacks=known, chunk_bytes=chunk_bytes)
    found: list[str | None] = []
    for batch in dump.batches():
        texts = batch.texts.get("stack", [])
        ids = batch.columns.get("stack", np.full(len(batch), -1))
        found += [None if place < 0 else texts[place] for place in ids.tolist()]
    assert not dump.account.not_understood
    return found


def lines(text: str) -> str:
    return "\n".join(line.strip() for line in text.strip().splitlines())


def test_a_handle_is_the_stack_that_the_list_says(tmp_path: Path) -> None:
    (tmp_path / "show_stacks_handles").write_text(HANDLES)
    known = read_stack_handles([tmp_path / "show_stacks_handles"])
    assert known == {number: lines(stack) for number, stack in STACKS.items()}
    text = record(8, handle(17432584)) + record(9, handle(17432583)) + record(10, handle(99)) + record(11, PIPE)
    for chunk_bytes in (1 << 16, 300):
        assert stacks(text, known, chunk_bytes) == [lines(FAULT), lines(PIPE), None, lines(PIPE)]


@pytest.mark.parametrize("rest", [handle(99) + PIPE, PIPE + handle(99)])
def test_a_record_with_stack_and_handle_has_its_own_stack(rest: str) -> None:
    migrated = "Page has been migrated, last migrate reason: compaction\n"
    assert stacks(record(8, rest), {99: lines(FAULT)}) == [lines(PIPE)]
    assert stacks(record(8, rest + migrated), {99: lines(FAULT)}) == [lines(PIPE)]


def test_the_slow_reader_reads_handles_as_the_fast_one() -> None:
    prefixed = "".join(f"[   12.000001] {line}\n" for line in record(8, handle(17432583)).splitlines())
    assert stacks(prefixed, {17432583: lines(PIPE)}) == [lines(PIPE)]
    assert stacks(prefixed, {}) == [None]


def test_a_second_handle_of_one_record_is_not_understood() -> None:
    dump = PageOwnerDump(io.BytesIO(record(8, handle(1) + handle(2)).encode()), source="dump")
    assert sum(map(len, dump.batches())) == 1
    assert dump.account.not_understood == 1


def test_node_0_alone_may_be_a_filter_where_handles_show_that_the_kernel_has_one() -> None:
    owners = [record(8 + pid, handle(1), pid=pid, node=0) for pid in range(3)]
    whole = [record(8 + pid, PIPE, pid=pid, node=0) for pid in range(3)]
    for texts, doubt in ((owners, True), (whole, False)):
        dump = PageOwnerDump(io.BytesIO("".join(texts).encode()), source="dump")
        list(dump.batches())
        assert bool(dump.tally.partial_because()) is doubt


def stacks_of(trail: Path) -> dict[int, str | None]:
    rows = json.loads(run("snapshot", "--all", "--json", "--at", "-0s", "--trail", trail).out)
    return {row["pfn"]: row["stack"] for row in rows if row["state"] == "owned"}


def test_the_command_takes_the_list_beside_the_dump_and_says_what_stays_unknown(tmp_path: Path) -> None:
    dump, listed = tmp_path / "dump.txt", tmp_path / "show_stacks_handles"
    dump.write_text(record(8, handle(17432583)) + record(9, handle(5)))
    listed.write_text(HANDLES)
    done = run("ingest", dump, listed, "--trail", tmp_path / "trail")
    assert done.code == 0
    assert "1 of its records name their stack by a handle that show_stacks_handles does not have" in done.err
    run("replay", "--trail", tmp_path / "trail")
    found = stacks_of(tmp_path / "trail")
    assert "pipe_write" in str(found[8])
    assert found[9] is None
    again = run("ingest", dump, "--trail", tmp_path / "trail")
    assert "stored before" in again.err

    alone = run("ingest", dump, "--trail", tmp_path / "without")
    assert "2 of its records name their stack by a handle that only show_stacks_handles" in alone.err
    run("replay", "--trail", tmp_path / "without")
    assert stacks_of(tmp_path / "without") == {8: None, 9: None}
    assert "stack     (not recorded)" in run("owner", "8", "--at", "-0s", "--trail", tmp_path / "without").out
    later = run("ingest", dump, listed, "--trail", tmp_path / "without")
    assert later.code == 2
    assert "no show_stacks_handles" in later.err


def test_handles_are_of_one_boot(tmp_path: Path) -> None:
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text(record(8, handle(17432583)))
    (tmp_path / "handles").write_text(HANDLES)
    (tmp_path / "others").write_text(f"{FAULT}handle: 17432583\n\n")
    sources = [str(tmp_path / name) for name in ("a.txt", "b.txt", "handles")]
    with pytest.raises(BadArgument, match="of one boot"):
        api.stack_handles_among(sources, boot_id=None)
    assert api.stack_handles_among(sources, boot_id="x")[0] == sources[:2]
    with pytest.raises(InputError, match="several boots"):
        api.stack_handles_among([*sources, str(tmp_path / "others")], boot_id="x")


def test_a_list_of_handles_alone_is_refused_and_so_is_one_beside_a_trace(tmp_path: Path) -> None:
    (tmp_path / "handles").write_text(HANDLES)
    refused = run("ingest", tmp_path / "handles", "--trail", tmp_path / "trail")
    assert refused.code != 0
    assert "in one command with a dump" in refused.err
    (tmp_path / "trace").write_text(
        "# tracer: nop\n     sh-7  [000] ..... 1.000001: mm_page_alloc: page=0 pfn=0x8 order=0 migratetype=0 gfp_flags=0x0\n"
    )
    refused = run("ingest", tmp_path / "trace", tmp_path / "handles", "--trail", tmp_path / "trail")
    assert refused.code != 0
    assert "expected a page_owner dump alone with show_stacks_handles" in refused.err


DMESG = "[    0.001500] sched_clock: Marking stable (900000, 100000)->(2000000, -1000000)\n"
MARKER = "     snapd-9 [000] ..... {}.000000: tracing_mark_write: SNAPSHOT 1-a {} mono={}998900000\n"
TRACE = (
    "# tracer: nop\n"
    "     sh-7 [000] ..... 1.000000: mm_page_alloc: page=0 pfn=0x8 order=0 migratetype=0 gfp_flags=GFP_KERNEL\n"
    + "".join(MARKER.format(at, what, at - 1) for at, what in ((2, "begin"), (3, "page_owner_end"), (4, "end")))
)


@pytest.mark.parametrize(
    "name", ["1-a/show_stacks_handles.txt", "1-a/page_owner_stacks/show_stacks_handles", "../show_stacks_handles.txt"]
)
def test_a_capture_directory_has_the_list_beside_its_dumps(tmp_path: Path, name: str) -> None:
    capture = tmp_path / "capture"
    listed = capture / "snapshots" / name
    (capture / "snapshots" / "1-a").mkdir(parents=True)
    listed.parent.mkdir(exist_ok=True)
    (capture / "trace.txt").write_text(TRACE)
    (capture / "dmesg.txt").write_text(DMESG)
    (capture / "snapshots" / "1-a" / "page_owner.txt").write_text(record(9, handle(17432583)) + record(10, handle(3)))
    listed.write_text(HANDLES)
    done = run("ingest", capture, "--trail", tmp_path / "trail")
    assert "the dump of snapshot 1-a: 1 of its records" in done.err
    run("replay", "--trail", tmp_path / "trail")
    found = stacks_of(tmp_path / "trail")
    assert "pipe_write" in str(found[9])
    assert found[10] is None


def test_lists_of_two_boots_explain_nothing(tmp_path: Path) -> None:
    capture = tmp_path / "capture"
    (capture / "snapshots" / "1-a").mkdir(parents=True)
    (capture / "trace.txt").write_text(TRACE)
    (capture / "dmesg.txt").write_text(DMESG)
    (capture / "snapshots" / "1-a" / "page_owner.txt").write_text(record(9, handle(17432583)))
    (capture / "snapshots" / "1-a" / "show_stacks_handles.txt").write_text(HANDLES)
    (capture / "show_stacks_handles.txt").write_text(f"{FAULT}handle: 17432583\n\n")
    done = run("ingest", capture, "--trail", tmp_path / "trail")
    assert "several boots" in done.err
    run("replay", "--trail", tmp_path / "trail")
    assert stacks_of(tmp_path / "trail")[9] is None
