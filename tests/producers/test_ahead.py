"""Laws of drawing ahead: nothing changes but the thread. An error of either side surfaces, nothing hangs, what waits is bounded."""

import threading
import traceback
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from pagetrail.producers.log.ahead import AHEAD, drawn_ahead
from pagetrail.producers.log.ingest import ingest, origin_of
from pagetrail.producers.log.sink_sqlite import SqliteLogWriter
from pagetrail.producers.recordings import open_recording
from pagetrail.schemas.batch import EventBatch
from pagetrail.schemas.errors import InputError, StorageFull
from pagetrail.schemas.frames import Frame
from pagetrail.schemas.log.contract import AppendResult
from tests.faults.small_frames import small_frames

DEMO = Path(__file__).parents[2] / "pagetrail" / "demo_data" / "host-b" / "trace.txt.zst"


class Counted:
    """Numbers whose making and whose end are noted."""

    def __init__(self, count: int, error: Exception | None = None) -> None:
        self.count, self.error = count, error
        self.drawn = 0
        self.ended_in: threading.Thread | None = None

    def numbers(self) -> Iterator[int]:
        try:
            for k in range(self.count):
                self.drawn += 1
                yield k
            if self.error is not None:
                raise self.error
        finally:
            self.ended_in = threading.current_thread()


def drawing_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "pagetrail-drawing"]


@pytest.mark.parametrize("count", [0, 1, AHEAD, AHEAD + 1, 1000])
@pytest.mark.parametrize("most", [1, AHEAD, 2000])
def test_the_items_come_in_their_order(count: int, most: int) -> None:
    assert list(drawn_ahead(iter(range(count)), most)) == list(range(count))
    assert drawing_threads() == []


def test_what_waits_is_bounded() -> None:
    source = Counted(500)
    for used, item in enumerate(drawn_ahead(source.numbers()), start=1):
        assert item == used - 1
        assert source.drawn <= used + AHEAD + 1
    assert source.drawn == 500


def test_an_error_of_drawing_comes_behind_the_items_before_it_and_says_where_it_was() -> None:
    source = Counted(5, InputError("no more of it"))
    seen: list[int] = []
    with pytest.raises(InputError, match="no more of it") as raised:
        seen.extend(drawn_ahead(source.numbers()))
    assert seen == [0, 1, 2, 3, 4]
    assert "numbers" in [frame.name for frame in traceback.extract_tb(raised.value.__traceback__)]
    assert drawing_threads() == []


@pytest.mark.parametrize("used", [1, 7])
def test_a_user_that_stops_ends_the_thread_and_closes_what_it_drew_from(used: int) -> None:
    source = Counted(10_000)

    def use() -> None:
        with closing(drawn_ahead(source.numbers())) as items:
            for item in items:
                if item == used:
                    raise LookupError(str(item))

    with pytest.raises(LookupError):
        use()
    assert drawing_threads() == []
    assert source.ended_in is not None
    assert source.ended_in is not threading.main_thread()
    assert source.drawn <= used + AHEAD + 2


class Kept:
    """A log that keeps what it is given, and fails at an append."""

    def __init__(self, appends: int | None = None) -> None:
        self.frames: list[Frame] = []
        self._appends = appends

    def append(self, frames: Sequence[Frame]) -> AppendResult:
        if self._appends is not None:
            self._appends -= 1
            if self._appends < 0:
                raise StorageFull(path="here", reason="no space")
        self.frames += frames
        return AppendResult(appended=len(frames), duplicates=0, last_offset=len(self.frames) - 1)

    def flush(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


def stored(appends: int | None = None) -> list[tuple[int, bytes]]:
    """Return the frames that an ingest of the demo's trace makes: their numbers and digests."""
    log = Kept(appends)
    with open_recording(DEMO) as recording, small_frames():
        ingest(recording, origin_of(recording, producer_version="test"), log)
    return [(frame.header.frame, frame.digest) for frame in log.frames]


def test_the_frames_are_those_of_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    ahead_of_use = stored()
    assert len(ahead_of_use) > 50
    monkeypatch.setitem(ingest.__globals__, drawn_ahead.__name__, lambda items: items)
    assert stored() == ahead_of_use


def test_a_log_that_is_full_ends_the_reading() -> None:
    with pytest.raises(StorageFull, match="no space"):
        stored(appends=1)
    assert drawing_threads() == []


def test_a_parser_that_fails_leaves_what_was_appended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """GIVEN a file that cannot be read to its end, THEN the same ingest goes on from what is in the log, frame by frame."""
    whole = stored()
    recording = open_recording(DEMO)
    batches = recording.parser.batches

    def fails() -> Iterator[EventBatch]:
        yield from list(batches())[:1]
        raise InputError("the disk is gone")

    monkeypatch.setattr(recording.parser, "batches", fails)
    origin = origin_of(recording, producer_version="test")
    with SqliteLogWriter(tmp_path) as log, small_frames():
        with pytest.raises(InputError, match="the disk is gone"):
            ingest(recording, origin, log)
        assert drawing_threads() == []
        with open_recording(DEMO) as again:
            report = ingest(again, origin, log)
    assert report.frames == len(whole)
    assert 0 < report.duplicates < len(whole)


def test_a_thread_that_is_not_drawn_from_is_not_begun() -> None:
    drawn_ahead(iter(()))
    assert drawing_threads() == []
