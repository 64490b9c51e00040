"""The lock under which one process replays a partition on a trail: a file lock of this machine.

It is not part of the store's contract, because no object store has one, and no stored data depends on it: two replays of one
partition make the same files. It keeps two processes from doing the same work; drafts found under it are a stopped writer's.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pagetrail.replay.store.cut import OWN
from pagetrail.replay.store.local import LOCKS, store_of
from pagetrail.schemas.errors import TrailBusy
from pagetrail.schemas.store.modes import mode_like, of_files, set_mode
from pagetrail.schemas.store.space import explained


@contextmanager
def replay_lock(trail: Path, fold: str, partition: str = OWN) -> Iterator[None]:
    """Hold the lock for replaying a partition (``partition_name``) into *fold* on *trail*.

    Raises
    ------
    TrailBusy
        Another process holds it. The lock ends with its process, however that stops.
    StorageFull
        No space left, not even for the lock.
    """
    store = store_of(trail)
    path = store.root / LOCKS / fold / f"{partition}.lock"
    directory = path.parent
    with explained(str(directory)):
        store.make_folder(directory)
        mode = of_files(mode_like((directory,)))
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, mode)
        set_mode(path, mode)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 64).decode(errors="replace").strip() or "unknown"
            raise TrailBusy(path=str(trail), what="replay", holder=holder) from None
        with explained(str(directory)):
            os.ftruncate(descriptor, 0)
            os.write(descriptor, f"pid {os.getpid()}".encode())
        yield
    finally:
        os.close(descriptor)
