"""The notifier's actions, as observed calls show them, do to extensions what mm/page_ext.c does."""

import errno
from collections.abc import Callable, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pagetrail.schemas.columns import Kind
from pagetrail.schemas.details import Hotplug
from pagetrail.schemas.linux.memory_notify import (
    Call,
    ExtensionState,
    MemoryAction,
    Step,
    memory_action,
    online_page_ext,
    page_ext_callback,
    refused,
    rollback,
)
from pagetrail.schemas.linux.mmzone import sections_of
from tests.replay.states import Run, folded, new_engine
from tests.replay.strategies import PAGES, Machine, to_frames

A = MemoryAction
SECTIONS = range(3, 8)
extensions = st.fixed_dictionaries({nr: st.sampled_from(ExtensionState) for nr in SECTIONS})


def known(state: Mapping[int, ExtensionState]) -> Callable[[int], ExtensionState]:
    return lambda nr: state[nr]


def after(state: Mapping[int, ExtensionState], steps: list[Step]) -> dict[int, bool]:
    """Return which extensions are there after *steps*; each step changes something."""
    there = {nr: extension is not ExtensionState.ABSENT for nr, extension in state.items()}
    for step in steps:
        assert there[step.section_nr] != step.there
        there[step.section_nr] = step.there
    return there


@pytest.mark.parametrize(
    ("call", "phase", "ret", "action"),
    [
        ("online_pages", "entry", None, A.MEM_GOING_ONLINE),
        ("online_pages", "return", 0, A.MEM_ONLINE),
        ("online_pages", "return", -errno.ENOMEM, A.MEM_CANCEL_ONLINE),
        ("online_pages", "notified", None, A.MEM_ONLINE),
        ("online_pages", "return", None, None),
        ("offline_pages", "entry", None, A.MEM_GOING_OFFLINE),
        ("offline_pages", "return", 0, A.MEM_OFFLINE),
        ("offline_pages", "return", -errno.EBUSY, A.MEM_CANCEL_OFFLINE),
        ("offline_pages", "notified", None, A.MEM_OFFLINE),
        ("offline_pages", "return", None, None),
    ],
)
def test_each_observation_means_one_action(call: str, phase: str, ret: int | None, action: MemoryAction | None) -> None:
    assert memory_action(Call(call, phase, ret)) is action


@given(extensions)
def test_going_online_allocates_what_is_not_there_and_keeps_what_is(state: dict[int, ExtensionState]) -> None:
    steps = page_ext_callback(A.MEM_GOING_ONLINE, SECTIONS, known(state), why="online_pages")
    assert all(after(state, steps).values())
    fresh = {step.section_nr for step in steps if step.fresh}
    assert fresh == {nr for nr in SECTIONS if state[nr] is not ExtensionState.BLANK}


@given(extensions, st.sampled_from(SECTIONS))
def test_a_failed_going_online_leaves_no_extension_in_its_range(
    state: dict[int, ExtensionState], fails_at: int
) -> None:
    """Neither those that it had allocated, nor those that were there before it."""
    steps = online_page_ext(SECTIONS, known(state), why="online_pages", fails_at=fails_at)
    if state[fails_at] is ExtensionState.BLANK:
        assert all(after(state, steps).values())  # it is there: nothing is allocated, so nothing fails
        return
    assert not any(after(state, steps).values())
    assert all(step.section_nr < fails_at for step in steps if step.there)


@given(extensions, st.sampled_from(SECTIONS))
def test_where_it_failed_makes_no_difference_to_what_is_there_when_the_call_returns(
    state: dict[int, ExtensionState], fails_at: int
) -> None:
    """So the section at which it failed, which no recording shows, need not be known."""
    failed = online_page_ext(SECTIONS, known(state), why="online_pages", fails_at=fails_at)
    now = {nr: ExtensionState.BLANK if there else ExtensionState.ABSENT for nr, there in after(state, failed).items()}
    failed += page_ext_callback(A.MEM_CANCEL_ONLINE, SECTIONS, known(now), why="online_pages")
    seen = online_page_ext(SECTIONS, known(state), why="online_pages")
    seen += rollback(SECTIONS, lambda nr: ExtensionState.BLANK)
    assert after(state, failed) == after(state, seen) == dict.fromkeys(SECTIONS, False)


@given(extensions)
def test_online_proves_extensions_and_offline_frees_them(state: dict[int, ExtensionState]) -> None:
    online = page_ext_callback(A.MEM_ONLINE, SECTIONS, known(state), why="notified")
    assert all(after(state, online).values())
    assert not any(step.fresh for step in online)
    offline = page_ext_callback(A.MEM_OFFLINE, SECTIONS, known(state), why="offline_pages")
    assert not any(after(state, offline).values())


@given(extensions, st.sampled_from([A.MEM_GOING_OFFLINE, A.MEM_CANCEL_OFFLINE]))
def test_going_offline_and_its_cancellation_change_nothing(
    state: dict[int, ExtensionState], action: MemoryAction
) -> None:
    assert page_ext_callback(action, SECTIONS, known(state), why="offline_pages") == []


def test_a_range_is_refused_unless_it_is_of_whole_pageblocks_and_ends_with_a_section() -> None:
    assert not refused(64, 64, 16, 64)
    assert not refused(80, 48, 16, 64)  # memmap_on_memory: the first pages of the block hold its struct pages
    assert refused(72, 56, 16, 64)
    assert refused(64, 32, 16, 64)
    assert refused(64, 0, 16, 64)
    assert sections_of(80, 112, 64) == range(1, 3)


# -- in the fold ---------------------------------------------------------------------------------------------------------


def call(
    m: Machine, name: str, phase: str, first: int | None = None, sections: int = 2, ret: int | None = None
) -> None:
    m.ts += 10
    span = {} if first is None else {"pfn": first * PAGES, "nr_pages": sections * PAGES}
    m.emit(Kind.HOTPLUG, Hotplug(call=name, phase=phase), ret=ret, pid=7, **span)  # type: ignore[arg-type]


def generations(run: Run) -> list[tuple[int, int, str, str | None]]:
    return [(s.section_nr, s.generation, s.how, s.end_how) for s in run.facts.sections if s.section_nr > 1]


def test_an_online_that_fails_at_once_leaves_its_range_absent() -> None:
    """GIVEN two sections, one of them there WHEN online_pages returns -ENOMEM right from the notifier THEN neither is."""
    m = Machine()
    m.begin()
    call(m, "online_pages", "notified", 3, 1)
    call(m, "online_pages", "entry", 2)
    call(m, "online_pages", "return", ret=-errno.ENOMEM)
    call(m, "online_pages", "entry", 2)
    call(m, "online_pages", "return", ret=0)
    m.end()
    assert generations(folded(to_frames(m.recordings))) == [
        (3, 1, "notified", "cancelled"), (2, 1, "online_pages", "cancelled"),
        (2, 2, "online_pages", None), (3, 2, "online_pages", None),
    ]  # fmt: skip


def test_memory_that_comes_again_is_another_generation_also_when_nobody_saw_it_go() -> None:
    m = Machine()
    m.begin()
    call(m, "online_pages", "notified", 2, 1)
    m.emit(Kind.ALLOC, pfn=2 * PAGES, order=0, gfp_mask=0, pid=1)
    call(m, "online_pages", "entry", 2, 1)
    call(m, "online_pages", "return", ret=0)
    m.end()
    run = folded(to_frames(m.recordings))
    assert generations(run) == [(2, 1, "notified", "unseen"), (2, 2, "online_pages", None)]
    assert run.engine.state.tables.slot[2] < 0, "nothing is known of its pages"


def test_a_call_that_is_refused_changes_no_section() -> None:
    m = Machine()
    m.begin()
    m.emit(Kind.HOTPLUG, Hotplug(call="online_pages", phase="entry"), pfn=2 * PAGES, nr_pages=PAGES - 8, pid=7)
    call(m, "online_pages", "return", ret=-errno.EINVAL)
    m.end()
    assert generations(folded(to_frames(m.recordings))) == []


@pytest.mark.parametrize("name", ["online_pages", "offline_pages"])
def test_a_return_without_its_result_leaves_nothing_sure(name: str) -> None:
    m = Machine()
    m.begin()
    m.emit(Kind.ALLOC, pfn=0, order=0, gfp_mask=0, pid=1)
    call(m, name, "entry", 0, 1)
    call(m, name, "return")
    run = Run(new_engine()).apply(to_frames(m.recordings)).finish()
    assert [gap.t_hi for _, _, gap in run.facts.gaps] == [m.ts]
