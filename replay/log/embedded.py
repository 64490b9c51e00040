"""The embedded log's reading end: bounded reads of SQLite files, while others append to them."""

import sqlite3
from contextlib import AbstractContextManager, closing, suppress
from pathlib import Path

from pagetrail.schemas.errors import FrameDamaged, OffsetGap, TrailMissing
from pagetrail.schemas.frames import FrameHeader, decode_header, frame_digest
from pagetrail.schemas.log.contract import (
    EMBEDDED_LOG,
    EMBEDDED_PARTITION,
    MAX_READ_BYTES,
    FramePlace,
    LogFile,
    LogRecord,
    check_format,
    log_directory,
    log_files,
)
from pagetrail.schemas.log.stored import StoredRecording, release_of, stored_recording
from pagetrail.schemas.log.trouble import sqlite_explained

_SELECT = """SELECT offset, CAST(host AS TEXT), CAST(boot_id AS TEXT), CAST(digest AS BLOB), CAST(payload AS BLOB) FROM frames
    WHERE offset >= ? ORDER BY offset"""
_LATER = """SELECT last_ts, payload FROM frames WHERE host = ? AND boot_id = ? AND recording NOT IN (?, ?{besides}) AND last_ts > ?
    ORDER BY last_ts DESC LIMIT 1"""
_NEWEST = "SELECT last_ts, recording FROM frames WHERE host = ? AND boot_id = ? ORDER BY last_ts DESC LIMIT 1"
_BEGINS = """SELECT recording, min(first_ts) FROM frames WHERE host = ? AND boot_id = ? AND recording NOT IN (?, ?)
    GROUP BY recording"""
_HOLDING = """SELECT offset, first_seq, last_seq FROM frames WHERE recording = ? AND first_seq <= ? AND last_seq >= ?
    ORDER BY frame LIMIT 1"""
_PLACES = "SELECT offset, first_seq, last_seq FROM frames WHERE recording = ? ORDER BY frame"
_ENDS_OF = """SELECT payload FROM frames WHERE recording = ? ORDER BY frame {order} LIMIT 1"""
_FIRSTS = """SELECT payload FROM frames WHERE host = ? AND boot_id = ? AND recording NOT IN (?, ?) AND first_seq = 0
    ORDER BY offset"""
_BUSY_SECONDS = 60.0
_NO_INDEX = (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL)
_Row = tuple[int, str, str, bytes, bytes]


class SqliteLogReader:
    """Reads the embedded log of a trail. It never writes, and holds no cursor between calls: the WAL stays small."""

    def __init__(self, trail: Path) -> None:
        self._trail = trail
        self._current: tuple[LogFile, sqlite3.Connection] | None = None
        self._connect(self._files()[-1])

    @property
    def log_id(self) -> str:
        """The id of every embedded log: it needs no name of its own, as it is in its trail."""
        return EMBEDDED_LOG

    def partitions(self) -> tuple[int, ...]:
        """Return the one partition of an embedded log."""
        return (EMBEDDED_PARTITION,)

    def low_watermark(self, partition: int) -> int:
        """Return the offset of the first record that is still kept."""
        _require(partition)
        return self._files()[0].first_offset

    def high_watermark(self, partition: int) -> int:
        """Return the offset that the next record will get."""
        _require(partition)
        newest = self._files()[-1]
        with self._explained(newest):
            last = self._connect(newest).execute("SELECT max(offset) FROM frames").fetchone()[0]
        return newest.first_offset if last is None else int(last) + 1

    def read(self, partition: int, offset: int, max_bytes: int = MAX_READ_BYTES) -> list[LogRecord]:
        """Return records from *offset* on: at most *max_bytes* of them, but at least one if there is one.

        For exceptions, see ``LogReader.read``.
        """
        _require(partition)
        records: list[LogRecord] = []
        room = max_bytes
        for file in self._from(offset):
            rows, room = self._rows(file, offset, room, bool(records))
            for row in rows:
                try:
                    record = _record(file, *row)
                except FrameDamaged:
                    if records:
                        return records
                    raise
                if record.offset != offset:
                    raise OffsetGap(partition=partition, expected=offset, found=record.offset)
                records.append(record)
                offset += 1
            if room < 0:
                break
        return records

    def locate(self, recording: str, seq: int) -> FramePlace | None:
        """Return the place of event *seq* of a recording; null: it is not in the log, or no longer."""
        for file in reversed(self._files()):
            with self._explained(file):
                row = self._connect(file).execute(_HOLDING, (recording, seq, seq)).fetchone()
            if row is not None:
                offset, first_seq, last_seq = row
                return FramePlace(partition=EMBEDDED_PARTITION, offset=offset, first_seq=first_seq, last_seq=last_seq)
        return None

    def places(self, recording: str) -> list[FramePlace]:
        """Return the places of all frames of a recording that the log holds, in their order."""
        found = []
        for file in self._files():
            with self._explained(file):
                rows = self._connect(file).execute(_PLACES, (recording,)).fetchall()
            found += [
                FramePlace(partition=EMBEDDED_PARTITION, offset=offset, first_seq=first, last_seq=last)
                for offset, first, last in rows
            ]
        return sorted(found, key=lambda place: place.first_seq)

    def stored(self, recording: str) -> StoredRecording | None:
        """Return what the log holds of a recording; null: nothing."""
        ends: list[bytes] = []
        for order in ("ASC", "DESC"):
            for file in self._files() if order == "ASC" else reversed(self._files()):
                with self._explained(file):
                    row = self._connect(file).execute(_ENDS_OF.format(order=order), (recording,)).fetchone()
                if row is not None:
                    ends.append(row[0])
                    break
        return stored_recording(*ends) if ends else None

    def later_recording(self, header: FrameHeader, besides: str | None = None) -> FrameHeader | None:
        """Return the last frame of another recording of *header*'s boot that ends after *header* begins; null: there is none.

        Two recordings of one boot may follow each other; they may not overlap. *besides*: a recording whose place it takes; then
        those that begin later may be there, as they followed that one.
        """
        found: FrameHeader | None = None
        begins: dict[str, int] = {}
        whose = (header.host, header.boot_id, header.recording, besides or header.recording)
        for file in self._files():
            with self._explained(file):
                firsts = self._connect(file).execute(_BEGINS, whose).fetchall() if besides else []
            begins |= {name: min(first_ts, begins.get(name, first_ts)) for name, first_ts in firsts}
        following = [name for name, first_ts in begins.items() if first_ts > header.first_ts]
        for file in self._files():
            with self._explained(file):
                query = _LATER.format(besides="".join(", ?" for _ in following))
                row = self._connect(file).execute(query, (*whose, *following, header.first_ts)).fetchone()
            if row is not None and (found is None or row[0] > found.last_ts):
                found = decode_header(row[1])
        return found

    def newest(self, host: str, boot_id: str) -> StoredRecording | None:
        """Return the recording of a boot that ends last; null: there is none."""
        found: tuple[int, str] | None = None
        for file in self._files():
            with self._explained(file):
                row = self._connect(file).execute(_NEWEST, (host, boot_id)).fetchone()
            if row is not None and (found is None or row[0] > found[0]):
                found = row
        return None if found is None else self.stored(found[1])

    def release(self, header: FrameHeader, besides: str | None = None) -> str | None:
        """Return the kernel release that the first other recording of *header*'s boot names which names one; null: none does.

        *besides*: a recording whose place it takes.
        """
        whose = (header.host, header.boot_id, header.recording, besides or header.recording)
        for file in self._files():
            with self._explained(file), closing(self._connect(file).execute(_FIRSTS, whose)) as firsts:
                for (payload,) in firsts:
                    if (found := release_of(payload)) is not None:
                        return found
        return None

    def close(self) -> None:
        """Close the last file that was read."""
        if self._current is not None:
            self._current[1].close()
            self._current = None

    def __enter__(self) -> "SqliteLogReader":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _files(self) -> list[LogFile]:
        directory = log_directory(self._trail)
        files = log_files(directory.iterdir()) if directory.is_dir() else []
        if not files:
            raise TrailMissing(path=str(self._trail))
        return files

    def _from(self, offset: int) -> list[LogFile]:
        """Return the files that may hold *offset* and later records."""
        files = self._files()
        if offset < files[0].first_offset:
            raise OffsetGap(partition=EMBEDDED_PARTITION, expected=offset, found=files[0].first_offset)
        before = sum(file.first_offset <= offset for file in files)
        return files[before - 1 :]

    def _rows(self, file: LogFile, offset: int, room: int, any_yet: bool) -> tuple[list[_Row], int]:
        """Return rows of one file, and the room that is left: below 0 if a row did not fit. The cursor is closed."""
        rows: list[_Row] = []
        with self._explained(file), closing(self._connect(file).execute(_SELECT, (offset,))) as cursor:
            while room >= 0 and (row := cursor.fetchone()) is not None:
                room -= len(row[-1])
                if room >= 0 or not (rows or any_yet):
                    rows.append(row)
        return rows, room

    def _connect(self, file: LogFile) -> sqlite3.Connection:
        if self._current is not None and self._current[0] == file:
            return self._current[1]
        self.close()
        with self._explained(file):
            connection = _open(file.path)
        self._current = (file, connection)
        return connection

    def _explained(self, file: LogFile) -> AbstractContextManager[None]:
        return sqlite_explained(file.path, busy_seconds=_BUSY_SECONDS)


def files_there(trail: Path) -> tuple[tuple[str, int, int], ...]:
    """Return the files of the log in a trail, as what tells them from others of the same names; empty: there is no log."""
    directory = log_directory(trail)
    found = log_files(directory.iterdir()) if directory.is_dir() else []
    with suppress(FileNotFoundError):
        stats = [(file.path.name, file.path.stat()) for file in found]
        return tuple((name, stat.st_dev, stat.st_ino) for name, stat in stats)
    return ()


def _open(path: Path) -> sqlite3.Connection:
    """Return a connection that cannot write."""
    try:
        return _open_as(path, "mode=ro")
    except sqlite3.OperationalError as error:
        # On a read-only or full medium SQLite cannot create the WAL's index; without a WAL, no process changes the file.
        if error.sqlite_errorcode & 0xFF not in _NO_INDEX or Path(f"{path}-wal").exists():
            raise
    return _open_as(path, "mode=ro&immutable=1")


def _open_as(path: Path, mode: str) -> sqlite3.Connection:
    uri = f"{path.absolute().as_uri()}?{mode}"
    connection = sqlite3.connect(uri, uri=True, timeout=_BUSY_SECONDS, isolation_level=None)
    connection.text_factory = _text
    try:
        check_format(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def _text(content: bytes) -> str:
    """Return a text of the log; SQLite does not check that it is UTF-8."""
    return content.decode("utf-8", "replace")


def _record(file: LogFile, offset: int, host: str, boot_id: str, digest: bytes, payload: bytes) -> LogRecord:
    where, stream = f"{file.path}, offset {offset}", (host, boot_id)
    if frame_digest(payload) != digest:
        raise FrameDamaged(where=where, reason="bytes whose digest differs from the stored one", stream=stream)
    try:
        header = decode_header(payload, where)
    except FrameDamaged as error:
        raise FrameDamaged(where=error.where, reason=error.reason, stream=stream) from error
    if (header.host, header.boot_id) != stream:
        raise FrameDamaged(
            where=where, reason=f"a frame of {header.host}/{header.boot_id} in their place", stream=stream
        )
    return LogRecord(partition=EMBEDDED_PARTITION, offset=offset, header=header, payload=payload, digest=digest)


def _require(partition: int) -> None:
    if partition != EMBEDDED_PARTITION:
        raise ValueError(f"the embedded log has only partition {EMBEDDED_PARTITION}, not {partition}")
