"""The promises of the store (``pagetrail.schemas.store.contract``), for every backend."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pagetrail.replay.store.read import hold, opened
from pagetrail.schemas.errors import SegmentDamaged, SegmentGone, StorageFull
from pagetrail.schemas.store.contract import Store
from pagetrail.schemas.store.tables import ddl
from tests.conftest import REPOSITORY
from tests.contracts.store_writer import NEW, OLD, SIZE
from tests.contracts.stores import (
    BACKENDS,
    CRAMPED_BYTES,
    Backend,
    content,
    everything,
    is_whole,
    publish,
    read,
    seed_of,
)

BAD_NAMES = ("", "/a", "a/", "a//b", ".", "..", "a/../b", "../a", ".hidden", "a/.b", "a\0b")
HOURS = 7200.0


@pytest.fixture(params=BACKENDS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def backend(name: str) -> Backend:
    return BACKENDS[name]


@pytest.fixture
def store(backend: Backend, tmp_path: Path) -> Store:
    return backend.store(tmp_path / "store")


def writer(command: str, name: str, place: Path, *arguments: object) -> subprocess.Popen[str]:
    words = [sys.executable, "-m", "tests.contracts.store_writer", command, name, str(place), *map(str, arguments)]
    return subprocess.Popen(words, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def racing(processes: list[subprocess.Popen[str]]) -> None:
    """Let writers begin together."""
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()


# -- names and contents --------------------------------------------------------------------------------------------------


def test_what_is_absent_is_published_and_found_by_everybody(backend: Backend, tmp_path: Path) -> None:
    store, other = backend.store(tmp_path / "store"), backend.store(tmp_path / "store")
    assert (everything(store), store.version("a/b"), read(store, "a/b")) == ({}, None, None)
    assert publish(store, "a/b", b"first")
    assert everything(store) == everything(other) == {"a/b": b"first"}
    with store.open("a/b") as file:
        assert (file.size, file.version) == (5, other.version("a/b"))


def test_nothing_is_replaced_by_publishing(store: Store) -> None:
    assert publish(store, "a", b"first")
    version = store.version("a")
    assert not publish(store, "a", b"second")
    assert (read(store, "a"), store.version("a")) == (b"first", version)


def test_to_replace_is_to_put_other_content_in_the_place_of_any_or_none(store: Store) -> None:
    versions = []
    for what in (b"first", b"second", b""):
        store.replace("a.json", what)
        assert everything(store) == {"a.json": what}
        versions.append(store.version("a.json"))
    assert len(set(versions)) == 3


def test_what_is_removed_is_absent_and_may_be_published_again(store: Store) -> None:
    publish(store, "a/b", b"first")
    first = store.version("a/b")
    store.remove("a/b")
    store.remove("a/b")
    assert (everything(store), store.version("a/b"), read(store, "a/b")) == ({}, None, None)
    assert publish(store, "a/b", b"second")
    assert read(store, "a/b") == b"second"
    assert store.version("a/b") not in (first, None)


def test_a_folder_is_no_file(store: Store) -> None:
    publish(store, "a/b/c", b"")
    for name in ("a", "a/b", "a/b/c/d"):
        assert (read(store, name), store.version(name)) == (None, None)
    assert store.list("a") == store.list("a/b/c") == ["a/b/c"]
    assert list(store.list("a/b/c/")) == []


@pytest.mark.parametrize("bad", BAD_NAMES)
def test_a_name_that_no_store_holds_is_refused(store: Store, tmp_path: Path, bad: str) -> None:
    calls = (
        lambda: publish(store, bad, b""), lambda: store.replace(bad, b""), lambda: store.remove(bad),
        lambda: store.version(bad), lambda: read(store, bad),
    )  # fmt: skip
    for call in calls:
        with pytest.raises(ValueError, match="expected parts joined by"):
            call()
    assert everything(store) == {}
    assert [path for path in tmp_path.iterdir() if path.name != "store"] == []


def test_what_lies_outside_is_not_listed(store: Store, tmp_path: Path) -> None:
    (tmp_path / "outside").write_bytes(b"")
    publish(store, "a", b"")
    for prefix in ("..", "../", "/", "./", "../store/", str(tmp_path)):
        assert list(store.list(prefix)) == []


PARTS = st.text("ab-_.:%[*' \u00fc", min_size=1, max_size=3).filter(lambda part: not part.startswith("."))
NAMES = st.lists(PARTS, max_size=3).flatmap(lambda parts: PARTS.map(lambda last: "/".join([*parts, f"{last}.x"])))
ACTS = st.tuples(st.sampled_from(["publish", "replace", "remove"]), NAMES, st.binary(max_size=3))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(st.lists(ACTS, max_size=12))
def test_a_store_is_a_mapping_of_names_in_order(
    backend: Backend, tmp_path_factory: pytest.TempPathFactory, acts: list[tuple[str, str, bytes]]
) -> None:
    store, expected = backend.store(tmp_path_factory.mktemp("store")), dict[str, bytes]()
    for act, name, what in acts:
        if act == "publish":
            assert publish(store, name, what) == (name not in expected)
            expected.setdefault(name, what)
        elif act == "replace":
            store.replace(name, what)
            expected[name] = what
        else:
            store.remove(name)
            expected.pop(name, None)
    assert everything(store) == expected
    prefixes = {name[:length] for name in expected for length in range(len(name) + 1)} | {"nothing"}
    for prefix in prefixes:
        assert list(store.list(prefix)) == sorted(name for name in expected if name.startswith(prefix))


def test_messages_call_each_name_and_each_store_differently(backend: Backend, tmp_path: Path) -> None:
    stores = [backend.store(tmp_path / where) for where in ("one", "one", "two")]
    called = [{store.where(name) for name in ("", "a", "a/b")} for store in stores]
    assert called[0] == called[1]
    assert len(called[0]) == 3
    assert called[0].isdisjoint(called[2])


# -- readers -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("act", ["remove", "replace"])
def test_who_has_opened_a_file_reads_it_to_its_end(store: Store, act: str) -> None:
    before = content("before", SIZE)
    store.replace("a", before)
    with store.open("a") as file:
        begun = file.path.open("rb")
    with begun:
        found = begun.read(1000)
        store.remove("a") if act == "remove" else store.replace("a", b"after")
        assert found + begun.read() == before
    assert read(store, "a") == (None if act == "remove" else b"after")


def database(store: Store, name: str, value: int) -> bool:
    """Publish a segment that holds a value."""

    def write(draft: Path) -> None:
        with duckdb.connect(str(draft)) as db:
            for statement in ddl():
                db.execute(statement)
            db.execute(f"INSERT INTO events SELECT range, {value}, 0, 0, 0 FROM range(100000)")

    return store.publish_if_absent(name, write)


def value_of(store: Store, name: str) -> int:
    with opened(store, name) as db:
        return int(db.execute("SELECT any_value(ts) + 0 * sum(hash(seq) % 2) FROM events").fetchall()[0][0])


def test_a_segment_that_is_held_is_read_when_it_is_gone_and_what_took_its_place_is_read_instead(store: Store) -> None:
    database(store, "a/b", 1)
    held = hold(store, "a/b")
    store.remove("a/b")
    assert value_of(store, "a/b") == 1
    database(store, "a/b", 2)
    assert value_of(store, "a/b") == 2
    store.remove("a/b")
    del held
    with pytest.raises(SegmentGone):
        value_of(store, "a/b")


def test_a_segment_that_is_damaged_is_refused_and_its_mended_self_is_read(store: Store) -> None:
    database(store, "a", 1)
    whole = read(store, "a")
    assert whole is not None
    for damaged in (b"", whole[:100], whole[: len(whole) // 2], bytes(len(whole))):
        store.replace("a", damaged)
        with pytest.raises(SegmentDamaged, match="a: expected a sealed segment"):
            value_of(store, "a")
    store.replace("a", whole)
    assert value_of(store, "a") == 1


# -- several writers -----------------------------------------------------------------------------------------------------


def test_of_two_processes_that_publish_a_name_one_does_and_the_other_learns_it(
    name: str, backend: Backend, tmp_path: Path
) -> None:
    count, store = 60, backend.store(tmp_path)
    processes = {seed: writer("publish", name, tmp_path, seed, count) for seed in ("first", "second")}
    racing(list(processes.values()))
    while any(process.poll() is None for process in processes.values()):
        assert all(what is not None and is_whole(what) for what in everything(store).values())
    won = {seed: process.communicate()[0].split() for seed, process in processes.items()}
    assert sorted(won["first"] + won["second"], key=int) == [str(number) for number in range(count)]
    found = {name: seed_of(what) for name, what in everything(store).items() if what is not None}
    assert found == {f"a/{number}": seed for seed, numbers in won.items() for number in numbers}
    assert backend.leftovers(tmp_path) == []


def test_while_two_processes_replace_a_file_it_is_whole(name: str, backend: Backend, tmp_path: Path) -> None:
    store = backend.store(tmp_path)
    store.replace(OLD, content("old"))
    processes = [writer("replace", name, tmp_path, seed, 60) for seed in ("first", "second")]
    racing(processes)
    seen = set()
    while any(process.poll() is None for process in processes):
        found = read(store, OLD)
        assert found is not None
        assert is_whole(found)
        seen.add(seed_of(found))
    assert [process.communicate()[0] for process in processes] == ["done\n"] * 2
    assert seen <= {"old", "first", "second"}
    assert backend.leftovers(tmp_path) == []


def test_a_name_is_taken_by_who_is_first_to_end_and_not_by_who_began_first(store: Store) -> None:
    """GIVEN a writer at work WHEN another publishes the name meanwhile THEN the first learns that it did not."""

    def write(draft: Path) -> None:
        draft.write_bytes(b"slow")
        assert everything(store) == {}
        assert publish(store, "a", b"fast")

    assert not store.publish_if_absent("a", write)
    assert everything(store) == {"a": b"fast"}


# -- writers that stop ---------------------------------------------------------------------------------------------------


@pytest.fixture
def copies(name: str, backend: Backend, tmp_path: Path) -> Path:
    """Return a folder of a store with a file that is replaced, and one that is not, and one for its copies."""
    store = backend.store(tmp_path / "begun")
    store.replace(OLD, content("old", SIZE))
    publish(store, "host/boot/fold/kept", content("kept"))
    (tmp_path / "copies").mkdir()
    return tmp_path


@pytest.mark.parametrize("command", ["publish", "replace"])
def test_a_writer_that_is_killed_at_any_step_leaves_a_whole_file_or_none(
    name: str, backend: Backend, copies: Path, command: str
) -> None:
    process = writer("steps", name, copies / "begun", command, copies / "copies")
    steps = int(process.communicate()[0])
    assert steps >= {"publish": 3, "replace": 2}[command]
    left, ends = 0, set()
    for number in range(steps + 1):
        place = copies / "copies" / str(number)
        store = backend.store(place)
        found = everything(store)
        assert all(what is not None and is_whole(what) for what in found.values()), number
        assert found.keys() - {NEW} == {OLD, "host/boot/fold/kept"}
        ends.add(NEW in found if command == "publish" else seed_of(found[OLD] or b""))
        left += len(backend.leftovers(place))
        store.sweep(alone=True)
        assert backend.leftovers(place) == []
        assert everything(store) == found
        if command == "publish":
            assert publish(store, NEW, content("new", SIZE)) == (NEW not in found)
        else:
            store.replace(OLD, content("new", SIZE))
        assert read(store, NEW if command == "publish" else OLD) == content("new", SIZE)
    assert len(ends) == 2
    assert left > 0 or (name, command) == ("table", "replace")


def stopped_at(name: str, place: Path, what: str) -> None:
    """Let a process be killed while it publishes a name."""
    process = writer("stop", name, place, what)
    process.communicate()
    assert process.returncode == -signal.SIGKILL


def test_what_a_stopped_writer_left_is_not_listed_and_swept_where_one_is_alone(
    name: str, backend: Backend, tmp_path: Path
) -> None:
    store = backend.store(tmp_path)
    publish(store, "a/kept", b"kept")
    publish(store, "top.json", b"kept")
    for what in ("a/left", "ab/left", "top.json"):
        stopped_at(name, tmp_path, what)
    assert set(everything(store)) == {"a/kept", "top.json"}
    left = len(backend.leftovers(tmp_path))
    for prefix, gone in (("b", 0), ("a/left.", 0), ("a/", 2), ("a", 2), ("top.json", 2)):
        store.sweep(prefix, alone=True)
        left -= gone
        assert len(backend.leftovers(tmp_path)) == left, prefix
    assert left == 0
    assert everything(store) == {"a/kept": b"kept", "top.json": b"kept"}


def test_where_one_is_not_alone_only_what_was_left_long_ago_is_swept(
    name: str, backend: Backend, tmp_path: Path
) -> None:
    store = backend.store(tmp_path)
    stopped_at(name, tmp_path, "a/left")
    left = backend.leftovers(tmp_path)

    def write(draft: Path) -> None:
        draft.write_bytes(b"at work")
        store.sweep(alone=False)
        assert set(backend.leftovers(tmp_path)) >= {*left, draft}
        for path in left:
            os.utime(path, (time.time() - HOURS, time.time() - HOURS))
        store.sweep(alone=False)
        assert backend.leftovers(tmp_path) == [draft]

    assert len(left) == 2
    assert store.publish_if_absent("a/b", write)
    assert everything(store) == {"a/b": b"at work"}


def test_a_writer_that_fails_leaves_nothing_and_its_error_is_the_callers(
    backend: Backend, store: Store, tmp_path: Path
) -> None:
    def write(draft: Path) -> None:
        draft.write_bytes(b"half")
        Path(f"{draft}.wal").write_bytes(b"half")
        raise KeyError("of the caller")

    with pytest.raises(KeyError, match="of the caller"):
        store.publish_if_absent("a/b", write)
    assert everything(store) == {}
    assert backend.leftovers(tmp_path) == []


def test_without_space_nothing_changes_and_with_space_again_the_same_calls_do(backend: Backend, tmp_path: Path) -> None:
    large, small = content("large", 2 * CRAMPED_BYTES), content("small", CRAMPED_BYTES // 10)
    roomy = backend.store(tmp_path)
    roomy.replace(OLD, small)
    with backend.cramped(tmp_path) as store:
        assert publish(store, "a/small", small)
        before = everything(store)
        with pytest.raises(StorageFull, match="no space left"):
            publish(store, "a/large", large)
        with pytest.raises(StorageFull, match="no space left"):
            store.replace(OLD, large)
        assert everything(store) == before == {OLD: small, "a/small": small}
        assert backend.leftovers(tmp_path) == []
    assert publish(roomy, "a/large", large)
    roomy.replace(OLD, large)
    assert everything(roomy) == {OLD: large, "a/small": small, "a/large": large}
