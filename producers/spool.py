"""Files that vanish when they are closed: what stdin gives, until it ends, and copies to merge from or to read a part of.

So stdin can be hashed and read as any other file, and a repeat is noticed.
"""

import os
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from pagetrail.producers.inputs import UNCOMPRESSED_STEP, Source, source_of, unreadable
from pagetrail.schemas.errors import InputError, TruncatedInput
from pagetrail.schemas.store.space import explained

SPOOL_BYTES: Final = 64 << 30
"""More than this is not taken from stdin."""


def is_fifo(path: Path) -> bool:
    """Return whether *path* is a FIFO: its bytes come once.

    Raises
    ------
    InputError
        It is a device or a socket, which may have no end, or none to be read.
    """
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):  # whoever opens it says why
        return False
    if stat.S_ISCHR(mode) or stat.S_ISBLK(mode) or stat.S_ISSOCK(mode):
        raise InputError(
            f"{path}: expected a file, found a device or a socket; copy what it gives to a file, and give that"
        )
    return stat.S_ISFIFO(mode)


def spooled(folder: Path | None, path: Path | str = "-", *, limit: int = SPOOL_BYTES) -> BinaryIO:
    """Return all that stdin, or the FIFO *path*, gives, as a file at its start that vanishes when it is closed.

    An interrupt (Ctrl-C) ends the input, as it ends the program that writes it.

    Parameters
    ----------
    folder
        Where the file is made, or below which of its parents; null: where the system keeps temporary files.
    limit
        Bytes, as they come.

    Raises
    ------
    InputError
        There is more than *limit*.
    StorageFull
        No space is left for it.
    """
    if str(path) == "-":
        return filled(lambda file: _fill(file, limit, "-", sys.stdin.buffer), folder, "stdin")
    try:
        with Path(path).open("rb") as fifo:
            return filled(lambda file: _fill(file, limit, str(path), fifo), folder, "fifo")
    except OSError as error:
        raise unreadable(str(path), error) from error


def filled(fill: Callable[[BinaryIO], object], folder: Path | None, what: str) -> BinaryIO:
    """Return a file that *fill* has written, at its start; it vanishes when it is closed. *folder*: see ``spooled``.

    Raises
    ------
    StorageFull
        No space is left for it.
    """
    place = room_of(folder)
    with explained(str(place or tempfile.gettempdir())):
        file = tempfile.TemporaryFile(dir=place, prefix=f".pagetrail-{what}-")  # noqa: SIM115  # the caller closes it
        try:
            fill(file)
            file.flush()
        except BaseException:
            file.close()
            raise
    file.seek(0)
    return file


def room_of(folder: Path | None) -> Path | None:
    """Return *folder*, or which of its parents there is; null: where the system keeps temporary files."""
    return None if folder is None else next(path for path in (folder, *folder.absolute().parents) if path.is_dir())


def reopened(file: BinaryIO) -> BinaryIO:
    """Return *file* opened once more, at its start. Both have one position; the new one stays open when *file* is closed."""
    again = os.fdopen(os.dup(file.fileno()), "rb")
    again.seek(0)
    return again


@contextmanager
def at_hand(path: Path | str, folder: Path | None) -> Iterator[Source]:
    """Yield the file *path*, or what stdin gives for ``-``, until it has ended; *folder*: see ``spooled``.

    What a FIFO gives, such as the shell's ``<(zcat trace.gz)``, is kept like stdin. What was opened of it stays open.

    Raises
    ------
    InputError
        *path* is neither a file nor a FIFO.
    """
    if str(path) != "-" and not is_fifo(Path(path)):
        yield source_of(Path(path))
        return
    with spooled(folder, path) as file:
        yield held(file, Path(path).name)


def held(file: BinaryIO, name: str, cut: TruncatedInput | None = None) -> Source:
    """Return a file that is open, and has to stay so, as one that can be opened at its start; *cut*: see ``Source``."""
    return Source(name=name, raw=lambda: reopened(file), cut=cut)


def _next_of(source: BinaryIO, name: str) -> bytes:
    try:
        return source.read(UNCOMPRESSED_STEP)
    except OSError as error:
        raise unreadable(name, error) from error


def _fill(file: BinaryIO, limit: int, name: str, source: BinaryIO) -> None:
    taken = 0
    try:
        while data := _next_of(source, name):
            taken += len(data)
            if taken > limit:
                what = "stdin" if name == "-" else "it"
                raise InputError(
                    f"{name}: expected at most {limit:,} bytes from {what}, found more; save them to a file and give that"
                )
            file.write(data)
    except KeyboardInterrupt:
        pass
