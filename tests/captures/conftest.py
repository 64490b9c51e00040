"""The captures as replayed trails, shared by every test and process of a run."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.captures.trails import Replayed, replayed
from tests.shared import folder_of_the_run

ReplayedCapture = Callable[..., Replayed]


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder that all processes of this run share."""
    return folder_of_the_run(tmp_path_factory) / "trails"


@pytest.fixture(scope="session")
def replayed_capture(captures: Path, shared_folder: Path) -> ReplayedCapture:
    """Return a function (capture name, probes=True) → its trail, replayed with --no-correct."""
    return lambda name, *, probes=True: replayed(captures / name, shared_folder, probes=probes)
