"""Whatever step of gc or export is the last, or is refused: questions are answered as before, and the same command goes on."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pagetrail import api
from pagetrail.schemas.columns import Kind
from tests.effort import effort
from tests.faults import at_step
from tests.faults.forked import Forked
from tests.replay.states import litter, replay, store, trail_of
from tests.replay.strategies import Machine, to_frames

HOWS = ("kill", "ENOSPC", "EIO")
PAGES = 14


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trail with some segments and a tip."""
    m = Machine()
    m.begin()
    for _ in range(4):
        for kind in (Kind.ALLOC, Kind.FREE):
            for pfn in range(PAGES):
                m.ts += 1
                m.emit(kind, pfn=pfn, order=0, gfp_mask=0, pid=1)
    trail = trail_of(tmp_path_factory.mktemp("begun") / "trail", to_frames(m.recordings, [5]))
    replay(trail)
    assert len(store(trail)) > 3
    return trail


def owners(trail: Path) -> list[dict[str, object]]:
    return api.open(trail).owner(range(PAGES), "-0s").to_pylist()


def stopped(how: str, begun: Path, folder: Path, *command: str) -> Iterator[tuple[Path, str]]:
    """Yield a copy of a trail, and what was said, for each step of a command at which it is stopped."""
    for step in range(1_000):
        trail = folder / f"{step}"
        shutil.copytree(begun, trail)
        code, said = Forked(at_step.main, how, str(step), command[0], trail, *command[1:]).outcome()
        if code == 0:
            assert said == "done\n"
            return
        expected = {"kill": (-9, ""), "ENOSPC": (4, "StorageFull"), "EIO": (2, "OSError")}[how]
        assert (code, said.split(":")[0]) == expected, step
        yield trail, said


@pytest.mark.parametrize("how", HOWS)
def test_gc_stopped_at_any_step_loses_nothing_that_is_kept(how: str, begun: Path, tmp_path: Path) -> None:
    whole, before = tmp_path / "whole", owners(begun)
    shutil.copytree(begun, whole)
    at_step.gc(str(whole))
    kept = store(whole)
    assert kept.items() < store(begun).items()
    copies = [trail for trail, _ in stopped(how, begun, tmp_path, "gc")]
    for trail in copies:
        assert owners(trail) == before
        replay(trail)  # it makes nothing again that was given up
        for draft in trail.rglob(".writing-*"):
            os.utime(draft, (0, 0))  # an hour later
        at_step.gc(str(trail))
        assert store(trail) == kept
        assert litter(trail) == []
        assert owners(trail) == before
    assert len(copies) > 2


@pytest.mark.parametrize("how", effort(("kill",), HOWS))
def test_an_export_stopped_at_any_step_has_whole_files_and_goes_on(how: str, begun: Path, tmp_path: Path) -> None:
    folder = tmp_path / "exported"
    expected = {file.name: pq.read_table(file) for file in api.open(begun).export_spans(tmp_path / "whole")}
    copies = 0
    for trail, _ in stopped(how, begun, tmp_path, "export", str(folder)):
        copies += 1
        for file in folder.rglob("*.parquet"):
            assert pq.read_table(file) == expected[file.name]
        api.open(trail).export_spans(folder)
        assert {file.name: pq.read_table(file) for file in folder.rglob("*.parquet")} == expected
        if how != "kill":
            assert not list(folder.rglob("*.writing"))
        shutil.rmtree(folder)
    assert copies > 2
