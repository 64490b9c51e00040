"""How far a fold has come in the log, and that only one process moves it."""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pagetrail.schemas.errors import TrailBusy
from pagetrail.schemas.store import segments_directory


def read_cut(trail: Path, fold: str) -> int:
    """Return the offset below which every frame is in a segment or a tip of *fold*; 0 when nothing is known.

    A cut that is lost or damaged costs time, not truth: replay skips what its segments already hold.
    """
    try:
        return int(json.loads(_path(trail, fold).read_text())["offset"])
    except (FileNotFoundError, ValueError, KeyError):
        return 0


def write_cut(trail: Path, fold: str, offset: int) -> None:
    """Say that every frame below *offset* is in a segment or a tip of *fold*."""
    path = _path(trail, fold)
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_suffix(f".{os.getpid()}")
    with aside.open("w") as file:
        json.dump({"offset": offset}, file)
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)


def _path(trail: Path, fold: str) -> Path:
    return segments_directory(trail) / f"{fold}.cut.json"


@contextmanager
def replay_lock(trail: Path, fold: str) -> Iterator[None]:
    """Hold the right to replay *fold* on *trail*.

    Raises
    ------
    TrailBusy
        Another process holds it. The lock goes with its process, however that ends.
    """
    directory = segments_directory(trail)
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / f"{fold}.lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise TrailBusy(path=str(trail), what="replay", holder=file.read().strip() or "unknown") from None
        file.seek(0)
        file.truncate()
        file.write(f"pid {os.getpid()}")
        file.flush()
        yield
