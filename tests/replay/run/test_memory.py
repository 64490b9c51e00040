"""How much memory a replay takes changes when segments are written and streams leave memory, and no segment."""

from pathlib import Path

import pytest

from pagetrail.replay.log.embedded import SqliteLogReader
from pagetrail.replay.rules.fold_options import FoldOptions
from pagetrail.replay.run.memory import Memory
from pagetrail.replay.run.replayer import Replayer
from pagetrail.replay.run.report import ReplayReport
from pagetrail.schemas.columns import Kind
from pagetrail.schemas.details import RecordingBegin
from pagetrail.schemas.frames import Frame
from tests.replay.states import store, trail_of
from tests.replay.strategies import Machine, make_frame, origin, to_batch

OPTIONS = FoldOptions(floor=50, events_a_live=1)


def frames_of(host: str, pages: int, size: int = 20) -> list[Frame]:
    """Return a recording of several segments, in frames of *size* events: pages are allocated, and then allocated again."""
    m = Machine()
    m.begin()
    for turn in range(3):
        for pfn in range(pages):
            m.ts += 1_000
            m.emit(Kind.FREE, pfn=pfn, order=0, pid=turn)
            m.emit(Kind.ALLOC, pfn=pfn, order=0, gfp_mask=0, pid=pfn)
    m.end()
    (events,) = m.recordings
    parts = [events[start : start + size] for start in range(0, len(events), size)]
    return [make_frame(to_batch(part), origin(f"recording of {host}", host=host), n) for n, part in enumerate(parts)]


def replayed(trail: Path, memory: Memory, options: FoldOptions = OPTIONS) -> ReplayReport:
    with SqliteLogReader(trail) as reader:
        return Replayer(trail, reader, options=options, memory=memory).run()


def test_streams_share_the_memory() -> None:
    memory = Memory(most=100)
    memory.take("a", 60)
    memory.take("b", 30)
    assert memory.has_room(10)
    assert not memory.has_room(11)
    memory.take("b", 41)
    assert not memory.has_room()
    memory.take("b", 40)
    assert memory.has_room()
    memory.leave("a")
    memory.leave("a")
    assert memory.has_room(60)
    assert not memory.has_room(61)


@pytest.mark.parametrize("most", [0, 1 << 20, 1 << 40])
def test_segments_are_the_same_with_any_memory(tmp_path: Path, most: int) -> None:
    both = [frames_of("a", 100), frames_of("b", 70)]
    turns = [frame for n in range(max(map(len, both))) for host in both for frame in host[n : n + 1]]
    assert replayed(trail_of(tmp_path / "usual", turns), Memory()).segments > 4
    report = replayed(trail_of(tmp_path / "other", turns), Memory(most=most))
    assert report.halted == {}
    assert store(tmp_path / "other") == store(tmp_path / "usual")


def test_a_stream_that_needs_more_than_it_may_is_halted_alone_and_continues_with_more(tmp_path: Path) -> None:
    """GIVEN a host that takes too much memory WHEN it is replayed with others THEN it alone waits for a replay with more."""
    large, small = frames_of("large", 6_000, size=200), frames_of("small", 20)
    together = [*large[:5], *small, *large[5:]]
    replayed(trail_of(tmp_path / "usual", together), Memory())
    trail = trail_of(tmp_path / "short", together)
    few = Memory(most=1 << 20, strict=True)
    report = replayed(trail, few)
    ((key, why),) = report.halted.items()
    assert key[0] == "large"
    assert why.startswith(f"large/{key[1]}: its ")
    assert "expected at most 1 MiB; replay again with a larger --memory: what is folded is kept" in why
    done = store(trail)
    assert {name for name in store(tmp_path / "usual") if "small" in name} <= set(done)
    assert replayed(trail, few).halted.keys() == {key}
    assert replayed(trail, Memory()).halted == {}
    assert store(trail) == store(tmp_path / "usual")


def test_a_segment_ends_at_the_ceiling_however_many_spans_are_open(tmp_path: Path) -> None:
    frames = frames_of("a", 400)
    free = replayed(trail_of(tmp_path / "free", frames), Memory(), FoldOptions(floor=50, events_a_live=4))
    bound = replayed(
        trail_of(tmp_path / "bound", frames), Memory(), FoldOptions(floor=50, events_a_live=4, ceiling=100)
    )
    assert (free.segments, bound.segments) == (2, 24)


def test_sections_of_one_frame_are_not_opened_beyond_the_memory(tmp_path: Path) -> None:
    """GIVEN a frame that names pages of many sections WHEN memory is short THEN it is folded up to there, and later onwards."""
    m = Machine()
    m.recordings.append([])
    m.emit(Kind.RECORDING_BEGIN, RecordingBegin(source="a history", format="workload-model"))
    for section_nr in range(100):
        m.ts += 1_000
        m.emit(Kind.ALLOC, pfn=section_nr << 15, order=0, gfp_mask=0, pid=section_nr)
    m.end()
    (events,) = m.recordings
    frames = [make_frame(to_batch(events), origin("recording", host="wide"), 0), *frames_of("small", 20)]
    usual, trail = trail_of(tmp_path / "usual", frames), trail_of(tmp_path / "short", frames)
    replayed(usual, Memory())
    for most in (4 << 20, 12 << 20):
        report = replayed(trail, Memory(most=most, strict=True))
        assert [key[0] for key in report.halted] == ["wide"]
        assert f"expected at most {most >> 20} MiB" in next(iter(report.halted.values()))
    assert {name for name in store(usual) if "small" in name} <= set(store(trail))
    assert replayed(trail, Memory(most=1 << 30, strict=True)).halted == {}
    assert store(trail) == store(usual)
