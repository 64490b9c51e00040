"""A chain is checked before it is believed; replay makes again what is damaged; verify names it, file by file."""

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import duckdb
import pytest

from pagetrail import api
from pagetrail.queries.core.instant import Instant
from pagetrail.replay.store.local import store_of
from pagetrail.replay.store.packed.about import about
from pagetrail.replay.store.read import meta, opened
from pagetrail.replay.store.reading.recount import recount
from pagetrail.schemas.errors import NotAFolder, SegmentDamaged, SegmentMissing
from pagetrail.schemas.store.names import beginning_name, fold_name
from pagetrail.schemas.store.tables import FOLD_VERSION, STORED, TABLES_DIGEST
from tests.commands.cli import run
from tests.faults.stores.asked import FLOOR, make
from tests.faults.stores.harms import VICTIM, Target, target_of
from tests.faults.stores.test_harmed_stores import replayed
from tests.replay.states import place, store

OTHER = "other"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("whole") / "trail")


@pytest.fixture
def target(whole: Path, tmp_path: Path) -> Target:
    return target_of(Path(shutil.copytree(whole, tmp_path / "trail")))


@pytest.fixture
def newest(target: Target) -> Target:
    """A chain that begins with its last segment, as its older ones were dropped: there is less to read."""
    for file in target.files[:-2]:
        file.unlink()
    return target_of(target.trail)


def change(file: Path, *statements: str) -> None:
    with duckdb.connect(str(file)) as db:
        for statement in statements:
            db.execute(statement)
        db.execute("CHECKPOINT")


def ends(trail: Path) -> list[int]:
    """Return the last time of each file of the victim."""
    stream = api.open(trail).stream(VICTIM)
    return [stream.piece(file).last_ts for file in stream.files]


def test_the_digests_of_a_file_are_those_of_its_rows(whole: Path) -> None:
    for host in (VICTIM, OTHER):
        stream = api.open(whole).stream(host)
        for file in stream.files:
            with opened(stream.place.store, file.name) as db:
                said = meta(db, file.name)
                found = recount(db, said)
            assert (found.chain, found.tables) == (said["digest"], said[TABLES_DIGEST])


def test_a_whole_trail_is_verified(whole: Path) -> None:
    done = run("verify", "--trail", whole)
    assert (done.code, done.out) == (0, "")
    assert "of them not whole" in done.err
    rows = json.loads(run("verify", "--json", "--trail", whole).out)
    assert {row["kind"] for row in rows} == {"segment", "tip", "cut", "frame"}
    assert run("verify", "--stream", "nobody", "--trail", whole).code == 3


EDITS: Sequence[tuple[str, str]] = [
    *((name, f"INSERT INTO {name} SELECT * FROM {name} LIMIT 1") for name in STORED),
    *((name, f"DELETE FROM {name} WHERE rowid = 0") for name in STORED),
    ("owners", "UPDATE owners SET pid = pid + 1 WHERE rowid = 0"),
    ("events", "UPDATE events SET ts = ts + 1 WHERE rowid = 5"),
    ("open_runs", "UPDATE open_runs SET pfn = pfn + 1 WHERE rowid = 0"),
    ("stacks", "UPDATE stacks SET raw = 'x' WHERE rowid = 0"),
    ("meta", "UPDATE meta SET value = '7' WHERE key = 'live_pages'"),
    ("meta", "UPDATE meta SET value = 'x' WHERE key = 'tables_digest'"),
    ("state", "UPDATE state SET value = '[]' WHERE name = 'moves'"),
    ("words", "UPDATE words SET word = 'x' WHERE rowid = 0"),
]


def test_every_edited_table_is_found(newest: Target) -> None:
    """GIVEN a row that was inserted, removed or changed in a table of a file WHEN the trail is verified THEN the file is named."""
    file, tried = newest.files[-1], 0
    content = file.read_bytes()
    for table, statement in EDITS:
        with duckdb.connect(str(file)) as db:
            size = db.execute(f"SELECT count(*) FROM {table}").fetchall()[0][0]
            db.execute(statement)
        if size:
            found = api.verify(newest.trail, VICTIM).to_pylist()
            assert [row["path"] for row in found if row["found"]] == [str(file)], statement
            tried += 1
        file.write_bytes(content)
    assert tried > 40


def test_a_resume_does_not_go_on_from_edited_rows(target: Target) -> None:
    """GIVEN a tip with other rows WHEN replay goes on from it THEN it is made again from the log, and the report says so."""
    before = store(target.trail)
    target.files[-1].unlink()
    change(target.files[-2], "UPDATE owners SET pid = 12345 WHERE rowid = 0")
    report = replayed(target.trail)
    assert [*report.remade] == [str(target.files[-2])]
    assert "rows whose digest is" in report.remade[str(target.files[-2])]
    assert store(target.trail) == before
    assert report.halted == {}


@pytest.mark.parametrize("number", [0, 2, -2, -1])
def test_a_damaged_file_is_made_again_and_said(target: Target, number: int) -> None:
    before = store(target.trail)
    target.files[number].write_bytes(target.files[number].read_bytes()[:20_000])
    report = replayed(target.trail)
    assert [*report.remade] == [str(target.files[number])]
    assert report.halted == {}
    assert store(target.trail) == before


def test_the_command_says_what_is_made_again(target: Target) -> None:
    target.files[-1].write_bytes(b"no file")
    done = run("replay", "--json", "--trail", target.trail)
    assert f"made again: {target.files[-1]}: found" in done.err
    assert [*json.loads(done.out)["made_again"]] == [str(target.files[-1])]
    assert done.code == 0


def test_where_the_log_begins_later_a_damaged_file_halts_its_stream_alone(
    target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pagetrail.replay.log.embedded import SqliteLogReader

    before = store(target.trail)
    content = target.files[1].read_bytes()
    target.files[1].write_bytes(content[:20_000])
    monkeypatch.setattr(SqliteLogReader, "low_watermark", lambda self, partition: 1)
    report = replayed(target.trail)
    assert list(report.halted) == [(VICTIM, "boot")]
    assert str(target.files[1]) in report.halted[VICTIM, "boot"]
    assert report.losses == []
    target.files[1].write_bytes(content)
    assert store(target.trail) == before, "nothing was removed"


def test_a_tip_of_another_chain_is_not_believed(target: Target) -> None:
    """GIVEN a tip with the right names that goes on from another digest THEN questions answer from the segments before it."""
    last = ends(target.trail)
    change(target.files[-1], "UPDATE meta SET value = repeat('0', 64) WHERE key = 'parent_digest'")
    opened_now = api.open(target.trail)
    assert opened_now.stream(VICTIM).horizon == last[-2]
    assert "of another chain" in opened_now.damage(VICTIM)[0]
    with pytest.raises(SegmentDamaged, match="of another chain"):
        opened_now.owner([1], last[-1], stream=VICTIM)
    assert run("owner", "1", "--at", str(last[0]), "--stream", VICTIM, "--trail", target.trail).code == 4
    assert run("owner", "1", "--at", "-0s", "--stream", OTHER, "--trail", target.trail).code == 0


def test_a_segment_of_another_chain_is_not_believed(target: Target) -> None:
    last = ends(target.trail)
    change(target.files[2], "UPDATE meta SET value = repeat('0', 64) WHERE key = 'digest'")
    for at, answered in ((last[0], False), (last[2], False), (last[4], True)):
        opened_now = api.open(target.trail)
        if answered:
            assert opened_now.owner([1], at, stream=VICTIM).num_rows == 1
        else:
            with pytest.raises((SegmentDamaged, SegmentMissing)):
                opened_now.owner([1], at, stream=VICTIM)


def test_an_event_in_a_hole_is_not_answered_by_the_file_behind_it(target: Target) -> None:
    stream = api.open(target.trail).stream(VICTIM)
    inside = stream.files[2]
    target.files[2].unlink()
    with pytest.raises(SegmentMissing, match=rf"events {inside.first_seq} to {inside.last_seq}, is missing"):
        api.open(target.trail).stream(VICTIM).holding(Instant(text="a marker", ts=0, seq=inside.first_seq + 3))


@pytest.mark.parametrize("harm", ["one", "all"])
def test_a_damaged_host_is_said_and_the_others_are_answered(target: Target, harm: str) -> None:
    for file in target.files if harm == "all" else target.files[3:4]:
        file.write_bytes(b"no file")
    for command in (["streams"], ["doctor"], ["top", "--at", "-0s", "--by", "comm", "--all"]):
        done = run(*command, "--trail", target.trail)
        assert done.code == 4, command
        assert f"damaged: {target.files[3 if harm == 'one' else 0].parent}" in done.err, command
        assert OTHER in done.out + done.err, command
    rows = {row["host"]: row for row in json.loads(run("streams", "--json", "--trail", target.trail).out)}
    assert rows[VICTIM]["damaged"]
    assert rows[OTHER]["damaged"] == []
    assert run("streams", "--markers", "--stream", OTHER, "--trail", target.trail).code == 0


LIES: dict[str, tuple[str, ...]] = {
    "events that are not there": ("UPDATE open_runs SET begin_event = 2000000000 WHERE rowid = 0",),
    "events below 0": ("UPDATE open_runs SET begin_event = -5 WHERE rowid = 0",),
    "acts that are not there": ("UPDATE events SET act = 1000000",),
    "texts that are not there": ("UPDATE owners SET comm = 77777",),
    "pages below 0": ("UPDATE open_runs SET pfn = -1, nr_pages = -7",),
    "no pages": ("UPDATE open_runs SET pfn = NULL",),
    "facts that are no JSON": ("UPDATE state SET value = '{' WHERE name = 'facts'",),
    "facts that are a number": ("UPDATE state SET value = '7' WHERE name = 'facts'",),
    "no facts": ("DELETE FROM state WHERE name = 'facts'",),
    "times that are no numbers": ("UPDATE meta SET value = 'x' WHERE key = 'last_ts'",),
}  # fmt: skip


@pytest.mark.parametrize("lie", LIES)
def test_tables_that_lie_are_damage_of_the_file(newest: Target, lie: str) -> None:
    change(newest.files[-1], *LIES[lie])
    errors = []
    for ask in ASKED:
        try:
            ask(api.open(newest.trail))
        except (SegmentDamaged, SegmentMissing) as error:
            errors.append(error)
    assert errors
    assert all(str(newest.files[-1]) in str(error) for error in errors)


ASKED: Sequence[Callable[[api.Trail], object]] = (
    lambda trail: trail.snapshot("-0s", everything=True, stream=VICTIM),
    lambda trail: trail.owner(list(range(0, 128, 3)), ends(trail.path)[-1], stream=VICTIM),
    lambda trail: [one for page in range(0, 128, 16) for one in trail.history(page, stream=VICTIM).to_pylist()],
    lambda trail: trail.instant(2_368_404_943, stream=VICTIM),
)


def test_more_rows_than_a_file_can_hold_are_not_read(target: Target) -> None:
    stream = api.open(target.trail).stream(VICTIM)
    with stream.opened(stream.files[0]) as db:
        assert about(db, target.files[0].stat().st_size).sizes["events"] > 10
        with pytest.raises(ValueError, match=r"rows of .*, more than 0 bytes hold"):
            about(db, 0)


def test_nothing_but_regular_files_is_opened(target: Target) -> None:
    import os

    aside = target.files[-1].rename(target.trail / "aside")
    target.files[-1].symlink_to(aside)
    with pytest.raises(SegmentDamaged, match="a symbolic link in the place of a file"):
        api.open(target.trail).owner([1], "2.368404943", stream=VICTIM)
    target.files[-1].unlink()
    os.mkfifo(target.files[-1])
    with pytest.raises(SegmentDamaged, match="a FIFO in the place of a file"):
        api.open(target.trail).owner([1], "2.368404943", stream=VICTIM)
    assert run("verify", "--trail", target.trail).code == 4


@pytest.mark.parametrize("above", [1, 2, 3])
def test_a_link_in_the_place_of_a_folder_hides_no_stream(target: Target, above: int) -> None:
    folder = target.files[0].parents[above - 1]
    folder.symlink_to(folder.rename(target.trail / "aside"))
    rows = {row["host"]: row["damaged"] for row in api.open(target.trail).streams().to_pylist()}
    assert rows[OTHER] == []
    [said] = rows[VICTIM]
    assert said.startswith(str(folder))
    assert "a link or a file in the place of a folder" in said
    assert "remove the file" not in said
    with pytest.raises(SegmentDamaged, match="in the place of a folder"):
        api.open(target.trail).stream(VICTIM)
    assert len(api.open(target.trail).owner([1], "-0s", stream=OTHER)) == 1


@pytest.mark.parametrize("above", [0, 1, 2])
def test_a_stray_file_beside_folders_is_no_stream(target: Target, above: int) -> None:
    """GIVEN a file beside the folders of hosts, boots or folds THEN verify names it, and no question minds."""
    stray = target.files[0].parents[above].with_name("README.txt")
    stray.write_text("about these hosts")
    assert {row["host"]: row["damaged"] for row in api.open(target.trail).streams().to_pylist()} == {
        VICTIM: [],
        OTHER: [],
    }
    assert api.open(target.trail).damage(VICTIM) == []
    shutil.rmtree(target.others[0].parents[1])
    assert api.open(target.trail).owner([1], "-0s").num_rows == 1, "the only stream is found without its name"
    assert [row["path"] for row in api.verify(target.trail).to_pylist() if row["found"]] == [str(stray)]


ANSWERS = fold_name(correct=True)
OTHERS = (fold_name(correct=False), fold_name(correct=True, version=FOLD_VERSION - 1))


@pytest.mark.parametrize("fold", [ANSWERS, *OTHERS])
def test_a_file_in_the_place_of_a_fold_is_damage_of_that_fold_alone(target: Target, fold: str) -> None:
    folder = target.files[0].parent
    assert folder.name == ANSWERS
    shutil.rmtree(folder if fold == ANSWERS else target.others[0].parents[1])
    folder.with_name(fold).write_text("no folder")
    if fold == ANSWERS:
        with pytest.raises(NotAFolder, match="expected a folder of segments"):
            api.open(target.trail).owner([1], "-0s", stream=VICTIM)
    else:
        assert api.open(target.trail).owner([1], "-0s").num_rows == 1, "the only stream is found without its name"
    found = [row["path"] for row in api.verify(target.trail).to_pylist() if row["found"]]
    assert found == [str(folder.with_name(fold))]


def test_a_connection_that_reads_a_store_reaches_nothing_else(target: Target) -> None:
    secret = target.trail / "secret.txt"
    secret.write_text("not for answers")
    stream = api.open(target.trail).stream(VICTIM)
    with stream.opened(stream.files[0]) as db:
        for query in (f"SELECT content FROM read_text('{secret}')", "FROM glob('/etc/*')"):
            with pytest.raises(duckdb.PermissionException):
                db.execute(query).fetchall()
    with stream.opened(stream.files[0]) as db, pytest.raises(duckdb.Error, match=r"[Ee]xtension|configuration"):
        db.execute("ATTACH 'md:x' AS elsewhere")


@pytest.mark.parametrize("text", ['{"first_seq": Infinity}', "[]", "[" * 100_000, '{"first_seq": 7}'])
def test_a_mark_of_the_beginning_that_is_none_costs_nothing(target: Target, text: str) -> None:
    store_of(target.trail).replace(beginning_name(place(target.trail, host=VICTIM).name), text.encode())
    assert api.open(target.trail).stream(VICTIM).since_seq == 0


def test_a_floor_that_is_small_makes_several_segments(whole: Path) -> None:
    assert len(target_of(whole).files) > 5
    assert FLOOR < 100
