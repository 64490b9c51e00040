"""When a disk is full: the system's errors that mean it, and the one error that it becomes."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from pagetrail.schemas.errors import StorageFull

FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""The system's errors when there is no space: on the disk, in the quota, or below the limit of a file's size."""


@contextmanager
def explained(where: str, advice: str = "") -> Iterator[None]:
    """Raise ``StorageFull`` when the system reports that there is no space to write *where*; *advice*: what else can be done."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise StorageFull(path=where, reason=f"{error}{advice}") from error
        raise
