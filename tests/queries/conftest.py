"""The demo's recording as trails of several shapes: many segments, a tip alone, both folds side by side."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

from pagetrail import api
from pagetrail.api import Trail
from pagetrail.producers.log.framing import Framer
from pagetrail.producers.log.sink_sqlite import SqliteLogWriter
from pagetrail.replay.log.embedded import SqliteLogReader
from pagetrail.replay.rules.fold_options import FoldOptions
from pagetrail.replay.run.replayer import Replayer
from pagetrail.schemas.frames import FrameOrigin, decode_frame
from pagetrail.schemas.store.contract import Store
from tests.conftest import REPOSITORY
from tests.shared import folder_of_the_run, made_once

DEMO = REPOSITORY / "pagetrail" / "demo_data" / "host-b"
FLOOR = 8_192
"""Events a segment at least, so that the small recording makes a chain of them."""


def fold(
    trail: Path,
    *,
    correct: bool,
    floor: int = FLOOR,
    stop: Callable[[], bool] = lambda: False,
    into: Store | None = None,
) -> None:
    """Replay *trail* with segments of *floor* events; *into* another store than its own."""
    with SqliteLogReader(trail) as reader:
        Replayer(trail, reader, store=into, options=FoldOptions(correct=correct, floor=floor, events_a_live=1)).run(
            stop=stop
        )


def reframed(source: Path, target: Path, *, frame_events: int) -> None:
    """Write the recording of *source* into the log of *target* in smaller frames."""
    with SqliteLogReader(source) as reader, SqliteLogWriter(target) as log:
        framer = None
        for record in reader.read(0, 0, 1 << 30):
            header, batch = decode_frame(record.payload, "the log")
            if framer is None:
                names = (field.name for field in dataclasses.fields(FrameOrigin))
                framer = Framer(FrameOrigin(**{n: getattr(header, n) for n in names}), frame_events=frame_events)
            log.append(list(framer.add(batch)))
        assert framer is not None
        log.append(list(framer.finish()))


@pytest.fixture(scope="session")
def ingested(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a trail with a log and no store."""
    trail = tmp_path_factory.mktemp("ingested") / "trail"
    api.ingest(trail, DEMO)
    return trail


@pytest.fixture(scope="session")
def chained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a trail of many segments, in both folds. All processes read it, none writes it."""

    def make(trail: Path) -> None:
        api.ingest(trail, DEMO)
        fold(trail, correct=False)
        fold(trail, correct=True)

    return made_once(folder_of_the_run(tmp_path_factory), "chained", make)


@pytest.fixture(scope="session")
def audited(chained: Path) -> Trail:
    """Return the fold that no dump but the first corrected."""
    opened = api.open(chained, correct=False)
    assert len(opened.stream().files) > 4
    return opened
