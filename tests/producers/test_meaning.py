"""What tracepoints mean, without any format: fields in, rows out."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pagetrail.producers.formats.text import text_jit
from pagetrail.producers.formats.text.payloads import action_of, fields_of
from pagetrail.producers.gaps import Gaps, gap_of_unknown_cpu
from pagetrail.producers.meaning import (
    EVENTS,
    UNKNOWN_KERNEL,
    FailedAlloc,
    Meaning,
    NothingNew,
    Outcome,
    RecordedKernel,
    Refused,
    Row,
)
from pagetrail.schemas.columns import Kind, absent

BLOCK = {"pfn": 256, "order": 3, "migratetype": 1}
ONE = {"count": 1, "line": None}
BASE = 0xFFFFEA0000000000


def outcome(
    name: str, *, kernel: RecordedKernel = UNKNOWN_KERNEL, highest_pfn: int = 1 << 20, **fields: int | str
) -> Outcome:
    return Meaning(kernel, lambda: highest_pfn).outcome(name, fields, pid=7)


def gaps(cpus: int = 2) -> Gaps:
    return Gaps(last_ts=np.full(cpus, -1, np.int64), is_due=np.zeros(cpus, np.int64))


def test_gfp_flags_mean_the_same_as_a_text_and_as_a_mask() -> None:
    printed = outcome("mm_page_alloc", **BLOCK, gfp_flags="GFP_KERNEL|__GFP_ZERO")
    assert printed == outcome("mm_page_alloc", **BLOCK, gfp_flags=0xDC0)
    assert printed == Row(kind=Kind.ALLOC, columns=BLOCK | {"gfp_mask": 0xDC0})


def test_a_text_of_gfp_flags_is_read_by_the_table_of_the_recording() -> None:
    kernel = RecordedKernel(gfp_flags={"GFP_KERNEL": 0x1})
    assert outcome("mm_page_alloc", kernel=kernel, **BLOCK, gfp_flags="GFP_KERNEL") == Row(
        kind=Kind.ALLOC, columns=BLOCK | {"gfp_mask": 0x1}
    )


def test_an_unknown_gfp_flag_leaves_the_mask_out_and_says_why() -> None:
    row = outcome("mm_page_alloc", **BLOCK, gfp_flags="__GFP_NEW")
    assert isinstance(row, Row)
    assert row.columns == BLOCK
    assert row.unknown_gfp is not None
    assert "__GFP_NEW" in row.unknown_gfp


@pytest.mark.parametrize("pfn", [0, -1, (1 << 64) - 1])
def test_an_allocation_without_a_page_failed(pfn: int) -> None:
    assert outcome("mm_page_alloc", **BLOCK | {"pfn": pfn}, gfp_flags=0) == FailedAlloc()


def test_a_refill_that_is_not_for_a_per_cpu_list_says_nothing_new() -> None:
    assert outcome("mm_page_alloc_zone_locked", **BLOCK, percpu_refill=0) == NothingNew()
    assert outcome("mm_page_alloc_zone_locked", **BLOCK, percpu_refill=1) == Row(kind=Kind.REFILL, columns=BLOCK)


def test_an_extfrag_without_what_the_kernel_computes_as_it_prints_is_a_row() -> None:
    fields = {"pfn": 512, "alloc_order": 0, "fallback_order": 9, "alloc_migratetype": 0, "fallback_migratetype": 1}
    row = outcome("mm_page_alloc_extfrag", **fields, change_ownership=1)
    assert isinstance(row, Row)
    assert json.loads(row.detail or "") == {
        "fallback_order": 9, "pageblock_order": None, "fragmenting": None, "change_ownership": 1,
    }  # fmt: skip


@pytest.mark.parametrize("ret", [-16, (1 << 32) - 16])
def test_the_result_of_a_call_is_signed_however_it_was_stored(ret: int) -> None:
    row = outcome("offline_pages_ret", ret=ret)
    assert isinstance(row, Row)
    assert row.columns == {"ret": -16}


def test_a_return_takes_the_range_of_the_call_of_its_thread() -> None:
    meaning = Meaning(UNKNOWN_KERNEL, lambda: 0)
    meaning.outcome("online_pages", {"pfn": 32768, "nr_pages": 64}, pid=7)
    for pid, name, columns in (
        (8, "online_pages_ret", {"ret": 0}),
        (7, "online_pages_ret", {"ret": 0, "pfn": 32768, "nr_pages": 64}),
        (7, "online_pages_ret", {"ret": 0}),
    ):
        row = meaning.outcome(name, {"ret": 0}, pid=pid)
        assert isinstance(row, Row)
        assert row.columns == columns


def test_a_return_of_another_call_ends_the_open_one_and_has_no_range() -> None:
    meaning = Meaning(UNKNOWN_KERNEL, lambda: 0)
    meaning.outcome("online_pages", {"pfn": 32768, "nr_pages": 64}, pid=7)
    for name in ("offline_pages_ret", "online_pages_ret"):
        row = meaning.outcome(name, {"ret": 0}, pid=7)
        assert isinstance(row, Row)
        assert row.columns == {"ret": 0}


def test_pointers_to_struct_pages_become_pfns() -> None:
    row = outcome("copy_owner", new=BASE + 64 * 300, old=BASE + 64 * 200)
    assert row == Row(kind=Kind.MIGRATE, columns={"pfn": 300, "src_pfn": 200})


def test_the_reason_of_a_migration_is_an_event_of_its_page_alone() -> None:
    row = outcome("migrate_reason", page=BASE + 64 * 300, reason=2)
    assert row == Row(kind=Kind.MIGRATE, columns={"pfn": 300, "src_pfn": 300, "migrate_reason": 2})
    assert isinstance(outcome("migrate_reason", page=BASE + 64 * 300, reason=128), Refused)


MOVED = 0xFFFFF0C180000000
"""Where KASLR put the vmemmap."""


@pytest.mark.parametrize("kernel", [UNKNOWN_KERNEL, RecordedKernel(vmemmap_base=BASE)])
def test_a_probe_may_record_where_the_struct_pages_are(kernel: RecordedKernel) -> None:
    row = outcome("copy_owner", kernel=kernel, highest_pfn=0, new=MOVED + 64 * 300, old=MOVED + 64 * 200, base=MOVED)
    assert row == Row(kind=Kind.MIGRATE, columns={"pfn": 300, "src_pfn": 200})


@pytest.mark.parametrize("base", [0, 64, MOVED + 64, MOVED + (1 << 40)])
def test_a_base_that_cannot_be_the_struct_pages_is_refused(base: int) -> None:
    assert isinstance(outcome("copy_owner", new=MOVED + 64 * 300, old=MOVED + 64 * 200, base=base), Refused)


@pytest.mark.parametrize(
    ("more", "read"), [("", {}), (f" base={MOVED:#x}", {"base": MOVED}), (" base=0x", None), (" base=(fault)", None)]
)
def test_the_base_is_read_where_a_probe_prints_it(more: str, read: dict[str, int] | None) -> None:
    found = fields_of("migrate_reason", f" (f+0x0/0x30) page={MOVED:#x} reason=2{more}")
    assert found == (None if read is None else {"page": MOVED, "reason": 2} | read)


@pytest.mark.parametrize(
    ("pointer", "kernel", "says"),
    [
        (0xFFFFF0C180002000, UNKNOWN_KERNEL, "give it"),
        (BASE + 65, UNKNOWN_KERNEL, "no multiple of 64"),
        (BASE + (64 << 30), UNKNOWN_KERNEL, "far beyond"),
        (BASE, RecordedKernel(vmemmap_base=BASE + 64), "no multiple of 64"),
    ],
)
def test_a_pointer_that_may_be_of_another_page_is_refused(pointer: int, kernel: RecordedKernel, says: str) -> None:
    refused = outcome("split_owner", kernel=kernel, highest_pfn=1000, page=pointer, nr=2)
    assert isinstance(refused, Refused)
    assert f"struct page {pointer:#x}" in refused.reason
    assert says in refused.reason


@pytest.mark.parametrize("name", sorted(EVENTS))
def test_an_event_without_its_fields_is_refused_and_the_missing_field_is_named(name: str) -> None:
    refused = outcome(name)
    assert isinstance(refused, Refused)
    assert refused.reason.startswith("the event has no ")


NUMBERS = st.integers(-(1 << 64), 1 << 64) | st.integers(-2, 130)
NAMES = (
    "pfn", "order", "migratetype", "gfp_flags", "percpu_refill", "alloc_order", "fallback_order", "alloc_migratetype",
    "fallback_migratetype", "change_ownership", "new", "old", "page", "nr", "gfp", "nr_pages", "ret",
)  # fmt: skip


@given(st.sampled_from(sorted(EVENTS)), st.fixed_dictionaries(dict.fromkeys(NAMES, NUMBERS)))
def test_no_field_stops_a_reader_and_every_column_is_in_its_range(name: str, fields: dict[str, int]) -> None:
    row = outcome(name, **fields)
    if isinstance(row, Row):
        assert all(0 <= row.columns.get(column, 0) < 1 << 52 for column in ("pfn", "src_pfn", "nr_pages", "gfp_mask"))
        assert 0 <= row.columns.get("order", 0) < 64
        assert -1 <= row.columns.get("migratetype", 0) < 128
        assert -(1 << 31) < row.columns.get("ret", 0) < 1 << 31


def test_texts_are_taken_apart_for_every_event_that_means_something() -> None:
    assert {name for name in EVENTS if action_of(name) == text_jit.IGNORE} == set()
    assert action_of("mm_page_free_batched") == text_jit.IGNORE


# --- gaps


def test_a_gap_reaches_from_the_last_event_before_the_loss_to_the_first_after_it() -> None:
    open_gaps = gaps()
    assert open_gaps.heard(1, 50) == ()
    open_gaps.lose(1, 7, "lost")
    assert open_gaps.heard(0, 60) == ()
    (gap,) = open_gaps.heard(1, 90)
    assert (gap.kind, gap.columns) == (Kind.GAP, {"cpu": 1, "trace_ts_nsec": 90})
    assert json.loads(gap.detail or "") == {"t_lo": 50, "t_hi": 90, "lost": 7, "reason": "lost", **ONE}
    assert open_gaps.heard(1, 95) == ()


def test_losses_between_two_events_are_one_gap() -> None:
    open_gaps = gaps()
    open_gaps.lose(0, 2, "lost")
    open_gaps.lose(0, 3, "lost")
    (gap,) = open_gaps.heard(0, 90)
    assert json.loads(gap.detail or "") == {"t_lo": 0, "t_hi": 90, "lost": 5, "reason": "lost", **ONE}


@pytest.mark.parametrize("counts", [(2, None), (None, 2)])
def test_a_loss_without_a_number_makes_the_sum_unknown(counts: tuple[int | None, ...]) -> None:
    open_gaps = gaps()
    for count in counts:
        open_gaps.lose(0, count, "lost")
    (gap,) = open_gaps.rest()
    assert json.loads(gap.detail or "")["lost"] is None


def test_gaps_that_are_open_at_the_end_end_with_the_last_event_of_any_cpu() -> None:
    open_gaps = gaps(3)
    open_gaps.heard(2, 10)
    open_gaps.heard(0, 70)
    open_gaps.lose(2, 1, "lost")
    open_gaps.lose(1, 1, "lost")
    ends = [(gap.columns["cpu"], json.loads(gap.detail or "")) for gap in open_gaps.rest()]
    assert [(cpu, gap["t_lo"], gap["t_hi"]) for cpu, gap in ends] == [(1, 0, 70), (2, 10, 70)]


def test_after_a_loss_of_unknown_cpu_nothing_read_before_is_safe() -> None:
    gap = gap_of_unknown_cpu(90, 4, "lost")
    assert gap.columns == {"cpu": absent("cpu"), "trace_ts_nsec": 90}
    assert json.loads(gap.detail or "") == {"t_lo": 0, "t_hi": 90, "lost": 4, "reason": "lost", **ONE}


def test_the_orders_of_a_split_are_read_where_the_kernel_has_them() -> None:
    kernel = RecordedKernel(release="6.12.117")
    row = outcome("split_orders", kernel=kernel, page=BASE + 64 * 512, old_order=9, new_order=4)
    assert row == Row(kind=Kind.SPLIT, columns={"pfn": 512, "nr_pages": 512, "order": 4, "old_order": 9})


@pytest.mark.parametrize(
    ("release", "name", "fields"),
    [
        ("6.12.117", "split_owner", {"nr": 9}),
        ("7.2.0", "split_owner", {"nr": 512}),
        ("6.6.1", "split_owner", {"nr": 9}),
        ("6.6.1", "split_orders", {"old_order": 9, "new_order": 0}),
        ("6.1.192", "split_orders", {"old_order": 9, "new_order": 0}),
        ("6.12.117", "split_orders", {"old_order": 4, "new_order": 9}),
    ],
)
def test_a_split_that_the_recorded_kernel_does_not_have_is_refused(
    release: str, name: str, fields: dict[str, int]
) -> None:
    """``nr`` of 6.12 is the old order: 9 would be read as nine pages."""
    assert isinstance(outcome(name, kernel=RecordedKernel(release=release), page=BASE + 64 * 512, **fields), Refused)


@pytest.mark.parametrize(("release", "read"), [("7.2.13", True), ("6.12.117", False), ("6.18.44", False)])
def test_a_block_that_is_no_folio_becomes_single_pages_where_its_function_has_one_order(
    release: str, read: bool
) -> None:
    row = outcome("split_page", kernel=RecordedKernel(release=release), page=BASE + 64 * 512, order=3)
    split = Row(kind=Kind.SPLIT, columns={"pfn": 512, "nr_pages": 8, "order": 0, "old_order": 3})
    assert row == split if read else isinstance(row, Refused)


def test_more_pages_than_there_are_orders_are_pages_in_either_kernel() -> None:
    row = outcome("split_owner", kernel=RecordedKernel(release="6.6.1"), page=BASE + 64 * 512, nr=32)
    assert row == Row(kind=Kind.SPLIT, columns={"pfn": 512, "nr_pages": 32, "order": 0})


def test_a_contiguous_range_is_read_at_its_call_and_at_its_return() -> None:
    entry = outcome("contig_range", start=0x25A00, end=0x25A07, migratetype=4, gfp=0xCC0)
    back = outcome("contig_range_ret", ret=-16)
    assert isinstance(entry, Row)
    assert isinstance(back, Row)
    assert (entry.kind, entry.columns) == (Kind.CONTIG_RANGE, {"pfn": 0x25A00, "nr_pages": 7, "gfp_mask": 0xCC0})
    assert (back.kind, back.columns) == (Kind.CONTIG_RANGE, {"ret": -16})
    assert isinstance(outcome("contig_range", start=7, end=7, gfp=0), Refused)
