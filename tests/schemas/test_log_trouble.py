"""What SQLite says of a write that failed becomes what it was: a full disk, a quota, a limit, or a medium that fails."""

import errno
import os
import resource
import sqlite3
import tempfile
from pathlib import Path

import pytest

from pagetrail.schemas.errors import StorageFailed, StorageFull
from pagetrail.schemas.log.trouble import sqlite_explained


def fail(folder: Path) -> None:
    """Fail as SQLite does where ``write`` returned an error that it does not repeat."""
    with sqlite_explained(folder, busy_seconds=0):
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = sqlite3.SQLITE_IOERR_WRITE
        raise error


def test_a_medium_that_fails_is_no_full_disk(tmp_path: Path) -> None:
    with pytest.raises(StorageFailed, match=r"found: disk I/O error; check the medium"):
        fail(tmp_path)


@pytest.mark.parametrize(
    ("code", "said"),
    [(errno.EIO, StorageFailed), (errno.EDQUOT, StorageFull), (errno.ENOSPC, StorageFull)],
)
def test_a_quota_is_a_full_disk(
    code: int, said: type[Exception], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(**_: object) -> None:
        raise OSError(code, "it is")

    monkeypatch.setattr(tempfile, "TemporaryFile", refused)
    with pytest.raises(said):
        fail(tmp_path)


def test_a_limit_of_a_files_size_is_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "0.db").write_bytes(bytes(90_000))
    monkeypatch.setattr(resource, "getrlimit", lambda _: (100_000, 100_000))
    with pytest.raises(StorageFull):
        fail(tmp_path)


def test_a_journal_that_vanishes_meanwhile_hides_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """GIVEN a -wal that is removed after the folder was listed, before its size is looked at THEN the error is as without it."""
    (tmp_path / "0.db-wal").write_bytes(b"x")
    scandir = os.scandir

    def then_removed(folder: Path) -> list[os.DirEntry[str]]:
        with scandir(folder) as found:
            entries = list(found)
        for entry in entries:
            Path(entry.path).unlink()
        return entries

    monkeypatch.setattr(os, "scandir", then_removed)
    monkeypatch.setattr(resource, "getrlimit", lambda _: (100_000, 100_000))
    with pytest.raises(StorageFailed, match="disk I/O error"):
        fail(tmp_path)
    assert not (tmp_path / "0.db-wal").exists()


def test_a_folder_that_vanishes_meanwhile_hides_no_error(tmp_path: Path) -> None:
    with pytest.raises(StorageFailed, match="disk I/O error"):
        fail(tmp_path / "removed" / "0.db")
