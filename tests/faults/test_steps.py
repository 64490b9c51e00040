"""Whatever step of a checkpoint is the last, the next replay makes the same store."""

import shutil
import subprocess
import sys
from pathlib import Path

from pagetrail.schemas.columns import Kind
from tests.conftest import REPOSITORY
from tests.effort import effort
from tests.replay.states import litter, replay, store, trail_of
from tests.replay.strategies import Machine, to_frames

TURNS, STEPS = effort((1, 20), (6, 100))
"""How often 14 pages are allocated, and freed where more follows; and how many steps of writing that makes at least."""


def test_a_crash_at_every_step_of_a_checkpoint_resumes_to_the_same_store(tmp_path: Path) -> None:
    """GIVEN a trail with a tip, and as much again to come: a segment that overtakes it, and a new tip."""
    m = Machine()
    m.begin()
    for turn in range(TURNS):
        for pfn in range(14):
            m.ts += 1
            m.emit(Kind.ALLOC, pfn=pfn, order=0, gfp_mask=0, pid=1)
        for pfn in range(14 if turn < TURNS - 1 else 0):
            m.ts += 1
            m.emit(Kind.FREE, pfn=pfn, order=0)
    m.end()
    frames = to_frames(m.recordings, [5])
    begun = trail_of(tmp_path / "begun", frames[:-1])
    replay(begun, frames=2)
    whole = tmp_path / "whole"
    shutil.copytree(begun, whole)
    replay(whole)
    expected = store(whole)
    assert any("/TIP-" in name for name in expected)
    assert any("/TIP-" not in name for name in expected)

    copies = tmp_path / "copies"
    copies.mkdir()
    command = [sys.executable, "-m", "tests.faults.steps", str(begun), str(copies)]
    done = subprocess.run(command, cwd=REPOSITORY, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    steps = int(done.stdout)
    assert steps > STEPS
    for nr in range(steps + 1):
        replay(copies / str(nr))
        assert store(copies / str(nr)) == expected, nr
        assert litter(copies / str(nr)) == [], nr
