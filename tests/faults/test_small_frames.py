"""Small frames are for the recordings of the fault tests alone: tests that run after them in the same process have whole ones."""

from pathlib import Path

import pytest

from pagetrail.producers.log.framing import Framer
from pagetrail.schemas.frames import FRAME_EVENTS, FrameOrigin
from tests.faults import driver
from tests.faults.kafka import bench
from tests.faults.kafka.worker import frames_of
from tests.faults.recording import write_trace
from tests.faults.small_frames import small_frames


def events_of_a_frame() -> int:
    return Framer(FrameOrigin(host="h", boot_id="b", recording="r", producer="p", producer_version="0")).frame_events


def test_a_block_that_ends_in_an_error_leaves_frames_whole() -> None:
    with pytest.raises(ZeroDivisionError), small_frames(3):
        events_of_a_frame() / 0
    assert events_of_a_frame() == FRAME_EVENTS


def test_recordings_of_a_fleet_in_small_frames_leave_later_frames_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench, "EVENTS", 1_200)
    monkeypatch.setattr(bench, "HOSTS", 1)
    bench.ingest_hosts(tmp_path, tmp_path / "trail")
    assert len(frames_of(tmp_path / "trail")) == 3
    assert events_of_a_frame() == FRAME_EVENTS


def test_a_file_in_small_frames_leaves_later_frames_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pagetrail.producers.log.ingest.APPEND_FRAMES", 1)  # it is set by the driver, and restored here
    driver.ingest_file(str(tmp_path / "trail"), str(write_trace(tmp_path / "trace.txt", events=1_200)))
    assert len(frames_of(tmp_path / "trail")) == 3
    assert events_of_a_frame() == FRAME_EVENTS
