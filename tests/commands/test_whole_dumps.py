"""Which dumps alone are whole, so that their silence ends what an earlier dump listed."""

from pathlib import Path

import pytest

from tests.commands.test_dump_times import FRAMES, Folder, timed

BEFORE = timed((8, 1), (9, 2), (10, 3))


def of(*records: tuple[int, int, int], first: int = 20, tgid: int | None = None, node: bool = True) -> str:
    """Return a dump of (pfn, pid, node)."""
    return "".join(
        f"Page allocated via order 0, mask 0x8(__GFP_MOVABLE), pid {pid}, tgid {tgid or pid} (appd), ts {first + pfn} ns, "
        "free_ts 0 ns\n"
        f"PFN {pfn} type Movable Block 0 type Movable Flags 0x14({f'lru|node={nid}|zone=1' if node else 'lru'})\n{FRAMES}\n"
        for pfn, pid, nid in records
    )


def pages(tmp_path: Path, after: str, *options: str) -> tuple[list[int], str]:
    """Return the pages that are owned after two dumps, and what ingest says of the second."""
    folder = Folder(tmp_path, before=BEFORE, after=after)
    folder.ingest("before")
    said = folder.ingest("after", options=options)
    return folder.replay().pages("-0s"), said


FILTERED = {
    "one pid": of((9, 5, 0), (20, 5, 0)),
    "one process": of((9, 5, 0), (20, 6, 0), tgid=5),
    "one node": of((9, 5, 1), (20, 6, 1)),
}


@pytest.mark.parametrize("what", FILTERED)
def test_a_dump_of_one_process_or_one_node_is_partial_unless_the_user_knows_that_it_is_whole(
    tmp_path: Path, what: str
) -> None:
    found, said = pages(tmp_path, FILTERED[what])
    assert found == [8, 9, 10, 20]
    assert "--whole" in said


@pytest.mark.parametrize("what", FILTERED)
def test_a_dump_of_which_the_user_says_that_it_is_whole_ends_what_it_does_not_list(tmp_path: Path, what: str) -> None:
    found, said = pages(tmp_path, FILTERED[what], "--whole")
    assert found == [9, 20]
    assert "not taken as whole" not in said


BETWEEN = {
    "a reader's question": "Do you see node 1?",
    "another file": "==> after.txt <==",
    "a filter": "# grep -A9 nginx /sys/kernel/debug/page_owner",
}


@pytest.mark.parametrize("where", ["before", "between", "behind"])
@pytest.mark.parametrize("what", BETWEEN)
def test_a_dump_with_other_text_outside_of_its_records_is_an_excerpt_unless_the_user_knows_better(
    tmp_path: Path, what: str, where: str
) -> None:
    words = {where: f"{BETWEEN[what]}\n"}
    text = words.get("before", "") + of((9, 5, 0)) + words.get("between", "") + of((20, 6, 0)) + words.get("behind", "")
    found, said = pages(tmp_path, text)
    assert found == [8, 9, 10, 20]
    assert "--whole" in said
    (tmp_path / "known").mkdir()
    assert pages(tmp_path / "known", text, "--whole")[0] == [9, 20]


LEFT_OUT = ["...", "....", "[...]", "(...)", "\N{HORIZONTAL ELLIPSIS}", "<snip>", "[snip]", "[cut]", "--- 8< ---", "[truncated]",
            "... 500 lines omitted ...", "--More--(12%)"]  # fmt: skip


@pytest.mark.parametrize("words", LEFT_OUT)
def test_a_dump_that_says_that_lines_are_left_out_is_partial_whatever_the_user_says(tmp_path: Path, words: str) -> None:
    found, said = pages(tmp_path, of((9, 5, 0)) + f"{words}\n\n" + of((20, 6, 0)), "--whole")
    assert found == [8, 9, 10, 20]
    assert "lines are left out" in said


SESSIONS = {
    "a shell": "root@host:~# cat /sys/kernel/debug/page_owner\n{}root@host:~#\n",
    "script": "Script started on 2026-11-26\n$ sudo cat /sys/kernel/debug/page_owner\n{}$ exit\n\nScript done on 2026-11-26\n",
    "markup": "```text\n{}```\n",
    "the console": "[   12.000000] usb 1-1: new device\n{}",
}


@pytest.mark.parametrize("what", SESSIONS)
def test_what_a_shell_or_the_console_writes_around_a_dump_leaves_it_whole(tmp_path: Path, what: str) -> None:
    assert pages(tmp_path, SESSIONS[what].format(of((9, 5, 0), (20, 6, 0))))[0] == [9, 20]


WHOLE = {
    "two processes": of((9, 5, 0), (20, 6, 0)),
    "two nodes": of((9, 5, 1), (20, 6, 2)),
    "no nodes": of((9, 5, 0), (20, 6, 0), node=False),
}


@pytest.mark.parametrize("what", WHOLE)
def test_a_dump_of_several_processes_on_the_first_or_several_nodes_is_whole(tmp_path: Path, what: str) -> None:
    assert pages(tmp_path, WHOLE[what])[0] == [9, 20]


HARMED = {
    "cut": of((9, 5, 0), (20, 6, 0)).rstrip("\n")[:-10],
    "a record that cannot be read": of((9, 5, 0), (20, 6, 0), (21, 7, 0)).replace("PFN 21 ", "PFN ? "),
    "lines left out": of((9, 5, 0)) + "--\n" + of((20, 6, 0)),
    "another order": of((20, 6, 0), (9, 5, 0)),
}


@pytest.mark.parametrize("what", HARMED)
def test_no_word_of_the_user_makes_a_harmed_dump_whole(tmp_path: Path, what: str) -> None:
    assert set(pages(tmp_path, HARMED[what], "--whole")[0]) >= {8, 10}


def test_whole_is_said_of_dumps_alone(tmp_path: Path) -> None:
    folder = Folder(tmp_path, trace="# tracer: nop\n    sh-1 [000] ....  1.0: mm_page_free: page=x pfn=0x8 order=0\n")
    assert "--whole" in folder.ingest("trace", options=("--whole",), status=2)
