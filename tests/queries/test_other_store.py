"""A trail whose segments are in a store that has no files: replay and questions reach them by the store's contract alone."""

import shutil
from pathlib import Path

import pyarrow as pa
import pytest

from pagetrail.api import Trail
from pagetrail.queries.core.opening import open_streams
from pagetrail.queries.export.feed import messages
from pagetrail.queries.questions.doctor import findings
from pagetrail.queries.questions.quarantined import quarantined
from pagetrail.replay.store.cut import cut_name
from pagetrail.replay.store.local import store_of
from pagetrail.replay.store.place import StreamPlace
from pagetrail.schemas.feed import FEEDS, FeedMessage, Rows
from pagetrail.schemas.log.contract import log_directory
from pagetrail.schemas.store.names import fold_name
from tests.contracts.stores import everything
from tests.contracts.table_store import TableStore
from tests.queries.conftest import fold, reframed
from tests.queries.test_store import after
from tests.replay.states import digest_of

HALF = 30
"""Frames of about 62."""


class Elsewhere(Trail):
    """A trail that is asked of another store than its own."""

    def __init__(self, path: Path, store: TableStore) -> None:
        found = open_streams(path, correct=False, store=store)
        self.path, self._streams, self._damaged = path, found.opened, found.damaged


@pytest.fixture(scope="module")
def elsewhere(chained: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, TableStore]:
    """Return a trail that was replayed, stopped and resumed in another store, and that store."""
    folder = tmp_path_factory.mktemp("elsewhere")
    trail, store = folder / "trail", TableStore(folder / "table")
    reframed(chained, trail, frame_events=4_096)
    fold(trail, correct=False, stop=after(HALF), into=store)
    assert [name for name in store.list() if "/TIP-" in name]
    fold(trail, correct=False, into=store)
    return trail, store


@pytest.fixture(scope="module")
def beside(elsewhere: tuple[Path, TableStore], tmp_path_factory: pytest.TempPathFactory) -> Trail:
    """Return the same log, replayed at once into its trail."""
    trail = tmp_path_factory.mktemp("beside") / "trail"
    shutil.copytree(log_directory(elsewhere[0]), log_directory(trail))
    fold(trail, correct=False)
    return Trail(trail)


def said(message: FeedMessage) -> tuple[Rows, pa.Table]:
    """Return what a message says, without the bytes that its null values happen to have."""
    return message.which, pa.ipc.open_stream(message.payload).read_all()


def test_nothing_but_the_lock_is_in_the_trail(elsewhere: tuple[Path, TableStore]) -> None:
    trail, store = elsewhere
    root = store_of(trail).root
    there = [str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()]
    assert there == [f".locks/{fold_name(correct=False)}/embedded/0.lock"]
    assert cut_name(fold_name(correct=False)) in store.list()


def test_the_files_are_those_of_a_replay_into_the_trail(elsewhere: tuple[Path, TableStore], beside: Trail) -> None:
    trail, store = elsewhere
    own = store_of(beside.path)
    assert list(store.list()) == list(own.list())
    names = [file.name for file in beside.stream().files]
    assert len(names) > 4
    assert [digest_of(store, name) for name in names] == [digest_of(own, name) for name in names]
    (stream,) = open_streams(trail, store=store).opened
    assert stream.place == StreamPlace(store, beside.stream().place.name)


def test_the_answers_are_those_of_a_replay_into_the_trail(
    elsewhere: tuple[Path, TableStore], beside: Trail, tmp_path: Path
) -> None:
    ours, theirs = Elsewhere(*elsewhere), beside
    assert None not in ours.owner([300, 0x1802], "12.5")["log_offset"].to_pylist()
    asked = {
        "streams": lambda t: t.streams(), "markers": lambda t: t.markers(), "audits": lambda t: t.audits(),
        "differences": lambda t: t.differences(), "sections": lambda t: t.sections(),
        "owner": lambda t: t.owner([300, 0x1802, 0x4D99], "12.5"),
        "as of": lambda t: t.owner([300, 0x1802], "8", as_of="12.5"),
        "history": lambda t: t.history(0x1802), "lineage": lambda t: t.lineage(0x1802, "12.5"),
        "snapshot": lambda t: t.snapshot("@4-t4", everything=True), "text": lambda t: t.page_owner_text("@4-t4"),
        "top": lambda t: t.top("@4-t4", "comm"), "leaks": lambda t: t.leaks("12.5", "@4-t4", "stack"),
        "doctor": lambda t: findings(t.stream()), "quarantined": lambda t: quarantined(t.stream()),
        "feeds": lambda t: [said(message) for feed in FEEDS for message in messages(t.stream(), feed, room=1 << 20)],
    }  # fmt: skip
    for question, ask in asked.items():
        assert ask(ours) == ask(theirs), question
    exported = [trail.export_spans(tmp_path / name) for name, trail in (("ours", ours), ("theirs", theirs))]
    assert [path.name for path in exported[0]] == [path.name for path in exported[1]]
    assert [path.read_bytes() for path in exported[0]] == [path.read_bytes() for path in exported[1]]


def test_a_stream_that_was_opened_answers_after_its_newest_file_was_removed(
    elsewhere: tuple[Path, TableStore], tmp_path: Path
) -> None:
    trail, store = elsewhere
    copy = TableStore(tmp_path)
    for name, content in everything(store).items():
        copy.replace(name, content or b"")
    (stream,) = open_streams(trail, store=copy).opened
    before = findings(stream)
    copy.remove(stream.files[-1].name)
    assert findings(stream) == before
    assert findings(open_streams(trail, store=copy).opened[0]) != before
