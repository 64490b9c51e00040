"""The right of one process to replay a partition on a trail: a lock of the system, on this machine.

It is no part of the store's contract, as no object store has one, and nothing that is stored depends on it: two replays of one
partition make the same files. It keeps two from doing the same work, and a draft that is found under it is a stopped writer's.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pagetrail.replay.store.local import LOCK_SUFFIX, explained, store_of
from pagetrail.schemas.errors import TrailBusy


@contextmanager
def replay_lock(trail: Path, fold: str, part: str = "") -> Iterator[None]:
    """Hold the right to replay a partition (``part_name``) into *fold* on *trail*.

    Raises
    ------
    TrailBusy
        Another process holds it. The lock goes with its process, however that ends.
    StorageFull
        No space left, not even for the lock.
    """
    directory = store_of(trail).root
    with explained(str(directory)):
        directory.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(directory / f"{fold}{part}{LOCK_SUFFIX}", os.O_RDWR | os.O_CREAT, 0o644)
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
