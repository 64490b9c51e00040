"""What the model kernel found in the fold, each as the shortest history that shows it."""

import numpy as np
import pytest

from pagetrail.schemas.columns import Kind
from pagetrail.schemas.details import ContigRange
from pagetrail.schemas.owner import ABSENT8, State
from tests.stories import BOOT, SECOND, Story, certain


def test_a_section_that_went_while_a_dump_was_read_stays_absent() -> None:
    tell = Story()
    tell.hotplug("online", "entry", 64)
    tell.hotplug("online", "return", ret=0)
    begin = tell(Kind.ALLOC, 64)
    tell.hotplug("offline", "entry", 64)
    tell(Kind.FREE, 64)
    tell.hotplug("offline", "return", ret=0)
    tell.dump(begin, {"pfn": 64})
    assert tell.answer().said.absent[64]


def test_the_tails_of_a_migrated_block_are_not_certain_from_its_heads_record_in_a_dump() -> None:
    tell = Story()
    tell.dump(tell.now, {"pfn": 8, "order": 2, "migrate_reason": 2})
    answer = tell.answer()
    assert certain(answer, 8, "pid")
    assert not certain(answer, 9, "pid")


def test_a_page_with_a_record_of_its_own_in_the_dump_is_not_its_neighbours() -> None:
    tell = Story()
    tell.dump(tell.now, {"pfn": 8, "order": 2, "gfp_mask": 0xCC0}, {"pfn": 10, "pid": 6})
    assert tell.answer().said.proven["pid"][10] == 6


def test_a_gap_within_a_dumps_window_leaves_the_dump_uncertain() -> None:
    tell = Story()
    begin = tell(Kind.FREE, 40)
    tell(Kind.FREE, 41)
    tell.gap(begin)
    tell.dump(begin, {"pfn": 8})
    assert not certain(tell.answer(), 8)


def test_a_split_after_a_gap_proves_no_owner() -> None:
    tell = Story()
    before = tell(Kind.ALLOC, 8, order=1)
    tell(Kind.FREE, 40)
    tell.gap(before)
    tell(Kind.SPLIT, 8, nr_pages=2)
    assert not certain(tell.answer(), 8, "pid")


def test_a_migration_after_a_gap_proves_no_owner() -> None:
    tell = Story()
    before = tell(Kind.ALLOC, 8)
    tell(Kind.FREE, 40)
    tell.gap(before)
    tell(Kind.ISOLATE, 20)
    tell(Kind.MIGRATE, 20, src_pfn=8)
    assert not certain(tell.answer(), 20, "pid")


def test_a_migration_tells_why_and_only_of_its_first_page() -> None:
    """Linux 6.12 copies the owner to all pages of the new block, and notes the reason for the first one alone."""
    tell = Story(boot=BOOT.model_copy(update={"release": "6.12.117"}))
    tell(Kind.ALLOC, 8, order=1)
    tell(Kind.ALLOC, 20, order=1, pid=9)
    tell(Kind.MIGRATE, 20, src_pfn=8)
    tell(Kind.MIGRATE, 20, src_pfn=20, migrate_reason=2)
    tell(Kind.SPLIT, 20, nr_pages=2)
    proven = tell.answer().said.proven
    assert proven["pid"][20:22].tolist() == [5, 5]
    assert proven["migrate_reason"][20:22].tolist() == [2, ABSENT8]
    assert proven["src_pfn"][20] == 8


def test_the_tails_of_a_block_that_moved_twice_have_the_reason_of_the_first_time() -> None:
    tell = Story(boot=BOOT.model_copy(update={"release": "6.12.117"}))
    for pfn in (8, 20, 30):
        tell(Kind.ALLOC, pfn, order=1)
    for source, target, reason in ((8, 20, 2), (20, 30, 0)):
        tell(Kind.MIGRATE, target, src_pfn=source)
        assert tell.answer().said.proven["migrate_reason"][target] == ABSENT8
        tell(Kind.MIGRATE, target, src_pfn=target, migrate_reason=reason)
    tell(Kind.SPLIT, 30, nr_pages=2)
    assert tell.answer().said.proven["migrate_reason"][30:32].tolist() == [0, 2]


@pytest.mark.parametrize(("kind", "columns"), [(Kind.ALLOC, {}), (Kind.MIGRATE, {"src_pfn": 30})])
def test_a_page_that_is_used_anew_has_no_earlier_reason(kind: Kind, columns: dict[str, int]) -> None:
    tell = Story()
    tell(Kind.ALLOC, 8)
    tell(Kind.ALLOC, 30)
    tell(Kind.ISOLATE, 20)
    tell(Kind.MIGRATE, 20, src_pfn=8)
    tell(Kind.MIGRATE, 20, src_pfn=20, migrate_reason=2)
    assert tell.answer().said.proven["migrate_reason"][20] == 2
    tell(Kind.FREE, 20)
    tell(kind, 20, **columns)
    assert tell.answer().said.proven["migrate_reason"][20] == ABSENT8


def test_the_reason_of_a_migration_leaves_a_page_free_that_was_freed_before() -> None:
    """Linux 5.10 and 6.1 note the reason after the reference to the new page was dropped."""
    tell = Story()
    tell(Kind.ALLOC, 8)
    tell(Kind.ISOLATE, 20)
    tell(Kind.MIGRATE, 20, src_pfn=8)
    tell(Kind.FREE, 20)
    tell(Kind.MIGRATE, 20, src_pfn=20, migrate_reason=2)
    answer = tell.answer()
    assert (answer.said.proven["state"][20], answer.said.proven["migrate_reason"][20]) == (State.FREE, ABSENT8)
    assert certain(answer, 20)


def test_a_page_has_the_reason_of_its_migration_from_the_event_on_that_notes_it() -> None:
    tell = Story()
    tell(Kind.ALLOC, 8)
    tell(Kind.ISOLATE, 20)
    copied = tell(Kind.MIGRATE, 20, src_pfn=8)
    noted = tell(Kind.MIGRATE, 20, src_pfn=20, migrate_reason=2)
    assert [tell.answer(at).said.proven["migrate_reason"][20] for at in (copied, noted)] == [ABSENT8, 2]
    assert certain(tell.answer(), 20)


def test_the_reason_of_a_migration_moves_nothing() -> None:
    tell = Story(skew=10 * SECOND)
    tell(Kind.ALLOC, 20)
    tell(Kind.ALLOC, 30)
    tell(Kind.MIGRATE, 30, src_pfn=20)
    tell(Kind.MIGRATE, 20, cpu=1, src_pfn=20, migrate_reason=2)
    assert certain(tell.answer(), 30)


def test_which_owner_a_reason_of_another_cpu_belongs_to_is_unsure_within_the_skew() -> None:
    tell = Story(skew=2 * SECOND)
    tell(Kind.ALLOC, 20)
    tell(Kind.MIGRATE, 20, cpu=1, src_pfn=20, migrate_reason=2)
    assert not certain(tell.answer(), 20)


def test_a_block_that_was_split_while_a_dump_was_read_has_not_the_order_that_was_read() -> None:
    tell = Story()
    begin = tell.now
    tell(Kind.SPLIT, 8, nr_pages=4)
    tell.dump(begin, {"pfn": 8, "order": 2})
    answer = tell.answer()
    assert answer.said.proven["order"][8] == 0 or not certain(answer, 8, "order")


@pytest.mark.parametrize("kind", [Kind.MIGRATE, Kind.SPLIT])
def test_a_free_page_that_is_migrated_to_or_split_was_allocated_unseen(kind: Kind) -> None:
    tell = Story()
    tell(Kind.ALLOC, 20, order=1)
    tell(Kind.ALLOC, 8, order=1)
    tell(Kind.FREE, 8, order=1)
    between = tell(Kind.FREE, 40)
    tell(kind, 8, **({"src_pfn": 20} if kind == Kind.MIGRATE else {"nr_pages": 2}))
    assert not certain(tell.answer(between), 8)
    assert not (certain(tell.answer(), 9) and tell.answer().said.proven["state"][9] == State.FREE)


def test_an_offline_whose_entry_was_not_seen_leaves_no_page_certain_that_may_have_gone() -> None:
    tell = Story()
    tell(Kind.FREE, 64, order=5)  # the section is there: it came before the recording
    tell.hotplug("offline", "return", ret=0)
    answer = tell.answer()
    assert answer.said.absent[64] or not certain(answer, 64)


def test_the_tails_of_a_block_that_may_have_been_freed_in_part_are_not_certain_from_a_dump() -> None:
    tell = Story()
    tell.dump(
        tell.now, {"pfn": 8, "order": 2, "gfp_mask": 0xCC0}
    )  # not compound: __free_pages may leave its first page
    assert not certain(tell.answer(), 9)


def test_a_page_whose_two_events_came_the_wrong_way_round_is_in_doubt_from_then_on() -> None:
    tell = Story(skew=3_000)
    tell(Kind.ALLOC, 8)
    tell(Kind.ALLOC, 8, pid=6, cpu=1)  # on another CPU, just after the free that is read 1 µs later
    tell.now += 1_000 - SECOND
    tell(Kind.FREE, 8)
    assert not certain(tell.answer(), 8)


def test_an_offline_that_returns_after_a_gap_is_not_surely_the_one_that_was_entered_before_it() -> None:
    tell = Story()
    for pfn in (64, 128):
        tell.hotplug("online", "entry", pfn)
        tell.hotplug("online", "return", ret=0)
    tell.hotplug("offline", "entry", 128)
    before = tell.now
    tell(Kind.FREE, 40)
    tell.gap(before)  # in it: 128's return, and the entry of 64's
    tell(Kind.FREE, 64, order=5)
    tell.hotplug("offline", "return", ret=0)
    answer = tell.answer()
    assert answer.said.absent[64] or not certain(answer, 64)


def freed_in_part_and_dumped() -> Story:
    """Of a block all but the first page is freed, and one has a new owner. The dump lists both, the block in its old size."""
    tell = Story(without="split")
    block = tell(Kind.ALLOC, 8, order=2, gfp_mask=0xCC0)
    tell(Kind.FREE, 10, order=1)
    tell(Kind.FREE, 9)
    page = tell(Kind.ALLOC, 9, pid=6)
    whole = {"pfn": 8, "order": 2, "gfp_mask": 0xCC0, "ts_nsec": block}
    tell.dump(tell.now + 1, whole, {"pfn": 9, "pid": 6, "ts_nsec": page})
    return tell


def test_a_dumps_block_does_not_take_a_page_that_the_dump_lists_as_anothers() -> None:
    assert freed_in_part_and_dumped().answer().said.proven["pid"][9] == 6


def test_an_implied_split_makes_no_tail_certain_that_was_not() -> None:
    tell = freed_in_part_and_dumped()
    tell(Kind.ALLOC, 10, pid=7)
    answer = tell.answer()
    assert answer.said.proven["pid"][9] == 6 or not certain(answer, 9, "pid")


def test_a_stamp_on_a_page_that_was_free_is_not_certain_however_often_it_is_told() -> None:
    tell = Story()
    tell(Kind.FREE, 8)
    ghost = {"pfn": 8, "pid": 1, "comm": -1, "gfp_mask": 0, "ts_nsec": tell.now + 5}
    for _ in range(2):
        tell.dump(tell.now + 10, ghost)
        assert not certain(tell.answer(), 8)


@pytest.mark.parametrize(("bytes_taken", "order"), [(8192, 0), (16384, 1)])
def test_page_exts_own_block_was_split_when_it_is_all_that_page_ext_took(bytes_taken: int, order: int) -> None:
    boot = BOOT.model_copy(update={"section_size_bits": 19, "present": ((0, 128),), "page_ext_bytes": bytes_taken})
    tell = Story(boot=boot)
    tell(Kind.ALLOC, 8, order=1, gfp_mask=0x2DC0)  # as alloc_page_ext does, for the 8 KiB of one section
    early = {"pid": 1, "comm": -1, "gfp_mask": 0, "ts_nsec": tell.now + 5}
    tell.dump(tell.now + 10, {"pfn": 8, **early}, {"pfn": 9, **early})
    proven = tell.answer().said.proven
    assert proven["order"][8:10].tolist() == [order, order]
    assert proven["gfp_mask"][8] == 0x2DC0


def test_the_stories_answers_are_certain_where_nothing_is_wrong() -> None:
    tell = Story()
    tell(Kind.ALLOC, 8)
    tell(Kind.FREE, 9)
    assert np.flatnonzero(tell.answer().certain[:, 0]).tolist() == [8, 9]


def test_the_tails_of_a_block_that_moved_are_not_certain_where_the_kernel_may_be_of_either_kind() -> None:
    tell = Story(boot=BOOT.model_copy(update={"release": "6.6.1"}))
    tell(Kind.ALLOC, 0, order=3, pid=5)
    tell(Kind.ALLOC, 8, order=3, pid=9)
    tell.now += SECOND
    tell.log.add(Kind.MIGRATE, tell.now, (0, 9, 9, 0), pfn=8, src_pfn=0)
    answer = tell.answer()
    assert certain(answer, 8, "pid")
    assert not any(certain(answer, pfn, "pid") for pfn in range(9, 16))


@pytest.mark.parametrize(("ret", "pid"), [(0, 9), (-16, 5)])
def test_a_range_has_its_caller_as_owner_only_if_the_call_succeeded(ret: int, pid: int) -> None:
    tell = Story(boot=BOOT.model_copy(update={"release": "6.12.117"}))
    tell(Kind.ALLOC, 16, order=0, pid=5)
    for phase, columns in (("entry", {"pfn": 16, "nr_pages": 1, "gfp_mask": 0xCC0}), ("return", {"ret": ret})):
        tell.now += SECOND
        detail = ContigRange.model_validate({"call": "alloc_contig_range", "phase": phase})
        tell.log.say(Kind.CONTIG_RANGE, tell.now, detail, (0, 9, 9, 0), **columns)
    assert tell.answer().said.proven["pid"][16] == pid
