"""The embedded log's writing end: SQLite files that take frames, each append in one transaction."""

import os
import sqlite3
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from pagetrail.schemas.errors import FrameConflict, StorageFull
from pagetrail.schemas.frames import Frame
from pagetrail.schemas.log.contract import (
    DDL,
    FILE_BYTES,
    FIRST_OFFSET_KEY,
    FORMAT_KEY,
    PAGE_SIZE,
    TRAIL_FORMAT,
    WRITE_AHEAD,
    WRITE_PRAGMAS,
    AppendResult,
    LogFile,
    check_format,
    log_directory,
    log_file,
    log_files,
)
from pagetrail.schemas.log.trouble import sqlite_explained
from pagetrail.schemas.store.modes import fsync, make_file, make_folder, mode_like, of_files
from pagetrail.schemas.store.names import STORES_DIRECTORY

_LOOKUP = "SELECT digest FROM frames WHERE recording = ? AND frame = ?"
_INSERT = "INSERT INTO frames VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"

_NEW = ".new"
"""The end of a file's name until it is published."""

LEFT_SECONDS = 3600.0
"""Age above which a file that is not published belongs to a stopped writer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLimits:
    """How large a log file grows before the next one begins, and how long to wait for another writer.

    Attributes
    ----------
    file_bytes
        A file that has reached this size takes no further append.
    busy_seconds
        How long an append waits for another writer's before it gives up with ``TrailBusy``.
    max_file_pages
        A hard limit (``PRAGMA max_page_count``): an append that would pass it fails with ``StorageFull``; null: none.
    """

    file_bytes: int = FILE_BYTES
    busy_seconds: float = 60.0
    max_file_pages: int | None = None


class SqliteLogWriter:
    """Appends frames to the embedded log of a trail. Any number of processes may hold one at a time."""

    def __init__(self, trail: Path, limits: LogLimits | None = None) -> None:
        self._directory = log_directory(trail)
        self._limits = limits or LogLimits()
        self._open: dict[Path, sqlite3.Connection] = {}
        with self._explained():
            make_folder(self._directory, mode_like((trail / STORES_DIRECTORY,)))
            self._sweep()
            if not self._files():
                self._create(0)
            self._newest()

    def append(self, frames: Sequence[Frame]) -> AppendResult:
        """Store *frames* in one transaction: all or none; see ``LogWriter.append``."""
        with self._explained(), self._locked() as (newest, connection):
            offset = first = _next_offset(connection, newest)
            for frame in frames:
                if not self._stored(frame):
                    connection.execute(_INSERT, _row(offset, frame))
                    offset += 1
        appended = offset - first
        return AppendResult(
            appended=appended, duplicates=len(frames) - appended, last_offset=offset - 1 if offset else None
        )

    def flush(self) -> None:
        """Do nothing: an append is durable when it returns."""

    def close(self) -> None:
        """Close the files; the last one to do so folds the write-ahead log into them."""
        for connection in self._open.values():
            connection.close()
        self._open.clear()

    def __enter__(self) -> "SqliteLogWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def _locked(self) -> Iterator[tuple[LogFile, sqlite3.Connection]]:
        """Hold the write lock of the newest file, beginning a new file first when that one is full."""
        while True:
            newest = self._newest()
            connection = self._open[newest.path]
            connection.execute("BEGIN IMMEDIATE")
            try:
                if self._files()[-1] != newest:  # another writer began a new one while we waited for the lock
                    continue
                if self._is_full(connection):
                    self._create(_next_offset(connection, newest))
                    continue
                yield newest, connection
                connection.execute("COMMIT")
                return
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")

    def _newest(self) -> LogFile:
        """Return the file that takes appends, with connections to all files open."""
        files = self._files()
        for gone in self._open.keys() - {file.path for file in files}:
            self._open.pop(gone).close()
        for file in files:
            if file.path not in self._open:
                self._open[file.path] = self._connect(file.path)
        return files[-1]

    def _files(self) -> list[LogFile]:
        return log_files(self._directory.iterdir())

    def _connect(self, path: Path) -> sqlite3.Connection:
        connection = sqlite3.connect(path, timeout=self._limits.busy_seconds, isolation_level=None)
        try:
            check_format(connection, path)
            for pragma in WRITE_PRAGMAS:
                connection.execute(pragma)
            if self._limits.max_file_pages is not None:
                connection.execute(f"PRAGMA max_page_count = {self._limits.max_file_pages}")
        except BaseException:
            connection.close()
            raise
        return connection

    def _is_full(self, connection: sqlite3.Connection) -> bool:
        pages = int(connection.execute("PRAGMA page_count").fetchone()[0])
        page_bytes = int(connection.execute("PRAGMA page_size").fetchone()[0])
        holds_any = connection.execute("SELECT 1 FROM frames LIMIT 1").fetchone() is not None
        return holds_any and pages * page_bytes >= self._limits.file_bytes

    def _create(self, first_offset: int) -> None:
        """Make the file that begins at *first_offset*: written aside, then published whole, without replacing anything.

        It is written without a write-ahead log, which SQLite would fold into the file as it closes it: of what goes wrong there,
        nobody learns.
        """
        aside = self._directory / f".{uuid.uuid4().hex}{_NEW}"
        try:
            make_file(aside, of_files(mode_like((self._directory,))))  # SQLite's own files beside it get the same mode
            with closing(sqlite3.connect(aside, isolation_level=None)) as connection:
                for statement in (PAGE_SIZE, *WRITE_PRAGMAS, "BEGIN", *DDL):
                    connection.execute(statement)
                meta = [(FORMAT_KEY, str(TRAIL_FORMAT)), (FIRST_OFFSET_KEY, str(first_offset))]
                connection.executemany("INSERT INTO meta VALUES (?, ?)", meta)
                connection.execute("COMMIT")
                if connection.execute(WRITE_AHEAD).fetchone() != ("wal",):
                    raise StorageFull(path=str(self._directory), reason="a new log file could not be completed")
            fsync(aside)
            os.link(aside, log_file(self._directory, first_offset).path)
        except FileExistsError:
            pass  # another writer was first: its file is as good
        finally:
            for name in ("", "-journal", "-wal", "-shm"):
                with suppress(OSError):  # of the medium that fails, the first error is the one to tell of
                    Path(f"{aside}{name}").unlink(missing_ok=True)
        fsync(self._directory)

    def _sweep(self) -> None:
        """Remove new files that stopped writers left: those of nobody who may still be at work."""
        for left in self._directory.glob(f".*{_NEW}*"):
            with suppress(OSError):  # another writer was first
                if time.time() - left.stat().st_mtime > LEFT_SECONDS:
                    left.unlink()

    def _stored(self, frame: Frame) -> bool:
        key = (frame.header.recording, frame.header.frame)
        for connection in self._open.values():
            row = connection.execute(_LOOKUP, key).fetchone()
            if row is None:
                continue
            if row[0] != frame.digest:
                stored, offered = row[0].hex()[:16], frame.digest.hex()[:16]
                raise FrameConflict(recording=key[0], frame=key[1], stored=stored, offered=offered)
            return True
        return False

    def _explained(self) -> AbstractContextManager[None]:
        """Turn what SQLite and the system say into our own errors."""
        return sqlite_explained(self._directory, busy_seconds=self._limits.busy_seconds)


def _next_offset(connection: sqlite3.Connection, file: LogFile) -> int:
    last = connection.execute("SELECT max(offset) FROM frames").fetchone()[0]
    return file.first_offset if last is None else int(last) + 1


def _row(offset: int, frame: Frame) -> tuple[int | str | bytes, ...]:
    header = frame.header
    stretch = (header.first_seq, header.last_seq, header.first_ts, header.last_ts, header.rows)
    whose = (header.recording, header.frame, header.host, header.boot_id)
    return (offset, *whose, *stretch, header.version, frame.digest, frame.payload)
