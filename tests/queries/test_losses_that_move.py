"""A loss that names its pages, and the owners that migrations copied from them: no copy is surer than what it was copied from."""

from itertools import pairwise
from pathlib import Path

import pytest

from pagetrail.schemas.columns import Kind
from pagetrail.schemas.details import Gap
from pagetrail.schemas.owner import State
from tests.queries.test_losses import LINE, sure
from tests.stories import BOOT, SECOND, Story, certain

NEWER = BOOT.model_copy(update={"release": "6.12.117"})
COMPOUND = 0x40CC0 | 0x8


def lose(tell: Story, pfn: int, *, t_lo: int | None = None, order: int = 0) -> int:
    """Tell a loss that names a block; return when it was reported."""
    tell.now += SECOND
    gap = Gap(t_lo=tell.now if t_lo is None else t_lo, t_hi=tell.now, reason=LINE)
    tell.log.say(Kind.GAP, tell.now, gap, pfn=pfn, order=order)
    return tell.now


def moved(tell: Story, *path: int) -> int:
    """Let the owner of the first page of *path* migrate to each of the others, which a migrator allocates."""
    for pfn in path[1:]:
        tell(Kind.ALLOC, pfn, pid=9)
    for src_pfn, pfn in pairwise(path):
        tell(Kind.MIGRATE, pfn, src_pfn=src_pfn)
    return tell.now


@pytest.mark.parametrize("lost", [8, 12])
def test_what_is_copied_from_a_page_in_doubt_is_in_doubt(lost: int) -> None:
    tell = Story()
    tell(Kind.ALLOC, 8)
    tell(Kind.ALLOC, 12)
    lose(tell, lost)
    moved(tell, 8, 20)
    answer = tell.answer()
    for attribute in ("state", "order", "pid", "tgid", "gfp_mask", "ts_nsec"):
        assert certain(answer, 20, attribute) == (lost != 8)
    assert (answer.said.proven["state"][20], answer.said.proven["pid"][20]) == (State.OWNED, 5)


def test_a_doubt_goes_on_from_copy_to_copy_and_no_further(tmp_path: Path) -> None:
    tell = Story()
    tell(Kind.ALLOC, 8)
    tell(Kind.ALLOC, 9)
    lose(tell, 8)
    moved(tell, 8, 20, 24, 28)
    tell(Kind.FREE, 24)
    moved(tell, 9, 24)
    trail = tell.trail(tmp_path / "trail", floor=2)
    assert [sure(trail, pfn) for pfn in (20, 28)] == [False, False]
    assert sure(trail, 24) is False  # the doubt of the page lasts for all evidence from before ...
    moved(tell, 24, 32)
    assert certain(tell.answer(), 32)  # ... but what is there now was never in doubt


def test_new_evidence_ends_the_doubt_before_a_migration_copies_it() -> None:
    tell = Story()
    tell(Kind.ALLOC, 8)
    lose(tell, 8)
    tell(Kind.FREE, 8)
    tell(Kind.ALLOC, 8)
    moved(tell, 8, 20)
    assert certain(tell.answer(), 20)


def test_a_dump_that_agrees_ends_the_doubt_of_a_copy() -> None:
    tell = Story()
    first = tell(Kind.ALLOC, 8)
    lose(tell, 8)
    moved(tell, 8, 20)
    tell(Kind.FREE, 8)
    tell.dump(tell.now, {"pfn": 20, "ts_nsec": first})
    assert certain(tell.answer(), 20)


@pytest.mark.parametrize("skew", [0, 10])
def test_a_loss_that_is_reported_after_the_migration_is_one_from_before_it(tmp_path: Path, skew: int) -> None:
    """The CPU of the lost line speaks again only after another one has migrated the page."""
    tell = Story(skew=skew)
    first = tell(Kind.ALLOC, 8)
    tell(Kind.ALLOC, 12)
    then = moved(tell, 8, 20, 24)
    moved(tell, 12, 28)
    lost = lose(tell, 8, t_lo=first + 1)
    moved(tell, 24, 32)
    moved(tell, 28, 36)
    trail = tell.trail(tmp_path / "trail", floor=2)
    assert [sure(trail, pfn) for pfn in (20, 24, 32, 28, 36)] == [False, False, False, True, True]
    assert not sure(trail, 24, then)
    (row,) = trail.owner([24], then, as_of=lost - 1).to_pylist()
    assert "state" not in row["uncertain"]


def test_a_migration_from_before_the_loss_copied_no_doubt() -> None:
    tell = Story()
    tell(Kind.ALLOC, 8)
    moved(tell, 8, 20)
    lose(tell, 8)
    assert certain(tell.answer(), 20)


def test_where_too_many_migrations_followed_a_loss_to_remember_them_all_pages_are_in_doubt() -> None:
    for many in (1_000, 1_100):
        tell = Story()
        first = tell(Kind.ALLOC, 8)
        tell(Kind.ALLOC, 12)
        moved(tell, 8, 20)
        tell(Kind.ALLOC, 40)
        for n in range(many):
            tell(Kind.MIGRATE, 41 - n % 2, src_pfn=40 + n % 2)
        lose(tell, 8, t_lo=first + 1)
        answer = tell.answer()
        assert not certain(answer, 20)
        assert certain(answer, 12) == (many < 1_024)


@pytest.mark.parametrize("floor", [1 << 40, 2])
@pytest.mark.parametrize(("skew", "stop"), [(0, None), (10, None), (0, 9)])
def test_the_doubt_of_a_block_goes_with_it_across_segments(
    tmp_path: Path, floor: int, skew: int, stop: int | None
) -> None:
    """From 6.12 on a migration writes every page of the new block."""
    tell = Story(boot=NEWER, skew=skew)
    tell(Kind.ALLOC, 8, order=2, gfp_mask=COMPOUND)
    lost = lose(tell, 8 if stop is None else 16, order=2)
    for pfn in range(100, 110):
        tell(Kind.ALLOC, pfn)
    tell(Kind.ALLOC, 20, order=2, gfp_mask=COMPOUND)
    then = tell(Kind.MIGRATE, 20, src_pfn=8)
    for pfn in range(110, 120):
        tell(Kind.ALLOC, pfn)
    trail = tell.trail(tmp_path / "trail", floor=floor)
    unsure = skew > 0 or stop is None
    assert [sure(trail, pfn) for pfn in (20, 21, 23)] == [not unsure] * 3
    (row,) = trail.owner([23], then, as_of=then).to_pylist()
    assert ("state" in row["uncertain"]) == unsure
    assert lost < then


def test_a_history_that_is_followed_is_not_sure_beyond_a_loss(tmp_path: Path) -> None:
    tell = Story()
    tell(Kind.ALLOC, 8)
    lose(tell, 8)
    moved(tell, 8, 20)
    rows = tell.trail(tmp_path / "trail").lineage(20).to_pylist()
    assert [(row["pfn"], row["certain"]) for row in rows] == [(8, False), (20, False)]
    assert "migrated from a page that was in doubt" in rows[-1]["why"]


def test_what_is_copied_from_a_page_that_a_later_dump_does_not_list_is_in_doubt() -> None:
    tell = Story()
    tell(Kind.ALLOC, 8)
    tell(Kind.ALLOC, 20, pid=9)
    tell.dump(tell.now, {"pfn": 20, "pid": 9, "ts_nsec": tell.now})
    assert not certain(tell.answer(), 8)
    tell(Kind.MIGRATE, 20, src_pfn=8)
    assert not certain(tell.answer(), 20)
