"""A recording that another reader stored in a topic: ingest says so, however it is called, and mixes nothing."""

import dataclasses
import gzip
from pathlib import Path

import pytest

from pagetrail import api
from pagetrail.producers.log.ingest import IngestReport
from pagetrail.producers.log.sink_kafka import KafkaLimits, KafkaLogWriter
from pagetrail.replay.log.embedded import SqliteLogReader
from pagetrail.schemas.errors import InputError
from pagetrail.schemas.frames import Frame
from pagetrail.schemas.log.address import KafkaAddress
from tests.contracts.backends import a_frame
from tests.contracts.test_log_kafka import append, records
from tests.contracts.topics import MakeTopic, topic_maker
from tests.kafka.client import Kafka
from tests.version_3 import in_version_3

LINE = "  <idle>-0  [000] d....  {:.6f}: mm_page_alloc: page=0 pfn={:#x} order=0 migratetype=0 gfp_flags=GFP_KERNEL\n"
TRACE = "# tracer: nop\n#\n" + "".join(LINE.format(1 + i / 1000, 256 + i) for i in range(50))
COVERS = ("alloc", "free")


@pytest.fixture
def make_topic(kafka: Kafka, topic: str) -> MakeTopic:
    return topic_maker(kafka, topic)


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    path = tmp_path / "trace"
    path.write_text(TRACE)
    return path


def old_frames(trace: Path, folder: Path, *, host: str | None = None) -> list[Frame]:
    """Return the frames of a trace as an older pagetrail made them."""
    api.ingest(folder / "now", trace, covers=COVERS, host=host)
    with SqliteLogReader(folder / "now") as reader:
        found = reader.read(0, 0)
    return [in_version_3(record.payload, record.header) for record in found]


def ingest(trail: Path, source: Path, log: KafkaAddress, *, again: bool = False) -> IngestReport:
    return api.ingest(trail, source, covers=COVERS, log=log, again=again)


def test_what_an_older_reader_stored_in_a_topic_is_refused_and_stored_again_once(
    make_topic: MakeTopic, trace: Path, tmp_path: Path
) -> None:
    address = make_topic(partitions=3)
    append(address, old_frames(trace, tmp_path))
    before = len(records(address))
    with pytest.raises(InputError, match="never mixed"):
        ingest(tmp_path / "trail", trace, address)
    assert len(records(address)) == before
    assert ingest(tmp_path / "trail", trace, address, again=True).duplicates == 0
    packed = tmp_path / "other-name.gz"
    packed.write_bytes(gzip.compress(TRACE.encode()))
    for source, again in ((trace, False), (packed, False), (trace, True)):
        report = ingest(tmp_path / "trail", source, address, again=again)
        assert report.frames == report.duplicates
    assert len(records(address)) == before + 1
    api.replay(tmp_path / "trail", log=address)
    (found,) = api.open(tmp_path / "trail").streams().to_pylist()
    assert found["recordings"] == 1
    assert len(found["superseded"]) == 1


def test_the_begin_of_a_recording_is_looked_for_as_far_back_as_it_is(
    make_topic: MakeTopic, trace: Path, tmp_path: Path
) -> None:
    address, (old,) = make_topic(), old_frames(trace, tmp_path)
    append(address, [old])
    append(address, [a_frame("another", number, host="unknown") for number in range(30)])
    append(address, [later(old)])
    with KafkaLogWriter(address, KafkaLimits(look_back=4)) as writer:
        found = writer.stored({"unknown"}, ["nobody's", old.header.recording])
    assert found is not None
    assert found.begin is not None
    assert not found.is_made_by(2)


def later(old: Frame) -> Frame:
    """Return a later frame of the recording of *old*."""
    number = old.header.last_seq + 1
    frame = a_frame(old.header.recording, number, events=1, host=old.header.host)
    return in_version_3(frame.payload, dataclasses.replace(frame.header, boot_id=old.header.boot_id))


def test_the_same_recording_of_this_reader_is_continued(make_topic: MakeTopic, trace: Path, tmp_path: Path) -> None:
    address = make_topic()
    assert ingest(tmp_path / "trail", trace, address).duplicates == 0
    assert ingest(tmp_path / "trail", trace, address).duplicates == 1
    assert len(records(address)) == 1


def test_another_host_or_boot_is_another_recording(make_topic: MakeTopic, trace: Path, tmp_path: Path) -> None:
    address = make_topic()
    append(address, old_frames(trace, tmp_path))
    api.ingest(tmp_path / "trail", trace, host="named", covers=COVERS, log=address)
    api.ingest(tmp_path / "trail", trace, boot_id="second", covers=COVERS, log=address)
    assert len(records(address)) == 3


def test_a_dump_that_an_older_reader_gave_no_host_is_found_under_any_name(
    make_topic: MakeTopic, tmp_path: Path
) -> None:
    record = (
        "Page allocated via order 0, mask 0xcc0(GFP_KERNEL), pid {0}, tgid {0} (leakd), ts {0}000 ns, free_ts 0 ns\n"
        "PFN {0} type Unmovable Block 0 type Unmovable Flags 0x0()\n get_page_from_freelist+0x1/0x2\n\n"
    )
    dump = tmp_path / "web1.page_owner.txt"
    dump.write_text("".join(record.format(500 + i) for i in range(10)))
    address = make_topic(partitions=5)
    api.ingest(tmp_path / "now", dump, host="unknown")
    with SqliteLogReader(tmp_path / "now") as reader:
        append(address, [in_version_3(record.payload, record.header) for record in reader.read(0, 0)])
    with pytest.raises(InputError, match="--again"):
        api.ingest(tmp_path / "trail", dump, log=address)
    report = api.ingest(tmp_path / "trail", dump, log=address, again=True)
    assert report.origin.host == "unknown"
