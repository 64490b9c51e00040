"""What a synthetic load is: the same events for the same numbers, and pages that live and die as its numbers say."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pagetrail.producers.synth.blocks_jit import CPUS, NO_MASK
from pagetrail.producers.synth.events import FIRST_PFN, Chunk, chunks
from pagetrail.producers.synth.load import LARGEST, Load
from pagetrail.producers.synth.tasks import MASKS, MASKS_DRAWN, RELEASE, TASKS, mask_by_draw, task_by_rank, tasks
from pagetrail.schemas.errors import BadArgument
from pagetrail.schemas.linux.gfp import format_gfp
from pagetrail.schemas.linux.releases import gfp_of

SMALL = Load(events=20_000, pages=4_000, live=1_500)
COLUMNS = ("ts", "cpu", "task", "pfn", "order", "mask")

loads = st.builds(
    lambda pages, part, **others: Load(pages=pages, live=max(1, pages // 2 // part), **others),
    pages=st.integers(2, 3_000),
    part=st.integers(1, 5),
    events=st.integers(1, 3_000),
    seed=st.integers(0, LARGEST["seed"]),
    max_order=st.integers(0, LARGEST["max_order"]),
    rate=st.integers(1_000, LARGEST["rate"]),
)


def whole(load: Load, number: int = 1, chunk_events: int = 1 << 16) -> Chunk:
    """Return all events of a host as one chunk."""
    parts = list(chunks(load.host(number), chunk_events))
    return Chunk(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in COLUMNS})


def same(a: Chunk, b: Chunk) -> bool:
    return all(np.array_equal(getattr(a, name), getattr(b, name)) for name in COLUMNS)


@given(load=loads, chunk_events=st.integers(1, 4_000))
def test_the_events_do_not_depend_on_how_many_are_made_at_once(load: Load, chunk_events: int) -> None:
    assert same(whole(load), whole(load, chunk_events=chunk_events))


@given(load=loads, more=st.integers(1, 500))
def test_a_longer_load_begins_as_a_shorter_one(load: Load, more: int) -> None:
    longer = whole(replace(load, events=load.events + more))
    assert same(whole(load), Chunk(**{name: getattr(longer, name)[: load.events] for name in COLUMNS}))


def test_another_seed_and_another_host_have_other_events_and_boots() -> None:
    load = replace(SMALL, hosts=3)
    hosts = [load.host(1), load.host(2), load.host(3), replace(load, seed=2).host(1)]
    pfns = [whole(host.load, host.number).pfn for host in hosts]
    assert not any(np.array_equal(pfns[i], pfns[j]) for i in range(4) for j in range(i))
    assert len({host.boot_id for host in hosts}) == len({host.recording_id for host in hosts}) == 4


def test_a_host_does_not_depend_on_how_many_there_are() -> None:
    alone, among = SMALL.host(1), replace(SMALL, hosts=7).host(1)
    assert (alone.name, alone.boot_id, alone.first_state) == (among.name, among.boot_id, among.first_state)
    assert same(whole(alone.load), whole(among.load))


@pytest.mark.parametrize("name", ["events", "pages", "live", "seed", "max_order", "rate"])
def test_every_number_makes_another_recording(name: str) -> None:
    changed = replace(SMALL, **{name: getattr(SMALL, name) + 1})
    assert changed.host(1).recording_id != SMALL.host(1).recording_id


@given(load=loads)
def test_blocks_are_allocated_where_pages_are_free_and_freed_whole(load: Load) -> None:
    """The steady state: between live less a 64th, a block and one page, and live."""
    made = whole(load)
    owned: set[int] = set()
    blocks: dict[int, int] = {}
    steady = False
    for pfn, order, mask in zip(made.pfn.tolist(), made.order.tolist(), made.mask.tolist(), strict=True):
        pages = range(pfn, pfn + (1 << order))
        assert pfn % (1 << order) == 0
        assert FIRST_PFN <= pfn <= FIRST_PFN + load.pages - (1 << order)
        if mask == NO_MASK:
            assert blocks.pop(pfn) == order
            owned.difference_update(pages)
        else:
            assert owned.isdisjoint(pages)
            owned.update(pages)
            blocks[pfn] = order
        assert len(owned) <= load.live
        steady |= len(owned) >= load.live - load.live // 64
        assert not steady or len(owned) >= load.live - load.live // 64 - (1 << load.max_order)
        assert steady or mask != NO_MASK


def test_times_are_rising_microseconds_at_the_rate() -> None:
    for rate in (1_000, 200_000, 1_000_000):
        ts = whole(replace(SMALL, rate=rate)).ts
        assert (np.diff(ts) >= 1_000).all()
        assert (ts % 1_000 == 0).all()
        assert (ts.size - 1) / (ts[-1] - ts[0]) * 1e9 == pytest.approx(rate, rel=0.03)


def test_each_order_is_rarer_and_few_tasks_do_most() -> None:
    made = whole(Load(events=200_000, pages=200_000, live=60_000, max_order=3))
    allocs = np.bincount(made.order[made.mask != NO_MASK], minlength=4)
    assert (allocs[1:] * 6 < allocs[:-1]).all()
    assert (allocs > 0).all()
    by_task = np.sort(np.bincount(made.task, minlength=TASKS))[::-1]
    assert by_task[: TASKS // 10].sum() > made.ts.size / 2
    assert by_task[TASKS // 2] > 0
    assert sorted(set(made.cpu.tolist())) == list(range(CPUS))
    assert sorted(set(made.mask.tolist())) == [NO_MASK, *range(len(MASKS))]


def test_masks_are_as_the_kernel_prints_them() -> None:
    table = gfp_of(RELEASE)
    assert table.known
    assert [format_gfp(mask.bits, table.flags) for mask in MASKS] == [mask.text for mask in MASKS]
    assert mask_by_draw().shape == (2, MASKS_DRAWN)
    assert sorted(set(task_by_rank().tolist())) == list(range(task_by_rank().max() + 1))
    assert all(len(task.comm) < 16 for task in tasks())  # TASK_COMM_LEN


@pytest.mark.parametrize(
    ("numbers", "said"),
    [
        ({"events": 0}, "--events: expected 1 to 10,000,000,000, found 0"),
        ({"pages": 1, "live": 1}, "--pages: expected 2 to 268,435,456, found 1"),
        ({"pages": 1 << 29}, "--pages: expected 2 to 268,435,456, found 536,870,912"),
        ({"pages": 1_000, "live": 501}, "--live: expected 1 to 500 (half of --pages), found 501"),
        ({"live": 0}, "--live: expected 1 to 524,288 (half of --pages), found 0"),
        ({"hosts": 0}, "--hosts: expected 1 to 100,000, found 0"),
        ({"seed": -1}, "--seed: expected 0 to 9,223,372,036,854,775,807, found -1"),
        ({"max_order": 11}, "--max-order: expected 0 to 10, found 11"),
        ({"rate": 999}, "--rate: expected 1,000 to 1,000,000, found 999"),
    ],
)
def test_what_is_out_of_range_is_refused(numbers: dict[str, int], said: str) -> None:
    with pytest.raises(BadArgument) as refused:
        Load(**numbers)
    assert str(refused.value) == said


@pytest.mark.parametrize("number", [0, 2])
def test_there_are_as_many_hosts_as_said(number: int) -> None:
    with pytest.raises(ValueError, match="has no host"):
        SMALL.host(number)
