"""Several dumps of one boot: their order, and times for those that print none."""

import json
import os
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.commands.cli import Done, run
from tests.kafka.client import Kafka

FRAMES = " __alloc_pages+0x20/0x230\n vfs_write+0x23/0x230\n"


def untimed(*pfns: int) -> str:
    """Return a dump in the form of Linux 5.10: no times, no owners."""
    return "".join(
        f"Page allocated via order 0, mask 0x8(__GFP_MOVABLE)\nPFN {pfn} type Movable Block {pfn >> 9} type Movable "
        f"Flags 0x0()\n{FRAMES}\n"
        for pfn in pfns
    )


def timed(*records: tuple[int, int]) -> str:
    """Return a dump of (pfn, ns of the allocation), in the form of Linux 6.1, each page of another process."""
    return "".join(
        f"Page allocated via order 0, mask 0x8(__GFP_MOVABLE), pid {pfn}, tgid {pfn} (appd), ts {ts} ns, free_ts 0 ns\n"
        f"PFN {pfn} type Movable Block {pfn >> 9} type Movable Flags 0x0()\n{FRAMES}\n"
        for pfn, ts in records
    )


class Folder:
    """A folder with a trail and dumps."""

    def __init__(self, path: Path, **dumps: str) -> None:
        self.path = path
        for name, text in dumps.items():
            (path / f"{name}.txt").write_text(text)

    def __call__(self, command: str, *arguments: object) -> Done:
        return run(command, *arguments, "--trail", self.path / "trail")

    def ingest(self, *names: str, options: tuple[str, ...] = (), status: int = 0) -> str:
        done = self("ingest", *(self.path / f"{name}.txt" for name in names), "--boot-id", "b1", *options)
        assert done.code == status, done.err
        return done.err

    def pages(self, at: str) -> list[int]:
        rows = json.loads(self("snapshot", "--at", at, "--json").out)
        assert not any(row["certain"] for row in rows)
        return sorted(pfn for row in rows for pfn in range(row["pfn"], row["pfn"] + row["nr_pages"]))

    def replay(self) -> "Folder":
        done = self("replay")
        assert done.code == 0
        assert "refused" not in done.err
        return self


@pytest.mark.parametrize("separately", [True, False])
def test_dumps_without_times_are_one_after_the_other_as_given(tmp_path: Path, separately: bool) -> None:
    folder = Folder(tmp_path, before=untimed(8, 9, 10), after=untimed(9, 20))
    for names in [("before",), ("after",)] if separately else [("before", "after")]:
        assert "its records have no times" in folder.ingest(*names)
    folder.replay()
    assert folder.pages("0") == [8, 9, 10]
    assert folder.pages("-0s") == folder.pages("1") == folder.pages("@after") == [9, 20]
    owner = folder("owner", "9", "--at", "0")
    assert "at 0:" in owner.out  # a place in an order is no time in seconds
    assert "when they were made is unknown" in owner.out
    assert "order in which they were given" in folder("doctor").out
    assert folder("owner", "9", "--at", "0.5").code != 0


def test_leaks_between_dumps_without_times_are_what_only_the_later_one_lists(tmp_path: Path) -> None:
    folder = Folder(tmp_path, before=untimed(8, 9, 10), after=untimed(9, 20, 21))
    folder.ingest("before", "after")
    (row,) = json.loads(folder.replay()("leaks", "--from", "0", "--to", "-0s", "--by", "stack", "--json").out)
    assert (row["pages"], row["certain_pages"], row["oldest_ns"]) == (2, 0, None)


def test_dumps_of_one_boot_are_stored_in_the_order_of_their_newest_records(tmp_path: Path) -> None:
    folder = Folder(tmp_path, after=timed((9, 5), (20, 9)), before=timed((8, 5), (9, 5)))
    assert "in the order of their times" in folder.ingest("after", "before")
    assert folder.replay().pages("-0s") == [9, 20]
    assert folder.pages("5") == [8, 9]


@pytest.mark.parametrize("ats", [("100s", "200.5"), ("100000000000", "200500ms")])
def test_dumps_are_at_the_times_that_they_are_given(tmp_path: Path, ats: tuple[str, str]) -> None:
    folder = Folder(tmp_path, after=untimed(9, 20), before=untimed(8, 9))
    folder.ingest("after", "before", options=("--at", ats[1], "--at", ats[0]))
    assert folder.replay().pages("-0s") == [9, 20]
    assert folder.pages("100s") == [8, 9]
    assert "at 200.500000000" in folder("owner", "9", "--at", "-0s").out


def test_wall_times_and_times_of_files_are_times_of_dumps(tmp_path: Path) -> None:
    folder = Folder(tmp_path, before=untimed(8, 9), after=untimed(9, 20))
    folder.ingest("before", options=("--at", "2026-11-22T10:00:00Z"))
    os.utime(tmp_path / "after.txt", (0, 1795341660))  # 2026-11-22T10:01:00Z
    folder.ingest("after", options=("--at", "mtime"))
    assert folder.replay().pages("2026-11-22T10:00:30Z") == [8, 9]
    assert folder.pages("2026-11-22T10:01:00Z") == [9, 20]
    assert "(2026-11-22T10:01:00" in folder("owner", "9", "--at", "-0s").out


def test_a_later_dump_with_older_records_is_refused_until_its_place_is_given(tmp_path: Path) -> None:
    folder = Folder(tmp_path, before=timed((8, 9), (9, 5)), after=timed((9, 5), (20, 6)))
    folder.ingest("before")
    assert "--at" in folder.ingest("after", status=2)
    folder.ingest("after", options=("--at", "order"))
    assert folder.replay().pages("-0s") == [9, 20]


def test_two_dumps_with_the_same_newest_record_are_one_after_the_other(tmp_path: Path) -> None:
    folder = Folder(tmp_path, before=timed((8, 5), (9, 9), (10, 7)), after=timed((9, 9), (10, 7)))
    folder.ingest("before", "after")
    assert folder.replay().pages("-0s") == [9, 10]


def test_a_dump_without_a_time_behind_a_trace_makes_answers_unsure_from_its_place_on(tmp_path: Path) -> None:
    event = "mm_page_alloc: page=x pfn=0x8 order=0 migratetype=0 gfp_flags=GFP_KERNEL"
    trace = f"# tracer: nop\n            sh-42      [000] .....     1.000000: {event}\n"
    folder = Folder(tmp_path, trace=trace, dump=untimed(8, 20))
    release = ("--kernel-release", "6.1.0", "--covers", "alloc,free,migrate,split")
    folder.ingest("trace", options=release)
    folder.ingest("dump", options=("--at", "order"))
    folder.replay()
    before, behind = (folder("owner", "8", "--at", at).out for at in ("1.0s", "-0s"))
    assert "when they were made is unknown" not in before
    assert "when they were made is unknown" in behind


WRONG = {
    "a time before its newest record": ((timed((8, 7), (9, 5)),), ("--at", "6")),
    "a wall time for records with times": ((timed((8, 7)),), ("--at", "2026-11-22T10:00:00Z")),
    "no time": ((untimed(8),), ("--at", "noon")),
    "a time before the clock began": ((untimed(8),), ("--at", "-5s")),
    "one time for two dumps": ((untimed(8), untimed(9)), ("--at", "5s")),
    "one time for joined dumps": ((untimed(8, 9, 10, 8, 9, 10),), ("--at", "5s")),
    "a trace": (("# tracer: nop\n    sh-1 [000] ....  1.0: mm_page_free: page=x pfn=0x8 order=0\n",), ("--at", "5s")),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_cannot_be_the_time_of_a_dump_is_refused(tmp_path: Path, what: str) -> None:
    texts, options = WRONG[what]
    folder = Folder(tmp_path, **{f"dump{number}": text for number, text in enumerate(texts)})
    assert "--at" in folder.ingest(*(f"dump{number}" for number in range(len(texts))), options=options, status=2)


def test_wall_times_and_times_since_the_boot_are_not_mixed(tmp_path: Path) -> None:
    folder = Folder(tmp_path, before=untimed(8, 9), after=untimed(9, 20))
    folder.ingest("before", options=("--at", "100s"))
    said = folder.ingest("after", options=("--at", "2026-11-22T10:00:00Z"), status=2)
    assert "wall time" in said


def test_the_same_dump_again_keeps_its_place_and_its_time(tmp_path: Path) -> None:
    folder = Folder(tmp_path, before=untimed(8, 9), after=untimed(9, 20))
    folder.ingest("before", options=("--at", "100s"))
    folder.ingest("after")
    for name in ("before", "after"):
        assert "all stored before" in folder.ingest(name)
    assert "all stored before" in folder.ingest("before", options=("--at", "100.0s"))
    assert "never changes" in folder.ingest("before", options=("--at", "101s"), status=2)


def test_dumps_without_a_boot_are_streams_of_their_own(tmp_path: Path) -> None:
    folder = Folder(tmp_path, before=untimed(8, 9), after=untimed(9, 20))
    folder("ingest", tmp_path / "before.txt", tmp_path / "after.txt")
    streams = json.loads(folder.replay()("streams", "--json").out)
    assert sorted(row["host"] for row in streams) == ["after", "before"]


@pytest.mark.parametrize("form", ["tar", "zip"])
def test_dumps_in_an_archive_are_taken_in_the_order_of_their_times(tmp_path: Path, form: str) -> None:
    folder = Folder(tmp_path, after=timed((1, 100), (3, 900)), before=timed((1, 100), (2, 200)))
    archive = tmp_path / f"both.{form}"
    with tarfile.open(archive, "w") if form == "tar" else zipfile.ZipFile(archive, "w") as packed:
        for name in ("after.txt", "before.txt"):
            (packed.add if isinstance(packed, tarfile.TarFile) else packed.write)(tmp_path / name, f"x/{name}")
    done = folder("ingest", archive, "--boot-id", "b1")
    assert done.code == 0, done.err
    assert "in the order of their times: x/before.txt, x/after.txt" in done.err
    assert folder.replay().pages("-0s") == [1, 3]
    assert not list(tmp_path.rglob(".pagetrail-*"))


def test_in_a_topic_dumps_of_one_boot_are_ordered_over_several_commands(
    tmp_path: Path, kafka: Kafka, topic: str
) -> None:
    folder = Folder(
        tmp_path,
        first=untimed(1, 2),
        second=untimed(1, 3),
        third=untimed(4),
        late=timed((1, 900)),
        early=timed((1, 100)),
    )
    log = f"kafka://{kafka.bootstrap}/{topic}"
    assert run("topic", "create", "--log", log, "--partitions", "1").code == 0
    for name in ("first", "second", "second"):
        said = folder.ingest(name, options=("--log", log))
    assert "all stored before" in said
    assert "its place in the order of the dumps" in folder.ingest("first", options=("--log", log))
    assert "overlap" in folder.ingest("third", options=("--log", log, "--at", "0"), status=2)
    assert folder("replay", "--log", log).code == 0
    assert folder.pages("-0s") == [1, 3]
    folder.ingest("late", options=("--log", log, "--host", "h2"))
    assert "overlap" in folder.ingest("early", options=("--log", log, "--host", "h2", "--at", "150"), status=2)
    folder.ingest("early", options=("--log", log, "--host", "h2", "--at", "order"))
