"""The kernel's sums of pages by stack and by call site, held against those of a replay."""

import json
from pathlib import Path

import pytest

from pagetrail import api
from pagetrail.schemas.errors import InputError
from tests.commands.cli import run

PATHS = {"pipe": "pipe_write", "fault": "handle_mm_fault", "slab": "allocate_slab"}
EARLY = " register_early_stack+0x3d/0x60\n init_page_owner+0x33/0x2f0\n"


def stack(name: str) -> str:
    return f" __alloc_pages_noprof+0x20/0x1a0\n {PATHS[name]}+0x30/0x1c0\n vfs_write+0x38/0x1d0\n"


def record(pfn: int, order: int, frames: str) -> str:
    return (
        f"Page allocated via order {order}, mask 0x40cc0(GFP_KERNEL|__GFP_COMP), pid 7, tgid 7 (sh), ts 1000 ns\n"
        f"PFN {pfn:#x} type Unmovable Block 0 type Unmovable Flags 0x0()\n{frames}\n"
    )


PAGES = {"pipe": 12, "fault": 8, "slab": 4}


@pytest.fixture(scope="module")
def trail(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a trail: 8 + 4 pages of one stack, 8 of another, 4 of a third, and an early page."""
    folder = tmp_path_factory.mktemp("sums")
    blocks = [
        (8, 3, stack("pipe")),
        (16, 2, stack("pipe")),
        (24, 3, stack("fault")),
        (32, 2, stack("slab")),
        (40, 0, EARLY),
    ]
    (folder / "dump.txt").write_text("".join(record(*block) for block in blocks))
    api.ingest(folder / "trail", folder / "dump.txt", boot_id="b", kernel_release="7.2.13")
    api.replay(folder / "trail")
    return folder / "trail"


def classes(trail: Path, *files: Path) -> dict[str, str]:
    found = api.open(trail).audit_stacks(files, "-0s").to_pylist()
    names = {function: name for name, function in PATHS.items()}
    return {names.get(row["stack"].split("\n")[0], "early"): row["class"] for row in found}


def test_sums_of_each_stack_agree_or_are_named_by_how_they_differ(trail: Path, tmp_path: Path) -> None:
    file = tmp_path / "show_stacks"
    told = {"pipe": 12, "fault": 5, "slab": 9}
    file.write_text("".join(f"{stack(name)}nr_base_pages: {pages}\n\n" for name, pages in told.items()))
    assert classes(trail, file) == {
        "pipe": "agree",
        "fault": "fewer in the kernel: as many may be wrong here",
        "slab": "more in the kernel",
        "early": "early: the kernel does not count them",
    }


def test_sums_by_handle_are_those_of_the_stacks_that_the_handles_have(trail: Path, tmp_path: Path) -> None:
    handles, stacks = tmp_path / "show_handles", tmp_path / "show_stacks_handles"
    numbers = dict(zip(PAGES, (17, 18, 19), strict=True))
    handles.write_text("".join(f"handle: {numbers[name]}\nnr_base_pages: {pages}\n\n" for name, pages in PAGES.items()))
    stacks.write_text("".join(f"{stack(name)}handle: {number}\n\n" for name, number in numbers.items()))
    assert [classes(trail, handles, stacks)[name] for name in PAGES] == ["agree"] * 3
    with pytest.raises(InputError, match="handle 17: expected its stack"):
        classes(trail, handles)
    with pytest.raises(InputError, match="found no nr_base_pages"):
        classes(trail, stacks)


def test_what_is_certain_here_and_not_in_the_kernel_is_a_class_of_its_own(tmp_path: Path) -> None:
    line = (
        "     sh-7  [000] ..... 1.{:06}: mm_page_alloc: page=0 pfn={:#x} order=0 migratetype=0 gfp_flags=GFP_KERNEL\n"
    )
    frames = "     sh-7  [000] ..... 1.{:06}: <stack trace>\n => __alloc_pages\n => pipe_write\n => vfs_write\n"
    text = "".join(line.format(n, 8 + n) + frames.format(n) for n in range(4))
    (tmp_path / "trace").write_text("# tracer: nop\n" + text)
    kinds = ("alloc", "free", "migrate", "split", "isolate", "hotplug")
    api.ingest(tmp_path / "trail", tmp_path / "trace", kernel_release="6.1.0", covers=kinds)  # type: ignore[arg-type]
    api.replay(tmp_path / "trail")
    (tmp_path / "sums").write_text(f"{stack('pipe')}nr_base_pages: 3\n\n")
    (row,) = api.open(tmp_path / "trail").audit_stacks([tmp_path / "sums"], "-0s").to_pylist()
    assert (row["kernel_pages"], row["pages"], row["certain_pages"]) == (3, 4, 4)
    assert row["class"] == "fewer in the kernel than are certain here"


def test_the_command_shows_sums_by_class_and_the_stacks_that_differ(trail: Path, tmp_path: Path) -> None:
    (tmp_path / "sums").write_text(f"{stack('pipe')}nr_base_pages: 12\n\n{stack('fault')}nr_base_pages: 9\n\n")
    given = ("audit", "--show-stacks", tmp_path / "sums", "--trail", trail)
    done = run(*given, "--at", "-0s")
    assert done.code == 0
    assert [line for line in done.out.splitlines() if "pipe_write" in line] == []
    (line,) = (line for line in done.out.splitlines() if "handle_mm_fault" in line)
    assert line.split()[:3] == ["9", "8", "0"]
    rows = json.loads(run(*given, "--at", "-0s", "--json").out)
    assert sum(row["class"] == "agree" for row in rows) == 1
    assert run(*given).code == 2


@pytest.mark.parametrize(
    "text",
    [
        "",
        "what is this\n\n",
        " vfs_write+0x1/0x2\nstack_count: 3\n\n",
        " vfs_write+0x1/0x2\nhandle: 1\nnr_base_pages: 1x\n\n",
    ],
)
def test_files_without_pages_by_stack_are_refused(trail: Path, tmp_path: Path, text: str) -> None:
    (tmp_path / "sums").write_text(text)
    assert run("audit", "--show-stacks", tmp_path / "sums", "--at", "-0s", "--trail", trail).code == 2


ALLOCINFO = """\
allocinfo - version: 1.0
#     <size>  <calls> <tag info>
       49152       12 fs/pipe.c:512 func:pipe_write
       20480        5 mm/memory.c:100 func:handle_mm_fault
        8192        2 mm/memory.c:140 func:handle_mm_fault
         704        1 mm/slub.c:3055 func:allocate_slab
        4096        1 drivers/a.c:7 [a] func:inlined
           0        0 drivers/a.c:9 [a] func:idle
""".replace("\n", " \n")


def test_sums_by_call_site_are_those_of_the_innermost_function_that_has_lines(trail: Path, tmp_path: Path) -> None:
    (tmp_path / "allocinfo").write_text(ALLOCINFO)
    rows = api.open(trail).audit_sites(tmp_path / "allocinfo", "-0s").to_pylist()
    found = {(row["function"], row["module"]): (row["kernel_bytes"], row["bytes"], row["class"]) for row in rows}
    assert found == {
        ("pipe_write", None): (49152, 12 << 12, "agree"),
        ("handle_mm_fault", None): (28672, 8 << 12, "fewer in the kernel: as many may be wrong here"),
        ("allocate_slab", None): (704, 4 << 12, "objects of slabs: not pages alone"),
        ("inlined", "a"): (4096, 0, "in no stack: inlined, or objects of slabs"),
        (None, None): (0, 1 << 12, "stack not recorded, or no function of it has lines"),
    }
    (places,) = (row["places"] for row in rows if row["function"] == "handle_mm_fault")
    assert places == "mm/memory.c:100\nmm/memory.c:140"


@pytest.mark.parametrize("text", ["", "slabinfo - version: 2.1\n", ALLOCINFO + " 12 what\n"])
def test_another_file_or_a_damaged_one_gives_no_sums_by_call_site(trail: Path, tmp_path: Path, text: str) -> None:
    (tmp_path / "allocinfo").write_text(text)
    assert run("audit", "--allocinfo", tmp_path / "allocinfo", "--at", "-0s", "--trail", trail).code == 2


MARKER = "     snapd-9 [000] ..... {}.000000: tracing_mark_write: SNAPSHOT 1-a {} mono={}998900000\n"


def test_the_sums_of_a_capture_directory_are_those_of_its_snapshots(tmp_path: Path) -> None:
    capture = tmp_path / "capture"
    snapshot = capture / "snapshots" / "1-a"
    snapshot.mkdir(parents=True)
    markers = "".join(MARKER.format(at, what, at - 1) for at, what in ((2, "begin"), (3, "page_owner_end"), (4, "end")))
    (capture / "trace.txt").write_text(
        "# tracer: nop\n     sh-7 [000] ..... 1.000000: mm_page_alloc: page=0 pfn=0x8 order=3 migratetype=0 gfp_flags=0x0\n"
        "     sh-7 [000] ..... 1.000000: <stack trace>\n => __alloc_pages\n => pipe_write\n => vfs_write\n" + markers
    )
    (snapshot / "show_stacks.txt").write_text(f"{stack('pipe')}nr_base_pages: 8\n\n")
    (snapshot / "allocinfo.txt").write_text(ALLOCINFO)
    trail = tmp_path / "trail"
    run("ingest", capture, "--trail", trail)
    run("replay", "--trail", trail)
    rows = json.loads(run("audit", "--sums", capture, "--json", "--trail", trail).out)
    assert {row["snapshot"] for row in rows} == {"1-a"}
    by_stack = [row for row in rows if row["of"] == "pages by stack"]
    assert [(row["kernel_pages"], row["pages"]) for row in by_stack] == [(8, 8)]
    assert {row["function"]: row["bytes"] for row in rows if row["of"] == "bytes by call site"}["pipe_write"] == 8 << 12
    shown = run("audit", "--sums", capture, "--at", "@1-a", "--trail", trail).out
    assert "snapshot 1-a, pages by stack:" in shown
    assert "fs/pipe.c:512" in shown
    assert run("audit", "--sums", capture, "--at", "@2", "--trail", trail).code != 0
    assert run("audit", "--sums", tmp_path, "--trail", trail).code != 0


def test_one_file_is_asked_at_a_time(trail: Path, tmp_path: Path) -> None:
    (tmp_path / "allocinfo").write_text(ALLOCINFO)
    both = ("--allocinfo", tmp_path / "allocinfo", "--show-stacks", tmp_path / "allocinfo")
    assert run("audit", *both, "--at", "-0s", "--trail", trail).code == 2
    assert run("audit", "--allocinfo", tmp_path / "allocinfo", "--trail", trail).code == 2
    assert run("audit", tmp_path / "allocinfo", *both, "--trail", trail).code == 2
    assert run("audit", "--sums", tmp_path, *both, "--trail", trail).code == 2
