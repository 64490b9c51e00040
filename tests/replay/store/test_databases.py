"""A file of the store is read as it stands, whatever was open before, was damaged, or forked."""

import gc
import os
import shutil
import stat
import tempfile
from pathlib import Path

import duckdb
import pytest

from pagetrail.replay.store import saved_facts
from pagetrail.replay.store.databases import Instance, attached_as
from pagetrail.replay.store.local import LocalStore
from pagetrail.replay.store.read import hold, meta, opened
from pagetrail.replay.store.reading import recount
from pagetrail.replay.store.reading.whole import check_whole
from pagetrail.schemas.columns import Kind
from pagetrail.schemas.errors import SegmentDamaged, StorageFailed, StorageFull
from tests.replay.states import replay, trail_of
from tests.replay.strategies import Machine, to_frames


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two segments of one stream."""
    machine = Machine()
    machine.begin()
    for pfn in range(14):
        machine.ts += 1
        machine.emit(Kind.ALLOC, pfn=pfn, order=0, gfp_mask=0, pid=1)
    machine.end()
    trail = trail_of(tmp_path_factory.mktemp("whole") / "trail", to_frames(machine.recordings, [5]))
    replay(trail, floor=2)
    return sorted(path for path in trail.rglob("*.duckdb") if not path.name.startswith("TIP"))[:2]


@pytest.fixture
def files(whole: list[Path], tmp_path: Path) -> list[Path]:
    """Copies of them, which may be damaged."""
    return [Path(shutil.copy(path, tmp_path / path.name)) for path in whole]


def called(path: Path) -> tuple[LocalStore, str]:
    """Return a file as one of a store that is the folder around it."""
    return LocalStore(path.parent), path.name


def digest(path: Path) -> str:
    """Return what a file says."""
    with opened(*called(path)) as db:
        return meta(db, path.name)["digest"]


def test_what_is_held_is_read_when_it_is_gone_and_what_took_its_place_is_read_instead(files: list[Path]) -> None:
    first, second = files
    said = [digest(path) for path in files]
    held = hold(*called(first))
    first.unlink()
    assert digest(first) == said[0] != said[1]
    shutil.copy(second, first)
    assert digest(first) == said[1]
    del held
    first.unlink()
    with pytest.raises(SegmentDamaged):
        digest(first)


def test_a_damaged_file_is_refused_and_the_others_and_its_mended_self_are_read(files: list[Path]) -> None:
    first, second = files
    said, content = [digest(path) for path in files], first.read_bytes()
    with opened(*called(second)) as db:
        for damaged in (b"", content[:100], content[: len(content) // 2], bytes(len(content))):
            first.write_bytes(damaged)
            with pytest.raises(SegmentDamaged, match=first.name):
                digest(first)
        assert meta(db, second.name)["digest"] == said[1] == digest(second)
    first.write_bytes(content)
    assert digest(first) == said[0]


def test_an_error_leaves_an_instance_that_reads_the_next_file(files: list[Path]) -> None:
    first, second = files
    instance = Instance()
    root = instance.root()
    with pytest.raises(duckdb.CatalogException), instance.attached(first, "READ_ONLY") as db:
        db.execute("FROM nothing")
    assert instance.root() is not root
    with instance.attached(second, "READ_ONLY") as db:
        assert meta(db, second.name)["last_seq"] == str(int(second.stem.split("-")[1]))


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")  # of Python 3.12 and later: that is what is tried
def test_a_process_that_forked_reads_what_its_parent_has_open(files: list[Path]) -> None:
    said = [digest(path) for path in files]
    with opened(*called(files[0])):
        reads, writes = os.pipe()
        child = os.fork()
        if child == 0:
            os.write(writes, digest(files[1]).encode())
            os._exit(0)
        os.close(writes)
        with os.fdopen(reads) as pipe:
            assert pipe.read() == said[1]
        assert os.waitpid(child, 0)[1] == 0


def test_a_file_is_let_go_of_when_it_is_read(files: list[Path]) -> None:
    def held() -> set[str]:
        return {str(link.readlink()) for link in Path("/proc/self/fd").iterdir() if link.is_symlink()}

    with opened(*called(files[0])):
        assert str(files[0]) in held()
    assert str(files[0]) not in held()


def test_a_connection_that_was_given_back_is_given_again_without_what_was_left_unread(files: list[Path]) -> None:
    held = hold(*called(files[0]))
    with held.connection() as first, held.connection() as other:
        assert first is not other
        first.execute("FROM spans").fetchone()
    with held.connection() as again, held.connection() as both:
        assert {id(again), id(both)} == {id(first), id(other)}
        for db in (again, both):
            assert meta(db, files[0].name)["digest"] == digest(files[0])


def test_a_connection_that_met_an_error_is_not_given_again(files: list[Path]) -> None:
    held = hold(*called(files[0]))
    with pytest.raises(ValueError, match="of the caller"), held.connection() as db:
        raise ValueError("of the caller")
    with held.connection() as next_one:
        assert next_one is not db


def test_what_does_not_fit_into_memory_is_put_where_nobody_else_reads_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    instance = Instance(memory_limit="60MB", threads=1)
    db = instance.root()
    assert db.execute(
        "SELECT count(*) FROM (SELECT i FROM range(6000000) t(i) ORDER BY hash(i) LIMIT 5000000)"
    ).fetchall() == [(5_000_000,)]
    (room,) = tmp_path.iterdir()
    assert stat.S_IMODE(room.stat().st_mode) == 0o700
    assert list(room.iterdir())  # DuckDB has used it
    del db, instance
    gc.collect()
    assert list(tmp_path.iterdir()) == []


def test_where_no_temporary_folder_can_be_made_questions_are_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    monkeypatch.chdir(tmp_path)
    assert Instance().root().execute("SELECT 1").fetchall() == [(1,)]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("said", "error"),
    [
        (
            'Could not write all bytes to file "ROOM/duckdb_temp_storage_0.tmp": No space left on device',
            StorageFull,
        ),
        ('Could not write file "ROOM/duckdb_temp_storage_0.tmp": Permission denied', StorageFailed),
        ('Could not read from file "segment.duckdb": Input/output error', StorageFailed),
        ("Could not read enough bytes from file", SegmentDamaged),
        ('Could not read enough bytes from file "/srv/pagetrail-data/segment.duckdb"', SegmentDamaged),
    ],
)
def test_what_the_system_refuses_is_no_damage_of_the_file(files: list[Path], said: str, error: type[Exception]) -> None:
    store, name = called(files[0])
    another = Instance()
    another.root()
    said = said.replace("ROOM", str(another.room))
    with pytest.raises(error) as found, opened(store, name):
        raise duckdb.IOException(f"IO Error: {said}")
    assert said in str(found.value)
    with opened(store, name) as db:
        assert meta(db, name)["host"] == "host"


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("4 GiB"), duckdb.OutOfMemoryException("Out of Memory Error: 4 GiB"),
        duckdb.IOException("IO Error: Input/output error"), duckdb.IOException("IO Error: No space left on device"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_read_now_is_not_said_to_have_other_rows(
    files: list[Path], error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: object) -> None:
        raise error

    monkeypatch.setattr(recount, "recount", failing)
    with pytest.raises((MemoryError, duckdb.OutOfMemoryException, StorageFailed, StorageFull)):
        check_whole(*called(files[0]))
    monkeypatch.undo()
    check_whole(*called(files[0]))


def test_a_connection_says_which_file_it_is_for(files: list[Path]) -> None:
    held = [hold(*called(path)) for path in files]
    with held[0].connection() as one, held[1].connection() as other:
        names = {attached_as(db) for db in (one, other)}
        assert len(names) == 2
        assert names <= {row[0] for row in one.execute("SELECT database_name FROM duckdb_databases()").fetchall()}


def test_facts_of_any_size_are_read_within_what_their_file_holds(
    files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saved_facts, "_ALWAYS_ALLOWED", 1)
    with opened(*called(files[0])) as db:
        assert saved_facts.saved_facts(db).pages_per_section > 0
        monkeypatch.setattr(saved_facts, "_MOST_TEXT_A_BYTE", 0)
        with pytest.raises(ValueError, match="bytes of facts, more than"):
            saved_facts.saved_facts(db)
