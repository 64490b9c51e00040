"""What the embedded log promises beyond the contract: its files, its format, its small WAL."""

import sqlite3
from pathlib import Path

import pytest

from pagetrail.producers.log.sink_sqlite import LogLimits, SqliteLogWriter
from pagetrail.replay.log.embedded import SqliteLogReader
from pagetrail.schemas.errors import FrameConflict, FrameDamaged, OffsetGap, TrailBusy, TrailMissing, TrailTooNew
from pagetrail.schemas.log.contract import LogFile, log_directory, log_files
from tests.contracts.backends import a_frame

SMALL_FILES = LogLimits(file_bytes=100_000)


def files_of(trail: Path) -> list[LogFile]:
    return log_files(log_directory(trail).iterdir())


def execute(path: Path, statement: str) -> None:
    connection = sqlite3.connect(path)
    connection.execute(statement)
    connection.commit()
    connection.close()


@pytest.fixture
def trail(tmp_path: Path) -> Path:
    """Return a trail of 60 frames in several files."""
    with SqliteLogWriter(tmp_path, SMALL_FILES) as writer:
        for number in range(60):
            writer.append([a_frame("r", number)])
    assert len(files_of(tmp_path)) > 2
    return tmp_path


def test_each_file_is_named_by_its_first_offset(trail: Path) -> None:
    for file in files_of(trail):
        connection = sqlite3.connect(file.path)
        assert connection.execute("SELECT min(offset) FROM frames").fetchone()[0] == file.first_offset
        connection.close()


def test_the_oldest_file_can_be_dropped_whole(trail: Path) -> None:
    first, second, *_ = files_of(trail)
    first.path.unlink()
    with SqliteLogReader(trail) as reader:
        assert reader.low_watermark(0) == second.first_offset
        assert reader.high_watermark(0) == 60
        assert reader.read(0, second.first_offset)[-1].offset == 59
        with pytest.raises(OffsetGap):
            reader.read(0, 0)


def test_a_missing_file_in_the_middle_is_a_gap(trail: Path) -> None:
    files_of(trail)[1].path.unlink()
    with SqliteLogReader(trail) as reader, pytest.raises(OffsetGap, match="frames are missing"):
        reader.read(0, 0)


def test_a_frame_is_known_again_in_every_file(trail: Path) -> None:
    with SqliteLogWriter(trail, SMALL_FILES) as writer:
        assert writer.append([a_frame("r", number) for number in range(60)]).duplicates == 60
        with pytest.raises(FrameConflict):
            writer.append([a_frame("r", 0, seed=1)])


@pytest.mark.parametrize("end", [SqliteLogReader, SqliteLogWriter])
def test_a_newer_format_is_refused(trail: Path, end: type) -> None:
    newest = files_of(trail)[-1].path
    execute(newest, "UPDATE meta SET value = '2' WHERE key = 'format'")
    with pytest.raises(TrailTooNew, match="expected trail format 1 or older, found 2"):
        end(trail)


@pytest.mark.parametrize("end", [SqliteLogReader, SqliteLogWriter])
@pytest.mark.parametrize("content", [b"garbage " * 1000, b""], ids=["garbage", "empty"])
def test_a_file_that_is_no_log_is_damage(tmp_path: Path, end: type, content: bytes) -> None:
    log_directory(tmp_path).mkdir()
    (log_directory(tmp_path) / f"{0:020d}.sqlite").write_bytes(content)
    with pytest.raises(FrameDamaged):
        end(tmp_path)


def test_where_there_is_no_trail_a_reader_says_so_and_makes_none(tmp_path: Path) -> None:
    with pytest.raises(TrailMissing):
        SqliteLogReader(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()


def test_a_record_whose_bytes_changed_is_damage_and_its_offset_is_told(trail: Path) -> None:
    execute(files_of(trail)[0].path, "UPDATE frames SET payload = zeroblob(length(payload)) WHERE offset = 1")
    with SqliteLogReader(trail) as reader:
        assert len(reader.read(0, 0, 1)) == 1
        with pytest.raises(FrameDamaged, match=r"offset 1: .* digest"):
            reader.read(0, 1, 1)


def test_a_reader_never_writes(trail: Path) -> None:
    newest = files_of(trail)[-1].path
    before = newest.read_bytes()
    with SqliteLogReader(trail) as reader:
        reader.read(0, 0)
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            reader._current[1].execute("DELETE FROM frames")
    assert newest.read_bytes() == before


def test_a_reader_between_reads_does_not_keep_the_wal_growing(tmp_path: Path) -> None:
    with SqliteLogWriter(tmp_path) as writer, SqliteLogReader(tmp_path) as reader:
        wal = Path(f"{files_of(tmp_path)[0].path}-wal")
        largest = 0
        for number in range(120):
            writer.append([a_frame("r", number, 20_000)])
            reader.read(0, number)
            largest = max(largest, wal.stat().st_size)
        assert largest < 2 * 1000 * 16_384 < files_of(tmp_path)[0].path.stat().st_size * 4


def test_a_writer_waits_for_another_and_then_says_who_is_busy(tmp_path: Path) -> None:
    with SqliteLogWriter(tmp_path, LogLimits(busy_seconds=0.01)) as writer:
        holder = sqlite3.connect(files_of(tmp_path)[0].path, isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        with pytest.raises(TrailBusy):
            writer.append([a_frame("r", 0)])
        holder.execute("ROLLBACK")
        holder.close()
        assert writer.append([a_frame("r", 0)]).appended == 1


def test_nothing_is_left_aside_when_a_file_has_been_made(trail: Path) -> None:
    assert [path.name for path in log_directory(trail).iterdir() if ".new" in path.name] == []


def test_every_file_says_its_format_and_keeps_what_was_synced(trail: Path) -> None:
    for file in files_of(trail):
        connection = sqlite3.connect(file.path)
        assert connection.execute("SELECT value FROM meta WHERE key = 'format'").fetchone() == ("1",)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        connection.close()


def test_every_event_is_located_in_the_frame_that_holds_it_or_nowhere(trail: Path) -> None:
    with SqliteLogReader(trail) as reader:
        headers = [(record.offset, record.header) for record in reader.read(0, 0, 1 << 30)]
        for offset, header in headers:
            for seq in (header.first_seq, header.last_seq):
                place = reader.locate("r", seq)
                assert place is not None
                assert (place.offset, place.first_seq, place.last_seq) == (offset, header.first_seq, header.last_seq)
        assert reader.locate("r", headers[-1][1].last_seq + 1) is None
        assert reader.locate("another", 0) is None
        files_of(trail)[0].path.unlink()
    with SqliteLogReader(trail) as reader:
        assert reader.locate("r", 0) is None
