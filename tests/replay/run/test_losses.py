"""What a log on Kafka lost is a gap, what may still come is waited for, and neither depends on who replays when."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from pagetrail.queries.core.opening import open_streams
from pagetrail.queries.questions.doctor import findings
from pagetrail.replay.log.kafka import KafkaLogReader
from pagetrail.replay.rules.fold_options import FoldOptions
from pagetrail.replay.run import holes
from pagetrail.replay.run.report import ReplayReport
from pagetrail.replay.store.cut import partition_name, read_cut, write_cut
from pagetrail.replay.store.local import store_of
from pagetrail.schemas.frames import Frame
from pagetrail.schemas.log.address import KafkaAddress
from tests.contracts.test_log_kafka import as_message, send_raw
from tests.contracts.topics import MakeTopic, topic_maker
from tests.kafka.client import Kafka
from tests.replay.run.test_from_kafka import embedded, recorded, replayed
from tests.replay.states import store

FOLD = FoldOptions().name


@pytest.fixture
def make_topic(kafka: Kafka, topic: str) -> MakeTopic:
    return topic_maker(kafka, topic)


@pytest.fixture(scope="module")
def frames() -> list[Frame]:
    """A recording of more frames than wait behind a hole."""
    return recorded("host-0", 0, events=1_000, frame_events=16)


def send(address: KafkaAddress, frames: Sequence[Frame]) -> None:
    """Send frames as they are, those that were sent before too."""
    send_raw(address, *map(as_message, frames))


def replay(trail: Path, address: KafkaAddress, *, frames: int | None = None) -> ReplayReport:
    return replayed(trail, KafkaLogReader(address), frames=frames, read_bytes=10_000)


def gaps(trail: Path) -> list[str]:
    """Return why there are gaps, of those that replay found."""
    return [
        gap.reason
        for s in open_streams(trail).opened
        for _, _, gap in s.history.gaps
        if gap.reason.startswith("frames")
    ]


def doctor(trail: Path) -> str:
    return "\n".join(f"{f.level} {f.what} {f.detail}" for s in open_streams(trail).opened for f in findings(s))


def test_replay_waits_at_a_hole_that_an_ingest_may_still_fill(
    make_topic: MakeTopic, frames: list[Frame], tmp_path: Path
) -> None:
    address = make_topic()
    send(address, frames[:4] + frames[6:20])
    report = replay(tmp_path / "trail", address)
    assert report.frames == 4
    assert [key[0] for key in report.waiting] == ["host-0"]
    assert "frames 4 to 5" in next(iter(report.waiting.values()))
    assert gaps(tmp_path / "trail") == []
    assert "frames 4 to 5" in doctor(tmp_path / "trail")


@pytest.mark.parametrize("again", [slice(4, 6), slice(0, 20), slice(5, 3, -1)])
def test_a_hole_that_is_filled_leaves_no_trace(
    make_topic: MakeTopic, frames: list[Frame], tmp_path: Path, again: slice
) -> None:
    address, trail = make_topic(), tmp_path / "trail"
    send(address, frames[:4] + frames[6:20])
    replay(trail, address)
    send(address, frames[again] + frames[20:])
    report = replay(trail, address)
    assert report.waiting == {}
    assert store(trail) == embedded(tmp_path / "embedded", frames)


@pytest.mark.parametrize("pieces", [1, 3])
def test_a_hole_is_final_after_so_many_later_frames_however_often_replay_stopped(
    make_topic: MakeTopic, frames: list[Frame], tmp_path: Path, pieces: int
) -> None:
    address, trail = make_topic(), tmp_path / "trail"
    later = frames[6:]
    assert len(later) > holes.HOLE_FRAMES
    waiting = later[: holes.HOLE_FRAMES]
    send(address, frames[:4])
    for piece in range(pieces):
        send(address, waiting[piece * 32 // pieces : (piece + 1) * 32 // pieces])
        replay(trail, address)
    assert gaps(trail) == []
    send(address, later[holes.HOLE_FRAMES :])
    replay(trail, address)
    assert len(gaps(trail)) == 1
    assert store(trail) == embedded(tmp_path / "embedded", frames[:4] + later)


def test_a_stream_that_waits_holds_up_no_other(make_topic: MakeTopic, frames: list[Frame], tmp_path: Path) -> None:
    address, other = make_topic(), recorded("host-1", 1)
    send(address, frames[:4] + frames[6:10] + other)
    replay(tmp_path / "trail", address)
    found = {n: d for n, d in store(tmp_path / "trail").items() if n.startswith("hosts/host-1/")}
    assert found == embedded(tmp_path / "embedded", other)


def test_what_retention_removed_before_it_was_replayed_is_a_gap_at_once_and_shown(
    kafka: Kafka, make_topic: MakeTopic, frames: list[Frame], tmp_path: Path
) -> None:
    address, trail = make_topic(), tmp_path / "trail"
    send(address, frames[:20])
    replay(trail, address, frames=4)
    kafka.delete_records(address.topic, 0, 8)
    report = replay(trail, address)
    assert (report.frames, report.waiting) == (12, {})
    assert len(gaps(trail)) == 1
    assert "offsets 4 to 7 were removed by retention" in report.losses[0]
    assert "offsets 4 to 7 were removed by retention" in doctor(trail)
    assert "loss gaps" in doctor(trail)


def test_another_frame_at_a_known_offset_is_a_loss_and_everything_is_read_again(
    make_topic: MakeTopic, frames: list[Frame], tmp_path: Path
) -> None:
    """The log as it is after an unclean election: frames 10 to 14 were acknowledged and read, and others stand there."""
    address, trail = make_topic(), tmp_path / "trail"
    send(address, frames[:10] + frames[18:])
    with KafkaLogReader(address) as reader:
        part = partition_name(reader.log_id, 0)
        before = make_topic(suffix="-before")
        send(before, frames[:15])
        with KafkaLogReader(before) as old:
            replayed(trail, old)
            known = read_cut(store_of(trail), FOLD, partition_name(old.log_id, 0))
    write_cut(store_of(trail), FOLD, known, part)
    report = replay(trail, address)
    assert "offset 14 no longer holds the frame" in report.losses[0]
    assert report.waiting == {}
    assert len(gaps(trail)) == 1
    assert store(trail) == embedded(tmp_path / "embedded", frames[:15] + frames[18:])
    assert "offset 14 no longer holds the frame" in doctor(trail)


def test_a_log_that_ends_before_what_was_read_of_it_is_a_loss_and_is_read_again(
    make_topic: MakeTopic, frames: list[Frame], tmp_path: Path
) -> None:
    address, trail = make_topic(), tmp_path / "trail"
    before = make_topic(suffix="-before")
    send(before, frames[:15])
    send(address, frames[:10])
    with KafkaLogReader(before) as old, KafkaLogReader(address) as reader:
        replayed(trail, old)
        write_cut(
            store_of(trail),
            FOLD,
            read_cut(store_of(trail), FOLD, partition_name(old.log_id, 0)),
            partition_name(reader.log_id, 0),
        )
    assert "the log ends at offset 10" in replay(trail, address).losses[0]
    send(address, frames[10:])  # by the producer, which goes on where the log ends
    assert replay(trail, address).losses == []
    assert store(trail) == embedded(tmp_path / "embedded", frames)
