"""A process killed at any instant loses nothing but time: the next one makes the same store."""

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pagetrail.replay.log.embedded import SqliteLogReader
from pagetrail.schemas.errors import OffsetGap, TrailMissing
from tests.conftest import REPOSITORY
from tests.faults.recording import write_trace
from tests.replay.states import litter, store

INSTANTS = 25 if os.environ.get("HYPOTHESIS_PROFILE") == "nightly" else 4
"""At which each of the two commands is killed."""


def start(*arguments: str | Path) -> subprocess.Popen[str]:
    """Start a command of the driver; return it when it is ready to begin."""
    command = [sys.executable, "-m", "tests.faults.driver", *map(str, arguments)]
    process = subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def finish(process: subprocess.Popen[str]) -> str:
    """Wait for the end; return what was said."""
    with process:
        assert process.stdout is not None
        return process.stdout.read()


def seconds(*arguments: str | Path) -> float:
    """Run a command to its end; return how long it took once it was ready."""
    process = start(*arguments)
    began = time.monotonic()
    assert finish(process) == "done\n"
    return time.monotonic() - began


def killed(after: float, *arguments: str | Path) -> bool:
    """Start a command and kill it *after* seconds; return whether it was still running."""
    process = start(*arguments)
    try:
        process.wait(after)
    except subprocess.TimeoutExpired:
        process.kill()
    finish(process)
    return process.returncode < 0


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
    hits = sum(killed(rng.uniform(0, took), "ingest", hurt, trace) for _ in range(INSTANTS))
    seconds("ingest", hurt, trace)
    assert frames(hurt) == frames(whole)

    took = seconds("replay", whole)
    for _ in range(INSTANTS):
        hits += killed(rng.uniform(0, took), "replay", hurt)
        assert store(hurt).items() <= store(whole).items() | _tips(hurt).items()
    seconds("replay", hurt)
    assert store(hurt) == store(whole)
    assert len(store(whole)) > 3
    assert litter(hurt) == []
    assert hits, "no process was hit: the instants say nothing"


def _tips(trail: Path) -> dict[str, str]:
    return {name: digest for name, digest in store(trail).items() if "/TIP-" in name}
