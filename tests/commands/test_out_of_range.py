"""Numbers that no page, time or section can have are refused with what there is, by commands and by the API."""

from collections.abc import Callable
from pathlib import Path

import pytest

from pagetrail import api
from pagetrail.schemas.errors import BadArgument
from tests.commands.cli import run

TRACE = (
    "     sh-7     [000] ..... 100.000001: mm_page_alloc: page=0 pfn=0x9 order=0 migratetype=0 gfp_flags=GFP_KERNEL\n"
)
DUMP = (
    "Page allocated via order 0, mask 0xcc0(GFP_KERNEL), pid 7, tgid 7 (sh), ts 5 ns, free_ts 0 ns\n"
    "PFN 9 type Unmovable Block 0 type Unmovable Flags 0x0()\n __alloc_pages+0x20/0x230\n\n"
)
FAR = str(2**63)
FARTHER = "9" * 5_000
"""More digits than Python makes a number of."""

PAGES = "expected a page frame number of 64-bit memory"
TIMES = "expected a time of 64 bits of ns, between -9223372036.854775806 and 9223372036.854775806 seconds"


@pytest.fixture(scope="module")
def trail(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trail")
    (folder / "trace.txt").write_text(TRACE)
    assert run("ingest", folder / "trace.txt", "--trail", folder / "trail").code == 0
    assert run("replay", "--trail", folder / "trail").code == 0
    return folder / "trail"


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (("owner", FAR, "--at", "-0s"), f"{PAGES}, decimal or 0x hex: 0 to 0xfffffffffffff"),
        (("owner", FARTHER, "--at", "-0s"), PAGES),
        (("owner", "0x1" + "0" * 16, "--paddr", "--at", "-0s"), "a physical address of 64-bit memory"),
        (("history", FAR), PAGES),
        (("history", FAR, "--follow"), PAGES),
        (("snapshot", "--at", "-0s", "--pfn", f"0-{FAR}"), PAGES),
        (("snapshot", "--at", "-0s", "--section", FAR), "no such section; there are: 0"),
        (("snapshot", "--at", "-0s", "--pid", FAR), "expected a number from -1 to 2147483647"),
        (("owner", "9", "--at", FAR), TIMES),
        (("owner", "9", "--at", f"-{FAR}s"), TIMES),
        (("owner", "9", "--at", FARTHER), "an integer (ns of the trace clock)"),
        (("history", "9", "--from", f"-{FAR}s"), TIMES),
        (("top", "--by", "pid", "--at", "-0s", "--as-of", FAR), TIMES),
        (("leaks", "--by", "pid", "--from", f"-{FAR}s", "--to", "-0s"), TIMES),
    ],
)
def test_a_command_says_what_there_is(trail: Path, command: tuple[str, ...], said: str) -> None:
    done = run(*command, "--trail", trail)
    assert (done.code, done.out) == (2, "")
    assert said in done.err


@pytest.mark.parametrize("at", [FAR, FARTHER, "9999999999999h"])
def test_a_dump_cannot_be_of_such_a_time(tmp_path: Path, at: str) -> None:
    (tmp_path / "dump.txt").write_text(DUMP)
    done = run("ingest", tmp_path / "dump.txt", "--at", at, "--trail", tmp_path / "trail")
    assert done.code == 2
    assert "expected" in done.err


@pytest.mark.parametrize(
    "asked",
    [
        lambda trail, pfn: trail.owner([9, pfn], "-0s"),
        lambda trail, pfn: trail.owners([(pfn, "-0s")]),
        lambda trail, pfn: trail.history(pfn),
        lambda trail, pfn: trail.lineage(pfn),
    ],
)
def test_the_api_says_the_same(trail: Path, asked: Callable[[api.Trail, int], object]) -> None:
    opened = api.open(trail)
    for pfn in (-1, 2**52, 2**63, 2**70):
        with pytest.raises(BadArgument, match=PAGES):
            asked(opened, pfn)


def test_the_last_page_and_the_last_times_are_answered(trail: Path) -> None:
    assert run("owner", str(2**52 - 1), "--at", "-0s", "--trail", trail).code == 0
    assert run("owner", "9", "--at=-9223372036854775806", "--trail", trail).code == 0
    assert run("top", "--by", "pid", "--at", "-0s", "--as-of", "9223372036854775806", "--trail", trail).code == 0
