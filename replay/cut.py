"""How far a fold has come in each partition of a log, and that only one process at a time moves it there."""

import errno
import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pagetrail.schemas.errors import StorageFull, TrailBusy
from pagetrail.schemas.log import EMBEDDED_LOG
from pagetrail.schemas.store import path_part, segments_directory

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What the system says when there is no room: none on the disk, none in the quota, none below the limit of a file's size."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """Where in a partition of the log the next replay begins.

    Attributes
    ----------
    offset
        Below it, every frame is in a segment or a tip, or was refused.
    streams
        By (host, boot_id), the stream_seq that the segments and the tip of each stream reach: where they do not reach it
        any more, the offset is not to be trusted.
    refused
        Recordings that overlap another one of their boot, and why: what comes of them later is refused too.
    """

    offset: int = 0
    streams: dict[tuple[str, str], int] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)


def part_name(log_id: str, partition: int) -> str:
    """Return what names a partition in the names of its cut and lock; nothing, where the log is the trail's own.

    A log has an id of its own, so the cut of one is never taken for that of another, nor for one of the same name before it.
    """
    return "" if log_id == EMBEDDED_LOG else f".{path_part(log_id)}.{partition}"


def read_cut(trail: Path, fold: str, part: str = "") -> Cut:
    """Return the cut of *fold* in a partition (``part_name``); one at the log's beginning when nothing is known.

    A cut that is lost or damaged costs time, not truth: replay skips what its segments already hold.
    """
    try:
        said = json.loads(_path(trail, fold, part).read_text())
        streams = {(host, boot_id): int(seq) for host, boot_id, seq in said["streams"]}
        return Cut(offset=int(said["offset"]), streams=streams, refused=dict(said["refused"]))
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return Cut()


def write_cut(trail: Path, fold: str, cut: Cut, part: str = "") -> None:
    """Replace the cut of *fold* in a partition.

    Raises
    ------
    StorageFull
        No space left; the cut is as it was.
    """
    path = _path(trail, fold, part)
    path.parent.mkdir(parents=True, exist_ok=True)
    streams = [[host, boot_id, seq] for (host, boot_id), seq in cut.streams.items()]
    aside = path.with_name(f".writing-{fold}{part}.{os.getpid()}.cut")
    try:
        with aside.open("w") as file:
            json.dump({"offset": cut.offset, "streams": streams, "refused": cut.refused}, file)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    except OSError as error:
        aside.unlink(missing_ok=True)
        raise _explained(error, path) from error


def _path(trail: Path, fold: str, part: str) -> Path:
    return segments_directory(trail) / f"{fold}{part}.cut.json"


@contextmanager
def replay_lock(trail: Path, fold: str, part: str = "") -> Iterator[None]:
    """Hold the right to replay a partition into *fold* on *trail*.

    Raises
    ------
    TrailBusy
        Another process holds it. The lock goes with its process, however that ends.
    StorageFull
        No space left, not even for the lock.
    """
    directory = segments_directory(trail)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(directory / f"{fold}{part}.lock", os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise _explained(error, directory) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 64).decode(errors="replace").strip() or "unknown"
            raise TrailBusy(path=str(trail), what="replay", holder=holder) from None
        try:
            os.ftruncate(descriptor, 0)
            os.write(descriptor, f"pid {os.getpid()}".encode())
        except OSError as error:
            raise _explained(error, directory) from error
        for left in directory.glob(f".writing-{fold}{part}.[0-9]*.cut"):  # by a replay that was stopped
            left.unlink(missing_ok=True)
        yield
    finally:
        os.close(descriptor)


def _explained(error: OSError, path: Path) -> Exception:
    """Return what the system's error means to a trail; itself, where that is nothing of ours."""
    return StorageFull(path=str(path), reason=str(error)) if error.errno in _FULL else error
