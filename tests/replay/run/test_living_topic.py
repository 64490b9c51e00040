"""Producers of several versions share a topic: what is too new halts its own stream, until the upgrade."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pagetrail.cli import app
from pagetrail.replay.log.kafka import KafkaLogReader
from pagetrail.replay.rules.fold_options import FoldOptions
from pagetrail.replay.run.partition import PartitionReplay, ReplaySettings
from pagetrail.replay.run.report import ReplayReport
from pagetrail.replay.store.cut import partition_name, read_cut
from pagetrail.replay.store.local import store_of
from pagetrail.schemas import frames as frames_module
from pagetrail.schemas.frames import Frame, decode_header, encode_record_batch, frame_digest, read_record_batch
from pagetrail.schemas.log.address import KafkaAddress
from pagetrail.schemas.publish import published
from tests.contracts.topics import MakeTopic, topic_maker
from tests.kafka.client import Kafka
from tests.replay.run.test_from_kafka import embedded, recorded, replayed
from tests.replay.run.test_losses import send
from tests.replay.states import store

FOLD = FoldOptions().name
Older = Callable[[int], None]


@pytest.fixture
def make_topic(kafka: Kafka, topic: str) -> MakeTopic:
    return topic_maker(kafka, topic)


@pytest.fixture
def older(monkeypatch: pytest.MonkeyPatch) -> Older:
    """Make this pagetrail one that reads no later version than the given one, as an old release does."""
    return lambda version: monkeypatch.setattr(frames_module, "FRAME_VERSION", version)


def golden(version: int, host: str) -> Frame:
    """Return the frame that was published for a version, from *host*."""
    payload = published(f"v{version}.frame")
    assert payload is not None
    header = replace(decode_header(payload), host=host)
    payload = encode_record_batch(read_record_batch(payload), header)
    return Frame(header=header, payload=payload, digest=frame_digest(payload))


def test_old_producers_and_new_ones_share_a_topic(make_topic: MakeTopic, tmp_path: Path) -> None:
    address, frames = make_topic(), [golden(1, "old"), *recorded("new", 0), golden(2, "older")]
    send(address, frames)
    report = replayed(tmp_path / "trail", KafkaLogReader(address))
    assert report.halted == {}
    assert store(tmp_path / "trail") == embedded(tmp_path / "embedded", frames)
    assert {name.split("/")[1] for name in store(tmp_path / "trail")} == {"old", "older", "new"}


def test_what_is_too_new_halts_its_stream_alone_and_goes_on_after_the_upgrade(
    make_topic: MakeTopic, tmp_path: Path, older: Older, monkeypatch: pytest.MonkeyPatch
) -> None:
    address, trail = make_topic(), tmp_path / "trail"
    new, old = recorded("new", 0), [golden(3, "old")]
    send(address, old + new[:5])
    older(3)
    report = replayed(trail, KafkaLogReader(address))
    assert [key[0] for key in report.halted] == ["new"]
    assert "expected version 3 or older, found 5; upgrade" in next(iter(report.halted.values()))
    more = [golden(1, "oldest")]
    send(address, new[5:] + more)
    for _ in range(2):
        report = replayed(trail, KafkaLogReader(address))
        assert [key[0] for key in report.halted] == ["new"]
    assert {name.split("/")[1] for name in store(trail)} == {"old", "oldest"}
    assert _cut_offset(trail, address) == 1  # of the first frame that it could not read
    monkeypatch.undo()
    assert replayed(trail, KafkaLogReader(address)).halted == {}
    assert store(trail) == embedded(tmp_path / "embedded", old + new + more)
    assert _cut_offset(trail, address) == len(old + new + more)


def test_a_halted_stream_takes_no_memory_for_what_comes_after(
    make_topic: MakeTopic, tmp_path: Path, older: Older
) -> None:
    address = make_topic()
    send(address, recorded("new", 0))
    older(3)
    with KafkaLogReader(address) as reader:
        part = PartitionReplay(reader, 0, ReplaySettings(store=store_of(tmp_path), idle_seconds=0.0), ReplayReport())
        while part.step():
            assert part.streams == {}


def test_streams_says_how_far_replay_is_behind_and_questions_wait_for_it(make_topic: MakeTopic, tmp_path: Path) -> None:
    address, frames = make_topic(), recorded("host-0", 0)
    send(address, frames)
    replayed(tmp_path, KafkaLogReader(address), frames=6)
    assert "lag" in _run("streams", "--trail", tmp_path, "--log", address)
    with KafkaLogReader(address) as reader:
        reached = read_cut(store_of(tmp_path), FOLD, partition_name(reader.log_id, 0)).reached
    row = _run("streams", "--trail", tmp_path, "--log", address, "--json")
    assert f'"lag": {len(frames) - reached}' in row
    late = str(frames[-1].header.last_ts)
    said = CliRunner().invoke(app, ["owner", "1", "--at", late, "--trail", str(tmp_path), "--wait", "0.3"])
    assert "is after the horizon: replay of host-0 has reached" in str(said.exception)
    replayed(tmp_path, KafkaLogReader(address))
    assert "pfn 1" in _run("owner", "1", "--at", late, "--trail", tmp_path, "--wait", "60")


def _cut_offset(trail: Path, address: KafkaAddress) -> int:
    with KafkaLogReader(address) as reader:
        return read_cut(store_of(trail), FOLD, partition_name(reader.log_id, 0)).offset


def _run(*arguments: object) -> str:
    found = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert found.exit_code == 0, found.output
    return found.stdout
