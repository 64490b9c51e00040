"""The log: what every backend promises, and the layout of the embedded log on disk.

The promises, checked by one contract suite (tests/contracts/test_log.py):

- Offsets of a partition begin at its low watermark and grow.
- An append is durable when it returns; frames of one host keep their order; a record never changes.
- A writer does not store a frame twice: the same bytes are a duplicate; other bytes are a ``FrameConflict``, and then nothing
  of that append is stored.
- An append that failed, or whose writer was killed, can be repeated and then succeeds.

What the backends promise beyond that:

- Embedded: an append is stored completely or not at all. A (recording, frame number) is stored once, whichever process appends.
  Offsets grow by one.
- Kafka: of a failed append, the first frames may be stored. Two writers, or a restarted one that does not look back far enough for
  the earlier frames, may store a frame twice; replay skips the second. A frame too large for a message is stored as parts with the
  same number, each with its own range of ``seq``.
"""

import re
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from pagetrail.schemas.errors import FrameDamaged, TrailTooNew
from pagetrail.schemas.frames import Frame, FrameHeader

TRAIL_FORMAT: Final = 1
"""Version of the embedded layout. A pagetrail refuses a log of a later one."""

EMBEDDED_PARTITION: Final = 0
"""The embedded log has one partition."""

EMBEDDED_LOG: Final = "embedded"
"""The ``log_id`` of an embedded log: it is in its trail, and a trail has only one."""

ANY_BOOT: Final = ""
"""In place of a boot_id: a record of this host whose boot is unknown."""

MAX_READ_BYTES: Final = 64 << 20
"""Default for the most bytes that one read returns; it returns one record whatever its size."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogRecord:
    """A frame at its place in the log. ``digest`` is the BLAKE2b-256 of ``payload``."""

    partition: int
    offset: int
    header: FrameHeader
    payload: bytes
    digest: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class FramePlace:
    """The place of a frame in the log, and the events (seq) of its recording that it holds, both ends included."""

    partition: int
    offset: int
    first_seq: int
    last_seq: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AppendResult:
    """Result of an append: frames stored, frames that were there before, and the last known offset, if any.

    That offset is in the partition that was appended to last.
    """

    appended: int
    duplicates: int
    last_offset: int | None


class LogWriter(Protocol):
    """The end of the log that producers hold."""

    def append(self, frames: Sequence[Frame]) -> AppendResult:
        """Store *frames* and return when they are durable; for what is stored when it raises, see the module.

        Raises
        ------
        FrameConflict
            A (recording, frame number) is stored already with other bytes.
        StorageFull, StorageFailed
            No space is left, or the system refuses to write; nothing of *frames* was stored.
        """

    def flush(self) -> None:
        """Return when all appended frames are durable."""

    def close(self) -> None:
        """Flush, and release the writer's resources."""


class LogReader(Protocol):
    """The end of the log that replay holds."""

    @property
    def log_id(self) -> str:
        """The unique id of this log: an offset of one log has no meaning in another."""

    def partitions(self) -> tuple[int, ...]:
        """Return the partitions of the log."""

    def low_watermark(self, partition: int) -> int:
        """Return the offset of the first record that is still kept."""

    def high_watermark(self, partition: int) -> int:
        """Return the offset that the next record will get."""

    def read(self, partition: int, offset: int, max_bytes: int = MAX_READ_BYTES) -> list[LogRecord]:
        """Return records from *offset* on, in order, without a hole; none at the high watermark.

        Raises
        ------
        OffsetGap
            *offset* is below the low watermark or beyond the high one, or the log skips a record.
        FrameDamaged
            The bytes of the record at *offset* are not those that were appended. Intact records before a damaged one are
            returned first.
        """

    def locate(self, recording: str, seq: int) -> FramePlace | None:
        """Return the place of event *seq* of a recording; null: it is no longer in the log, or cannot be found."""

    def close(self) -> None:
        """Release the reader's resources."""


# The embedded layout. log/00000000000000000000.sqlite holds offsets from 0 on; when a file has grown to FILE_BYTES the
# next one begins, named by its first offset. Old events are dropped by removing files, the oldest first.

LOG_DIRECTORY: Final = "log"
FILE_BYTES: Final = 2 << 30
PAGE_BYTES: Final = 16_384
"""Frames are hundreds of kilobytes: larger pages mean shorter overflow chains."""

_FILE_NAME = re.compile(r"(\d{20})\.sqlite")

PAGE_SIZE: Final = f"PRAGMA page_size = {PAGE_BYTES}"
WRITE_AHEAD: Final = "PRAGMA journal_mode = WAL"
"""Returns the mode that the file is in then: another one if it could not be changed."""
WRITE_PRAGMAS: Final = ("PRAGMA synchronous = FULL",)

# A rowid table: WITHOUT ROWID was three times slower with payloads of this size.
DDL: Final = (
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL)",
    """CREATE TABLE frames (
        offset    INTEGER PRIMARY KEY,
        recording TEXT    NOT NULL,
        frame     INTEGER NOT NULL,
        host      TEXT    NOT NULL,
        boot_id   TEXT    NOT NULL,
        first_seq INTEGER NOT NULL,
        last_seq  INTEGER NOT NULL,
        first_ts  INTEGER NOT NULL, -- trace clock, ns
        last_ts   INTEGER NOT NULL, -- trace clock, ns
        rows      INTEGER NOT NULL,
        version   INTEGER NOT NULL, -- of the event schema
        digest    BLOB    NOT NULL, -- BLAKE2b-256 of payload
        payload   BLOB    NOT NULL, -- the frame
        UNIQUE (recording, frame)
    )""",
)
FORMAT_KEY: Final = "format"
FIRST_OFFSET_KEY: Final = "first_offset"


@dataclass(frozen=True, slots=True, order=True)
class LogFile:
    """One file of the embedded log, by its first offset."""

    first_offset: int
    path: Path


def log_directory(trail: Path) -> Path:
    """Return the directory of *trail*'s embedded log."""
    return trail / LOG_DIRECTORY


def log_file(directory: Path, first_offset: int) -> LogFile:
    """Return the file in *directory* that begins at *first_offset*."""
    return LogFile(first_offset, directory / f"{first_offset:020d}.sqlite")


def log_files(names: Iterable[Path]) -> list[LogFile]:
    """Return those of *names* that are files of a log, in order of their offsets."""
    matches = ((_FILE_NAME.fullmatch(path.name), path) for path in names)
    return sorted(LogFile(int(match[1]), path) for match, path in matches if match)


def check_format(connection: sqlite3.Connection, path: Path) -> None:
    """Raise ``TrailTooNew`` for a log file of a later format, ``FrameDamaged`` for a database that is not a log file."""
    row = None
    if connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'meta'").fetchone():
        row = connection.execute("SELECT value FROM meta WHERE key = ?", (FORMAT_KEY,)).fetchone()
    if row is None:
        raise FrameDamaged(where=str(path), reason="a database without a format version")
    if int(row[0]) > TRAIL_FORMAT:
        raise TrailTooNew(path=str(path), found=int(row[0]), supported=TRAIL_FORMAT)
