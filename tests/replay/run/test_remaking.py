"""A stream's files are removed, to be made again, only if the log still holds all that they were made of."""

from pathlib import Path

import pytest

from pagetrail.producers.log.sink_sqlite import LogLimits, SqliteLogWriter
from pagetrail.queries.core.opening import open_streams
from pagetrail.queries.questions.streams import streams
from pagetrail.replay.log.embedded import SqliteLogReader
from pagetrail.replay.log.kafka import KafkaLogReader
from pagetrail.replay.rules.fold_options import FoldOptions
from pagetrail.replay.run.replayer import Replayer
from pagetrail.replay.run.report import ReplayReport
from pagetrail.schemas.frames import Frame
from pagetrail.schemas.log.contract import LogReader, log_directory
from tests.contracts.test_log_kafka import as_message, send_raw
from tests.contracts.topics import topic_maker
from tests.kafka.client import Kafka
from tests.replay.run.test_superseding import Held, again, frames, levels, names, recordings
from tests.replay.states import FLOOR, store

FRAMES = 4  # of a recording


def replayed(trail: Path, reader: LogReader) -> ReplayReport:
    return Replayer(trail, reader, options=FoldOptions(floor=FLOOR, events_a_live=1)).run()


def told() -> list[Frame]:
    log = [frame for nr, events in enumerate(recordings()) for frame in frames(events, f"r{nr}")]
    assert len(log) == 3 * FRAMES
    return log


def new(old: int) -> list[Frame]:
    return frames(again(recordings()[old], f"r{old}"), "new")


def check_refused(trail: Path, report: ReplayReport, before: dict[str, str], old: int) -> None:
    """Check that everything is as it was before, and that all who ask learn what was refused, why, and what to do."""
    assert store(trail) == before
    assert names(trail) == ["r0", "r1", "r2"]
    assert report.superseded == {}
    ((key, why),) = report.refused.items()
    assert key == ("host", "boot", "new")
    assert f"was to take the place of recording r{old}" in why
    assert "no longer holds" in why
    assert "another trail" in why
    assert levels(trail, "recordings") == ["loss"]
    assert streams(open_streams(trail).opened).to_pylist()[0]["refused"] == [why]


@pytest.mark.parametrize(("old", "low", "what"), [
    (2, 1, "recording r0"),  # the boot's first frame
    (2, FRAMES, "recording r0"),
    (2, FRAMES + 1, "recordings r0, r1"),
    (1, 2, "recording r0"),
    (0, 1, "the first frame"),  # of the others all is there, but no longer the place
    (0, FRAMES + 2, "recording r1"),
])  # fmt: skip
def test_what_retention_removed_stays_in_the_store(tmp_path: Path, old: int, low: int, what: str) -> None:
    log = told()
    replayed(tmp_path, Held(log))
    before = store(tmp_path)
    for _ in range(2):  # also when it goes on later
        report = replayed(tmp_path, Held([*log, *new(old)], low=low))
        check_refused(tmp_path, report, before, old)
        assert what in next(iter(report.refused.values()))


def test_only_what_was_folded_of_others_is_needed(tmp_path: Path) -> None:
    """Of the recording that is set aside nothing, and of the others not what was missing from the log before, too."""
    log = told()
    alone = log[:FRAMES]
    replayed(tmp_path / "alone", Held(alone))
    report = replayed(tmp_path / "alone", Held([*alone, *new(0)], low=2))
    assert (names(tmp_path / "alone"), report.refused) == (["new"], {})
    replayed(tmp_path / "late", Held(log, low=2))
    report = replayed(tmp_path / "late", Held([*log, *new(2)], low=2))
    assert (names(tmp_path / "late"), report.refused, report.waiting) == (["r0", "r1", "new"], {}, {})
    (stream,) = open_streams(tmp_path / "late").opened
    assert len([gap for _, _, gap in stream.history.gaps if gap.lost]) == 1


def test_frames_that_retention_removes_while_the_new_ones_come_are_asked_for_at_the_end(tmp_path: Path) -> None:
    log, coming = told(), new(1)
    replayed(tmp_path, Held([*log, *coming[:2]]))
    before = store(tmp_path)
    report = replayed(tmp_path, Held([*log, *coming], low=3))
    check_refused(tmp_path, report, before, 1)


def test_a_recording_that_follows_a_refused_one_is_not_said_to_take_a_place(tmp_path: Path) -> None:
    log = [*told(), *new(2)]
    replayed(tmp_path, Held(told()))
    third = frames(again(recordings()[2], "new"), "third")
    report = replayed(tmp_path, Held([*log, *third], low=1))
    assert (names(tmp_path), report.superseded) == (["r0", "r1", "r2"], {})
    assert [recording for _, _, recording in report.refused] == ["new", "third"]


def test_a_trails_own_log_whose_oldest_file_was_removed(tmp_path: Path) -> None:
    few = LogLimits(file_bytes=60_000)
    for frame in told():
        with SqliteLogWriter(tmp_path, few) as log:
            log.append([frame])
    with SqliteLogReader(tmp_path) as reader:
        replayed(tmp_path, reader)
    before = store(tmp_path)
    files = sorted(log_directory(tmp_path).glob("*.sqlite"))
    assert len(files) > 2
    for left in log_directory(tmp_path).glob(f"{files[0].name}*"):
        left.unlink()
    with SqliteLogWriter(tmp_path) as log:
        log.append(new(2))
    with SqliteLogReader(tmp_path) as reader:
        assert reader.low_watermark(0) > 0
        check_refused(tmp_path, replayed(tmp_path, reader), before, 2)


def test_a_topic_whose_retention_removed_records(kafka: Kafka, topic: str, tmp_path: Path) -> None:
    address = topic_maker(kafka, topic)()
    send_raw(address, *map(as_message, told()))
    with KafkaLogReader(address) as reader:
        replayed(tmp_path, reader)
    before = store(tmp_path)
    kafka.delete_records(address.topic, 0, 2)
    send_raw(address, *map(as_message, new(1)))
    with KafkaLogReader(address) as reader:
        check_refused(tmp_path, replayed(tmp_path, reader), before, 1)
