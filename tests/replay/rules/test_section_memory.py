"""Memory is asked for each section of whose pages something will be known, and what is counted is what is taken."""

import pytest

from pagetrail.replay.fold.tables import DOUBTS, NO_EVENT
from pagetrail.replay.rules.sections import MAX_SECTIONS, Sections
from pagetrail.replay.rules.state import StreamState
from pagetrail.schemas.columns import Kind
from pagetrail.schemas.details import BaselineBegin, BaselineEnd, Boot, Gap
from pagetrail.schemas.errors import MemoryShort
from tests.replay.rules.test_state import PAGES, state, tell
from tests.replay.states import folded
from tests.replay.strategies import PAGES as SMALL
from tests.replay.strategies import Machine, to_frames

OWNERS, VALUES = 2 * 4, 2 * (3 * 8 + 1)
"""Bytes a page: both views of its owner; and both fields of the debug client."""


def boot(of: StreamState, sections: int, *clients: str) -> StreamState:
    present = Boot(section_size_bits=27, present=((0, sections * PAGES),), page_ext_clients=clients)  # type: ignore[arg-type]
    tell(of, Kind.BOOT, present)
    return of


def test_values_are_counted_and_asked_for() -> None:
    of = boot(state(), 40, "owner", "debug")
    assert of.values.fields == ["debug.poison", "debug.guard"]
    assert of.tables.owner.size == 0, "nothing is known of any page"
    before = of.nbytes
    for nr in range(3):
        of.seat(nr)
    assert of.nbytes - before == 3 * PAGES * (OWNERS + VALUES)
    of.most_bytes = of.nbytes + PAGES * (OWNERS + VALUES) - 1
    with pytest.raises(MemoryShort):
        of.seat(3)
    of.most_bytes += 1
    of.seat(3)
    assert of.nbytes <= of.most_bytes


def test_values_of_slots_that_come_later_are_unknown() -> None:
    of = boot(state(), 9, "owner", "debug")
    for nr in range(9):
        of.seat(nr)
    assert of.values.live(of.tables).size == 0
    assert not any(of.values.known_of(slot) for slot in range(9))


def test_what_is_not_written_of_tables_that_double_is_not_counted() -> None:
    of = boot(state(), 10)
    of.most_bytes = of.nbytes + 9 * PAGES * OWNERS
    for nr in range(9):
        of.seat(nr)
    assert of.tables.owner.shape[0] > 9
    assert of.nbytes == of.most_bytes
    with pytest.raises(MemoryShort):
        of.seat(9)


def test_doubts_that_last_are_counted_and_asked_for() -> None:
    of = boot(state(), 10)
    for nr in range(9):
        of.seat(nr)
    before = of.nbytes
    of.lose_pages(0, PAGES, 5, 5, Gap(t_lo=1, t_hi=4, reason="a test"))
    assert 0 <= of.nbytes - before - 9 * PAGES * 8 < PAGES
    of.most_bytes = of.nbytes + PAGES * (OWNERS + 8) - 1
    with pytest.raises(MemoryShort):
        of.seat(9)
    of.most_bytes += 1
    of.seat(9)
    assert (of.tables.doubted[of.tables.slot[1:10]] == NO_EVENT).all()
    assert (of.tables.doubted[of.tables.slot[0]] == 5).all()


def test_a_large_machine_of_which_little_is_known_needs_little_memory() -> None:
    """GIVEN the boot of a machine of 2 TiB WHEN a stream may take 64 MiB THEN it is folded; one of 128 TiB is not."""
    of = state()
    of.most_bytes = 64 << 20
    boot(of, 1 << 14)
    of.seat(5)
    assert of.nbytes <= of.most_bytes
    larger = state()
    larger.most_bytes = 64 << 20
    with pytest.raises(MemoryShort, match="the 1,048,576 sections of its machine"):
        boot(larger, MAX_SECTIONS)
    assert larger.sections.nr_open == 0


@pytest.mark.parametrize("skew", [0, 5])
def test_a_loss_of_all_pages_looks_at_the_sections_that_are_open(monkeypatch: pytest.MonkeyPatch, skew: int) -> None:
    """GIVEN an event near the top of memory WHEN a loss names all pages THEN it asks nothing of the sections between."""
    asked: list[int] = []
    of = state()
    of.facts.recordings[0].clock_skew = skew
    of.open_inferred(3, 1, 1)
    of.open_inferred(MAX_SECTIONS - 1, 2, 2)
    is_open = Sections.is_open

    def counted(self: Sections, nr: int) -> bool:
        asked.append(nr)
        return is_open(self, nr)

    monkeypatch.setattr(Sections, "is_open", counted)
    of.lose_pages(0, MAX_SECTIONS * PAGES, 5, 5, Gap(t_lo=1, t_hi=4, reason="a test"))
    assert (of.tables.slot >= 0).nonzero()[0].tolist() == [3, MAX_SECTIONS - 1]
    assert len(asked) < 10
    assert of.tables.counts[DOUBTS] == 1
    assert len(of.facts.gaps) == (1 if skew else 0), "not all sections are open"


def test_sections_of_a_range_are_found_from_both_sides() -> None:
    of = boot(state(), 4)
    of.seat(1)
    of.free(2, 7, 7, "a test")
    for numbers in (range(1, 3), range(1, 1 << 40)):
        assert of.sections.open_in(numbers) == [nr for nr in (1, 3) if nr in numbers]
        assert of.sections.bare_in(numbers) == [nr for nr in (3,) if nr in numbers]


@pytest.mark.parametrize("correct", [True, False])
def test_a_dump_that_only_audits_takes_no_memory_for_pages(correct: bool) -> None:
    m = Machine(correct=correct)
    m.begin()
    for section_nr in (0, 3):  # the first dump is always applied
        m.ts += 1_000
        m.emit(Kind.BASELINE_BEGIN, BaselineBegin(name="d", window_begin=m.ts, window_end=m.ts, entries=1, skipped=0))
        m.emit(Kind.BASELINE_ENTRY, pfn=section_nr * SMALL, order=0, pid=1, gfp_mask=0, ts_nsec=77)
        m.emit(Kind.BASELINE_END, BaselineEnd(name="d", entries=1))
    of = folded(to_frames(m.recordings), correct=correct).engine.state
    assert [audit.records for audit in of.facts.audits] == [1, 1]
    assert of.sections.is_open(3)
    assert (of.tables.slot >= 0).tolist() == [True, False, False, correct]
