"""How far a fold has come in each partition of a log; and, where a trail is replayed by one process, that it is one.

A cut costs time, never truth: whoever resumes from one that is old, or another's, reads again what the segments already hold.
So any number of processes may replace it, each by a whole one, and the last one stands.
"""

import errno
import fcntl
import json
import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pagetrail.schemas.errors import StorageFull, TrailBusy
from pagetrail.schemas.frames import RecordingKey
from pagetrail.schemas.log.contract import EMBEDDED_LOG
from pagetrail.schemas.store import path_part, segments_directory

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What the system says when there is no room: none on the disk, none in the quota, none below the limit of a file's size."""

LEFT_SECONDS: Final = 3600.0
"""Where others may be writing: a half-written file that nobody has touched for so long is a stopped writer's."""


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
        By (host, boot_id, recording), why it was refused: it overlaps another one of its boot. What comes of it later is
        refused too.
    reached
        Everything before it had been read when this was written: what of it is not below ``offset`` was still in memory.
    seen
        The last frame before ``reached``, as (offset, digest in hex): where the log has another one there, or none, it lost
        frames that had been acknowledged.
    held
        By (host, boot_id), the offset at which a stream waits or has halted, and why.
    losses
        What the log was found to have lost, in words, the oldest first.
    rates
        By (host, boot_id), events a second as they were folded last.
    """

    offset: int = 0
    streams: dict[tuple[str, str], int] = field(default_factory=dict)
    refused: dict[RecordingKey, str] = field(default_factory=dict)
    reached: int = 0
    seen: tuple[int, str] | None = None
    held: dict[tuple[str, str], tuple[int, str]] = field(default_factory=dict)
    losses: tuple[str, ...] = ()
    rates: dict[tuple[str, str], float] = field(default_factory=dict)


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
        return _from_json(json.loads(cut_path(trail, fold, part).read_text()))
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return Cut()


def cuts(trail: Path, fold: str) -> list[Cut]:
    """Return the cuts of *fold*, of whatever logs and partitions there are."""
    suffix = ".cut.json"
    names = (path.name for path in sorted(segments_directory(trail).glob(f"{fold}*{suffix}")))
    parts = (name.removesuffix(suffix).removeprefix(fold) for name in names)
    return [read_cut(trail, fold, part) for part in parts if part == "" or part.startswith(".")]


def _from_json(said: dict[str, Any]) -> Cut:
    seen = said.get("seen")
    return Cut(
        offset=int(said["offset"]),
        streams={(host, boot_id): int(seq) for host, boot_id, seq in said["streams"]},
        refused={(host, boot_id, recording): why for host, boot_id, recording, why in said["refused"]},
        reached=int(said.get("reached", said["offset"])),
        seen=None if seen is None else (int(seen[0]), str(seen[1])),
        held={(host, boot_id): (int(offset), str(why)) for host, boot_id, offset, why in said.get("held", [])},
        losses=tuple(map(str, said.get("losses", []))),
        rates={(host, boot_id): float(rate) for host, boot_id, rate in said.get("rates", [])},
    )


def _to_json(cut: Cut) -> dict[str, Any]:
    return {
        "offset": cut.offset,
        "streams": [[*key, seq] for key, seq in cut.streams.items()],
        "refused": [[*key, why] for key, why in cut.refused.items()],
        "reached": cut.reached,
        "seen": cut.seen,
        "held": [[*key, *held] for key, held in cut.held.items()],
        "losses": cut.losses,
        "rates": [[*key, round(rate, 1)] for key, rate in cut.rates.items()],
    }


def write_cut(trail: Path, fold: str, cut: Cut, part: str = "") -> None:
    """Replace the cut of *fold* in a partition.

    Raises
    ------
    StorageFull
        No space left; the cut is as it was.
    """
    path = cut_path(trail, fold, part)
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".writing-{fold}{part}.{os.getpid()}-{uuid.uuid4().hex[:12]}.cut")
    try:
        with aside.open("w") as file:
            json.dump(_to_json(cut), file)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    except OSError as error:
        aside.unlink(missing_ok=True)
        raise _explained(error, path) from error


def sweep_cuts(trail: Path, fold: str, part: str = "") -> None:
    """Remove cuts that stopped writers left half-written: at once where there is one writer, else when they are old."""
    for left in segments_directory(trail).glob(f".writing-{fold}{part}.[0-9]*.cut"):
        with suppress(FileNotFoundError):
            if not part or time.time() - left.stat().st_mtime > LEFT_SECONDS:
                left.unlink()


def cut_path(trail: Path, fold: str, part: str) -> Path:
    """Return where the cut of *fold* in a partition stands."""
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
        sweep_cuts(trail, fold, part)
        yield
    finally:
        os.close(descriptor)


def _explained(error: OSError, path: Path) -> Exception:
    """Return what the system's error means to a trail; itself, where that is nothing of ours."""
    return StorageFull(path=str(path), reason=str(error)) if error.errno in _FULL else error
