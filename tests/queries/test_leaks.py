"""Leaks between dumps: what is owned at the end of a window, and was not owned by the same allocation at its beginning."""

import random
from itertools import combinations
from pathlib import Path

import pytest

from pagetrail import api
from pagetrail.schemas.columns import Kind
from tests.effort import effort
from tests.stories import SECOND, Story

STACKS = ("vfs_write", "do_user_addr_fault")

Dump = dict[int, int]
"""Pages of a dump, each with the number of its allocation: another number is another allocation of the page."""


def text_of(dump: Dump, *, timed: bool) -> str:
    """Return a dump: in the form of Linux 6.1, or of 5.10, in which the stack alone tells two allocations apart."""
    records = []
    for pfn, number in sorted(dump.items()):
        who = f", pid 7, tgid 7 (sh), ts {1000 * number + 1} ns, free_ts 0 ns" if timed else ""
        records.append(
            f"Page allocated via order 0, mask 0x8(__GFP_MOVABLE){who}\n"
            f"PFN {pfn} type Movable Block {pfn >> 9} type Movable Flags 0x0()\n"
            f" __alloc_pages+0x20/0x230\n {STACKS[number % 2]}+0x23/0x230\n\n"
        )
    return "".join(records)


def trail_of(folder: Path, dumps: list[Dump], *, timed: bool) -> api.Trail:
    for place, dump in enumerate(dumps):
        (folder / f"d{place}.txt").write_text(text_of(dump, timed=timed))
        at = f"{1000 * place + 999}" if timed else "order"
        api.ingest(folder / "trail", folder / f"d{place}.txt", boot_id="b", whole=True, at=at)
    api.replay(folder / "trail")
    return api.open(folder / "trail")


def leaked(trail: api.Trail, first: int, last: int) -> int:
    rows = trail.leaks(f"@d{first}", f"@d{last}", "order").to_pylist()
    return sum(row["pages"] for row in rows)


def looks_like(number: int, other: int, *, timed: bool) -> bool:
    """Return whether two allocations of a page look like one; without times, they do if they have one stack."""
    return number == other if timed else number % 2 == other % 2


def random_dumps(seed: int, count: int) -> list[Dump]:
    """Return dumps of 30 pages: each page stays, goes, comes, or is allocated anew between two of them."""
    chance = random.Random(seed)
    dumps: list[Dump] = [{pfn: 0 for pfn in range(30) if chance.random() < 0.5} | {50: 0}]
    while len(dumps) < count:
        number = len(dumps)
        dumps.append({50 + number: number})
        for pfn in range(30):
            fate = chance.random()
            if fate < 0.4 and pfn in dumps[-2]:
                dumps[-1][pfn] = dumps[-2][pfn]
            elif fate < 0.7:
                dumps[-1][pfn] = number
    return dumps


@pytest.mark.parametrize("timed", [True, False])
@pytest.mark.parametrize("count", [3, 4])
@pytest.mark.parametrize("seed", range(effort(1, 20)))
def test_between_any_two_of_several_dumps_leaks_are_what_the_allocations_say(
    tmp_path: Path, seed: int, count: int, timed: bool
) -> None:
    dumps = random_dumps(seed, count)
    trail = trail_of(tmp_path, dumps, timed=timed)
    for first, last in combinations(range(count), 2):
        between = dumps[first:last]
        stayed = [
            pfn
            for pfn, number in dumps[last].items()
            if all(pfn in dump and looks_like(dump[pfn], number, timed=timed) for dump in between)
        ]
        assert leaked(trail, first, last) == len(dumps[last]) - len(stayed), (first, last)


def test_a_dump_without_times_in_the_middle_is_the_first_to_list_what_it_adds(tmp_path: Path) -> None:
    trail = trail_of(tmp_path, [{8: 0}, {8: 0, 9: 0}, {8: 0, 9: 0, 10: 0}], timed=False)
    assert [leaked(trail, *window) for window in ((0, 1), (0, 2), (1, 2))] == [1, 2, 1]
    (row,) = trail.leaks("@d0", "@d2", "order").to_pylist()
    assert (row["certain_pages"], row["youngest_ns"], row["median_age_ns"], row["oldest_ns"]) == (0, None, None, None)


def test_what_was_migrated_after_a_dump_without_times_listed_it_is_as_old_as_there(tmp_path: Path) -> None:
    tell = Story()
    times = []
    untimed = {"ts_nsec": -(1 << 63)}
    for pages in ((8,), (8, 9)):
        tell.dump(tell.now, *({"pfn": pfn} | untimed for pfn in pages))
        times.append(tell.now)
        tell.now += SECOND
    for source, target in ((8, 16), (9, 17)):
        tell(Kind.MIGRATE, target, src_pfn=source)
    trail = tell.trail(tmp_path / "trail")
    assert [row["pages"] for row in trail.leaks(times[0], "-0s", "order").to_pylist()] == [
        2
    ]  # 9, and its contents in 17
    assert trail.leaks(times[1], "-0s", "order").num_rows == 0
