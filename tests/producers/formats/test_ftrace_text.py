"""Laws of the ftrace text parser."""

import io
import itertools
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pagetrail.producers.formats.text.ftrace import FtraceText
from pagetrail.producers.formats.text.lines_jit import find_newlines
from pagetrail.producers.meaning import RecordedKernel
from pagetrail.schemas.batch import to_arrow
from pagetrail.schemas.columns import Kind
from pagetrail.schemas.details import DETAIL_MODELS
from pagetrail.schemas.linux.gfp import GFP_FLAGS_6_1
from tests.conftest import REPOSITORY
from tests.oracles.text.ftrace import read_ftrace
from tests.oracles.text.reading import Row, rows_of
from tests.producers.formats.text_samples import (
    FTRACE,
    batch_rows,
    expected,
    mutated,
    outcome,
    slices,
    trickle,
    unpacked,
)

CAPTURES = ("small", "basic", "stack", "probes", "lossy")
HEAD = b"              sh-43      [001] .....     5.000000: "
PIECE = 100_000
SKIPS = (0, 3_000_000, 11_000_000)


def parse(data: bytes, **options: object) -> FtraceText:
    return FtraceText(io.BytesIO(data), source="test", **options)  # type: ignore[arg-type]


def read(data: bytes, **options: object) -> dict[str, object]:
    return outcome(parse(data, **options))


def rows(data: bytes, **options: object) -> list[Row]:
    return rows_of(parse(data, **options).batches())


def manifest_counts(capture: Path) -> tuple[int, dict[str, int], int, int]:
    """Return what the manifest says of the trace: events, by name, LOST lines, events that they name."""
    text = (capture / "MANIFEST.md").read_text()
    total, names = re.search(r"events in trace.txt: (\d+); by type: (.*)", text).groups()  # type: ignore[union-attr]
    lost, named = re.search(r"LOST lines: (\d+), events they name: (\d+)", text).groups()  # type: ignore[union-attr]
    counts = {name: int(count) for name, count in re.findall(r"(\w+) (\d+)", names)}
    return int(total), counts, int(lost), int(named)


# --- the whole captures


@pytest.mark.parametrize("name", CAPTURES)
def test_every_event_of_a_capture_is_counted_by_name(captures: Path, name: str) -> None:
    total, counts, lost_lines, lost = manifest_counts(captures / name)
    with unpacked(captures / name / "trace.txt.zst") as stream:
        parser = FtraceText(stream, source=name)
        kinds: Counter[int] = Counter()
        read_rows, stacks = 0, 0
        for batch in parser.batches():
            kinds.update(batch.columns["kind"].tolist())
            read_rows += len(batch)
            stacks += int((batch.column("stack") >= 0).sum())
    account = parser.account
    assert account.not_understood == 0, account.examples
    assert sum(account.events.values()) == total
    assert dict(account.events) == counts
    assert account.lost_events == lost
    assert kinds[Kind.GAP] == lost_lines
    assert read_rows == total - sum(account.ignored.values()) - account.failed_allocs + lost_lines
    if name == "stack":
        markers = kinds[Kind.MARKER]
        assert stacks == read_rows - markers  # nothing but a marker is without a stack there


@pytest.mark.parametrize("name", CAPTURES)
def test_kernel_equals_reference_on_captures(captures: Path, name: str) -> None:
    for piece in slices(captures / name / "trace.txt.zst", PIECE, SKIPS):
        assert read(piece) == expected(read_ftrace(piece))


@pytest.mark.parametrize("name", CAPTURES)
def test_kernel_equals_reference_on_damaged_captures(captures: Path, name: str) -> None:
    for piece in slices(captures / name / "trace.txt.zst", PIECE, (0, 7_000_000)):
        for seed in range(4):
            damaged = mutated(piece, seed, 300)
            assert read(damaged) == expected(read_ftrace(damaged))


# --- made-up text


def test_kernel_equals_reference_on_the_sample() -> None:
    assert read(FTRACE) == expected(read_ftrace(FTRACE))


@pytest.mark.slow
@settings(max_examples=200)
@given(st.integers(0, 1 << 32), st.integers(1, 40))
def test_kernel_equals_reference_on_damaged_lines(seed: int, changes: int) -> None:
    damaged = mutated(FTRACE, seed, changes)
    assert read(damaged) == expected(read_ftrace(damaged))


@given(st.lists(st.integers(0, 200), max_size=20), st.integers(0, 80))
def test_newlines_are_found_wherever_they_are(lengths: list[int], rest: int) -> None:
    data = np.frombuffer(
        bytearray(b"".join([b"x" * length + b"\n" for length in lengths]) + b"\x0b" * rest + b"\n"), np.uint8
    )
    found = np.full(data.size, -1, np.int64)
    for size in (data.size, data.size - 1):  # what is behind *size* is not looked at
        count = find_newlines(data, size, found)
        assert found[:count].tolist() == np.flatnonzero(data[:size] == ord("\n")).tolist()


@given(st.binary(max_size=400))
def test_garbage_is_read_to_its_end(data: bytes) -> None:
    assert read(data + b"\n" + FTRACE)["rows"][-1] == read(FTRACE)["rows"][-1]  # type: ignore[index]


@given(st.lists(st.integers(1, 200), min_size=1, max_size=50))
def test_chunk_sizes_do_not_matter(sizes: list[int]) -> None:
    turn = itertools.cycle(sizes)
    parser = FtraceText(trickle(FTRACE, lambda: next(turn)), source="test")
    assert outcome(parser) == read(FTRACE)


@pytest.mark.parametrize("name", ["stack", "lossy"])
def test_chunk_sizes_do_not_matter_on_captures(captures: Path, name: str) -> None:
    (piece,) = slices(captures / name / "trace.txt.zst", 10 * PIECE, (0,))
    assert read(piece, chunk_bytes=4999) == read(piece, chunk_bytes=1 << 16) == read(piece)


def test_a_trace_of_several_batches_keeps_stacks_and_order(captures: Path) -> None:
    (piece,) = slices(captures / "stack" / "trace.txt.zst", 100_000_000, (20_000_000,))
    parser = parse(piece)
    batches = list(parser.batches())
    assert len(batches) > 1
    seen = np.concatenate([batch.column("trace_ts_nsec") for batch in batches])
    times = re.findall(
        rb"(\d+)\.(\d{6}): (?:mm_page_(?:alloc|free|pcpu_drain|alloc_extfrag)|mm_page_alloc_zone_locked(?=: .*refill=1)|"
        rb"tracing_mark\w+|o\w+_pages\w*): ",
        piece,
    )
    assert seen.tolist() == [int(s) * 10**9 + int(f) * 1000 for s, f in times]
    bare = sum(int((batch.column("stack") < 0).sum()) for batch in batches)
    assert (
        bare == sum(int((batch.column("kind") == Kind.MARKER).sum()) for batch in batches) + 1
    )  # the piece ends in one


SCRIPT = """
import json, sys
from tests.producers.formats.test_ftrace_text import read
print(json.dumps(read(sys.stdin.buffer.read())))
"""


def test_the_jit_changes_nothing(captures: Path) -> None:
    data = FTRACE + b"".join(
        mutated(next(slices(captures / n / "trace.txt.zst", 15_000, (1_000_000,))), 1, 20) for n in CAPTURES
    )
    printed = []
    for jit_off in ("0", "1"):
        command = [sys.executable, "-W", "error", "-c", SCRIPT]
        environment = os.environ | {"NUMBA_DISABLE_JIT": jit_off}
        done = subprocess.run(command, input=data, env=environment, cwd=REPOSITORY, check=True, stdout=subprocess.PIPE)
        printed.append(done.stdout)
    assert printed[0] == printed[1]


# --- single laws


def test_details_are_of_their_models() -> None:
    for row in rows(FTRACE):
        model = DETAIL_MODELS.get(Kind(row["kind"]))  # type: ignore[arg-type]
        if model is not None:
            model.model_validate(row["detail"])


def test_batches_go_to_arrow() -> None:
    for batch in parse(FTRACE).batches():
        to_arrow(batch)


def test_the_header_tells_of_overwritten_entries() -> None:
    parser = parse(FTRACE)
    assert list(parser.batches())
    assert parser.account.lost_events >= 20 - 15
    assert any("5 events were overwritten in the ring" in note for note in parser.account.notes)


def test_a_trace_without_header_tells_of_none() -> None:
    parser = parse(HEAD + b"mm_page_free: page=0 pfn=0x1 order=0\n")
    assert batch_rows(list(parser.batches())) == 1
    assert (parser.account.lost_events, parser.account.notes) == (0, [])


@pytest.mark.parametrize(
    ("head", "comm", "pid", "tgid"),
    [
        (b"    kworker/u4:1-25      [001] .....     5.000000: ", "kworker/u4:1", 25, None),
        (b"         a b-c d-71      (     70) [000] d.h1.  5.000000: ", "a b-c d", 71, 70),
        (b"          <idle>-0       (-------) [000]     5.000000000: ", "<idle>", 0, None),
        (b"           <...>-833     [001] d....     5.000000: ", None, 833, None),
        (b"snapd-47 [000] ..... 5.000000: ", "snapd", 47, None),
        (b"x-1 [0]-2-47 [000] 5.000000: ", "x-1 [0]-2", 47, None),
        (b"      \xc3\xa9t\xc3\xa9-47 [000] 5.000000: ", "été", 47, None),
    ],
)
def test_the_head_gives_the_task(head: bytes, comm: str | None, pid: int, tgid: int | None) -> None:
    (row,) = rows(head + b"mm_page_free: page=0 pfn=0x10 order=2\n")
    assert (row.get("comm"), row["pid"], row.get("tgid")) == (comm, pid, tgid)
    assert row["trace_ts_nsec"] == 5_000_000_000


def test_a_stack_goes_to_the_last_event_of_its_cpu() -> None:
    other = HEAD.replace(b"[001]", b"[000]")
    text = HEAD + b"mm_page_free: page=0 pfn=0x1 order=0\n" + other + b"mm_page_free: page=0 pfn=0x2 order=0\n"
    text += HEAD + b"<stack trace>\n => one\n => two\n" + other + b"<stack trace>\n => three\n"
    assert [row["stack"] for row in rows(text)] == ["one\ntwo", "three"]


def test_the_stack_of_an_interrupted_event_is_its_own() -> None:
    text = HEAD + b"mm_page_free: page=0 pfn=0x1 order=0\n" + HEAD + b"mm_page_free: page=0 pfn=0x2 order=0\n"
    text += HEAD + b"<stack trace>\n => inner\n" + HEAD + b"<stack trace>\n => outer\n"
    assert [row["stack"] for row in rows(text)] == ["outer", "inner"]


def test_the_stack_of_an_event_without_a_row_is_dropped() -> None:
    text = HEAD + b"mm_page_free: page=0 pfn=0x1 order=0\n" + HEAD + b"mm_page_free_batched: page=0 pfn=0x1 order=0\n"
    (row,) = rows(text + HEAD + b"<stack trace>\n => one\n")
    assert "stack" not in row


def test_a_stack_after_a_loss_belongs_to_nobody() -> None:
    text = HEAD + b"mm_page_free: page=0 pfn=0x1 order=0\nCPU:1 [LOST 3 EVENTS]\n" + HEAD + b"<stack trace>\n => one\n"
    assert [("stack" in row, row["kind"]) for row in rows(text)] == [(False, Kind.FREE), (False, Kind.GAP)]


def test_a_stack_that_the_end_of_the_file_cuts_is_dropped() -> None:
    text = HEAD + b"mm_page_free: page=0 pfn=0x1 order=0\n" + HEAD + b"<stack trace>\n => one\n"
    assert "stack" in rows(text)[0]
    assert "stack" not in rows(text + b" => tw")[0]


def test_a_gap_begins_at_the_last_event_of_its_cpu_and_ends_at_the_next() -> None:
    free = b"mm_page_free: page=0 pfn=0x1 order=0\n"
    other = HEAD.replace(b"[001]", b"[000]")
    text = HEAD + free + other.replace(b"5.0", b"6.0") + free + b"CPU:1 [LOST 7 EVENTS]\n"
    text += other.replace(b"5.0", b"7.0") + free + HEAD.replace(b"5.0", b"8.0") + free
    found = rows(text)
    assert [row["kind"] for row in found] == [Kind.FREE, Kind.FREE, Kind.FREE, Kind.GAP, Kind.FREE]
    detail = found[3]["detail"]
    assert detail == {  # type: ignore[comparison-overlap]
        "t_lo": 5_000_000_000,
        "t_hi": 8_000_000_000,
        "lost": 7,
        "reason": "the trace says CPU:1 [LOST 7 EVENTS]",
        "count": 1,
        "line": None,
    }
    assert found[3]["trace_ts_nsec"] == 8_000_000_000


def test_a_gap_at_the_end_ends_with_the_last_event() -> None:
    assert rows(FTRACE)[-1]["detail"]["t_hi"] == 28_200_000_000  # type: ignore[index]


def test_a_gap_of_unknown_size_says_so() -> None:
    assert rows(FTRACE)[-1]["detail"]["lost"] is None  # type: ignore[index]


@pytest.mark.parametrize("pfn", [b"0x0", b"0", b"0xffffffffffffffff", b"18446744073709551615"])
def test_a_failed_allocation_is_counted_and_gives_no_row(pfn: bytes) -> None:
    parser = parse(HEAD + b"mm_page_alloc: page=(null) pfn=" + pfn + b" order=9 migratetype=1 gfp_flags=none\n")
    assert list(parser.batches()) == []
    assert (parser.account.failed_allocs, parser.account.events["mm_page_alloc"]) == (1, 1)


def test_an_unknown_gfp_flag_is_noted_and_the_mask_absent() -> None:
    parser = parse(HEAD + b"mm_page_alloc: page=0 pfn=0x1 order=0 migratetype=1 gfp_flags=GFP_KERNEL|__GFP_NEW\n")
    (row,) = rows_of(parser.batches())
    assert "gfp_mask" not in row
    assert "__GFP_NEW" in parser.account.examples[0].text


def test_a_table_of_gfp_flags_can_be_given() -> None:
    text = HEAD + b"mm_page_alloc: page=0 pfn=0x1 order=0 migratetype=1 gfp_flags=GFP_KERNEL|__GFP_NEW\n"
    (row,) = rows(text, kernel=RecordedKernel(gfp_flags={**GFP_FLAGS_6_1, "__GFP_NEW": 1 << 30}))
    assert row["gfp_mask"] == 0xCC0 | 1 << 30


def test_struct_page_pointers_become_pfns_by_the_base_given() -> None:
    text = HEAD + b"split_owner: (f+0x0/0x50) page=0xfffff0c180002000 nr=32\n"
    (row,) = rows(text, kernel=RecordedKernel(vmemmap_base=0xFFFFF0C180000000))
    assert row["pfn"] == 0x80


@pytest.mark.parametrize("pointer", [b"0xfffff0c180002000", b"0xffd4000004405001", b"0xffffeaff00000000"])
def test_a_pointer_whose_base_is_not_sure_is_not_understood(pointer: bytes) -> None:
    parser = parse(HEAD + b"split_owner: (f+0x0/0x50) page=" + pointer + b" nr=32\n")
    assert [row["kind"] for row in rows_of(parser.batches())] == [Kind.GAP]
    assert parser.account.not_understood == 1
    assert "vmemmap" in parser.account.examples[0].text or "struct page" in parser.account.examples[0].text


def test_a_hotplug_return_takes_the_range_of_its_call() -> None:
    found = [row for row in rows(FTRACE) if row["kind"] == Kind.HOTPLUG]
    assert [(row["pfn"], row["nr_pages"], row.get("ret")) for row in found] == [
        (0x108000, 32768, None),
        (0x108000, 32768, -16),
    ]


def test_a_hotplug_return_without_its_call_has_no_range() -> None:
    (row,) = rows(HEAD + b"online_pages_ret: (memory_subsys_online+0x9d/0x170 <- online_pages) ret=0\n")
    assert row == {
        "kind": Kind.HOTPLUG,
        "trace_ts_nsec": 5_000_000_000,
        "cpu": 1,
        "pid": 43,
        "comm": "sh",
        "ret": 0,
        "detail": {"call": "online_pages", "phase": "return", "source": "kprobe"},
    }


@given(st.integers(1, 120))
def test_a_last_line_without_end_is_truncated_and_dropped(cut: int) -> None:
    line = HEAD + b"mm_page_free: page=00000000fe5fd7e2 pfn=0x11835c order=0\n"
    parser = parse(FTRACE + line[:-1][:cut])
    assert batch_rows(list(parser.batches())) == len(rows(FTRACE))
    number = FTRACE.count(b"\n") + 1
    assert parser.account.truncated == f"line {number}, at byte {len(FTRACE)}, has no end; it was dropped"


def test_a_line_longer_than_any_is_not_understood_and_not_kept() -> None:
    long = b"x" * 300_000
    for chunk_bytes in (1000, 1 << 20):
        parser = parse(long + b"\n" + FTRACE + b"tail", chunk_bytes=chunk_bytes)
        assert batch_rows(list(parser.batches())) == len(rows(FTRACE)) + 1  # the gap that the line is
        assert parser.account.not_understood == 1
        assert parser.account.truncated is not None
        assert f"at byte {len(long) + 1 + len(FTRACE)}," in parser.account.truncated


def test_more_names_than_a_table_holds_stay_apart() -> None:
    names = [f"task-{n}" for n in range(40_000)]
    text = "".join(f"{name:>16}-7 [000] 5.000000: mm_page_free: page=0 pfn=0x1 order=0\n" for name in names)
    assert [row["comm"] for row in rows(text.encode())] == names
