"""What the log on Kafka promises beyond the contract: partitions, order, parts of frames, looking back, patience."""

import dataclasses
import random
import time
from collections.abc import Iterator, Mapping

import pytest
from confluent_kafka import Producer

from pagetrail.producers.log.sink_kafka import KafkaLimits, KafkaLogWriter
from pagetrail.replay.log.kafka import KafkaLogReader
from pagetrail.schemas.errors import (
    ForeignMessage,
    FrameConflict,
    FrameDamaged,
    FrameTooLarge,
    OffsetGap,
    TopicMissing,
    TopicUnfit,
)
from pagetrail.schemas.frames import Frame, decode_frame
from pagetrail.schemas.log.address import KafkaAddress, parse_log_address
from pagetrail.schemas.log.contract import ANY_BOOT, LogRecord
from pagetrail.schemas.log.kafka import BOOT_HEADER, DIGEST_HEADER, murmur2, partition_of
from tests.contracts.backends import a_frame
from tests.contracts.topics import MakeTopic, topic_maker
from tests.kafka.client import Kafka
from tests.kafka.records import producer


@pytest.fixture
def make_topic(kafka: Kafka, topic: str) -> MakeTopic:
    return topic_maker(kafka, topic)


def with_settings(address: KafkaAddress, settings: Mapping[str, str]) -> KafkaAddress:
    return dataclasses.replace(address, settings=settings)


def append(address: KafkaAddress, frames: list[Frame], **limits: int) -> tuple[int, int]:
    with KafkaLogWriter(address, KafkaLimits(**limits)) as writer:
        result = writer.append(frames)
    return result.appended, result.duplicates


def records(address: KafkaAddress) -> list[LogRecord]:
    """Return what a topic holds, partition by partition."""
    with KafkaLogReader(address) as reader:
        return [record for partition in reader.partitions() for record in from_low(reader, partition)]


def from_low(reader: KafkaLogReader, partition: int) -> Iterator[LogRecord]:
    offset = reader.low_watermark(partition)
    while found := reader.read(partition, offset, 1 << 20):
        yield from found
        offset = found[-1].offset + 1


def send_raw(
    address: KafkaAddress, *messages: tuple[bytes | None, bytes, dict[str, bytes]], **settings: object
) -> None:
    """Send (key, value, headers) as anybody may, to partition 0."""
    sender = producer(",".join(address.brokers), **settings)
    for key, value, headers in messages:
        sender.produce(address.topic, value, key, partition=0, headers=headers)
    assert sender.flush(30) == 0


def as_message(frame: Frame) -> tuple[bytes, bytes, dict[str, bytes]]:
    said = frame.header
    headers = {DIGEST_HEADER: frame.digest, BOOT_HEADER: said.boot_id.encode()}
    return said.host.encode(), frame.payload, headers


def in_order(numbers: list[int], last: int) -> bool:
    """Say whether frames 0 to *last* can be read one after another, when those that were read are skipped."""
    following = 0
    for number in numbers:
        following += number == following
    return following == last + 1


# -- partitions and order ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "hashed"),
    [
        (b"21", -973932308), (b"foobar", -790332482), (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971), (b"abc", 479470107),
    ],
)  # fmt: skip
def test_keys_are_hashed_as_java_does(key: bytes, hashed: int) -> None:
    """Source: org.apache.kafka.common.utils.UtilsTest.testMurmur2."""
    assert murmur2(key) == hashed & 0xFFFFFFFF


def test_a_host_is_in_the_partition_that_librdkafka_chooses_for_its_key(make_topic: MakeTopic) -> None:
    address, chosen = make_topic(partitions=7), dict[str, int]()
    sender = Producer({"bootstrap.servers": ",".join(address.brokers), "partitioner": "murmur2"})
    for number in range(50):
        host = f"host-{number}"
        sender.produce(
            address.topic, b"", host, on_delivery=lambda e, m, host=host: chosen.setdefault(host, m.partition())
        )
    sender.flush(30)
    assert chosen == {host: partition_of(host, 7) for host in chosen}
    assert len(chosen) == 50


def test_frames_of_a_host_are_in_one_partition_in_their_order_while_two_producers_append(make_topic: MakeTopic) -> None:
    address = make_topic(partitions=5)
    hosts = [f"host-{number}" for number in range(8)]
    with KafkaLogWriter(address) as one, KafkaLogWriter(address) as other:
        for number in range(0, 12, 2):
            for writer, name in ((one, "a"), (other, "b")):
                writer.append([a_frame(name + h, n, host=h + name) for n in (number, number + 1) for h in hosts])
    found = records(address)
    for name in ("a", "b"):
        for host in hosts:
            own = [record for record in found if record.header.host == host + name]
            assert {record.partition for record in own} == {partition_of(host + name, 5)}
            assert [record.header.frame for record in own] == list(range(12))


# -- frames that are too large -------------------------------------------------------------------------------------------


def test_a_frame_above_the_topics_limit_goes_as_parts_that_hold_the_same_events(make_topic: MakeTopic) -> None:
    address, frame = make_topic(max_message_bytes="20000"), a_frame("r", 0, events=8_000)
    assert len(frame.payload) > 40_000
    assert append(address, [frame, a_frame("r", 8_000, events=1)]) == (2, 0)
    *parts, last = records(address)
    assert len(parts) > 2
    assert all(len(part.payload) < 20_000 and part.header.frame == 0 for part in parts)
    assert [part.header.first_seq for part in parts[1:]] == [part.header.last_seq + 1 for part in parts[:-1]]
    _, whole = decode_frame(frame.payload)
    together = [pfn for part in parts for pfn in decode_frame(part.payload)[1].columns["pfn"].tolist()]
    assert together == whole.columns["pfn"].tolist()
    assert last.header.frame == 8_000


def test_parts_are_the_same_each_time_and_are_stored_once(make_topic: MakeTopic) -> None:
    address, frames = make_topic(max_message_bytes="20000"), [a_frame("r", n, events=4_000) for n in range(3)]
    assert append(address, frames) == (3, 0)
    before = [record.digest for record in records(address)]
    assert append(address, frames) == (0, 3)
    assert [record.digest for record in records(address)] == before


def test_an_event_that_no_message_holds_is_an_error_and_nothing_of_that_append_is_sent(make_topic: MakeTopic) -> None:
    address = make_topic(max_message_bytes="4000")
    with KafkaLogWriter(address) as writer, pytest.raises(FrameTooLarge, match=r"recording r+ frame 7: expected"):
        writer.append(
            [a_frame("s", 0, events=1), a_frame("r", 7, events=2, comm=random.Random(1).randbytes(6_000).hex())]
        )
    assert records(address) == []


# -- producers that begin again ------------------------------------------------------------------------------------------


def test_frames_that_look_back_did_not_reach_are_sent_again_in_order(make_topic: MakeTopic) -> None:
    address, frames = make_topic(), [a_frame("r", number) for number in range(20)]
    append(address, frames)
    assert append(address, frames, look_back=5) == (20, 0)
    assert in_order([record.header.frame for record in records(address)], 19)


@pytest.mark.parametrize("there", [[0, 1, 4, 5], [4, 5], [3, 4, 5, 0, 1], [0, 1, 2, 3, 0, 1], [5, 4, 3, 2, 1, 0]])
def test_whatever_a_topic_holds_of_a_recording_a_re_run_leaves_no_hole(make_topic: MakeTopic, there: list[int]) -> None:
    address, frames = make_topic(), [a_frame("r", number) for number in range(6)]
    send_raw(address, *(as_message(frames[number]) for number in there))
    append(address, frames)
    assert in_order([record.header.frame for record in records(address)], 5)
    append(address, frames)
    assert in_order([record.header.frame for record in records(address)], 5)


def test_another_writer_finds_a_conflict_and_nothing_of_that_append_is_sent(make_topic: MakeTopic) -> None:
    address = make_topic()
    append(address, [a_frame("r", 0), a_frame("r", 1)])
    with KafkaLogWriter(address) as writer:
        with pytest.raises(FrameConflict, match="recording r frame 1"):
            writer.append([a_frame("r", 0), a_frame("other", 0), a_frame("r", 1, seed=7)])
        assert writer.append([a_frame("other", 0), a_frame("r", 1)]).appended == 1
    assert len(records(address)) == 3


def test_one_recording_under_the_names_of_two_hosts_is_two(make_topic: MakeTopic) -> None:
    """Whether their partition is the same is up to a hash: it must not decide what a producer may do."""
    address = make_topic()
    assert append(address, [a_frame("r", 0, host="one"), a_frame("r", 0, host="two", seed=7)]) == (2, 0)
    assert append(address, [a_frame("r", 0, host="two", seed=7), a_frame("r", 0, host="one")]) == (0, 2)
    assert [record.header.host for record in records(address)] == ["one", "two"]


# -- back-pressure -------------------------------------------------------------------------------------------------------


def test_a_full_queue_is_waited_for(make_topic: MakeTopic) -> None:
    address = with_settings(make_topic(), {"queue.buffering.max.messages": "2"})
    assert append(address, [a_frame("r", number) for number in range(200)]) == (200, 0)
    assert [record.header.frame for record in records(address)] == list(range(200))


def test_an_append_is_acknowledged_when_it_returns(make_topic: MakeTopic) -> None:
    address = with_settings(make_topic(), {"linger.ms": "50"})
    with KafkaLogWriter(address) as writer, KafkaLogReader(address) as reader:
        for number in range(5):
            result = writer.append([a_frame("r", number)])
            assert result.last_offset == number
            assert reader.high_watermark(0) == number + 1


# -- what is read --------------------------------------------------------------------------------------------------------


def test_a_message_whose_bytes_are_not_those_that_were_sent_is_damage_of_its_stream(make_topic: MakeTopic) -> None:
    address = make_topic()
    key, value, headers = as_message(a_frame("r", 1))
    send_raw(address, as_message(a_frame("r", 0)), (key, value[:-9] + b"x" * 9, headers))
    with KafkaLogReader(address) as reader:
        assert [record.offset for record in reader.read(0, 0)] == [0]
        with pytest.raises(FrameDamaged, match="partition 0, offset 1") as told:
            reader.read(0, 1)
        assert told.value.stream == ("h", "b")


@pytest.mark.parametrize(
    ("headers", "stream"),
    [({BOOT_HEADER: b"b"}, ("h", "b")), ({}, ("h", ANY_BOOT)), ({BOOT_HEADER: b"\xff"}, ("h", ANY_BOOT))],
)
def test_a_message_that_is_no_frame_is_damage_of_whom_its_key_names(
    make_topic: MakeTopic, headers: dict[str, bytes], stream: tuple[str, str]
) -> None:
    address = make_topic()
    send_raw(address, (b"h", b"hello", headers))
    with KafkaLogReader(address) as reader, pytest.raises(FrameDamaged) as told:
        reader.read(0, 0)
    assert told.value.stream == stream
    assert not isinstance(told.value, ForeignMessage)


@pytest.mark.parametrize("key", [None, b"", b"\xff", b"k" * 1025])
@pytest.mark.parametrize("with_frame", [False, True])
def test_a_message_whose_key_is_no_name_is_nobodys(make_topic: MakeTopic, key: bytes | None, with_frame: bool) -> None:
    """Whatever its headers and bytes say: it is skipped, and harms no stream."""
    address, (_, value, headers) = make_topic(), as_message(a_frame("r", 0))
    send_raw(address, (key, value if with_frame else b"hello", headers))
    with KafkaLogReader(address) as reader, pytest.raises(ForeignMessage) as told:
        reader.read(0, 0)
    assert told.value.stream is None


def test_a_frame_under_another_hosts_key_is_damage_of_whom_the_key_names(make_topic: MakeTopic) -> None:
    address, (_, value, headers) = make_topic(), as_message(a_frame("r", 0))
    send_raw(address, (b"somebody", value, headers))
    with KafkaLogReader(address) as reader, pytest.raises(FrameDamaged, match="under another host's key") as told:
        reader.read(0, 0)
    assert told.value.stream == ("somebody", "b")


def test_reading_goes_on_after_what_was_damaged(make_topic: MakeTopic) -> None:
    address = make_topic()
    send_raw(address, (b"h", b"hello", {}), as_message(a_frame("r", 0)))
    with KafkaLogReader(address) as reader:
        with pytest.raises(FrameDamaged):
            reader.read(0, 0)
        assert [record.header.frame for record in reader.read(0, 1)] == [0]


def test_what_retention_removed_is_a_gap_also_for_a_reader_that_was_there_before(
    kafka: Kafka, make_topic: MakeTopic
) -> None:
    address = make_topic()
    append(address, [a_frame("r", number) for number in range(10)])
    with KafkaLogReader(address) as reader:
        assert len(reader.read(0, 0, 1)) == 1
        kafka.delete_records(address.topic, 0, 6)
        assert reader.low_watermark(0) == 6
        with pytest.raises(OffsetGap, match="expected offset 3, found 6"):
            reader.read(0, 3)
        assert [record.offset for record in reader.read(0, 6)] == [6, 7, 8, 9]


def test_an_offset_beyond_the_end_is_a_gap(make_topic: MakeTopic) -> None:
    address = make_topic()
    append(address, [a_frame("r", 0)])
    with KafkaLogReader(address) as reader, pytest.raises(OffsetGap):
        reader.read(0, 2)


def test_markers_of_transactions_are_no_records(make_topic: MakeTopic) -> None:
    address = make_topic()
    sender = producer(",".join(address.brokers), **{"transactional.id": address.topic})
    sender.init_transactions(30)
    for number in range(3):
        sender.begin_transaction()
        key, value, headers = as_message(a_frame("r", number))
        sender.produce(address.topic, value, key, partition=0, headers=headers)
        sender.commit_transaction(30)
    with KafkaLogReader(address) as reader:
        assert [record.offset for record in from_low(reader, 0)] == [0, 2, 4]
        assert reader.high_watermark(0) == 6
        assert reader.read(0, 5) == []
        assert reader.read(0, 5) == []


def test_a_topic_made_again_is_another_log(kafka: Kafka, make_topic: MakeTopic) -> None:
    ids = set()
    for _ in range(2):
        address = make_topic()
        with KafkaLogReader(address) as reader:
            ids.add(reader.log_id)
        kafka.delete_topic(address.topic)
    assert len(ids) == 2


# -- topics that cannot be used ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", [KafkaLogReader, KafkaLogWriter])
def test_a_compacted_topic_is_refused(make_topic: MakeTopic, end: type) -> None:
    address = make_topic(cleanup_policy="compact")
    with pytest.raises(TopicUnfit, match=r"cleanup\.policy=delete, found compact"):
        end(address)


@pytest.mark.parametrize("end", [KafkaLogReader, KafkaLogWriter])
def test_a_topic_that_is_not_there_is_said_to_be_missing_at_once(kafka: Kafka, topic: str, end: type) -> None:
    before = time.monotonic()
    with pytest.raises(TopicMissing, match="pagetrail topic create"):
        end(parse_log_address(f"kafka://{kafka.bootstrap}/{topic}"))
    assert time.monotonic() - before < 10
