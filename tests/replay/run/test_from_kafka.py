"""The same log on Kafka and in a trail folds to the same store: whatever the partitions, repeats and parts."""

import pickle
import random
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from pagetrail.producers.log.framing import Framer
from pagetrail.producers.log.ingest import ingest, origin_of
from pagetrail.producers.log.sink_kafka import KafkaLimits, KafkaLogWriter
from pagetrail.producers.log.sink_sqlite import SqliteLogWriter
from pagetrail.producers.recordings import open_recording
from pagetrail.queries.core.opening import open_streams
from pagetrail.queries.questions.doctor import findings
from pagetrail.replay.log.embedded import SqliteLogReader
from pagetrail.replay.log.kafka import KafkaLogReader
from pagetrail.replay.rules.fold_options import FoldOptions
from pagetrail.replay.run.replayer import Replayer
from pagetrail.replay.run.report import ReplayReport
from pagetrail.replay.store.cut import partition_name, read_cut
from pagetrail.replay.store.local import store_of
from pagetrail.replay.store.lock import replay_lock
from pagetrail.schemas.columns import Kind
from pagetrail.schemas.errors import TrailBusy
from pagetrail.schemas.frames import Frame
from pagetrail.schemas.log.address import KafkaAddress
from pagetrail.schemas.log.contract import LogReader
from pagetrail.schemas.store.names import fold_name
from tests.conftest import REPOSITORY
from tests.contracts.test_log_kafka import as_message, send_raw
from tests.contracts.topics import MakeTopic, topic_maker
from tests.effort import effort
from tests.kafka.client import Kafka
from tests.model.recording import ModelHost, ModelRecording, model_recording
from tests.replay.states import store, trail_of
from tests.replay.strategies import Machine, to_frames

FLOOR = 500


def recorded(host: str, seed: int, events: int = effort(1_000, 2_000), frame_events: int = 150) -> list[Frame]:
    """Return a recording of the model kernel as frames."""
    recording = model_recording(ModelRecording(ModelHost(host=host, seed=seed, events=events, boot_id=f"boot-{host}")))
    framer = Framer(origin_of(recording, producer_version="0"), frame_events=frame_events)
    frames = [frame for batch in recording.parser.batches() for frame in framer.add(batch)]
    return frames + list(framer.finish())


def replayed(trail: Path, reader: LogReader, *, frames: int | None = None, read_bytes: int = 30_000) -> ReplayReport:
    with reader:  # type: ignore[attr-defined]
        replayer = Replayer(trail, reader, options=FoldOptions(floor=FLOOR, events_a_live=1), read_bytes=read_bytes)
        stop = (lambda: False) if frames is None else (lambda: replayer.report.frames >= frames)
        return replayer.run(stop=stop)


def embedded(folder: Path, frames: Sequence[Frame]) -> dict[str, str]:
    """Return the store that an embedded log of *frames* folds to."""
    trail = trail_of(folder, frames)
    replayed(trail, SqliteLogReader(trail))
    return store(trail)


@pytest.fixture
def make_topic(kafka: Kafka, topic: str) -> MakeTopic:
    return topic_maker(kafka, topic)


@pytest.fixture(scope="module")
def hosts() -> list[list[Frame]]:
    return [recorded(f"host-{number}", number) for number in range(effort(3, 4))]


@pytest.fixture(scope="module")
def expected(hosts: list[list[Frame]], tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return embedded(tmp_path_factory.mktemp("embedded") / "trail", [frame for host in hosts for frame in host])


def append(address: KafkaAddress, frames: Sequence[Frame], **limits: int) -> None:
    with KafkaLogWriter(address, KafkaLimits(**limits)) as writer:
        writer.append(frames)


def test_hosts_on_partitions_fold_to_what_the_embedded_log_folds_to(
    make_topic: MakeTopic, hosts: list[list[Frame]], expected: dict[str, str], tmp_path: Path
) -> None:
    address = make_topic(partitions=5)
    append(address, [frame for together in zip(*hosts, strict=False) for frame in together])
    append(address, [frame for host in hosts for frame in host])  # the recordings are not of one length
    report = replayed(tmp_path, KafkaLogReader(address))
    assert (report.halted, report.refused) == ({}, {})
    assert store(tmp_path) == expected


def test_what_is_refused_of_one_host_is_folded_under_the_name_of_another(make_topic: MakeTopic, tmp_path: Path) -> None:
    address, m = make_topic(), Machine()
    for start in (1_000, 1_010):  # the second begins before the first one's end
        m.ts = start
        m.begin()
        for pfn in range(20):
            m.ts += 1
            m.emit(Kind.ALLOC, pfn=pfn, order=0, gfp_mask=0, pid=1)
        m.end()
    first, second = (to_frames(m.recordings, [7], host=host) for host in ("one", "two"))
    append(address, first + [frame for frame in second if frame.header.recording == "recording 1"])
    report = replayed(tmp_path, KafkaLogReader(address))
    assert list(report.refused) == [("one", "boot", "recording 1")]
    folded = {
        s.host: (s.newest.file.last_seq + 1, [f.what for f in findings(s)]) for s in open_streams(tmp_path).opened
    }
    assert {host: events for host, (events, _) in folded.items()} == {
        "one": len(m.recordings[0]), "two": len(m.recordings[1]),
    }  # fmt: skip
    assert {host for host, (_, found) in folded.items() if "recordings" in found} == {"one"}


def test_what_somebody_else_wrote_into_the_topic_is_stepped_over(
    make_topic: MakeTopic, hosts: list[list[Frame]], expected: dict[str, str], tmp_path: Path
) -> None:
    address = make_topic()
    for host in hosts:
        append(address, host[:5])
        send_raw(address, (None, b"hello", {}), (None, None, {}))
        append(address, host)
    report = replayed(tmp_path, KafkaLogReader(address))
    assert (report.halted, report.foreign) == ({}, 2 * len(hosts))
    assert store(tmp_path) == expected
    assert replayed(tmp_path, KafkaLogReader(address)).frames == 0


def test_whatever_somebody_sends_harms_the_stream_of_its_key_alone(
    make_topic: MakeTopic, hosts: list[list[Frame]], expected: dict[str, str], tmp_path: Path
) -> None:
    """GIVEN four hosts on one partition WHEN messages come under other keys THEN the keys' streams are halted, and no other."""
    address, good = make_topic(partitions=1), hosts[0][0]
    _, value, headers = as_message(good)
    for host in hosts[:2]:
        append(address, host)
    send_raw(
        address,
        (b"thief", value, headers), (b"rubbish", b"no frame", headers), (b"changed", value[:-9] + bytes(9), headers),
        (b"no boot", b"no frame", {}), (b"host-10", b"", {}), (b"", value, headers), (None, value, headers),
        (b"\xff", value, headers), (b"a\nb", b"", {}), (b"x" * 5_000, value, {}),
    )  # fmt: skip
    for host in hosts[2:]:
        append(address, host)
    halted = {(host, good.header.boot_id) for host in ("thief", "rubbish", "changed")} | {
        ("no boot", ""),
        ("host-10", ""),
        ("a\nb", ""),
    }
    for _ in range(2):
        report = replayed(tmp_path, KafkaLogReader(address))
        assert (report.halted.keys(), report.foreign) == (halted, 4)
        assert store(tmp_path) == expected


def test_repeats_and_parts_fold_to_the_same_store(
    make_topic: MakeTopic, hosts: list[list[Frame]], expected: dict[str, str], tmp_path: Path
) -> None:
    whole, cut = make_topic(partitions=3), make_topic(partitions=3, suffix="-cut", max_message_bytes="6000")
    for address in (whole, cut):
        for host in hosts:
            append(address, host[:7])
            append(address, host, look_back=1)  # all of it again
        replayed(tmp_path / address.topic, KafkaLogReader(address))
        assert store(tmp_path / address.topic) == expected
    with KafkaLogReader(cut) as reader, KafkaLogReader(whole) as other:
        held = [sum(r.high_watermark(partition) for partition in r.partitions()) for r in (reader, other)]
    assert held[0] > held[1]  # frames were cut


@pytest.mark.parametrize("step", [3, 29])  # a dump takes up to 6 frames: a stop within it costs nothing
def test_a_replay_that_stops_and_goes_on_makes_the_same_store(
    make_topic: MakeTopic, hosts: list[list[Frame]], expected: dict[str, str], tmp_path: Path, step: int
) -> None:
    address = make_topic(partitions=3)
    for host in hosts:
        append(address, host)
    while replayed(tmp_path, KafkaLogReader(address), frames=step).frames:
        pass
    assert store(tmp_path) == expected


def test_each_partition_has_a_cut_of_its_own_and_a_later_replay_begins_there(
    make_topic: MakeTopic, hosts: list[list[Frame]], tmp_path: Path
) -> None:
    address = make_topic(partitions=3)
    for host in hosts:
        append(address, host)
    replayed(tmp_path, KafkaLogReader(address))
    with KafkaLogReader(address) as reader:
        for partition in reader.partitions():
            cut = read_cut(store_of(tmp_path), fold_name(correct=True), partition_name(reader.log_id, partition))
            assert cut.offset == reader.high_watermark(partition)
    assert replayed(tmp_path, KafkaLogReader(address)).frames == 0


def test_a_topic_made_again_is_read_from_its_beginning(
    kafka: Kafka, make_topic: MakeTopic, hosts: list[list[Frame]], tmp_path: Path
) -> None:
    for frames in (hosts[0], hosts[0] + hosts[1]):
        address = make_topic(partitions=1)
        append(address, frames)
        replayed(tmp_path / "trail", KafkaLogReader(address))
        kafka.delete_topic(address.topic)
    assert store(tmp_path / "trail") == embedded(tmp_path / "embedded", hosts[0] + hosts[1])


def test_a_partition_that_is_replayed_is_busy(make_topic: MakeTopic, tmp_path: Path) -> None:
    address = make_topic(partitions=3)
    with KafkaLogReader(address) as reader:
        part = partition_name(reader.log_id, 2)
    with replay_lock(tmp_path, fold_name(correct=True), part), pytest.raises(TrailBusy):
        replayed(tmp_path, KafkaLogReader(address))


def test_what_retention_removed_is_a_gap_and_the_rest_is_folded(
    kafka: Kafka, make_topic: MakeTopic, hosts: list[list[Frame]], tmp_path: Path
) -> None:
    address, frames = make_topic(partitions=1), hosts[0]
    append(address, frames)
    replayed(tmp_path / "trail", KafkaLogReader(address), frames=4)
    kafka.delete_records(address.topic, 0, 8)
    report = replayed(tmp_path / "trail", KafkaLogReader(address))
    assert report.frames == len(frames) - 8
    assert store(tmp_path / "trail") == embedded(tmp_path / "embedded", frames[:4] + frames[8:])


def test_a_message_that_is_no_frame_halts_its_host_and_no_other(
    make_topic: MakeTopic, hosts: list[list[Frame]], tmp_path: Path
) -> None:
    address, (one, other) = make_topic(partitions=1), hosts[:2]
    spoilt = (one[0].header.host.encode(), b"hello", {})
    send_raw(address, *map(as_message, one[:3]), spoilt, *map(as_message, one[3:]), *map(as_message, other))
    report = replayed(tmp_path / "trail", KafkaLogReader(address))
    assert [key[0] for key in report.halted] == [one[0].header.host]
    assert store(tmp_path / "trail") == embedded(tmp_path / "embedded", one[:3] + other)


SENDER = """
import pickle
import sys
from pathlib import Path
from pagetrail.producers.log.sink_kafka import KafkaLimits, KafkaLogWriter
from pagetrail.schemas.log.address import parse_log_address
frames = pickle.loads(Path(sys.argv[3]).read_bytes())
with KafkaLogWriter(parse_log_address(sys.argv[1]), KafkaLimits(look_back=int(sys.argv[2]))) as log:
    for number in range(0, len(frames), 2):
        print(number, flush=True)
        log.append(frames[number : number + 2])
print("done", flush=True)
"""


@pytest.mark.parametrize("look_back", [0, 1024])
def test_a_killed_producer_and_its_re_run_make_the_undisturbed_store(
    make_topic: MakeTopic, hosts: list[list[Frame]], tmp_path: Path, look_back: int
) -> None:
    address, rng, killed = make_topic(partitions=2), random.Random(look_back), 0
    (tmp_path / "frames").write_bytes(pickle.dumps(hosts[0]))
    while True:
        command = [sys.executable, "-c", SENDER, str(address), str(look_back), str(tmp_path / "frames")]
        with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as sender:
            assert sender.stdout is not None
            if killed < 3:
                for _ in range(rng.randrange(1, 4)):
                    sender.stdout.readline()
                sender.send_signal(signal.SIGKILL)
                killed += 1
                continue
            assert sender.communicate()[0].endswith("done\n")
        break
    replayed(tmp_path / "trail", KafkaLogReader(address))
    assert store(tmp_path / "trail") == embedded(tmp_path / "embedded", hosts[0])


def test_recordings_of_a_fleet_fold_to_what_the_embedded_log_folds_to(
    make_topic: MakeTopic, captures: Path, tmp_path: Path
) -> None:
    address, trail = make_topic(partitions=8), tmp_path / "embedded"
    boots = sorted(found.parent for found in (captures / "fleet").glob("**/set_event.txt"))  # the last host has two
    for capture in effort(boots[-3:], boots):
        for log in (KafkaLogWriter(address), SqliteLogWriter(trail)):
            recording = open_recording(capture)
            with log:
                ingest(recording, origin_of(recording, producer_version="0"), log)
    for place, reader in ((tmp_path / "kafka", KafkaLogReader(address)), (trail, SqliteLogReader(trail))):
        with reader:
            Replayer(place, reader).run()
    assert store(tmp_path / "kafka") == store(trail) != {}
