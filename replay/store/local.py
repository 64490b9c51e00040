"""The store in local files: a name is a path below one folder. The first backend of ``schemas.store.contract``.

The steps of publishing, after any of which the writer may be stopped: (1) write a draft beside the file's place, (2) fsync it,
(3) link it to its name, which fails if the name exists, (4) fsync the folder, (5) remove the draft. At any time, readers find a
complete file or none. Replacing renames the draft instead of (3) to (5).
"""

import errno
import os
import re
import stat
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pagetrail.schemas.errors import SegmentDamaged
from pagetrail.schemas.log.contract import log_directory
from pagetrail.schemas.store.contract import LocalFile, check_name, is_name
from pagetrail.schemas.store.modes import fsync, make_folder, mode_like, of_files, set_mode
from pagetrail.schemas.store.names import STORES_DIRECTORY
from pagetrail.schemas.store.space import explained
from pagetrail.schemas.store.tables import STORE_FORMAT

LOCKS: Final = ".locks"
"""Folder of the locks (``replay.store.lock``) beside the files: no name of a store begins with a dot."""

LEFT_SECONDS: Final = 3600.0
"""Age above which a draft belongs to a stopped writer, if other processes may be writing."""

_NOT_THERE: Final = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)
"""No such file or folder; a link to itself leads to none."""

_DRAFT: Final = ".writing-"
_DRAFT_OF = re.compile(re.escape(_DRAFT) + r"(.*)\.\d+-[0-9a-f]{12}.*", re.DOTALL)


def store_of(trail: Path) -> "LocalStore":
    """Return the store of a trail on this machine."""
    stores = trail / STORES_DIRECTORY
    return LocalStore(stores / f"v{STORE_FORMAT}", like=(stores, log_directory(trail)))


def has_store_of_another_format(trail: Path) -> bool:
    """Return whether a trail has a store that another version of pagetrail made, in a format of its own."""
    stores = trail / STORES_DIRECTORY
    return stores.is_dir() and any(one.is_dir() and one.name != f"v{STORE_FORMAT}" for one in stores.iterdir())


@dataclass(frozen=True, slots=True)
class LocalStore:
    """Files below a folder of this machine: for the promises of each call, see ``Store``."""

    root: Path
    like: tuple[Path, ...] = ()
    """Folders of the same trail: the store's first one is as open as they are."""

    def where(self, name: str = "") -> str:
        """Return the path of a name."""
        return f"{self.root}/{name}" if name else str(self.root)

    def is_there(self) -> bool:
        """Return whether the folder exists, even if it is empty."""
        return self.root.is_dir()

    def list(self, prefix: str = "") -> Sequence[str]:
        """Return the names that begin with *prefix*, in order."""
        return sorted(name for name, _, draft in self._files(prefix) if not draft)

    def version(self, name: str) -> str | None:
        """Return the version of the file under *name*; null: there is none."""
        found = self._found(name)
        return None if found is None or not stat.S_ISREG(found.st_mode) else _version(found)

    @contextmanager
    def open(self, name: str) -> Iterator[LocalFile]:
        """Give the file itself: a process that has opened it can read it even after its name is removed.

        Nothing but a regular file is opened, and none to which a symbolic link below the root leads: it would be of somebody else.
        """
        found = self._found(name)
        if found is None or stat.S_ISDIR(found.st_mode):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), self.where(name))
        if not stat.S_ISREG(found.st_mode):
            raise SegmentDamaged(path=self.where(name), reason=f"{_kind(found)} in the place of a file")
        path = Path(os.path.abspath(self.root / name))  # noqa: PTH100
        self._check_folder(path.parent, name.rpartition("/")[0])
        within = Path(os.path.abspath(self.root))  # noqa: PTH100
        yield LocalFile(path=path, size=found.st_size, version=_version(found), within=within)

    def publish_if_absent(self, name: str, write: Callable[[Path], object]) -> bool:
        """Publish the file that *write* makes, unless there is one under *name*; return whether it was published."""
        target = self._target(name)
        with explained(str(target)), _a_folder(target), self._draft(target, name) as draft:
            write(draft)
            self._let_read(draft)
            fsync(draft)
            published = _link(draft, target)
            fsync(target.parent)
        return published

    def replace(self, name: str, content: bytes) -> None:
        """Put *content* under *name*."""
        target = self._target(name)
        with explained(str(target)), _a_folder(target), self._draft(target, name) as draft:
            draft.write_bytes(content)
            self._let_read(draft)
            fsync(draft)
            draft.replace(target)

    def remove(self, name: str) -> None:
        """Remove the file under *name*."""
        target = self._target(name)
        if self._is_inside(target.parent, name.rpartition("/")[0]):
            with suppress(FileNotFoundError, NotADirectoryError):
                target.unlink()

    def sweep(self, prefix: str = "", *, alone: bool) -> None:
        """Remove drafts of names that begin with *prefix*; unless *alone*, only those older than ``LEFT_SECONDS``."""
        for _, path, draft in self._files(prefix):
            if draft and (alone or _untouched(path) > LEFT_SECONDS):
                path.unlink(missing_ok=True)

    def make_folder(self, folder: Path) -> None:
        """Make a folder below the root, as open as the store is."""
        make_folder(folder, mode_like((self.root, *self.like)))

    def _let_read(self, draft: Path) -> None:
        set_mode(draft, of_files(mode_like((self.root, *self.like))))

    def _target(self, name: str) -> Path:
        check_name(name)
        return self.root / name

    def _is_inside(self, folder: Path, name: str) -> bool:
        """Return whether a folder is where its name says: no symbolic link below the root leads elsewhere.

        One that is, or leads to, the root is the operator's.
        """
        return os.path.realpath(folder) == os.path.normpath(f"{os.path.realpath(self.root)}/{name}")

    def _check_folder(self, folder: Path, name: str) -> None:
        if not self._is_inside(folder, name):
            raise SegmentDamaged(path=str(folder), reason="a symbolic link in the place of a folder of the store")

    def _found(self, name: str) -> os.stat_result | None:
        check_name(name)
        try:
            return os.lstat(f"{self.root}/{name}")  # every question asks: making a Path takes longer
        except OSError as error:
            if error.errno in _NOT_THERE:
                return None
            raise

    @contextmanager
    def _draft(self, target: Path, name: str) -> Iterator[Path]:
        """Give a path beside *target* to write to; files there are removed afterwards."""
        self.make_folder(target.parent)
        self._check_folder(target.parent, name.rpartition("/")[0])
        draft = target.with_name(f"{_DRAFT}{target.name}.{os.getpid()}-{uuid.uuid4().hex[:12]}")
        try:
            yield draft
        finally:
            for left in _entries(target.parent):
                if left.name.startswith(draft.name):
                    Path(left.path).unlink(missing_ok=True)

    def _files(self, prefix: str) -> Iterator[tuple[str, Path, bool]]:
        """Yield the files of names that begin with *prefix*: the name, the path, and whether it is a draft of that name."""
        folder, below, _ = prefix.rpartition("/")
        if (below and not is_name(folder)) or not self._is_inside(self.root / folder, folder):
            return
        for entry in _entries(self.root / folder):
            last = _published_as(entry.name)
            name = f"{folder}{below}{last}"
            if last.startswith(".") or not name.startswith(prefix):
                continue
            if last == entry.name and entry.is_dir(follow_symlinks=False):
                yield from self._files(f"{name}/")
            else:
                yield name, Path(entry.path), last != entry.name


@contextmanager
def _a_folder(target: Path) -> Iterator[None]:
    """Say what is in the way, if it is no folder."""
    try:
        yield
    except (NotADirectoryError, IsADirectoryError, FileExistsError) as error:
        there = error.filename or target
        raise SegmentDamaged(
            path=str(target), reason=f"no folder, or no file, at {there} ({error.strerror})"
        ) from error
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        raise SegmentDamaged(path=str(target), reason="a symbolic link to itself above it") from error


def _published_as(file: str) -> str:
    """Return the last part of the name that a file is published under, also for a draft; empty: unknown."""
    if not file.startswith(_DRAFT):
        return file
    draft = _DRAFT_OF.fullmatch(file)
    return draft[1] if draft else ""


def _entries(folder: Path) -> Sequence[os.DirEntry[str]]:
    """Return the entries of a folder; none if it does not exist, or is none."""
    try:
        with os.scandir(folder) as found:
            return list(found)
    except OSError as error:
        if error.errno in _NOT_THERE:
            return ()
        raise


def _kind(found: os.stat_result) -> str:
    """Return what is there, if it is no regular file."""
    kinds = {
        stat.S_IFLNK: "a symbolic link", stat.S_IFIFO: "a FIFO", stat.S_IFSOCK: "a socket",
    }  # fmt: skip
    return kinds.get(stat.S_IFMT(found.st_mode), "a device")


def _version(found: os.stat_result) -> str:
    """Return a version that differs between two files of one name, also if one was changed in place."""
    return f"{found.st_dev}:{found.st_ino}:{found.st_size}:{found.st_mtime_ns}"


def _link(draft: Path, target: Path) -> bool:
    try:
        os.link(draft, target)
    except FileExistsError:
        return False
    return True


def _untouched(path: Path) -> float:
    """Return the seconds since a file was written to; 0 if it is gone."""
    try:
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return 0.0
