"""The options that select pages, on the command line."""

import json
from pathlib import Path

import pytest

from tests.commands.conftest import Run, run_in

ASK = {
    "snapshot": ("--at", "@5-t5"),
    "top": ("--at", "@5-t5", "--by", "comm"),
    "leaks": ("--from", "@2-t2", "--to", "@5-t5", "--by", "comm"),
}


@pytest.mark.parametrize("command", ASK)
def test_every_question_about_all_pages_takes_the_same_filters(run: Run, command: str) -> None:
    given = (
        "--pfn", "0x1800-0x1900", "--pfn", "6400", "--section", "0", "--zone", "dma32", "--node", "0", "--migratetype",
        "movable", "--pid", "85", "--pid", "1", "--comm", "leakd", "--gfp", "__GFP_COMP|__GFP_MOVABLE", "--gfp", "0X8",
        "--order", "0", "--stack", "vma_alloc",
    )  # fmt: skip
    done = run(command, *ASK[command], *given, "--json")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    rows = json.loads(done.stdout)
    assert rows
    if command == "snapshot":
        assert all(0x1800 <= row["pfn"] < row["pfn"] + row["nr_pages"] <= 0x1901 for row in rows)
        assert {(row["comm"], row["pid"], row["order"], row["migratetype"]) for row in rows} == {("leakd", 85, 0, 1)}
    else:
        assert [row["key"] for row in rows] == ["leakd"]


def test_the_stop_of_a_range_is_not_in_it(run: Run) -> None:
    rows = json.loads(run("snapshot", "--at", "@5-t5", "--pfn", "6145-0x1802", "--json").stdout)
    assert [(row["pfn"], row["nr_pages"]) for row in rows] == [(6145, 1)]
    assert json.loads(run("snapshot", "--at", "@5-t5", "--pfn", "6145", "--json").stdout) == rows


def test_the_kernels_text_is_filtered_too(run: Run) -> None:
    text = run("snapshot", "--at", "@5-t5", "--format", "page_owner", "--pfn", "0x1801-0x1803").stdout
    assert [line.split()[1] for line in text.splitlines() if line.startswith("PFN")] == ["6145", "6146"]


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--pfn", "5-5", "STOP is exclusive: 5-0x6 is one page"),
        ("--pfn", "5-", "expected a page frame number"),
        ("--pfn", "-5", "expected a page frame number"),
        ("--pfn", "all", "expected a page frame number"),
        ("--section", "99", "no such section; there are: 0-5"),
        ("--zone", "Normal", "no such zone; there are: DMA32 of node 0"),
        ("--node", "1", "no zone of such a node; there are: DMA32 of node 0"),
        ("--migratetype", "fixed", "there are: unmovable, movable, reclaimable"),
        ("--gfp", "GFP_NONE", "no flag of the recorded kernel; there are: GFP_TRANSHUGE, "),
        ("--gfp", "0", "at least one bit"),
        ("--pid", "99999999999", "expected a number from -1 to 2147483647"),
        ("--stack", "", "one frame of a stack"),
    ],
)
@pytest.mark.parametrize("command", ["snapshot", "top"])
def test_a_value_that_names_nothing_is_bad_input(run: Run, command: str, option: str, value: str, said: str) -> None:
    done = run(command, *ASK[command], option, value)
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stdout == ""


LINES = "".join(
    f"  x-1  [000] d....  {1 + i / 1000:.6f}: mm_page_alloc: page=0 pfn={pfn:#x} order=0 migratetype=0 gfp_flags=GFP_KERNEL\n"
    for i, pfn in enumerate((256, 257, 0x8000, 0x10000))
)


@pytest.fixture
def grown(tmp_path: Path) -> Run:
    """Run pagetrail on a recording that lists one zone, of its first section, and has events in two later sections."""
    capture = tmp_path / "capture"
    (capture / "snapshots" / "1").mkdir(parents=True)
    (capture / "trace.txt").write_text("# tracer: nop\n#\n" + LINES)
    (capture / "uname.txt").write_text("Linux box 6.1.0 #1 SMP x86_64\n")
    zoneinfo = "Node 0, zone    DMA32\n        spanned  32767\n  start_pfn:           1\n"
    (capture / "snapshots" / "1" / "zoneinfo").write_text(zoneinfo)
    run = run_in(tmp_path, tmp_path / "trail")
    for arguments in (["ingest", capture], ["replay"]):
        done = run(*arguments)
        assert done.returncode == 0, done.stderr
    return run


def test_memory_that_came_after_the_zones_were_listed_is_left_out_with_a_word(grown: Run) -> None:
    done = grown("top", "--at", "-0s", "--by", "comm", "--node", "0", "--json")
    assert json.loads(done.stdout)[0]["pages"] == 2
    assert "memory section 1-2 came online after the recording listed its zones" in done.stderr
    assert json.loads(grown("top", "--at", "-0s", "--by", "comm", "--json").stdout)[0]["pages"] == 4


def test_zones_of_a_recording_without_zones_are_bad_input(run_fresh: Run, tmp_path: Path) -> None:
    (tmp_path / "trace").write_text("# tracer: nop\n#\n" + LINES)
    for arguments in (["ingest", tmp_path / "trace"], ["replay"]):
        assert run_fresh(*arguments).returncode == 0
    done = run_fresh("snapshot", "--at", "-0s", "--zone", "Normal")
    assert done.returncode == 2
    assert "does not list its zones" in done.stderr
