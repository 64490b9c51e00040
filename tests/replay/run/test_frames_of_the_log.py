"""Frames twice, frames missing, recordings one after another, events that cannot be."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from pagetrail.queries.core.opening import open_streams
from pagetrail.queries.questions.doctor import findings
from pagetrail.schemas.columns import Kind
from pagetrail.schemas.owner import QUARANTINED, Anomaly, State
from tests.oracles.fold.oracle import Reference
from tests.replay.states import folded, live_state, replay, stream, trail_of
from tests.replay.strategies import History, Machine, histories, to_frames


@given(histories(max_events=60), st.integers(1, 30), st.data())
def test_frames_applied_twice_change_nothing(told: History, size: int, data: st.DataObject) -> None:
    frames = to_frames(told.recordings[:1], [size])
    again = data.draw(st.integers(0, len(frames) - 1))
    since = data.draw(st.integers(0, again))
    twice = [*frames[: again + 1], *frames[since : again + 1], *frames[again + 1 :]]
    assert folded(twice, correct=told.correct).digests == folded(frames, correct=told.correct).digests


@given(histories(max_events=60), st.integers(1, 12), st.data())
def test_missing_frames_are_a_gap_between_their_neighbours(told: History, size: int, data: st.DataObject) -> None:
    frames = to_frames(told.recordings[:1], [size])
    if len(frames) < 3:
        return
    missing = data.draw(st.integers(1, len(frames) - 2))
    run = folded(frames[:missing] + frames[missing + 1 :], correct=told.correct)
    before, after = frames[missing - 1].header, frames[missing + 1].header
    found = [(gap.t_lo, gap.t_hi, gap.lost) for _, _, gap in run.facts.gaps if gap.reason.startswith("frames")]
    assert found == [(before.last_ts, after.first_ts, frames[missing].header.rows)]
    oracle = Reference(correct=told.correct)
    for event in told.recordings[0]:
        if event["seq"] == after.first_seq:
            oracle.lost_frames(event["trace_ts_nsec"])
        if not before.last_seq < event["seq"] < after.first_seq:
            oracle.apply(event)
    assert live_state(run.engine) == oracle.state()


def _two(overlap: bool) -> Machine:
    m = Machine()
    for nr in range(2):
        m.ts = 1_000 * (nr + 1) - 995 * (overlap and nr)
        m.begin()
        for pfn in range(20):
            m.ts += 1
            m.emit(Kind.ALLOC, pfn=20 * nr + pfn, order=0, gfp_mask=0, pid=1)
        m.end()
    return m


def test_recordings_that_follow_each_other_are_chained_with_a_gap(tmp_path: Path) -> None:
    m = _two(overlap=False)
    trail = trail_of(tmp_path / "trail", to_frames(m.recordings, [7]))
    _, replayer = replay(trail)
    engine = replayer.streams["host", "boot"].engine
    assert [(g.t_lo, g.t_hi) for _, _, g in engine.state.facts.gaps] == [(1_020, 2_000)]
    assert engine.last_seq == len(m.recordings[0]) + len(m.recordings[1]) - 1
    assert live_state(engine) == m.reference.state()


def test_a_recording_that_overlaps_another_is_refused_however_often_replay_is_stopped(tmp_path: Path) -> None:
    """The frames of the refused one that lie after the other's end are refused too, in a later run as well."""
    frames = to_frames(_two(overlap=True).recordings, [7])
    whole, stopped = trail_of(tmp_path / "whole", frames), trail_of(tmp_path / "stopped", frames)
    report, replayer = replay(whole)
    assert list(report.refused) == [("host", "boot", "recording 1")]
    assert "never merged" in report.refused["host", "boot", "recording 1"]
    assert [part.recording for part in replayer.streams["host", "boot"].engine.state.facts.recordings] == [
        "recording 0"
    ]
    for _ in range(len(frames) + 1):
        report, _ = replay(stopped, frames=1)
    (told,) = [f.detail for s in open_streams(stopped).opened for f in findings(s) if f.what == "recordings"]
    assert "recording 1" in told
    assert list(report.refused) == [("host", "boot", "recording 1")]
    assert sorted(p.name for p in stream(stopped).iterdir()) == sorted(p.name for p in stream(whole).iterdir())


IMPOSSIBLE = [
    {"kind": Kind.ALLOC, "pfn": 3, "order": 2},
    {"kind": Kind.FREE, "pfn": 2**63 - 1, "order": 0},
    {"kind": Kind.DRAIN, "pfn": 8, "order": -1},
    {"kind": Kind.ISOLATE, "pfn": 8, "order": 7},
    {"kind": Kind.ALLOC, "order": 0},
    {"kind": Kind.SPLIT, "pfn": 2**15 - 4, "nr_pages": 9, "order": 0},
    {"kind": Kind.SPLIT, "pfn": 0, "nr_pages": 2**62, "order": 0},
    {"kind": Kind.MIGRATE, "pfn": 4, "src_pfn": -1},
    {"kind": 99, "pfn": 4},
    {"kind": -1, "pfn": 4},
    {"kind": Kind.MARKER, "pfn": 4},
    {"kind": Kind.COVERAGE, "detail": '{"kinds": ["everything"]}'},
]


@given(
    st.lists(st.tuples(st.sampled_from(IMPOSSIBLE), st.integers(0, 40)), min_size=1, max_size=6),
    st.binary(max_size=160),
)
def test_a_quarantined_event_changes_nothing_but_doubts_and_is_shown(
    bad: list[tuple[dict[str, int], int]], seed: bytes
) -> None:
    from tests.replay.strategies import history

    sane = list(history(seed).recordings[0])
    events = [dict(event) for event in sane]
    for what, where in bad:
        at = min(where + 1, len(events) - 1)
        events.insert(at, {**what, "trace_ts_nsec": events[at - 1]["trace_ts_nsec"]})
    events = [event | {"seq": seq} for seq, event in enumerate(events)]
    clean, dirty = folded(to_frames([sane], [1 << 16])), folded(to_frames([events], [1 << 16]))
    pages = [{key: _but_seq(said) for key, said in live_state(run.engine).items()} for run in (clean, dirty)]
    assert pages[0] == pages[1]
    shown = [row[3] for row in dirty.quarantined]
    assert len(shown) == len(list(clean.quarantined)) + len(bad)
    assert all(Anomaly(why) in QUARANTINED for why in shown)


def _but_seq(said: tuple[int, tuple[object, ...]]) -> tuple[object, ...]:
    from tests.oracles.fold.values import FIELDS

    return (said[0], *(value for name, value in zip(FIELDS, said[1], strict=True) if name != "begin_seq"))


def test_what_is_impossible_casts_doubt_on_the_pages_that_it_names() -> None:
    m = Machine()
    m.begin()
    m.ts = 5
    m.emit(Kind.ALLOC, pfn=0, order=3, gfp_mask=0, pid=1)
    m.emit(Kind.FREE, pfn=1, order=1)
    m.end()
    run = folded(to_frames(m.recordings))
    assert {page for page, *_ in run.doubts} == {1, 2}
    assert {State.OWNED} == {owner.state for owner in m.reference.proven.values()}
