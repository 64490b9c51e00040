"""Segments are written beside the fold, in their order; what goes wrong there is raised where the stream goes on."""

import threading
from pathlib import Path
from typing import Any

import pytest

from pagetrail.replay.run import open_stream
from pagetrail.replay.run.sealing import Sealing
from pagetrail.replay.store import publish
from pagetrail.replay.store.content import Content
from pagetrail.replay.store.place import StreamPlace
from pagetrail.schemas.columns import Kind
from pagetrail.schemas.errors import StorageFull
from pagetrail.schemas.frames import Frame
from tests.replay.states import replay, store, trail_of
from tests.replay.strategies import Machine, to_frames


def test_one_piece_of_work_follows_the_other() -> None:
    sealing, may_end = Sealing(), threading.Event()
    done: list[int] = []

    def first() -> None:
        may_end.wait(10)
        done.append(1)

    sealing.begin(first)
    assert done == []
    may_end.set()
    sealing.begin(lambda: done.append(2))
    assert done[0] == 1
    sealing.finish()
    assert done == [1, 2]
    sealing.close()


def test_what_work_raises_is_raised_once_and_close_raises_nothing() -> None:
    def fail() -> None:
        raise StorageFull(path="a", reason="b")

    sealing = Sealing()
    sealing.begin(fail)
    with pytest.raises(StorageFull):
        sealing.begin(fail)
    sealing.finish()
    sealing.begin(fail)
    sealing.close()
    assert [t.name for t in threading.enumerate() if t.name.startswith("pagetrail-sealing")] == []


def _frames() -> list[Frame]:
    """Return a recording of several segments, in frames of five events."""
    m = Machine()
    m.begin()
    for pfn in range(100):
        m.emit(Kind.ALLOC, pfn=pfn % 8, order=0, gfp_mask=0, pid=pfn)
        m.emit(Kind.FREE, pfn=pfn % 8, order=0, pid=pfn)
    m.end()
    return to_frames(m.recordings, [5])


@pytest.mark.parametrize("failing", [1, 2, 3])
def test_a_resume_reads_what_no_file_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: int) -> None:
    """GIVEN a disk that is full for one segment WHEN the replay is repeated THEN it writes what an undisturbed one does."""
    frames, written = _frames(), []

    def full_once(place: StreamPlace, content: Content, *more: Any) -> str:
        written.append(content.stretch.origin.last_seq)
        if len(written) == failing:
            raise StorageFull(path="a", reason="no space")
        return publish.write(place, content, *more)

    replay(trail_of(tmp_path / "undisturbed", frames))
    trail = trail_of(tmp_path / "full", frames)
    with monkeypatch.context() as patched:
        patched.setattr(open_stream.publish, "write", full_once)
        with pytest.raises(StorageFull):
            replay(trail)
    assert len(written) == failing
    replay(trail)
    assert store(trail) == store(tmp_path / "undisturbed")
