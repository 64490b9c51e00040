"""What all processes of one test run share: whichever comes first makes it, the others wait for it and only read it."""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pagetrail.producers.inputs import open_input, stream_id


def folder_of_the_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder that all of pytest-xdist's processes of this run have in common, and no other run has."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@contextmanager
def alone(lock: Path) -> Iterator[None]:
    """Wait until no other process is in such a block."""
    with lock.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def made_once(folder: Path, name: str, make: Callable[[Path], object]) -> Path:
    """Return *folder* / *name*, which *make* fills."""
    path, done = folder / name, folder / f"{name}.done"
    folder.mkdir(parents=True, exist_ok=True)
    with alone(folder / f"{name}.lock"):
        if not done.exists():
            make(path)
            done.touch()
    return path


def content_id(path: Path) -> str:
    """Return the id of a recording that is the file *path*."""
    with open_input(path) as stream:
        return stream_id(stream)
