"""A process killed at any instant loses nothing but time: the next one makes the same store."""

import random
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pagetrail.replay.log.embedded import SqliteLogReader
from pagetrail.schemas.errors import OffsetGap, TrailMissing
from tests.effort import effort
from tests.faults import driver
from tests.faults.forked import Forked
from tests.faults.recording import write_trace
from tests.replay.states import litter, store

INSTANTS = effort(4, 75)
"""At which each of the two commands is killed."""


def seconds(*arguments: str | Path) -> float:
    """Run a command to its end; return how long it took once it was ready."""
    process = Forked(driver.main, *arguments)
    began = time.monotonic()
    assert process.outcome() == (0, "done\n")
    return time.monotonic() - began


def killed(after: float, *arguments: str | Path) -> bool:
    """Start a command and kill it *after* seconds; return whether it was still running."""
    process = Forked(driver.main, *arguments)
    if process.runs(after):
        process.send(signal.SIGKILL)
    return process.outcome()[0] < 0


def killed_again_and_again(rng: random.Random, took: float, folder: Path, *arguments: str | Path) -> Iterator[bool]:
    """Kill a command at instants of the *took* seconds that it takes; yield after each whether it was still running.

    One that has come to its end left nothing to be hit: it begins anew, without *folder*, and the instants come sooner.
    """
    for _ in range(INSTANTS):
        after = rng.uniform(0, took)
        hit = killed(after, *arguments)
        yield hit
        if not hit:
            shutil.rmtree(folder)
            took = after


def frames(trail: Path) -> list[tuple[int, bytes]]:
    """Return what the log holds."""
    try:
        with SqliteLogReader(trail) as log:
            return [(record.offset, record.digest) for record in log.read(0, 0)]
    except (TrailMissing, OffsetGap):
        return []


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_trace(tmp_path_factory.mktemp("trace") / "trace.txt")


def test_ingest_and_replay_killed_at_random_instants_end_in_the_same_store(trace: Path, tmp_path: Path) -> None:
    whole, hurt = tmp_path / "whole", tmp_path / "hurt"
    whole.mkdir()
    hurt.mkdir()
    rng = random.Random()
    took = seconds("ingest", whole, trace)
    hits = sum(killed_again_and_again(rng, took, hurt / "log", "ingest", hurt, trace))
    seconds("ingest", hurt, trace)
    assert frames(hurt) == frames(whole)

    took = seconds("replay", whole)
    for hit in killed_again_and_again(rng, took, hurt / "segments", "replay", hurt):
        hits += hit
        assert store(hurt).items() <= store(whole).items() | _tips(hurt).items()
    seconds("replay", hurt)
    assert store(hurt) == store(whole)
    assert len(store(whole)) > 3
    assert litter(hurt) == []
    assert hits, "no process was hit: the instants say nothing"


def _tips(trail: Path) -> dict[str, str]:
    return {name: digest for name, digest in store(trail).items() if "/TIP-" in name}
