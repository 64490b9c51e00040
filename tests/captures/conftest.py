"""The captures as replayed trails, shared by every test and process of a run."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.captures.trails import Replayed, replayed

ReplayedCapture = Callable[..., Replayed]


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder that all processes of this run share."""
    own = tmp_path_factory.getbasetemp()
    return (own.parent if own.name.startswith("popen-") else own) / "trails"


@pytest.fixture(scope="session")
def replayed_capture(captures: Path, shared_folder: Path) -> ReplayedCapture:
    """Return a function (capture name, probes=True) → its trail, replayed with --no-correct."""
    return lambda name, *, probes=True: replayed(captures / name, shared_folder, probes=probes)
