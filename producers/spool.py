"""Text from stdin, kept in a file until it ends: so it can be hashed and read as any other file, and a repeat is noticed."""

import os
import sys
import tempfile
from pathlib import Path
from typing import BinaryIO, Final

from pagetrail.producers.inputs import UNCOMPRESSED_STEP, Input
from pagetrail.schemas.errors import InputError, StorageFull

SPOOL_BYTES: Final = 64 << 30
"""More than this is not taken from stdin."""


def spooled(folder: Path | None, *, limit: int = SPOOL_BYTES) -> BinaryIO:
    """Return all that stdin gives, as a file at its start that vanishes when it is closed.

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
    place = None if folder is None else next(path for path in (folder, *folder.absolute().parents) if path.is_dir())
    file = tempfile.TemporaryFile(dir=place, prefix=".pagetrail-stdin-")  # noqa: SIM115  # the caller closes it
    try:
        _fill(file, limit)
    except OSError as error:
        file.close()
        raise StorageFull(path=str(place or tempfile.gettempdir()), reason=str(error)) from error
    except BaseException:
        file.close()
        raise
    file.seek(0)
    return file


def open_spooled(file: BinaryIO, *, text: bool = False) -> Input:
    """Open what ``spooled`` returned, from its start, as ``open_input`` does. It stays readable when *file* is closed."""
    again = os.fdopen(os.dup(file.fileno()), "rb")
    again.seek(0)
    return Input(again, "-", text=text)


def _fill(file: BinaryIO, limit: int) -> None:
    taken = 0
    try:
        while data := sys.stdin.buffer.read(UNCOMPRESSED_STEP):
            taken += len(data)
            if taken > limit:
                raise InputError(
                    f"-: expected at most {limit:,} bytes from stdin, found more; save them to a file and give that"
                )
            file.write(data)
    except KeyboardInterrupt:
        pass
    file.flush()
