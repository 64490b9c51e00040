"""What the store of local files promises beyond the contract: the order of its steps, and what it leaves alone."""

import ast
import os
from pathlib import Path

import pytest

from pagetrail.replay.store.cut import OWN
from pagetrail.replay.store.local import LocalStore, store_of
from pagetrail.replay.store.lock import replay_lock
from tests.conftest import REPOSITORY
from tests.contracts.stores import everything, publish

CALLS = ("mkdir", "fsync", "link", "replace", "unlink")


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the calls that change what is on disk, as they come: of fsync, what is synced."""
    made: list[str] = []

    def noted(name: str) -> None:
        call = getattr(os, name)

        def note(first: object, *rest: object, **named: object) -> object:
            last = (Path(f"/proc/self/fd/{first}").readlink() if isinstance(first, int) else Path(str(first))).name
            made.append(f"{name} {'draft' if last.startswith('.writing-') else last}")
            return call(first, *rest, **named)

        monkeypatch.setattr(os, name, note)

    for name in CALLS:
        noted(name)
    return made


def test_a_file_is_on_disk_before_it_has_its_name_and_its_folders_are(tmp_path: Path, calls: list[str]) -> None:
    store = LocalStore(tmp_path / "store")
    assert publish(store, "host/a", b"first")
    made = ["mkdir store", f"fsync {tmp_path.name}", "mkdir host", "fsync store"]
    published = ["fsync draft", "link draft", "fsync host", "unlink draft"]
    assert calls == [*made, *published]
    calls.clear()
    assert not publish(store, "host/a", b"second")
    assert calls == published


def test_what_replaces_is_on_disk_before_it_does(tmp_path: Path, calls: list[str]) -> None:
    LocalStore(tmp_path).replace("a.json", b"")
    assert calls == ["fsync draft", "replace draft"]


def test_a_lock_is_no_file_of_the_store(tmp_path: Path) -> None:
    store = store_of(tmp_path)
    lock = store.root / ".locks" / "fold2" / OWN
    with replay_lock(tmp_path, "fold2"):
        assert lock.with_name("0.lock").is_file()
        assert (everything(store), store.is_there()) == ({}, True)
        store.sweep(alone=True)
        for call in (lambda: publish(store, ".locks/fold2", b""), lambda: store.remove(".locks/fold2/embedded/0.lock")):
            with pytest.raises(ValueError, match="without a leading dot"):
                call()
    assert lock.with_name("0.lock").is_file()
    assert publish(store, "fold2.lock", b"")
    assert publish(store, "a.lock/b.lock", b"")


def test_what_an_earlier_version_left_is_swept_with_its_folder(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    publish(store, "host/boot/fold/kept", b"")
    for name in (".writing-12-0123abcd.duckdb", ".writing-12-0123abcd.duckdb.wal", ".hidden"):
        (tmp_path / "host/boot/fold" / name).write_bytes(b"")
    store.sweep("host/boot/fold/", alone=True)
    assert sorted(path.name for path in (tmp_path / "host/boot/fold").iterdir()) == [".hidden", "kept"]
    assert everything(store) == {"host/boot/fold/kept": b""}


def test_nothing_is_swept_outside(tmp_path: Path) -> None:
    left = tmp_path / ".writing-a.12-0123456789ab"
    left.write_bytes(b"")
    for prefix in ("../", "..", "../a", f"{tmp_path}/"):
        LocalStore(tmp_path / "store").sweep(prefix, alone=True)
    assert left.is_file()


# -- nothing goes around it ----------------------------------------------------------------------------------------------

AROUND = {
    "glob", "rglob", "iterdir", "scandir", "listdir", "walk", "unlink", "rename", "exists", "is_file", "stat", "parents",
}  # fmt: skip
"""What the code that replays and answers needs for no file of the store."""

ALLOWED = {
    "replay/store/local.py": "the backend",
    "replay/log/embedded.py": "the log's files",
    "queries/export/parquet.py": "files that it writes for others",
}


def test_replay_and_questions_reach_files_of_the_store_through_it() -> None:
    files = {
        str(file.relative_to(REPOSITORY)): ast.parse(file.read_text())
        for room in ("replay", "queries")
        for file in (REPOSITORY / room).rglob("*.py")
    }
    used = [
        f"{file}:{node.lineno}: {node.attr}"
        for file in files.keys() - ALLOWED.keys()
        for node in ast.walk(files[file])
        if isinstance(node, ast.Attribute) and node.attr in AROUND
    ]
    assert used == []
