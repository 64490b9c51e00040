"""Who may read what a trail holds: kernel addresses and names of processes. Its owner, unless others are let in.

New folders are as open as the folders of the trail that are there, and files as their folder; the first ones are their owner's
alone, whatever the umask. So a trail is shared once (``share``), and stays so.
"""

import errno
import os
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Final

PRIVATE: Final = 0o700
"""Mode of the folders of a trail that nobody shared."""

_SPECIAL: Final = stat.S_ISUID | stat.S_ISGID | stat.S_ISVTX
_NO_MODES: Final = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS)
"""What file systems without modes say: there, whoever mounted it decides."""


def mode_like(folders: Iterable[Path]) -> int:
    """Return the mode that new folders get: that of the first of *folders* that is there, else ``PRIVATE``."""
    for folder in folders:
        try:
            found = folder.stat()
        except (FileNotFoundError, NotADirectoryError):
            continue
        if stat.S_ISDIR(found.st_mode):
            return stat.S_IMODE(found.st_mode) & 0o777
    return PRIVATE


def of_files(mode: int) -> int:
    """Return the mode of the files in folders of *mode*."""
    return mode & 0o666


def of_folders(mode: int) -> int:
    """Return the mode of the folders of files of *mode*: who may read may enter."""
    return mode | (mode & 0o444) >> 2


def make_folder(folder: Path, mode: int) -> None:
    """Make a folder of *mode*, and those above it that are missing, so that they survive a power failure."""
    if folder.is_dir():
        return
    make_folder(folder.parent, mode)
    try:
        folder.mkdir(mode)
    except FileExistsError:
        if not folder.is_dir():
            raise
        return
    set_mode(folder, mode)
    fsync(folder.parent)


def make_file(path: Path, mode: int) -> None:
    """Make an empty file of *mode*, before anything writes into it."""
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode))
    set_mode(path, mode)


def set_mode(path: Path, mode: int) -> None:
    """Give *path* a mode, whatever the umask took from it."""
    found = path.stat().st_mode
    wanted = (found & _SPECIAL) | mode
    if stat.S_IMODE(found) == wanted:
        return
    try:
        path.chmod(wanted)
    except OSError as error:
        if error.errno not in _NO_MODES:
            raise


def fsync(path: Path) -> None:
    """Make what was written to a file, or the names in a folder, durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
