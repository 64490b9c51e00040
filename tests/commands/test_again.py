"""The same recording given again: under another name, compressed, by stdin; and one that an older pagetrail stored."""

import gzip
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from pagetrail import api
from pagetrail.producers.log.sink_sqlite import SqliteLogWriter
from pagetrail.replay.log.embedded import SqliteLogReader
from pagetrail.schemas.frames import FRAME_EVENTS, Frame
from pagetrail.schemas.log.contract import LogRecord
from tests.commands.conftest import Run, run_in
from tests.version_3 import in_version_4, old_copy

LINE = "  <idle>-0  [000] d....  {:.6f}: mm_page_alloc: page=0 pfn={:#x} order=0 migratetype=0 gfp_flags=GFP_KERNEL\n"
TRACE = "# tracer: nop\n#\n" + "".join(LINE.format(1 + i / 1000, 256 + i) for i in range(50))
RECORD = """Page allocated via order 0, mask 0xcc0(GFP_KERNEL), pid {0}, tgid {0} (leakd), ts {0}000 ns, free_ts 0 ns
PFN {0} type Unmovable Block 0 type Unmovable Flags 0x0()
 get_page_from_freelist+0x1/0x2

"""
DUMP = "".join(RECORD.format(500 + i) for i in range(10))


def streams(run: Run) -> list[dict[str, Any]]:
    assert run("replay").returncode == 0
    return list(json.loads(run("streams", "--json").stdout))


@pytest.mark.parametrize("content", [DUMP, TRACE], ids=["a dump", "a trace"])
def test_a_recording_is_stored_once_whatever_it_is_called(run_fresh: Run, tmp_path: Path, content: str) -> None:
    (tmp_path / "first.txt").write_text(content)
    (tmp_path / "other-name.log").write_text(content)
    (tmp_path / "packed.gz").write_bytes(gzip.compress(content.encode()))
    assert run_fresh("ingest", "first.txt").returncode == 0
    for name, stdin in (("other-name.log", b""), ("packed.gz", b""), ("-", content.encode())):
        done = run_fresh("ingest", name, stdin=stdin)
        assert done.returncode == 0, done.stderr
        assert "all stored before; nothing was added" in done.stderr
    assert len(streams(run_fresh)) == 1


def test_what_comes_by_stdin_is_the_file_that_has_the_same_bytes(run_fresh: Run, tmp_path: Path) -> None:
    (tmp_path / "first.txt").write_text(DUMP)
    for _ in range(2):
        assert run_fresh("ingest", "-", stdin=DUMP.encode()).returncode == 0
    assert "nothing was added" in run_fresh("ingest", "first.txt").stderr
    assert not [path for path in tmp_path.rglob("*") if "stdin" in path.name]


def test_other_options_are_not_the_same_recording(run_fresh: Run, tmp_path: Path) -> None:
    (tmp_path / "first.txt").write_text(TRACE)
    assert run_fresh("ingest", "first.txt").returncode == 0
    assert run_fresh("ingest", "first.txt", "--covers", "alloc,free").returncode == 4


def test_dumps_of_several_hosts_are_streams_that_are_named_by_their_files(run_fresh: Run, tmp_path: Path) -> None:
    for name, pid in (("web1", 700), ("web2", 800)):
        (tmp_path / f"{name}.page_owner.txt").write_text(DUMP + RECORD.format(pid))
    assert run_fresh("ingest", "web1.page_owner.txt", "web2.page_owner.txt").returncode == 0
    assert [row["host"] for row in streams(run_fresh)] == ["web1", "web2"]
    assert run_fresh("owner", "800", "--at", "-0s", "--stream", "web2").returncode == 0


def test_one_bad_file_in_a_list_stops_no_other(run_fresh: Run, tmp_path: Path) -> None:
    (tmp_path / "bad.txt").write_text("Dear all")
    (tmp_path / "first.txt").write_text(TRACE)
    (tmp_path / "second.txt").write_text(DUMP)
    done = run_fresh("ingest", "first.txt", "bad.txt", "second.txt", "nowhere.txt")
    assert done.returncode == 2
    assert "2 of 4 recordings were not stored: bad.txt, nowhere.txt" in done.stderr
    assert len(streams(run_fresh)) == 2


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """Return a trail whose log an older pagetrail made of a trace."""
    (tmp_path / "trace").write_text(TRACE)
    api.ingest(tmp_path / "now", tmp_path / "trace", covers=("alloc", "free"))
    old_copy(tmp_path / "now", tmp_path / "old")
    return tmp_path / "old"


def test_what_an_older_reader_stored_is_neither_continued_nor_mixed(old: Path, tmp_path: Path) -> None:
    run = run_in(tmp_path, old)
    done = run("ingest", "trace", "--covers", "alloc,free")
    assert done.returncode == 2
    assert "--again" in done.stderr
    assert "never mixed" in done.stderr
    assert streams(run)[0]["superseded"] == []


@pytest.mark.parametrize("replayed", [False, True])
def test_again_takes_the_place_of_what_an_older_reader_stored(old: Path, tmp_path: Path, *, replayed: bool) -> None:
    run = run_in(tmp_path, old)
    before = streams(run) if replayed else []
    assert run("ingest", "trace", "--covers", "alloc,free", "--again").returncode == 0
    (now,) = streams(run)
    assert now["recordings"] == 1
    assert len(now["superseded"]) == 1
    assert [now["boot_id"]] == [row["boot_id"] for row in before] or not replayed
    assert now["superseded"][0] in run("streams").stdout
    fresh = run_in(tmp_path, tmp_path / "now")
    (same,) = streams(fresh)
    asked = ("owner", "300", "--at", "-0s", "--json")
    names = ("state", "pid", "order", "gfp_mask", "certain", "uncertain")
    ours, theirs = (json.loads(r(*asked).stdout)[0] for r in (run, fresh))
    assert [ours[name] for name in names] == [theirs[name] for name in names]
    assert now["events"] == same["events"]
    assert "a later reader" in run("doctor").stdout
    for name in ("trace", "-"):
        done = run("ingest", name, "--covers", "alloc,free", stdin=TRACE.encode())
        assert "nothing was added" in done.stderr
    shutil.rmtree(old / "segments")
    assert streams(run)[0]["state_digest"] == now["state_digest"]


def test_again_takes_an_earlier_place_when_others_of_the_boot_follow(tmp_path: Path) -> None:
    for name, begin in (("first", 1), ("second", 2)):
        (tmp_path / name).write_text(
            "# tracer: nop\n#\n" + "".join(LINE.format(begin + i / 1000, 256 + i) for i in range(50))
        )
        api.ingest(tmp_path / "now", tmp_path / name, covers=("alloc", "free"), boot_id="b")
    old_copy(tmp_path / "now", tmp_path / "old")
    run = run_in(tmp_path, tmp_path / "old")
    given = ("--covers", "alloc,free", "--boot-id", "b")
    assert streams(run)[0]["recordings"] == 2
    for name in ("first", "second"):
        assert run("ingest", name, *given).returncode == 2
        assert run("ingest", name, *given, "--again").returncode == 0
    (now,), (same,) = streams(run), streams(run_in(tmp_path, tmp_path / "now"))
    assert (now["recordings"], len(now["superseded"])) == (2, 2)
    assert (now["events"], now["first_ts"], now["horizon"]) == (same["events"], same["first_ts"], same["horizon"])
    found = json.loads(run("doctor", "--json").stdout)["unknown/b"]["findings"]
    assert [(f["level"], f["count"]) for f in found if f["what"] == "superseded"] == [("note", 2)]
    assert not [f for f in found if f["what"] == "recordings"]
    assert run("ingest", "first", *given).stderr.count("nothing was added") == 1


def test_a_dump_with_records_that_cannot_be_read_says_so_each_time(run_fresh: Run, tmp_path: Path) -> None:
    (tmp_path / "dump.txt").write_text(DUMP.replace("PFN 503 ", "PFN x503 "))
    for added in (True, False):
        done = run_fresh("ingest", "dump.txt")
        assert done.returncode == 0, done.stderr
        assert done.stderr.strip().splitlines()[-1].strip() == "9 of 10 records of page_owner were read"
        assert ("nothing was added" in done.stderr) is not added


def records(log: SqliteLogReader) -> list[LogRecord]:
    return [record for offset in range(log.high_watermark(0)) for record in log.read(0, offset, 1)]


def test_a_recording_that_an_earlier_pagetrail_began_is_continued_in_its_frames(tmp_path: Path) -> None:
    lines = (LINE.format(1 + i / 1e6, 256 + i) for i in range(FRAME_EVENTS * 2))
    (tmp_path / "trace").write_text("# tracer: nop\n#\n" + "".join(lines))
    ingest = {"host": "a", "boot_id": "boot"}
    api.ingest(tmp_path / "new", tmp_path / "trace", **ingest)
    with SqliteLogReader(tmp_path / "new") as log:
        frames = [Frame(header=r.header, payload=r.payload, digest=r.digest) for r in records(log)]
    assert {frame.header.version for frame in frames} == {5}
    earlier = [in_version_4(frame) for frame in frames]
    with SqliteLogWriter(tmp_path / "old") as log:
        log.append(earlier[:1])
    for duplicates in (1, len(frames)):
        report = api.ingest(tmp_path / "old", tmp_path / "trace", **ingest)
        assert (report.frames, report.duplicates) == (len(frames), duplicates)
        with SqliteLogReader(tmp_path / "old") as log:
            assert [record.payload for record in records(log)] == [frame.payload for frame in earlier]
    digests = {}
    for name in ("old", "new"):
        api.replay(tmp_path / name)
        digests[name] = api.open(tmp_path / name).streams()["digest"].to_pylist()
    assert digests["old"] == digests["new"]
