"""The tables for people: what a dump says beside the owner is a column where any row has it."""

from pathlib import Path

import pytest

from pagetrail.text.tables import table_parts, table_text
from tests.commands.cli import run

OWNER = "Page allocated via order 0, mask 0xcc0(GFP_KERNEL), pid 7, tgid 7 (sh), ts 5 ns, free_ts 0 ns\n"
STACK = " __alloc_pages+0x20/0x230\n vfs_write+0x23/0x230\n"
PAGE = "PFN {} type Unmovable Block 0 type {} Flags {}\n"
QUESTIONS = {"snapshot": ("snapshot", "--at", "-0s"), "history": ("history", "9")}


def table(folder: Path, text: str, question: str) -> list[str]:
    (folder / "dump.txt").write_text(text)
    assert run("ingest", folder / "dump.txt", "--trail", folder / "trail").code == 0
    assert run("replay", "--trail", folder / "trail").code == 0
    return run(*QUESTIONS[question], "--trail", folder / "trail").out.splitlines()


@pytest.mark.parametrize("question", QUESTIONS)
def test_cgroup_flags_and_block_type_are_columns_where_a_dump_says_them(tmp_path: Path, question: str) -> None:
    pages = [
        OWNER + PAGE.format(8, "Unmovable", "0x0()") + STACK,
        OWNER + PAGE.format(9, "CMA", "0x14(uptodate|lru)") + STACK + "Charged to memcg web.service\n",
    ]
    head, *rows = table(tmp_path, "\n".join(pages) + "\n", question)
    assert [name in head for name in ("cgroup", "block type", "page flags")] == [True, True, True]
    (row,) = (row for row in rows if "web.service" in row)
    assert [row.index(word) for word in ("web.service", "CMA", "uptodate|lru")] == [
        head.index(name) for name in ("cgroup", "block type", "page flags")
    ]


@pytest.mark.parametrize("question", QUESTIONS)
def test_columns_that_no_row_has_are_left_out(tmp_path: Path, question: str) -> None:
    trace = "     sh-7     [000] ..... 100.000001: mm_page_alloc: page=0 pfn=0x9 order=0 migratetype=0 gfp_flags=GFP_KERNEL\n"
    head, *_ = table(tmp_path, trace, question)
    assert not any(name in head for name in ("cgroup", "block type", "page flags"))
    (tmp_path / "other").mkdir()
    head, *_ = table(tmp_path / "other", OWNER + PAGE.format(9, "Unmovable", "0x0()") + STACK + "\n", question)
    assert [name in head for name in ("cgroup", "block type", "page flags")] == [False, True, True]


@pytest.mark.parametrize("rows", [0, 1, 20_000])
def test_a_table_that_is_made_in_parts_is_the_table_of_all_rows(rows: int) -> None:
    columns, right, optional = ("pfn", "comm", "", "cgroup"), ("pfn",), ("cgroup", "comm")
    cells = [
        (str(i * 7), ["sh", "", "a longer name"][i % 3], None, "x" if i == rows - 1 else None) for i in range(rows)
    ]
    shown = [0, 1, 2, 3] if rows else [0, 2]
    table = [columns, *([cell or "" for cell in row] for row in cells)]
    widths = [max(len(row[i]) for row in table) for i in range(4)]
    lines = [
        "  ".join(row[i].rjust(widths[i]) if i == 0 else row[i].ljust(widths[i]) for i in shown).rstrip()
        for row in table
    ]
    parts = list(table_parts(columns, cells, right=right, optional=optional))
    assert (
        "".join(parts)
        == "".join(line + "\n" for line in lines)
        == table_text(columns, cells, right=right, optional=optional)
    )
    assert max(part.count("\n") for part in parts) <= 1 << 13
