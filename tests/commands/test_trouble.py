"""Bad input and bad places: what was expected, what was found, what to do; no traceback, and nothing stored is harmed."""

import gzip
import json
import resource
import sqlite3
from pathlib import Path

import pytest
import zstandard

from pagetrail import api
from tests.commands.conftest import DEMO, Run

LINE = "  <idle>-0  [000] d....  {:.6f}: mm_page_alloc: page=0 pfn={:#x} order=0 migratetype=0 gfp_flags=GFP_KERNEL\n"
TRACE = "# tracer: nop\n#\n" + "".join(LINE.format(1 + i / 1000, 256 + i) for i in range(50))


def refused(done, code: int, *words: str) -> None:
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"", "expected"),
        (bytes(range(256)) * 40, "expected"),
        (b"\x89PNG\r\n\x1a\n" + bytes(200), "expected"),
        (b"PERFILE2" + bytes(200), "perf script"),
        (b"\x17\x08\x44tracing6\0" + bytes(200), "trace"),
    ],
)
def test_a_file_of_the_wrong_kind_is_refused(run_fresh: Run, tmp_path: Path, content: bytes, word: str) -> None:
    (tmp_path / "what").write_bytes(content)
    refused(run_fresh("ingest", "what"), 2, "what", word)


def test_a_file_that_is_not_there_and_a_folder_without_a_trace_are_refused(run_fresh: Run, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    refused(run_fresh("ingest", "nowhere"), 2, "nowhere")
    refused(run_fresh("ingest", "empty"), 2, "expected a capture directory")


def test_half_a_compressed_trace_keeps_what_was_whole_and_says_so(run_fresh: Run, tmp_path: Path) -> None:
    whole = zstandard.ZstdCompressor().compress((TRACE * 300).encode())
    (tmp_path / "half.zst").write_bytes(whole[: len(whole) * 2 // 3])
    done = run_fresh("ingest", "half.zst")
    assert "Traceback" not in done.stderr
    assert "cut short" in done.stderr or done.returncode == 2


def test_events_out_of_order_are_clamped_and_counted(run_fresh: Run, tmp_path: Path) -> None:
    (tmp_path / "trace").write_text(TRACE + LINE.format(0.5, 999))
    assert "1 timestamps went backwards" in run_fresh("ingest", "trace").stderr


def test_a_line_that_is_not_understood_is_shown_and_stops_nothing(run_fresh: Run, tmp_path: Path) -> None:
    (tmp_path / "trace").write_text(TRACE + "what is this\n" + LINE.format(2, 999))
    said = run_fresh("ingest", "trace").stderr
    assert "1 lines were not understood" in said
    assert "line 53: what is this" in said


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstandard.ZstdCompressor().compress])
def test_ingesting_twice_stores_once_however_it_is_packed(run_fresh: Run, tmp_path: Path, pack) -> None:
    (tmp_path / "trace").write_bytes(TRACE.encode())
    (tmp_path / "packed").write_bytes(pack(TRACE.encode()))
    assert run_fresh("ingest", "trace").returncode == 0
    assert "nothing was added" in run_fresh("ingest", "packed").stderr


def test_stdin_is_a_recording_of_its_own(run_fresh: Run) -> None:
    assert run_fresh("ingest", "-", "--host", "h", "--boot-id", "b", stdin=TRACE.encode()).returncode == 0
    assert run_fresh("replay").returncode == 0
    assert "h/b" in run_fresh("streams").stdout


@pytest.mark.parametrize("option", ["--host", "--boot-id"])
def test_a_name_that_is_no_text_is_refused_and_any_text_is_a_name(run_fresh: Run, tmp_path: Path, option: str) -> None:
    (tmp_path / "one").write_text(TRACE)
    for name in ("\udcff", "\ud800"):
        refused(run_fresh("ingest", "one", option, name), 2, rf"\u{ord(name):x}: expected a name in UTF-8", option)
    assert run_fresh("ingest", "one", option, "x" * 300).returncode == 0
    assert run_fresh("replay").returncode == 0
    assert "x" * 300 in run_fresh("streams").stdout


def test_a_recording_that_overlaps_another_of_its_boot_is_refused(run_fresh: Run, tmp_path: Path) -> None:
    (tmp_path / "one").write_text(TRACE)
    (tmp_path / "two").write_text(TRACE.replace("0x100 ", "0x4100 "))
    same = ("--host", "h", "--boot-id", "b")
    assert run_fresh("ingest", "one", *same).returncode == 0
    refused(run_fresh("ingest", "two", *same), 2, "another trail")


def test_nothing_declared_means_nothing_certain(run_fresh: Run, tmp_path: Path) -> None:
    (tmp_path / "trace").write_text(TRACE)
    run_fresh("ingest", "trace")
    run_fresh("replay")
    rows = json.loads(run_fresh("snapshot", "--at", "-0s", "--json").stdout)
    assert rows
    assert not any(row["certain"] for row in rows)


def test_what_the_operator_declares_makes_kernel_memory_certain(run_fresh: Run, tmp_path: Path) -> None:
    (tmp_path / "trace").write_text(TRACE)
    run_fresh("ingest", "trace", "--covers", "alloc,free,drain", "--kernel-release", "6.1.0")
    run_fresh("replay")
    rows = json.loads(run_fresh("snapshot", "--at", "-0s", "--json").stdout)
    assert {tuple(row["uncertain"]) for row in rows} == {("ts_nsec",)}  # no clock relates the two


def test_questions_that_mean_nothing_are_explained(run: Run) -> None:
    refused(run("owner", "pfn", "--at", "1s"), 2, "expected a page frame number")
    refused(run("owner", "1", "--at", "yesterday"), 2, "RFC 3339")
    refused(run("owner", "1", "--at", "@nothing"), 2, "@5-t5")
    refused(run("owner", "1", "--at", "99999s"), 3, "horizon")
    refused(run("replay", "--memory", "much"), 2, "--memory: expected a size from 1M on, as 1.5G or 800M, found 'much'")
    refused(run("replay", "--memory", "1000"), 2, "--memory: expected a size from 1M on")
    refused(run("owner", "1", "--at", "1s", "--stream", "other"), 3, "host-b")
    refused(run("owner", "1", "--at", "@3-t3", "--as-of", "@2-t2"), 3, "later than --as-of")
    refused(run("history", "1", "--follow", "--from", "1s"), 2, "--at TIME")
    refused(run("history", "1", "--at", "1s"), 2, "--follow")
    refused(run("history", "0xfffff", "--follow"), 3, "no contents to follow")
    refused(run("event", "99"), 3, "offsets 0 to 3")
    refused(run("event", "0", "99999999"), 2, "holds events 0 to")
    refused(run("ingest", DEMO, "--covers", "everything"), 2, "expected one or more of")


def test_a_trail_that_is_not_there_or_not_replayed_is_explained(run_fresh: Run, tmp_path: Path) -> None:
    refused(run_fresh("streams"), 4, "--trail")
    refused(run_fresh("replay"), 4, "--trail")
    (tmp_path / "trace").write_text(TRACE)
    run_fresh("ingest", "trace")
    refused(run_fresh("streams"), 3, "pagetrail replay")


def test_a_trail_of_a_newer_version_is_refused_and_left_alone(run_fresh: Run, tmp_path: Path) -> None:
    (tmp_path / "trace").write_text(TRACE)
    run_fresh("ingest", "trace")
    (log,) = (tmp_path / "trail" / "log").glob("*.sqlite")
    with sqlite3.connect(log) as db:
        db.execute("UPDATE meta SET value = '99' WHERE key = 'format'")
    db.close()
    for command in (["replay"], ["ingest", "trace"]):
        refused(run_fresh(*command), 4, "newer pagetrail")


def test_a_segment_cut_short_is_named_and_made_again(run_fresh: Run, tmp_path: Path) -> None:
    (tmp_path / "trace").write_text(TRACE)
    run_fresh("ingest", "trace")
    run_fresh("replay")
    before = json.loads(run_fresh("streams", "--json").stdout)[0]["digest"]
    (segment,) = (tmp_path / "trail" / "segments").rglob("*.duckdb")
    segment.write_bytes(segment.read_bytes()[:5000])
    refused(run_fresh("streams"), 4, segment.name, "pagetrail replay")
    segment.unlink()
    run_fresh("replay")
    assert json.loads(run_fresh("streams", "--json").stdout)[0]["digest"] == before


def test_schemas_are_listed_and_compared(run_fresh: Run, tmp_path: Path) -> None:
    assert run_fresh("schema", "list").stdout.count("pagetrail.events") == 4
    assert run_fresh("schema", "check").stdout == "compatible\n"
    assert run_fresh("schema", "check", "v1", "v3").returncode == 0
    assert run_fresh("schema", "check", "v3", "v1").returncode == 2
    refused(run_fresh("schema", "check", "v1", "nowhere.json"), 2, "nowhere.json")


def test_an_export_to_a_full_disk_is_told_and_leaves_no_part_of_a_file(run: Run, tmp_path: Path) -> None:
    """GIVEN a disk that takes 4 KiB of a file WHEN spans are exported THEN it is StorageFull, as anywhere."""
    assert run("export", "spans", "-o", "whole").returncode == 0
    most = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4_096, most[1]))
        done = run("export", "spans", "-o", "short")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, most)
    refused(done, 4, "no space left", "run the same command again")
    assert [path for path in (tmp_path / "short").rglob("*") if path.is_file()] == []
    assert run("export", "spans", "-o", "short").returncode == 0
    assert {path.name for path in (tmp_path / "short").rglob("*.parquet")} == {
        path.name for path in (tmp_path / "whole").rglob("*.parquet")
    }


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("Unable to allocate 2.00 GiB for an array"),
        type("OutOfMemoryException", (Exception,), {})("2.00 GiB"),
    ],
)
def test_too_little_memory_is_told_with_what_was_asked_for(
    run: Run, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """Whoever asked for it: Python, NumPy and Arrow raise a MemoryError, DuckDB an error of its own."""

    def fails(*_: object) -> None:
        raise error

    monkeypatch.setattr(api.Trail, "streams", fails)
    refused(run("streams"), 4, "expected enough memory", "2.00 GiB", "--memory")
