"""Recorded text never reaches a terminal raw: a comm, a marker, a symbol or a line may have what a terminal obeys or hides."""

import os
import pty
import re
import subprocess
from pathlib import Path

import pytest

from pagetrail.text.printable import printable, printable_lines, printable_row
from tests.commands.cli import PROGRAM, run

EVIL = "\x1b]0;x\x07\u202e\u200b"
"""A title for the terminal's window, what follows from right to left, and a space without a width."""

TRACE = f"""# tracer: nop
#
  a{EVIL}-7  [000] d....  1.000000: mm_page_alloc: page=0 pfn=0x100 order=0 migratetype=0 gfp_flags=GFP_KERNEL
  a{EVIL}-7  [000] d....  1.000001: <stack trace>
 => f{EVIL}
 => alloc_pages
  b{EVIL}-8  [000] d....  2.000000: mm_page_alloc: page=0 pfn=0x101 order=0 migratetype=0 gfp_flags=GFP_KERNEL
  b{EVIL}-8  [000] d....  3.000000: mm_page_free: page=0 pfn=0x101 order=0
  c{EVIL}-9  [000] .....  4.000000: tracing_mark_write: m{EVIL}
  not understood {EVIL}
  d{EVIL}-9  [000] d....  5.000000: mm_page_alloc: page=0 pfn=0x102 order=0 migratetype=0 gfp_flags=GFP_KERNEL
"""
ASKED = (
    ("owner", "0x100", "0x101", "0x103", "--at", "5.0"),
    ("history", "0x101"),
    ("event", "0", "0"),
    ("snapshot", "--at", "5.0"),
    ("top", "--at", "5.0", "--by", "comm"),
    ("leaks", "--from", "0", "--to", "5.0", "--by", "stack"),
    ("sections",),
    ("audit",),
    ("streams",),
    ("streams", "--markers"),
    ("doctor",),
    ("owner", "0x100", "--at", f"@no{EVIL}"),
    ("owner", "0x100", "--at", "5.0", "--stream", f"h{EVIL}"),
    ("ingest", f"no{EVIL}\nsuch"),
)
_OBEYED = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]")


@pytest.fixture(scope="module")
def trail(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("terminal")
    (folder / f"trace{EVIL}").write_text(TRACE)
    for arguments in (["ingest", folder / f"trace{EVIL}", "--host", "h"], ["replay"]):
        done = run(*arguments, "--trail", folder / "trail")
        assert done.code == 0, done.err
        assert not _OBEYED.search(done.out + done.err)
    return folder / "trail"


@pytest.mark.parametrize("question", ASKED, ids=lambda question: printable(" ".join(question)))
def test_no_answer_and_no_error_has_anything_that_a_terminal_obeys(question: tuple[str, ...], trail: Path) -> None:
    done = run(*question, "--trail", trail)
    assert done.out or done.err
    assert not _OBEYED.search(done.out), done.out
    assert not _OBEYED.search(done.err), done.err


def test_what_is_shown_says_what_was_recorded(trail: Path) -> None:
    shown = run("owner", "0x100", "--at", "5.0", "--trail", trail).out
    assert r"a\x1b]0;x\x07\u202e\u200b" in shown
    assert r"m\x1b]0;x\x07\u202e\u200b" in run("streams", "--markers", "--trail", trail).out


def test_what_programs_read_is_as_it_was_recorded(trail: Path) -> None:
    text = run("snapshot", "--at", "5.0", "--format", "page_owner", "--trail", trail)
    assert f"a{EVIL}" in text.out


@pytest.mark.parametrize("form", ["page_owner", "json", "table"])
def test_a_terminal_gets_nothing_raw_in_any_form(form: str, trail: Path) -> None:
    shown, code = _on_a_terminal("snapshot", "--at", "5.0", "--format", form, "--trail", trail)
    assert code == 0
    assert "\\u202e" in shown
    assert not _OBEYED.search(shown.replace("\r\n", "\n")), shown


def test_a_binary_form_is_not_written_to_a_terminal(trail: Path) -> None:
    shown, code = _on_a_terminal("snapshot", "--at", "5.0", "--format", "parquet", "--trail", trail)
    assert code == 2
    assert "expected a file or a pipe for parquet, found a terminal; give -o FILE" in shown


def _on_a_terminal(*arguments: str | Path) -> tuple[str, int]:
    """Run a command whose output is a terminal; return what it showed, and its exit code."""
    ours, theirs = pty.openpty()
    with subprocess.Popen([*PROGRAM, *map(str, arguments)], stdout=theirs, stderr=theirs, stdin=theirs) as process:
        os.close(theirs)
        shown = b""
        try:
            while part := os.read(ours, 1 << 16):
                shown += part
        except OSError:  # the other end was closed
            pass
        os.close(ours)
    return shown.decode(), process.returncode


def test_names_in_a_row_are_escaped_wherever_they_stand() -> None:
    row = {"comm": "a\nb", "stack": "f\x1b\ng", "values": [{"how": "\u2028"}], "order": 3, "names": ["x\x9b"]}
    assert printable_row(row) == {
        "comm": r"a\nb", "stack": "f\\x1b\ng", "values": [{"how": r"\u2028"}], "order": 3, "names": [r"x\x9b"],
    }  # fmt: skip


def test_text_of_any_language_stays_as_it_is() -> None:
    for text in ("köln", "プロセス", "naïve ☃", "plain < text [1]"):
        assert printable(text) == text
    assert printable_lines("a\nb\t\udcff\U000e0001") == "a\nb\\t\\udcff\\U000e0001"
