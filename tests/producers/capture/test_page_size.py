"""How large a page is on the machine of a capture."""

import json
from pathlib import Path

import pytest

from pagetrail.producers.capture.dmesg import parse_dmesg
from pagetrail.producers.capture.page_size import PageSize, page_size
from pagetrail.schemas.errors import InputError
from tests.commands.cli import run

TRACE = """# tracer: nop
            sh-42      [000] .....     1.000000: mm_page_alloc: page=x pfn=0x8 order=0 migratetype=0 gfp_flags=GFP_KERNEL
"""
TABLES_64K = """[    0.000000] Dentry cache hash table entries: 2097152 (order: 8, 16777216 bytes, linear)
[    0.000000] futex hash table entries: 16 (order: 0, 1024 bytes, linear)
"""
NOTHING = {"config": "", "machine": None, "dmesg": "", "zoneinfo": "", "given": None}
ZONEINFO = "Node 0, zone   Normal\n        spanned  70000\n        present  65536\n        start_pfn:           0\n"

SAID = {
    "arm64, 64 KiB": (16, {"config": "CONFIG_ARM64_64K_PAGES=y\n", "machine": "aarch64"}),
    "since Linux 6.9": (14, {"config": "CONFIG_HAVE_PAGE_SIZE_4KB=y\nCONFIG_PAGE_SIZE_16KB=y\nCONFIG_PAGE_SHIFT=14\n"}),
    "x86_64": (12, {"machine": "x86_64"}),
    "sparc64": (13, {"machine": "sparc64"}),
    "hash tables": (16, {"machine": "aarch64", "dmesg": TABLES_64K}),
    "memory": (16, {"dmesg": "[    0.1] Memory: 4000000K/4194304K available (8195K)\n", "zoneinfo": ZONEINFO}),
    "the operator": (16, {"machine": "aarch64", "given": 16}),
}
UNSAID = {
    "arm64": {"machine": "aarch64"},
    "tables that disagree": {"dmesg": TABLES_64K + "x hash table entries: 1 (order: 7, 524288 bytes, linear)\n"},
    "memory that came later": {"dmesg": "Memory: 1K/4190000K available\n", "zoneinfo": ZONEINFO},
    "an impossible size": {"config": "CONFIG_PAGE_SHIFT=30\n"},
}


@pytest.mark.parametrize("what", SAID)
def test_the_files_or_the_operator_say_how_large_a_page_is(what: str) -> None:
    shift, said = SAID[what]
    found = page_size(**(NOTHING | said))
    assert (found.shift, found.known_by is None) == (shift, False)


@pytest.mark.parametrize("what", UNSAID)
def test_what_nothing_says_is_a_guess(what: str) -> None:
    assert page_size(**(NOTHING | UNSAID[what])) == PageSize(shift=12, known_by=None)


def test_an_operator_who_contradicts_the_files_is_refused() -> None:
    with pytest.raises(InputError, match="64K"):
        page_size(**(NOTHING | {"machine": "x86_64", "given": 16}))


def test_memory_in_dmesg_is_counted_in_the_machines_pages() -> None:
    text = "[    0.000000]   node   0: [mem 0x0000000040000000-0x000000007fffffff]\n"
    assert parse_dmesg(text, 16).node_ranges == ((0, 0x4000, 0x8000),)


def capture(folder: Path, **files: str) -> Path:
    """Return a capture directory with one allocation."""
    made = folder / "web1"
    made.mkdir()
    for name, text in {"trace": TRACE, **files}.items():
        (made / f"{name}.txt").write_text(text)
    return made


def bytes_of_top(folder: Path, made: Path, *options: str) -> tuple[int, str]:
    """Return the bytes that are owned at the end of a capture, and what the question notes."""
    assert run("ingest", made, *options, "--trail", folder / "trail").code == 0
    run("replay", "--trail", folder / "trail")
    done = run("top", "--at", "-0s", "--by", "comm", "--json", "--trail", folder / "trail")
    return sum(row["bytes"] for row in json.loads(done.out)), done.err


def test_sizes_of_a_capture_are_those_of_its_machine(tmp_path: Path) -> None:
    uname = "Linux web1 6.1.0 #1 SMP Thu Jan 1 00:00:00 UTC 2026 aarch64 GNU/Linux"
    made = capture(tmp_path, uname=uname, dmesg=TABLES_64K)
    assert bytes_of_top(tmp_path, made) == (65536, "")


def test_sizes_of_a_capture_that_rest_on_a_guess_say_so(tmp_path: Path) -> None:
    found, noted = bytes_of_top(tmp_path, capture(tmp_path))
    assert (found, "--page-size" in noted) == (4096, True)


def test_the_page_size_of_a_capture_can_be_given(tmp_path: Path) -> None:
    assert bytes_of_top(tmp_path, capture(tmp_path), "--page-size", "64K") == (65536, "")
