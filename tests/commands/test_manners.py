"""How the command line behaves, whatever it is asked: its help, its exit codes, what goes to stdout and what to stderr."""

import re
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import duckdb
import pytest
import typer

from pagetrail import cli
from pagetrail.schemas.errors import PagetrailError
from tests.commands.cli import PROGRAM, process, run
from tests.commands.conftest import DEMO

COMMANDS = typer.main.get_command(cli.app)
NAMES = sorted(COMMANDS.commands)  # type: ignore[attr-defined]
SCHEMA_NAMES = sorted(COMMANDS.commands["schema"].commands)  # type: ignore[attr-defined]
QUESTIONS = {
    "owner": ("0x1802", "--at", "@3-t3"),
    "history": ("0x1802",),
    "event": ("0", "1"),
    "snapshot": ("--at", "@3-t3"),
    "top": ("--at", "@3-t3", "--by", "comm"),
    "leaks": ("--from", "@2-t2", "--to", "@3-t3", "--by", "comm"),
    "sections": (),
    "audit": (),
    "streams": (),
    "doctor": (),
}
LINE = "  <idle>-0  [000] d....  {:.6f}: mm_page_alloc: page=0 pfn={:#x} order=0 migratetype=0 gfp_flags=GFP_KERNEL\n"
TRACE = "# tracer: nop\n#\n" + "".join(LINE.format(1 + i / 1000, 256 + i) for i in range(50))


def small_trail(folder: Path, *, replayed: bool = True) -> Path:
    (folder / "trace").write_text(TRACE)
    assert run("ingest", folder / "trace", "--trail", folder / "trail").code == 0
    if replayed:
        assert run("replay", "--trail", folder / "trail").code == 0
    return folder / "trail"


# -- help and exit codes -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*NAMES, *(f"schema {name}" for name in SCHEMA_NAMES)])
def test_the_help_of_a_command_is_one_imperative_sentence(name: str) -> None:
    words = name.split()
    command = COMMANDS
    for word in words:
        command = command.commands[word]  # type: ignore[attr-defined]
    first = (command.help or "").split("\n\n")[0].replace("\n", " ").strip()
    if name != "schema":  # a group says what it is about
        assert re.fullmatch(r"[A-Z][a-z]+ [^.]*\.", first), first
        assert not first.split()[0].endswith(("s", "ing")), first
    done = run(*words, "--help")
    assert done.code == 0
    assert first.split()[0] in done.out
    assert done.err == ""


def test_help_names_every_exit_code_that_errors_have() -> None:
    said = re.findall(r"(\d+) [a-z]", run("--help").out.split("Exit codes")[1])
    codes = {kind.exit_code for kind in _errors(PagetrailError)}
    assert codes - {1} <= {int(code) for code in said}


def _errors(kind: type[PagetrailError]) -> list[type[PagetrailError]]:
    return [kind, *(found for child in kind.__subclasses__() for found in _errors(child))]


def test_the_version_is_said() -> None:
    assert re.fullmatch(r"pagetrail \d+\.\d+\.\d+\S*\n", run("--version").out)


@pytest.mark.parametrize(
    "arguments", [("nothing",), ("owner",), ("owner", "1"), ("top", "--at", "1s", "--by", "colour")]
)
def test_arguments_that_are_missing_or_unknown_are_bad_input(arguments: tuple[str, ...]) -> None:
    done = run(*arguments)
    assert (done.code, done.out) == (2, "")
    assert done.err


# -- stdout and stderr -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", QUESTIONS)
def test_answers_go_to_stdout_and_nothing_else_does(demo_trail: Path, name: str) -> None:
    done = run(name, *QUESTIONS[name], "--trail", demo_trail)
    assert done.code == 0
    assert done.out
    assert "\x1b" not in done.out
    as_json = run(name, *QUESTIONS[name], "--json", "--trail", demo_trail)
    assert as_json.out[0] in "[{"
    assert as_json.err == ""


def test_what_ingest_and_replay_have_to_say_goes_to_stderr(tmp_path: Path) -> None:
    (tmp_path / "trace").write_text(TRACE)
    for arguments in (("ingest", tmp_path / "trace"), ("replay",)):
        done = run(*arguments, "--trail", tmp_path / "trail")
        assert (done.code, done.out) == (0, "")
        assert "events" in done.err


@pytest.mark.parametrize("form", ["table", "json", "page_owner", "arrow"])
def test_a_reader_that_has_read_enough_is_no_error(demo_trail: Path, form: str) -> None:
    arguments = ["snapshot", "--at", "@3-t3", "--format", form, "--trail", str(demo_trail)]
    with subprocess.Popen([*PROGRAM, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        assert writer.stderr is not None
        assert writer.stdout.read(64)
        writer.stdout.close()
        said = writer.stderr.read()
        assert writer.wait(60) == 0
    assert said == b""


@pytest.mark.parametrize("pfn", ["4", "0x4", "0X4", "004"])
def test_a_pfn_is_decimal_or_hex(demo_trail: Path, pfn: str) -> None:
    done = run("owner", pfn, "--at", "@3-t3", "--trail", demo_trail)
    assert "pfn 4 (0x4)" in done.out


def test_a_physical_address_means_its_page(demo_trail: Path) -> None:
    by_address = run("owner", "--paddr", "0x1802fff", "--at", "@3-t3", "--trail", demo_trail)
    assert by_address.out == run("owner", "0x1802", "--at", "@3-t3", "--trail", demo_trail).out


@pytest.mark.parametrize("pfn", ["-1", "1.5", "0x", "0b1", "1_0", "abc", "", str(1 << 52), str(1 << 64)])
def test_what_is_no_pfn_is_told_what_one_is(demo_trail: Path, pfn: str) -> None:
    done = run("owner", "--at", "@3-t3", "--trail", demo_trail, "--", pfn)
    assert done.code == 2
    assert "expected a page frame number" in done.err


# -- one at a time -----------------------------------------------------------------------------------------------------------


def test_two_replays_of_one_fold_do_not_work_at_once(tmp_path: Path) -> None:
    trail = small_trail(tmp_path, replayed=False)
    follow = subprocess.Popen([*PROGRAM, "replay", "--follow", "--trail", str(trail)], stderr=subprocess.PIPE)
    try:
        deadline = time.monotonic() + 60
        while run("streams", "--trail", trail).code and time.monotonic() < deadline:
            time.sleep(0.1)
        second = process("replay", "--trail", trail)
        assert second.returncode == 4
        assert b"another replay is running on this trail" in second.stderr
        assert run("replay", "--no-correct", "--trail", trail).code == 0  # another fold is another matter
    finally:
        follow.send_signal(signal.SIGINT)
        assert follow.wait(60) == 0
        assert follow.stderr is not None
        assert b"Traceback" not in follow.stderr.read()
        follow.stderr.close()
    assert run("replay", "--trail", trail).code == 0


# -- of a newer version ------------------------------------------------------------------------------------------------------


def test_a_segment_of_a_newer_version_is_refused_and_left_alone(tmp_path: Path) -> None:
    trail = small_trail(tmp_path)
    (segment,) = (trail / "segments").rglob("*.duckdb")
    segment.chmod(0o600)
    with duckdb.connect(str(segment)) as db:
        db.execute("UPDATE meta SET value = '99' WHERE key = 'format'")
    before = segment.read_bytes()
    for question in ("streams", "doctor"):
        done = run(question, "--trail", trail)
        assert done.code == 4
        assert "newer pagetrail" in done.err
        assert "99" in done.err
    run("replay", "--trail", trail)
    assert segment.read_bytes() == before


def test_a_database_that_is_no_log_is_no_trail(tmp_path: Path) -> None:
    (tmp_path / "trail" / "log").mkdir(parents=True)
    with sqlite3.connect(tmp_path / "trail" / "log" / f"{0:020d}.sqlite") as db:
        db.execute("CREATE TABLE mine (x)")
    db.close()
    done = run("replay", "--trail", tmp_path / "trail")
    assert done.code == 4
    assert "expected" in done.err


def test_a_file_where_a_trail_should_be_is_explained(tmp_path: Path) -> None:
    (tmp_path / "trail").write_text("mine")
    (tmp_path / "trace").write_text(TRACE)
    for arguments in (("streams",), ("replay",), ("ingest", tmp_path / "trace")):
        done = process(*arguments, "--trail", tmp_path / "trail")
        assert done.returncode in (2, 4)
        assert b"expected" in done.stderr
    assert (tmp_path / "trail").read_text() == "mine"


# -- dumps -------------------------------------------------------------------------------------------------------------------


def test_a_dump_that_was_not_ingested_is_held_against_replay(demo_trail: Path, tmp_path: Path) -> None:
    text = run("snapshot", "--at", "@4-t4", "--format", "page_owner", "--trail", demo_trail).out
    (tmp_path / "dump").write_text(text)
    done = run("audit", tmp_path / "dump", "--at", "@4-t4", "--json", "--trail", demo_trail)
    assert done.code == 0
    assert '"share": 100.0' in done.out
    without = run("audit", tmp_path / "dump", "--trail", demo_trail)
    assert without.code == 2
    assert "--at" in without.err


def test_a_file_that_is_no_dump_is_not_audited(demo_trail: Path, tmp_path: Path) -> None:
    (tmp_path / "what").write_text("what is this\n")
    done = run("audit", tmp_path / "what", "--at", "@4-t4", "--trail", demo_trail)
    assert done.code == 2
    assert "expected" in done.err


def test_an_output_that_cannot_be_written_is_explained(demo_trail: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for arguments in (
        ("snapshot", "--at", "@4-t4", "-o", tmp_path / "no" / "where"),
        ("export", "spans", "-o", tmp_path / "file"),
    ):
        done = run(*arguments, "--trail", demo_trail)
        assert done.code in (2, 4)
        assert "expected" in done.err


def test_the_demo_is_a_recording_like_any_other(tmp_path: Path) -> None:
    done = run("ingest", DEMO, "--trail", tmp_path / "trail")
    assert done.code == 0
    again = run("ingest", DEMO, "--trail", tmp_path / "trail")
    assert "nothing was added" in again.err


def test_schema_check_names_what_breaks(tmp_path: Path) -> None:
    done = run("schema", "check", "v3", "v1")
    assert done.code == 2
    assert "it may only rise" in done.out
    assert run("schema", "check", "v1", "v2").out == "compatible\n"
    (tmp_path / "list.json").write_text("[1]")
    wrong = run("schema", "check", "v1", tmp_path / "list.json")
    assert wrong.code == 2
    assert "expected a JSON object" in wrong.err
    assert run("schema", "show", "7").code == 2
    assert run("schema", "check", "v1").code == 2


def test_the_interpreter_says_nothing_of_its_own(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", *PROGRAM[1:], "schema", "list"], capture_output=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")
