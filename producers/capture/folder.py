"""The folder of a capture: which of its files may be read, and the texts of the small ones.

A capture may be somebody else's. Only regular files are opened, and a link that leads out of the folder is not followed unless
the user says so: what it names would become part of a trail, and of what is shown of it.
"""

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from pagetrail.producers.inputs import SUFFIXES, open_input, read_to_cut

LINES_BYTES: Final = 1 << 30
"""More is not read of a file that is read line by line, uncompressed: four million uevents."""

LONGEST_LINE: Final = 1 << 16
"""Bytes. What follows them is a line of its own, and is not understood."""

_NOT_THERE: Final = (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG)

_OTHERS: Final = {
    stat.S_IFDIR: "a directory", stat.S_IFIFO: "a FIFO", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}  # fmt: skip


class CaptureFolder:
    """A folder of files, found by their names within it, plain or compressed.

    Parameters
    ----------
    follow_links
        Follow links that lead out of the folder, too.

    Attributes
    ----------
    notes
        What is there and is not read, and why.
    """

    def __init__(self, path: Path, *, follow_links: bool = False) -> None:
        self.path, self._follow_links = path, follow_links
        self._inside = os.path.realpath(path)
        self._notes: dict[str, None] = {}

    @property
    def notes(self) -> list[str]:
        """What is there and is not read, and why."""
        return list(self._notes)

    def find(self, name: str) -> Path | None:
        """Return the path of the file *name*, plain or compressed, if it is there and may be read."""
        paths = (self.path / f"{name}{suffix}" for suffix in SUFFIXES)
        return next((path for path in paths if self._may_read(path)), None)

    def text(self, name: str) -> str | None:
        """Return the whole of the small text file *name*, if it is there and may be read.

        Raises
        ------
        InputError
            It cannot be read, or is larger than any such file.
        """
        path = self.find(name)
        if path is None:
            return None
        found, cut = read_to_cut(path)
        if cut is not None:
            self._note(path, str(cut))
        return found

    def lines(self, name: str) -> Iterator[str]:
        """Yield the lines of the text file *name*, if it is there and may be read: at most ``LINES_BYTES``, and then it says so.

        Raises
        ------
        InputError
            It cannot be read.
        """
        path = self.find(name)
        if path is None:
            return
        with open_input(path, text=True) as stream:
            read = 0
            while line := stream.readline(LONGEST_LINE):
                read += len(line)
                if read > LINES_BYTES:
                    self._note(path, f"only its first {LINES_BYTES >> 20:,} MiB are read")
                    return
                yield line.decode(errors="backslashreplace").rstrip("\r\n")
            if stream.truncated is not None:
                self._note(path, str(stream.truncated))

    def folders(self, name: str) -> list[str]:
        """Return the names of the folders within the folder *name*, in no order; none if it is not there or may not be read."""
        try:
            entries = [*(self.path / name).iterdir()]
        except OSError as error:
            if error.errno not in _NOT_THERE:
                self._note(self.path / name, f"it cannot be read: {error.strerror}")
            return []
        return [path.name for path in entries if os.path.isdir(path) and self._is_inside(path)]  # noqa: PTH112  # it never raises

    def _may_read(self, path: Path) -> bool:
        try:
            there = path.lstat()
            if stat.S_ISLNK(there.st_mode):
                there = path.stat()
        except OSError as error:
            if error.errno not in _NOT_THERE or os.path.islink(path):  # noqa: PTH114  # it never raises
                self._note(path, f"it is left out: {error.strerror}")
            return False
        if not self._is_inside(path):
            return False
        if stat.S_ISREG(there.st_mode):
            return True
        what = _OTHERS.get(stat.S_IFMT(there.st_mode), "no file")
        self._note(path, f"it is left out: expected a regular file, found {what}")
        return False

    def _is_inside(self, path: Path) -> bool:
        """Return whether *path* leads to a place within the folder, or may lead out of it; say so if not."""
        real = os.path.realpath(path)
        if self._follow_links or real.startswith(f"{self._inside}{os.sep}"):
            return True
        self._note(path, "it is left out: it is a link that leads out of the capture; ingest --follow-links reads it")
        return False

    def _note(self, path: Path, what: str) -> None:
        self._notes[f"{path.relative_to(self.path)}: {what}"] = None
