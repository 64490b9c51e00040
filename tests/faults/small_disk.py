"""A disk of some megabytes in a process of its own, on which little room is left: a limit on the size of files shows less.

It says ``ready``, then a line for each thing that is not as it should be, and ``done``; or ``impossible`` and why, if it may not
have such a disk.
"""

import ctypes
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from pagetrail.producers.log.sink_sqlite import LogLimits, SqliteLogWriter
from pagetrail.replay.log.embedded import SqliteLogReader
from pagetrail.schemas.errors import PagetrailError, StorageFull
from pagetrail.schemas.frames import Frame
from tests.contracts.backends import a_frame
from tests.faults.bad_frames import of_host
from tests.replay.states import litter, replay, store

DISK: Final = 12 << 20
FRAMES: Final = [a_frame("recording", number, events=3_000) for number in range(24)]
LIMITS: Final = LogLimits(file_bytes=150_000)
"""Half a dozen frames fill a file of the log."""

_NEWUSER, _NEWNS = 0x10000000, 0x00020000
"""Source: include/uapi/linux/sched.h: CLONE_NEWUSER, CLONE_NEWNS."""
_PRIVATE: Final = (1 << 18) | (1 << 14)
"""Source: include/uapi/linux/mount.h: MS_PRIVATE, MS_REC."""


def mount_disk(folder: Path) -> None:
    """Mount a disk at *folder*, which this process alone sees, and which ends with it.

    Raises
    ------
    OSError
        The system does not allow it.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_NEWNS) and libc.unshare(_NEWUSER | _NEWNS):
        raise OSError(ctypes.get_errno(), "unshare")
    if libc.mount(b"none", b"/", None, _PRIVATE, None):
        raise OSError(ctypes.get_errno(), "mount, private")
    if libc.mount(b"none", os.fsencode(folder), b"tmpfs", 0, f"size={DISK}".encode()):
        raise OSError(ctypes.get_errno(), "mount")


def main(what: str, folder: str, step: str) -> None:
    """Do *what* with little room left, each time *step* KiB more, on a disk at *folder*."""
    print("ready", flush=True)
    try:
        mount_disk(Path(folder))
    except OSError as error:
        print("impossible", error, flush=True)
        return
    for said in TRIED[what](Path(folder), int(step) << 10):
        print(said, flush=True)
    print("done", flush=True)


def _leave(disk: Path, room: int) -> Path:
    """Fill the disk except for so many bytes; return the file that does."""
    filler = disk / "filler"
    filler.write_bytes(bytes(max(shutil.disk_usage(disk).free - room, 0)))
    return filler


def held(trail: Path) -> list[bytes]:
    """Return the digests of the frames of a log."""
    found: list[bytes] = []
    with SqliteLogReader(trail) as log:
        while records := log.read(0, len(found)):
            found += [record.digest for record in records]
    return found


def append(trail: Path, stored: int, frames: Sequence[Frame]) -> int:
    """Append frames one by one until the disk is full; return how many of them are stored, with the *stored* ones."""
    with suppress(StorageFull), SqliteLogWriter(trail, LIMITS) as log:
        for frame in frames:
            log.append([frame])
            stored += 1
    return stored


def _ingests(disk: Path, step: int) -> Iterator[str]:
    """Try to append with little room left: in the middle of it, a file is full, and a new one is made."""
    expected = [frame.digest for frame in FRAMES]
    for room in range(0, 400 << 10, step):
        trail = disk / str(room)
        stored = append(trail, 0, FRAMES[:5])
        filler = _leave(disk, room)
        try:
            stored = append(trail, stored, FRAMES[stored:])
            with suppress(StorageFull):  # to read needs a little room, too
                if held(trail) != expected[:stored]:
                    yield f"{room}: the log holds other frames than were stored, on the full disk"
            stored = append(trail, stored, FRAMES[stored:])
            filler.unlink()
            if held(trail) != expected[:stored]:
                yield f"{room}: the log holds other frames than were stored"
            with SqliteLogWriter(trail, LIMITS) as log:
                log.append(FRAMES)
            if held(trail) != expected:
                yield f"{room}: the same command does not go on"
        except PagetrailError as error:
            yield f"{room}: {type(error).__name__}: {error}"
        if left := [path.name for path in trail.rglob(".*")]:
            yield f"{room}: {left} is left"
        filler.unlink(missing_ok=True)
        shutil.rmtree(trail)


def _replays(disk: Path, step: int) -> Iterator[str]:
    """Try to replay with little room left."""
    whole = disk / "whole"
    append(whole, 0, of_host("host", 3))
    replay(whole)
    expected = store(whole)
    for room in range(0, 1_500 << 10, step):
        trail = disk / str(room)
        shutil.copytree(whole / "log", trail / "log")
        filler = _leave(disk, room)
        try:
            with suppress(StorageFull):
                replay(trail)
            filler.unlink()
            if litter(trail):
                yield f"{room}: {litter(trail)} is left"
            if not store(trail).items() <= expected.items() | {(k, v) for k, v in store(trail).items() if "/TIP-" in k}:
                yield f"{room}: the store has other segments"
            replay(trail)
            if store(trail) != expected:
                yield f"{room}: the same command does not make the same store"
        except PagetrailError as error:
            yield f"{room}: {type(error).__name__}: {error}"
        filler.unlink(missing_ok=True)
        shutil.rmtree(trail)


TRIED: Final[dict[str, Callable[[Path, int], Iterator[str]]]] = {"ingest": _ingests, "replay": _replays}
