"""The promises of the log (``pagetrail.schemas.log.contract``), for every backend."""

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pagetrail.schemas.errors import FrameConflict, OffsetGap, StorageFull
from pagetrail.schemas.frames import decode_frame, frame_digest
from pagetrail.schemas.log.contract import LogReader, LogRecord
from tests.conftest import REPOSITORY
from tests.contracts.backends import BACKENDS, Backend, a_frame
from tests.contracts.topics import BROKERS


@pytest.fixture(params=BACKENDS)
def name(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    needs = BACKENDS[request.param].needs
    if needs is not None:
        monkeypatch.setenv(BROKERS, request.getfixturevalue(needs).bootstrap)
    return str(request.param)


@pytest.fixture
def backend(name: str) -> Backend:
    return BACKENDS[name]


appends_are_whole = pytest.mark.parametrize("name", [n for n, b in BACKENDS.items() if b.whole], indirect=True)
space_can_end = pytest.mark.parametrize("name", [n for n, b in BACKENDS.items() if b.cramped], indirect=True)


def read_all(reader: LogReader, max_bytes: int = 1 << 20) -> list[LogRecord]:
    """Return every record there is, drawn in bounded reads."""
    (partition,) = reader.partitions()
    offset, found = reader.low_watermark(partition), []
    while records := reader.read(partition, offset, max_bytes):
        found += records
        offset = records[-1].offset + 1
    return found


def records_at(backend: Backend, place: Path) -> list[LogRecord]:
    reader = backend.reader(place)
    try:
        return read_all(reader)
    finally:
        reader.close()


def appender(
    name: str, place: Path, recording: str, frames: int, per_append: int, events: int = 20
) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.contracts.appender", name, str(place), recording]
    return subprocess.Popen(
        [*command, str(frames), str(per_append), str(events)], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True
    )


def in_order(appends: list[list[tuple[str, int]]]) -> list[list[tuple[str, int]]]:
    """Return *appends* as producers make them: of a recording the next frame, or one that it appended before."""
    following: Counter[str] = Counter()
    made: list[list[tuple[str, int]]] = []
    for append in appends:
        made.append([])
        for recording, number in append:
            kept = min(number, following[recording])
            following[recording] += kept == following[recording]
            made[-1].append((recording, kept))
    return made


def assert_whole(records: list[LogRecord]) -> None:
    """Assert that offsets are dense, and every record is a whole frame."""
    assert [record.offset for record in records] == list(range(len(records)))
    for record in records:
        header, batch = decode_frame(record.payload)
        assert (header, len(batch), frame_digest(record.payload)) == (record.header, header.rows, record.digest)


def test_what_was_appended_is_read(backend: Backend, tmp_path: Path) -> None:
    frames = [a_frame("r", number) for number in range(10)]
    writer = backend.writer(tmp_path)
    writer.append(frames)
    writer.close()
    found = records_at(backend, tmp_path)
    assert [(r.header, r.payload, r.digest) for r in found] == [(f.header, f.payload, f.digest) for f in frames]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=15)
@given(st.lists(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 12)), max_size=6), max_size=6))
def test_offsets_are_dense_and_the_order_of_appends_is_kept(
    backend: Backend, tmp_path_factory: pytest.TempPathFactory, appends: list[list[tuple[str, int]]]
) -> None:
    place = tmp_path_factory.mktemp("log")
    appends = appends if backend.whole else in_order(appends)
    writer, expected = backend.writer(place), dict[tuple[str, int], None]()
    for append in appends:
        before = len(expected)
        expected.update(dict.fromkeys(append))
        result = writer.append([a_frame(*key) for key in append])
        stored = len(expected) - before
        last = len(expected) - 1 if expected else None
        assert (result.appended, result.duplicates, result.last_offset) == (stored, len(append) - stored, last)
    writer.close()
    found = records_at(backend, place)
    assert_whole(found)
    assert [(record.header.recording, record.header.frame) for record in found] == list(expected)


def test_an_append_repeated_stores_nothing(backend: Backend, tmp_path: Path) -> None:
    frames = [a_frame("r", number) for number in range(60)]
    writer = backend.writer(tmp_path)
    for start in range(0, 60, 6):
        writer.append(frames[start : start + 6])
    again = [writer.append(frames), writer.append(frames[:3])]
    writer.close()
    assert [(result.appended, result.duplicates, result.last_offset) for result in again] == [(0, 60, 59), (0, 3, 59)]
    assert len(records_at(backend, tmp_path)) == 60


def test_one_frame_number_with_other_bytes_is_a_conflict_and_nothing_of_that_append_is_stored(
    backend: Backend, tmp_path: Path
) -> None:
    writer = backend.writer(tmp_path)
    for number in range(40):
        writer.append([a_frame("r", number)])
    with pytest.raises(FrameConflict, match="recording r frame 1"):
        writer.append([a_frame("other", 0), a_frame("r", 1, seed=7)])
    result = writer.append([a_frame("r", 40)])
    writer.close()
    assert result.last_offset == 40
    assert [record.header.recording for record in records_at(backend, tmp_path)] == ["r"] * 41


def test_an_event_is_located_in_the_frame_that_holds_it(backend: Backend, tmp_path: Path) -> None:
    writer = backend.writer(tmp_path)
    for number in range(30):
        writer.append([a_frame("r", number), a_frame("s", number)])
    writer.close()
    reader = backend.reader(tmp_path)
    for recording, seq in (("r", 0), ("s", 20 * 30 - 1), ("r", 123)):
        place = reader.locate(recording, seq)
        assert place is not None
        (record, *_) = reader.read(place.partition, place.offset)
        said = (record.offset, record.header.recording, record.header.first_seq, record.header.last_seq)
        assert said == (place.offset, recording, place.first_seq, place.last_seq)
        assert place.first_seq <= seq <= place.last_seq
    assert reader.locate("r", 20 * 30) is None
    assert reader.locate("nobody's", 0) is None
    reader.close()


def test_a_read_is_bounded_and_returns_at_least_one_record(backend: Backend, tmp_path: Path) -> None:
    frames = [a_frame("r", number) for number in range(40)]
    writer = backend.writer(tmp_path)
    for frame in frames:
        writer.append([frame])
    reader = backend.reader(tmp_path)
    (partition,) = reader.partitions()
    three = sum(len(frame.payload) for frame in frames[5:8])
    assert [record.offset for record in reader.read(partition, 5, three)] == [5, 6, 7]
    assert [record.offset for record in reader.read(partition, 5, three - 1)] == [5, 6]
    assert [record.offset for record in reader.read(partition, 5, 1)] == [5]
    assert [r.offset for r in read_all(reader, 1)] == [r.offset for r in read_all(reader)] == list(range(40))
    reader.close()
    writer.close()


def test_watermarks_are_the_first_offset_kept_and_the_next_one_to_come(backend: Backend, tmp_path: Path) -> None:
    writer, reader = backend.writer(tmp_path), backend.reader(tmp_path)
    (partition,) = reader.partitions()
    assert (reader.low_watermark(partition), reader.high_watermark(partition)) == (0, 0)
    writer.append([a_frame("r", 0), a_frame("r", 1)])
    assert (reader.low_watermark(partition), reader.high_watermark(partition)) == (0, 2)
    assert reader.read(partition, 2) == []
    reader.close()
    writer.close()


def test_reading_below_the_low_watermark_is_a_gap(backend: Backend, tmp_path: Path) -> None:
    backend.writer(tmp_path).close()
    reader = backend.reader(tmp_path)
    with pytest.raises(OffsetGap):
        reader.read(reader.partitions()[0], -1)
    reader.close()


def test_one_append_may_hold_frames_of_many_recordings(backend: Backend, tmp_path: Path) -> None:
    frames = [a_frame(f"recording {number}", 0) for number in range(150)]
    writer = backend.writer(tmp_path / "trail")
    assert writer.append(frames).appended == 150
    assert writer.append(frames).duplicates == 150
    writer.close()
    assert len(records_at(backend, tmp_path / "trail")) == 150


def test_two_readers_of_one_log_say_the_same_id(backend: Backend, tmp_path: Path) -> None:
    backend.writer(tmp_path).close()
    readers = [backend.reader(tmp_path) for _ in range(2)]
    assert readers[0].log_id == readers[1].log_id
    for reader in readers:
        reader.close()


@appends_are_whole
def test_a_reader_sees_whole_appends_only_while_another_process_appends(
    name: str, backend: Backend, tmp_path: Path
) -> None:
    backend.writer(tmp_path).close()
    process = appender(name, tmp_path, "r", 300, 3)
    reader, found, looked = backend.reader(tmp_path), list[LogRecord](), 0
    (partition,) = reader.partitions()
    while len(found) < 300 and (process.poll() is None or looked == 0):
        found += reader.read(partition, len(found), 1 << 30)
        assert len(found) % 3 == 0
        looked = process.poll() is not None
    process.communicate()
    reader.close()
    assert_whole(records_at(backend, tmp_path))
    assert len(records_at(backend, tmp_path)) == 300


@appends_are_whole
def test_two_writers_at_once_lose_and_repeat_nothing(name: str, backend: Backend, tmp_path: Path) -> None:
    own = [appender(name, tmp_path, recording, 120, 2) for recording in ("a", "b")]
    both = [appender(name, tmp_path, "shared", 120, 3) for _ in range(2)]
    for process in own + both:
        assert process.communicate()[0].endswith("done\n")
    found = records_at(backend, tmp_path)
    assert_whole(found)
    for recording in ("a", "b", "shared"):
        assert [r.header.frame for r in found if r.header.recording == recording] == list(range(120))


@pytest.fixture
def killed_at(name: str, tmp_path: Path) -> tuple[Path, int, int]:
    """Return (place, frames that were surely appended, frames an append holds) of a writer killed in an append."""
    process = appender(name, tmp_path, "r", 10_000, 4, events=20_000)
    assert process.stdout is not None
    begun = [int(process.stdout.readline()) for _ in range(6)]
    process.kill()
    process.communicate()
    return tmp_path, begun[-1], 4


@appends_are_whole
def test_a_writer_killed_in_an_append_leaves_whole_appends_only(
    backend: Backend, killed_at: tuple[Path, int, int]
) -> None:
    place, sure, per_append = killed_at
    found = records_at(backend, place)
    assert_whole(found)
    assert len(found) >= sure
    assert len(found) % per_append == 0


def test_a_writer_goes_on_where_a_killed_one_stopped(backend: Backend, killed_at: tuple[Path, int, int]) -> None:
    place, sure, _ = killed_at
    writer = backend.writer(place)
    writer.append([a_frame("r", number, 20_000) for number in range(sure + 8)])
    writer.close()
    found = records_at(backend, place)
    assert_whole(found)
    numbers = [record.header.frame for record in found]
    assert list(dict.fromkeys(numbers)) == list(range(sure + 8))
    assert not backend.whole or len(numbers) == sure + 8


@space_can_end
def test_without_space_an_append_fails_whole_and_what_was_stored_stays(backend: Backend, tmp_path: Path) -> None:
    assert backend.cramped is not None
    writer, stored = backend.cramped(tmp_path), 0
    with pytest.raises(StorageFull, match="no space left"):  # noqa: PT012  # some appends fit, the first that does not
        while stored < 1000:
            writer.append([a_frame("r", stored), a_frame("r", stored + 1)])
            stored += 2
    writer.close()
    found = records_at(backend, tmp_path)
    assert_whole(found)
    assert len(found) == stored > 0
    roomy = backend.writer(tmp_path)
    assert roomy.append([a_frame("r", stored), a_frame("r", stored + 1)]).last_offset == stored + 1
    roomy.close()
