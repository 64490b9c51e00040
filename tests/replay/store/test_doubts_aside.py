"""A file says the same whether its doubts waited in memory or not."""

from pathlib import Path

import pytest
from hypothesis import given

from pagetrail.replay.store import restore
from pagetrail.schemas.columns import Kind
from pagetrail.schemas.frames import decode_frame
from pagetrail.schemas.store.tables import TABLES_DIGEST
from tests.replay.states import Run, folded, new_engine, replay, store, trail_of
from tests.replay.strategies import History, Machine, histories, to_frames


def folded_aside(told: History) -> Run:
    """Return the run over a history in which doubts leave memory behind every few events."""
    run = Run(new_engine(correct=told.correct))
    for frame in to_frames(told.recordings, [7]):
        for stretch in run.engine.apply(*decode_frame(frame.payload)):
            run._keep(stretch)
        run.engine.state.doubts_aside.take(run.engine.state.tables, 0)
    run._keep(run.engine.stretch())
    return run


def rows(run: Run, table: str) -> list[list[str]]:
    """Return the rows of each file, whatever their order."""
    return [sorted(map(str, tables[table].to_pylist())) for tables in run.tables]


@given(histories())
def test_what_leaves_memory_is_digested_and_written_as_what_stays(told: History) -> None:
    stays, leaves = folded(to_frames(told.recordings, [7]), correct=told.correct), folded_aside(told)
    assert (leaves.digests, leaves.state_digests) == (stays.digests, stays.state_digests)
    runs = ("ended_pages", "ended_runs", "open_pages", "open_runs")
    for table in (*runs, "events", "acts", "owners", "details", "doubts", "comms", "stacks"):
        assert rows(leaves, table) == rows(stays, table)
    meta = [
        [dict(zip(*tables["meta"].to_pydict().values(), strict=True)) for tables in run.tables]
        for run in (stays, leaves)
    ]
    for of_file in (*meta[0], *meta[1]):
        del of_file[TABLES_DIGEST]  # ``state`` says how many doubts are in memory
    assert meta[0] == meta[1]


def test_a_replay_goes_on_from_a_tip_whose_doubts_do_not_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """GIVEN a stop between events WHEN replay goes on with its doubts out of memory THEN its segments are those of one run."""
    m = Machine()
    m.begin()
    for again in range(6):
        for pfn in range(8):
            m.emit(Kind.ALLOC, pfn=pfn, order=0, gfp_mask=0, pid=again)
    m.end()
    trails = [trail_of(tmp_path / name, to_frames(m.recordings, [10])) for name in ("one", "two")]
    replay(trails[0], floor=1 << 20)
    replay(trails[1], floor=1 << 20, frames=3)
    assert any("TIP" in name.upper() for name in store(trails[1]))
    monkeypatch.setattr(restore, "MOST_DOUBTS", 0)
    replay(trails[1], floor=1 << 20)
    assert store(trails[1]) == store(trails[0])
