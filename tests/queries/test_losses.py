"""What a loss takes away: from all pages, or from those that it names; and what recordings of older readers are worth."""

import shutil
from pathlib import Path
from typing import Literal

import pytest

from pagetrail import api
from pagetrail.producers.log.framing import Framer, single
from pagetrail.schemas.columns import Kind
from pagetrail.schemas.details import ContigRange, Coverage, Gap, RecordingEnd
from pagetrail.schemas.frames import FrameOrigin
from tests.model.config import EVERYTHING
from tests.oracles.answers import ORIGIN, numbered
from tests.queries.conftest import fold
from tests.replay.states import replay, trail_of
from tests.stories import BOOT, SECOND, Story
from tests.version_3 import in_version_3

LINE = "a line that was not understood"


def sure(trail: api.Trail, pfn: int, at: int | None = None) -> bool:
    """Return whether the answer for a page is certain of its state."""
    (row,) = trail.owner([pfn], "-0s" if at is None else at).to_pylist()
    return "state" not in row["uncertain"]


def test_a_loss_that_names_its_pages_concerns_no_others(tmp_path: Path) -> None:
    tell = Story()
    first = tell(Kind.ALLOC, 8, order=1)
    tell(Kind.ALLOC, 12)
    tell.now += SECOND
    tell.log.say(Kind.GAP, tell.now, Gap(t_lo=first + 1, t_hi=tell.now, reason=LINE), pfn=8, order=1)
    lost = tell.now
    tell(Kind.ALLOC, 16)
    trail = tell.trail(tmp_path / "trail")
    assert [sure(trail, pfn) for pfn in (8, 9, 12, 16)] == [False, False, True, True]
    assert sure(trail, 8, first)
    assert not sure(trail, 8, lost - 1)
    (row,) = trail.owner([8], "-0s").to_pylist()
    assert "an event of this page was lost" in row["why"]


def test_new_evidence_ends_the_doubt_of_a_named_loss(tmp_path: Path) -> None:
    tell = Story()
    first = tell(Kind.ALLOC, 8)
    tell.log.say(Kind.GAP, tell.now, Gap(t_lo=first, t_hi=tell.now, reason=LINE), pfn=8, order=0)
    tell(Kind.FREE, 8)
    assert sure(tell.trail(tmp_path / "trail"), 8)


@pytest.mark.parametrize("floor", [1 << 40, 4])
def test_a_dump_that_agrees_ends_the_doubt_of_a_named_loss(tmp_path: Path, floor: int) -> None:
    tell = Story()
    first = tell(Kind.ALLOC, 8)
    tell.now += SECOND
    tell.log.say(Kind.GAP, tell.now, Gap(t_lo=first, t_hi=tell.now, reason=LINE), pfn=8, order=0)
    tell(Kind.ALLOC, 12)
    tell.dump(tell.now, {"pfn": 8, "ts_nsec": first}, {"pfn": 12, "ts_nsec": tell.now})
    tell(Kind.ALLOC, 16)
    assert sure(tell.trail(tmp_path / "trail", floor=floor), 8)


def test_a_migration_that_was_lost_concerns_the_largest_blocks_around_both_pages(tmp_path: Path) -> None:
    tell = Story()
    for pfn in (8, 12):
        tell(Kind.ALLOC, pfn)
    tell.log.say(Kind.GAP, tell.now, Gap(t_lo=0, t_hi=tell.now, reason=LINE), pfn=5_000, src_pfn=9)
    trail = tell.trail(tmp_path / "trail")
    assert not sure(trail, 8)
    assert not sure(trail, 12)


def test_a_range_that_is_taken_as_a_whole_is_in_doubt(tmp_path: Path) -> None:
    tell = Story()
    for pfn in (8, 40):
        tell(Kind.ALLOC, pfn)
    tell.now += SECOND
    entry = ContigRange(call="alloc_contig_range", phase="entry")
    tell.log.say(Kind.CONTIG_RANGE, tell.now, entry, pfn=0, nr_pages=32)
    trail = tell.trail(tmp_path / "trail")
    assert [sure(trail, pfn) for pfn in (8, 40)] == [False, True]


RELEASE = BOOT.model_copy(update={"release": "6.12.117"})


def range_call(tell: Story, phase: Literal["entry", "return"], **columns: int) -> None:
    tell.now += SECOND
    tell.log.say(
        Kind.CONTIG_RANGE, tell.now, ContigRange(call="alloc_contig_range", phase=phase), (0, 7, 7, 0), **columns
    )


@pytest.mark.parametrize(("release", "ret"), [("5.10.223", -16), ("5.10.223", 0), ("6.1.192", 0), ("6.12.117", -16)])
def test_what_was_known_of_a_range_counts_again_when_the_call_has_returned(
    tmp_path: Path, release: str, ret: int
) -> None:
    tell = Story(boot=BOOT.model_copy(update={"release": release}))
    for pfn in (8, 40):
        tell(Kind.ALLOC, pfn)
    range_call(tell, "entry", pfn=0, nr_pages=32, gfp_mask=0xCC0)
    within = tell(Kind.ALLOC, 90)
    range_call(tell, "return", ret=ret)
    tell(Kind.ALLOC, 20)
    tell(Kind.MIGRATE, 20, src_pfn=40)
    trail = tell.trail(tmp_path / "trail")
    assert [sure(trail, pfn) for pfn in (8, 20)] == [True, True]
    assert not sure(trail, 8, within)


@pytest.mark.parametrize("returned", [False, True])
def test_until_the_call_returns_what_is_freed_in_a_range_is_in_doubt(tmp_path: Path, returned: bool) -> None:
    tell = Story(boot=RELEASE)
    tell.log.say(Kind.COVERAGE, tell.now, Coverage(kinds=(*EVERYTHING, "contig_range"), declared_by="the story"))
    tell(Kind.ALLOC, 8)
    range_call(tell, "entry", pfn=0, nr_pages=32, gfp_mask=0xCC0)
    if returned:
        range_call(tell, "return", ret=-16)
        tell(Kind.ALLOC, 8)
    tell(Kind.FREE, 8)
    trail = tell.trail(tmp_path / "trail", floor=2)
    assert sure(trail, 8) == returned
    assert returned or "a range of pages" in trail.owner([8], "-0s").to_pylist()[0]["why"]


@pytest.mark.parametrize("lost", [False, True])
def test_a_return_behind_a_loss_may_be_of_another_range(tmp_path: Path, lost: bool) -> None:
    tell = Story(boot=RELEASE)
    range_call(tell, "entry", pfn=0, nr_pages=32, gfp_mask=0xCC0)
    if lost:
        tell.gap(tell.now)
    range_call(tell, "return", ret=0)
    trail = tell.trail(tmp_path / "trail")
    (row,) = trail.owner([8], "-0s").to_pylist()
    assert (row["pid"] == 7) == (not lost)
    assert not (lost and sure(trail, 8))


# -- recordings of older readers -----------------------------------------------------------------------------------------


def old_recording(folder: Path, end: RecordingEnd | None) -> api.Trail:
    """Return a replayed recording of version 3: a page that was allocated, and the given end."""
    tell = Story()
    tell(Kind.ALLOC, 8)
    tell(Kind.ALLOC, 12)
    framer = Framer(FrameOrigin(**{name: getattr(ORIGIN, name) for name in ORIGIN.__slots__}), frame_events=100)
    frames = [*framer.add(numbered(tell.events, 0))]
    if end is not None:
        frames += framer.add(single(Kind.RECORDING_END, tell.now, end))
    frames += framer.finish()
    folder /= "trail"
    fold(trail_of(folder, [in_version_3(frame.payload, frame.header) for frame in frames]), correct=True)
    return api.open(folder)


@pytest.mark.parametrize(
    ("end", "certain"),
    [
        (RecordingEnd(events={"mm_page_alloc": 2}), True),
        (RecordingEnd(events={"mm_page_alloc": 2, "sched_switch": 1}, ignored={"sched_switch": 1}), True),
        (RecordingEnd(events={"mm_page_alloc": 2}, not_understood=1), False),
        (RecordingEnd(events={"mm_page_alloc": 2}, truncated="it ends in the middle"), False),
        (RecordingEnd(events={"mm_page_free_direct": 1}, ignored={"mm_page_free_direct": 1}), False),
        (None, False),
    ],
    ids=["read whole", "nothing new", "not understood", "truncated", "a free was ignored", "no end"],
)
def test_what_an_older_reader_could_not_read_may_have_been_anywhere(
    tmp_path: Path, end: RecordingEnd | None, certain: bool
) -> None:
    assert sure(old_recording(tmp_path, end), 8) == certain


def test_a_named_loss_reaches_further_by_the_skew_of_the_clocks(tmp_path: Path) -> None:
    tell = Story(skew=2 * SECOND)
    lost = tell(Kind.ALLOC, 40)
    tell.log.say(Kind.GAP, tell.now, Gap(t_lo=lost, t_hi=lost, reason=LINE), pfn=8, order=0)
    tell(Kind.ALLOC, 8, cpu=1)  # the free that was lost may have come after it
    assert not sure(tell.trail(tmp_path / "trail"), 8)


@pytest.mark.slow
@pytest.mark.parametrize("floor", [1 << 40, 4])
def test_a_named_loss_stays_in_doubt_in_every_later_segment(tmp_path: Path, floor: int) -> None:
    tell = Story()
    first = tell(Kind.ALLOC, 8)
    tell.now += SECOND
    tell.log.say(Kind.GAP, tell.now, Gap(t_lo=first, t_hi=tell.now, reason=LINE), pfn=8, order=0)
    for _ in range(120):
        tell(Kind.ALLOC, 20)
        tell(Kind.FREE, 20)
    trail = tell.trail(tmp_path / "trail", floor=floor)
    assert (len(trail.stream().files) > 3) == (floor == 4)
    assert not sure(trail, 8)
    assert not trail.owner([8], tell.now, as_of=tell.now)["certain"][0].as_py()
    assert not trail.snapshot("-0s", as_of="-0s")["certain"][0].as_py()
    shutil.rmtree(tmp_path / "trail" / "segments")
    for _ in range(3):  # as many replays as there are frames: each resumes
        replay(tmp_path / "trail", floor=floor, frames=1)
    assert not sure(api.open(tmp_path / "trail"), 8)


@pytest.mark.slow
def test_the_range_of_a_call_that_returned_later_is_in_doubt_as_of_a_time_within_it(tmp_path: Path) -> None:
    for floor in (1 << 40, 2):
        tell = Story(boot=RELEASE.model_copy(update={"max_order": 6}))
        tell.log.say(Kind.COVERAGE, tell.now, Coverage(kinds=(*EVERYTHING, "contig_range"), declared_by="the story"))
        for pfn in (8, 40):
            tell(Kind.ALLOC, pfn)
        before = tell(Kind.ALLOC, 90)
        range_call(tell, "entry", pfn=0, nr_pages=32, gfp_mask=0xCC0)
        within = tell(Kind.FREE, 8)
        later = tell(Kind.FREE, 90)
        cut = tell.trail(tmp_path / f"cut {floor}", floor=floor)
        range_call(tell, "return", ret=-16)
        tell(Kind.ALLOC, 8)
        freed = tell(Kind.FREE, 8)
        trail = tell.trail(tmp_path / f"whole {floor}", floor=floor)
        for at, as_of in ((within, within), (within, later), (later, later), (before, within), (before, before)):
            ours, theirs = trail.owner([8, 40], at, as_of=as_of), cut.owner([8, 40], at, as_of=as_of)
            assert ours.to_pylist() == theirs.to_pylist(), (floor, at, as_of)
            assert ours["certain"].to_pylist() == [at == before, True]
            assert trail.history(8, as_of=as_of).to_pylist() == cut.history(8, as_of=as_of).to_pylist()
        assert "a range of pages" in trail.owner([8], within, as_of=later).to_pylist()[0]["why"]
        assert sure(trail, 8, freed)


@pytest.mark.parametrize("lost", [False, True])
def test_a_call_whose_return_was_lost_leaves_its_range_in_doubt(tmp_path: Path, lost: bool) -> None:
    """Its process calls again; or events were lost, and the return may be that of another call."""
    tell = Story(boot=RELEASE)
    tell.log.say(Kind.COVERAGE, tell.now, Coverage(kinds=(*EVERYTHING, "contig_range"), declared_by="the story"))
    tell(Kind.ALLOC, 8)
    range_call(tell, "entry", pfn=0, nr_pages=32, gfp_mask=0xCC0)
    freed = tell(Kind.FREE, 8)
    tell.now += SECOND
    if lost:
        tell.gap(tell.now)
    else:
        range_call(tell, "entry", pfn=128, nr_pages=32, gfp_mask=0xCC0)
    range_call(tell, "return", ret=-16)
    end = tell(Kind.ALLOC, 200)
    trail = tell.trail(tmp_path / "trail")
    assert [sure(trail, 8, at) for at in (freed, end)] == [False, False]
