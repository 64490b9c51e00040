"""What SQLite reports of a log file, as our own errors: a full disk, a medium that fails, a file that is not a log."""

import os
import resource
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from pagetrail.schemas.errors import FrameDamaged, StorageFailed, StorageFull, TrailBusy
from pagetrail.schemas.store.space import FULL, explained

_SPACE_NEEDED: Final = 1 << 20
_PROBED: Final = 1 << 16
"""So many bytes are written to find out why others were not: more than a page of the log, or of its index."""

_NOT_WRITTEN: Final = (sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_SHMSIZE)
"""What SQLite says of a quota, or of a limit; but also of a medium that fails."""

_CODE: Final = 0xFF
"""The primary code of an extended one: the rest is its detail."""

_OF_THE_SYSTEM: Final = (
    sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_AUTH,
    sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_NOLFS,
)  # fmt: skip


@contextmanager
def sqlite_explained(where: Path, *, busy_seconds: float) -> Iterator[None]:
    """Raise what SQLite and the system say of *where*, a log file or the folder of all, as an error of ours.

    Raises
    ------
    StorageFull
        No space left: on the disk, in the quota, or below a limit of the file's size.
    StorageFailed
        The system refused to read or write, or failed to.
    TrailBusy
        Another process has held the log for *busy_seconds*.
    FrameDamaged
        The file is not a log file, or was changed.
    """
    try:
        with explained(str(where)):
            yield
    except sqlite3.DatabaseError as error:
        code = getattr(error, "sqlite_errorcode", None)
        primary = None if code is None else code & _CODE
        if primary == sqlite3.SQLITE_FULL or (primary in _OF_THE_SYSTEM and no_space(where)):
            raise StorageFull(path=str(where), reason=str(error)) from error
        if code in _NOT_WRITTEN and _not_allowed_more(where):
            raise StorageFull(path=str(where), reason=str(error)) from error
        if primary in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            holder = f"it has held the log for more than {busy_seconds:g} s"
            raise TrailBusy(path=str(where), what="writer", holder=holder) from error
        if primary in _OF_THE_SYSTEM:
            raise StorageFailed(path=str(where), reason=str(error)) from error
        if primary == sqlite3.SQLITE_NOMEM:
            raise MemoryError(f"{where}: SQLite had no memory") from error
        raise FrameDamaged(where=str(where), reason=f"a log file that SQLite cannot read ({error})") from error


def _not_allowed_more(where: Path) -> bool:
    """Return whether a quota, or a limit of a file's size, is why SQLite could not write: it does not say which error it got."""
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    folder = where if where.is_dir() else where.parent
    if limit != resource.RLIM_INFINITY and _largest(folder) + _PROBED > limit:
        return True
    try:
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(bytes(_PROBED))
            probe.flush()
            os.fsync(probe.fileno())
    except OSError as error:
        return error.errno in FULL
    return False


def _largest(folder: Path) -> int:
    """Return the bytes of the largest file of a folder; one that is removed meanwhile, as SQLite's journals are, is not counted."""
    largest = 0
    with suppress(OSError):
        for entry in os.scandir(folder):
            with suppress(OSError):
                largest = max(largest, entry.stat().st_size if entry.is_file() else 0)
    return largest


def no_space(where: Path) -> bool:
    """Return whether the disk of a file or folder has so little room, or so few files left, that this may be why SQLite failed."""
    try:
        found = os.statvfs(where if where.is_dir() else where.parent)
    except OSError:
        return False  # removed meanwhile: what SQLite said of it is what there is to say
    return found.f_bavail * found.f_frsize < _SPACE_NEEDED or (found.f_files > 0 and found.f_favail == 0)
