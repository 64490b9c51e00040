"""The demo's recording as trails of several shapes: many segments, a tip alone, both folds side by side."""

from collections.abc import Callable
from pathlib import Path

import pytest

from pagetrail import api
from pagetrail.api import Trail
from pagetrail.replay.engine import FoldOptions
from pagetrail.replay.replayer import Replayer
from pagetrail.replay.source_sqlite import SqliteLogReader
from tests.conftest import REPOSITORY

DEMO = REPOSITORY / "pagetrail" / "demo_data" / "host-b"
FLOOR = 8_192
"""Events a segment at least, so that the small recording makes a chain of them."""


def fold(trail: Path, *, correct: bool, floor: int = FLOOR, stop: Callable[[], bool] = lambda: False) -> None:
    """Replay *trail* with segments of *floor* events."""
    with SqliteLogReader(trail) as reader:
        Replayer(trail, reader, options=FoldOptions(correct=correct, floor=floor)).run(stop=stop)


@pytest.fixture(scope="session")
def ingested(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a trail with a log and no store."""
    trail = tmp_path_factory.mktemp("ingested") / "trail"
    api.ingest(trail, DEMO)
    return trail


@pytest.fixture(scope="session")
def chained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a trail of many segments, in both folds."""
    trail = tmp_path_factory.mktemp("chained") / "trail"
    api.ingest(trail, DEMO)
    fold(trail, correct=False)
    fold(trail, correct=True)
    return trail


@pytest.fixture(scope="session")
def audited(chained: Path) -> Trail:
    """Return the fold that no dump but the first corrected."""
    opened = api.open(chained, correct=False)
    assert len(opened.stream().files) > 4
    return opened
