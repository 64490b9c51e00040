"""A checkpoint and the tail of the log make what a replay from the beginning makes."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pagetrail.queries.core.opening import open_streams
from pagetrail.replay.fold.options import OPT_GFP_COMP, STATE_OPTIONS
from pagetrail.replay.rules.fold_options import FoldOptions
from pagetrail.replay.store import publish, restore
from pagetrail.schemas.columns import Kind
from pagetrail.schemas.details import Boot
from pagetrail.schemas.store.names import fold_name
from tests.effort import effort
from tests.replay.states import FLOOR, Run, litter, new_engine, place, replay, semantic, store, stream, trail_of
from tests.replay.strategies import History, Machine, histories, history, to_frames

few = settings(max_examples=max(settings().max_examples // 5, 6))


@few
@given(histories(max_events=60), st.integers(1, 30), st.data())
def test_checkpoint_and_tail_are_the_full_replay(told: History, size: int, data: st.DataObject) -> None:
    frames = to_frames(told.recordings, [size])
    stop = data.draw(st.integers(0, len(frames) - 1))
    with TemporaryDirectory() as folder:
        whole, stopped = (trail_of(Path(folder) / name, frames) for name in ("whole", "stopped"))
        _, undisturbed = replay(whole, correct=told.correct)
        replay(stopped, correct=told.correct, frames=stop)
        _, resumed = replay(stopped, correct=told.correct)
        assert store(stopped) == store(whole)
        assert litter(stopped) == []
        if resumed.streams:
            streams = [r.streams["host", "boot"] for r in (resumed, undisturbed)]
            assert semantic(streams[0].engine, streams[0].link) == semantic(streams[1].engine, streams[1].link)


@few
@given(histories(max_events=60), st.integers(1, 40))
def test_every_field_of_an_engine_is_in_its_tip(told: History, size: int) -> None:
    run = Run(new_engine(correct=told.correct)).apply(to_frames(told.recordings, [size])[:-1])
    if run.engine.last_seq < run.engine.segment_first_seq:
        return  # no tip is written there
    if run.digests:
        return  # a tip counts only behind the segments before it: the next test
    with TemporaryDirectory() as folder:
        there = place(Path(folder), fold=fold_name(correct=told.correct))
        publish.write(there, run.content())
        options = FoldOptions(correct=told.correct, floor=FLOOR, events_a_live=1)
        restored = restore.load(there, host="host", boot_id="boot", options=options)
    assert semantic(restored.engine, restored.link) == semantic(run.engine, run.link)


@few
@given(histories(max_events=80), st.data())
def test_every_field_of_an_engine_is_in_its_last_segment(told: History, data: st.DataObject) -> None:
    events = told.recordings[0]
    frames = to_frames([events], [1])
    with TemporaryDirectory() as folder:
        there = place(Path(folder), fold=fold_name(correct=told.correct))
        run = Run(new_engine(correct=told.correct), write=lambda content: publish.write(there, content))
        for frame in frames:
            sealed = len(run.digests)
            run.apply([frame])
            if len(run.digests) == sealed or events[frame.header.frame]["kind"] != Kind.RECORDING_END:
                continue
            options = FoldOptions(correct=told.correct, floor=FLOOR, events_a_live=1)
            restored = restore.load(there, host="host", boot_id="boot", options=options)
            assert semantic(restored.engine, restored.link) == semantic(run.engine, run.link)


@pytest.mark.parametrize("frames", effort((1, 3, 5, 7), range(1, 8)))
def test_a_stop_in_the_middle_of_a_dump_resumes_before_it(tmp_path: Path, frames: int) -> None:
    """GIVEN a dump that lies over many frames WHEN replay stops in it THEN the next one still takes it as a whole."""
    m = Machine()
    m.begin()
    for pfn in range(20):
        m.ts += 1
        m.emit(Kind.ALLOC, pfn=pfn, order=0, gfp_mask=0, pid=1)
    m.ts += 1
    from tests.replay.strategies import _dump

    _dump(m, 4, 1)
    m.end()
    cut = to_frames(m.recordings, [22, 3])
    whole, stopped = trail_of(tmp_path / "whole", cut), trail_of(tmp_path / "stopped", cut)
    replay(whole)
    replay(stopped, frames=frames)
    replay(stopped)
    assert store(stopped) == store(whole)
    assert len(open_streams(stopped).opened[0].history.audits) == 1


def test_a_stopped_replay_leaves_a_tip_and_a_finished_one_none(tmp_path: Path) -> None:
    m = Machine()
    m.begin()
    for pfn in range(8):
        m.emit(Kind.ALLOC, pfn=pfn, order=0, gfp_mask=0, pid=1)
    m.end()
    trail = trail_of(tmp_path / "trail", to_frames(m.recordings, [4]))
    replay(trail, frames=2)
    assert [path.name for path in stream(trail).glob("*.duckdb")] == ["TIP-0000000000000000007.duckdb"]
    replay(trail)
    assert [path.name for path in stream(trail).glob("*.duckdb")] == ["0000000000000000000-0000000000000000011.duckdb"]


def test_a_lost_or_damaged_cut_costs_nothing_but_time(tmp_path: Path) -> None:
    frames = to_frames(history(bytes(range(200))).recordings, [7])
    trail = trail_of(tmp_path / "trail", frames)
    replay(trail, correct=True)
    before = store(trail)
    for content in (
        None,
        b"",
        b"{}",
        b"[]",
        b"[" * 10**5,
        b'{"offset": Infinity}',
        b'{"offset": "many"}',
        b'{"offset": 10000}',
    ):
        cut = next(trail.rglob("*.cut.json"))
        cut.unlink() if content is None else cut.write_bytes(content)
        replay(trail, correct=True)
        assert store(trail) == before


def test_the_rules_of_the_kernel_come_from_the_boot_again_and_are_not_kept(tmp_path: Path) -> None:
    """A store that was written before rules were options goes on as it is."""
    m = Machine()
    m.recordings.append([])
    m.reference.apply = lambda event: None  # type: ignore[method-assign]
    m.emit(Kind.BOOT, Boot(release="6.1.0", gfp_flags={"__GFP_COMP": 0x80000}))
    m.emit(Kind.ALLOC, pfn=3, order=0, gfp_mask=0)
    run = Run(new_engine()).apply(to_frames(m.recordings))
    publish.write(place(tmp_path), run.content())
    restored = restore.load(
        place(tmp_path), host="host", boot_id="boot", options=FoldOptions(floor=FLOOR, events_a_live=1)
    )
    assert restored.engine.state.opts[OPT_GFP_COMP] == 0x80000
    assert semantic(restored.engine, restored.link) == semantic(run.engine, run.link)
    kept = dict(zip(*run.content().tables()["state"].to_pydict().values(), strict=True))
    assert len(json.loads(kept["options"])) == STATE_OPTIONS
