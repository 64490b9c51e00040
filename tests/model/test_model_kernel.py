"""Laws of the model kernel itself: its truth is what mm/page_owner.c would hold, its events obey the contract."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from pagetrail.producers.log.framing import Framer
from pagetrail.producers.log.ingest import ingest, origin_of
from pagetrail.producers.log.sink_sqlite import SqliteLogWriter
from pagetrail.schemas.batch import EventBatch, concat
from pagetrail.schemas.columns import Kind
from pagetrail.schemas.details import Coverage, Gap
from pagetrail.schemas.events import batch_row_to_event
from pagetrail.schemas.frames import FrameOrigin
from tests.model.buddy import FOR_MOVABLE, BlockType, Buddy
from tests.model.config import ModelConfig
from tests.model.damage import lose_stretches, skew, start_late, withhold, without_probes
from tests.model.kernel import ModelKernel
from tests.model.page_ext import PageExt, PageState, Stamp, Truth
from tests.model.recording import ModelHost, ModelRecording, PlainLoad, model_recording

CONFIG = ModelConfig(flags=True, weights={"guards": 2.0, "dump": 2.0})
OWNER = Stamp(order=2, gfp_mask=0xCC0, pid=7, tgid=6, comm=0, stack=0, ts_nsec=100)
MIGRATOR = Stamp(order=2, gfp_mask=0x102CCA, pid=90, tgid=90, comm=1, stack=1, ts_nsec=200)


def numbered(batch: EventBatch) -> EventBatch:
    columns = {**batch.columns, "seq": np.arange(len(batch), dtype=np.int64)}
    return EventBatch(columns=columns, texts=batch.texts, details=batch.details)


def same(left: EventBatch, right: EventBatch) -> bool:
    return (
        left.columns.keys() == right.columns.keys()
        and all(np.array_equal(left.columns[name], right.columns[name]) for name in left.columns)
        and left.details == right.details
        and left.texts == right.texts
    )


# -- page_ext -------------------------------------------------------------------------------------------------------------


def online() -> PageExt:
    ext = PageExt(16)
    ext.online(-1, 0, 16)
    return ext


def test_a_migration_copies_the_record_of_the_head_and_the_tails_keep_the_migrators() -> None:
    ext = online()
    ext.set_owner(0, 0, 4, OWNER)
    ext.set_owner(1, 8, 4, MIGRATOR)
    ext.copy_owner(2, 8, 0)
    assert ext.pages["pid"][8:12].tolist() == [7, 90, 90, 90]
    assert ext.pages["ts_nsec"][8] == ext.pages["free_ts_nsec"][8] == 100
    assert ext.pages["pid"][0] == 7  # the old record stays until its block is freed


def test_a_split_sets_order_zero_and_leaves_the_owner() -> None:
    ext = online()
    ext.set_owner(0, 4, 4, OWNER)
    ext.split_owner(1, 4, 4)
    assert ext.pages["order"][4:8].tolist() == [0] * 4
    assert ext.pages["pid"][4:8].tolist() == [7] * 4


def test_a_free_clears_its_range_and_keeps_who_had_it() -> None:
    ext = online()
    ext.set_owner(0, 0, 4, OWNER)
    ext.reset_owner(1, 2, 4, 300)
    assert ext.pages["state"][:8].tolist() == [PageState.OWNED] * 2 + [PageState.FREE] * 4 + [PageState.UNSET] * 2
    assert ext.pages["pid"][2] == 7
    assert ext.pages["free_ts_nsec"][2] == 300


def test_a_section_that_comes_back_is_another_generation_with_nothing_of_the_old() -> None:
    ext = online()
    ext.set_owner(0, 0, 4, OWNER)
    ext.offline(1, 0, 16)
    assert set(ext.pages["state"].tolist()) == {PageState.ABSENT}
    ext.online(2, 0, 16)
    assert set(ext.pages["state"].tolist()) == {PageState.UNSET}
    assert set(ext.pages["generation"].tolist()) == {2}


def test_a_page_owner_that_starts_late_stamps_what_it_finds_in_the_kernels_view_alone() -> None:
    truth = Truth(16)
    truth.apply(-1, "online", (0, 16))
    truth.apply(0, "set_owner", (0, 4, OWNER))
    truth.apply(1, "start", ())
    stamp = Stamp(order=0, gfp_mask=0, pid=1, tgid=1, comm=2, stack=2, ts_nsec=500, early=True)
    truth.apply(1, "early", ([0, 1, 9], stamp))
    assert truth.kernel.pages["pid"][[0, 1, 9]].tolist() == [1, 1, 1]
    assert truth.kernel.pages["state"][2] == PageState.UNSET
    assert truth.actual.pages["pid"][:4].tolist() == [7] * 4
    assert truth.actual.pages["state"][9] == PageState.UNSET


# -- the buddy allocator --------------------------------------------------------------------------------------------------


def test_blocks_that_were_split_merge_again_when_all_is_given_back() -> None:
    buddy = Buddy(nr_pages=32, max_order=6, pageblock_order=4, cpus=1, pcp_high=4)
    buddy.block_type[:] = [BlockType.NORMAL] * 2
    buddy.give(0, 5)
    taken = [buddy.take(order, FOR_MOVABLE) for order in (0, 2, 0, 3)]
    assert None not in taken
    for pfn, order in zip(taken, (0, 2, 0, 3), strict=True):
        assert pfn is not None
        assert pfn % (1 << order) == 0
        buddy.give(pfn, order)
    assert buddy.free_blocks(0, 32) == [(0, 5)]


def test_isolated_pageblocks_give_nothing() -> None:
    buddy = Buddy(nr_pages=32, max_order=6, pageblock_order=4, cpus=1, pcp_high=4)
    buddy.block_type[:] = [BlockType.NORMAL] * 2
    buddy.give(0, 5)
    buddy.retype(0, 32, BlockType.ISOLATE)
    assert buddy.take(0, FOR_MOVABLE) is None
    assert all(buddy.in_buddy(0, 32))


# -- histories ------------------------------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_history() -> None:
    assert same(ModelKernel(5, config=CONFIG).run(200).events, ModelKernel(5, config=CONFIG).run(200).events)
    assert not same(ModelKernel(5, config=CONFIG).run(200).events, ModelKernel(6, config=CONFIG).run(200).events)


def test_every_event_obeys_the_contract() -> None:
    batch = numbered(ModelKernel(3, config=CONFIG).run(300).events)
    kinds = {batch_row_to_event(batch, row).kind for row in range(len(batch))}
    assert {"alloc", "free", "drain", "split", "hotplug", "boot", "clock", "coverage", "baseline_entry"} <= kinds


def test_time_never_goes_back() -> None:
    ts = ModelKernel(3, config=CONFIG).run(300).events.columns["trace_ts_nsec"]
    assert (np.diff(ts) >= 0).all()


def test_every_page_is_in_one_place() -> None:
    for seed in range(20):
        kernel = ModelKernel(seed)
        kernel.run(200)
        machine = kernel.machine
        places = Counter[int]()
        for pfn, order in machine.buddy.free_blocks(0, kernel.config.nr_pages):
            places.update(range(pfn, pfn + (1 << order)))
        for lists in machine.buddy.pcp:
            for pfn, order in lists:
                places.update(range(pfn, pfn + (1 << order)))
        for block in machine.blocks.values():
            places.update(range(block.pfn, block.pfn + (1 << block.order)))
        online = [p for p in range(kernel.config.nr_pages) if machine.buddy.type_of(p) is not BlockType.OFFLINE]
        assert sorted(places.elements()) == online
        owned = np.flatnonzero(machine.truth.kernel.pages["state"] == PageState.OWNED)
        held = {p for b in machine.blocks.values() for p in range(b.pfn, b.pfn + (1 << b.order))}
        assert set(owned.tolist()) == held


def test_the_truth_of_the_last_event_is_the_machines_own() -> None:
    kernel = ModelKernel(9)
    history = kernel.run(200)
    replayed = history.truth_at(len(history.events) - 1)
    assert np.array_equal(replayed.kernel.pages, kernel.machine.truth.kernel.pages)
    assert np.array_equal(replayed.actual.pages, kernel.machine.truth.actual.pages)


def test_everything_that_can_happen_does() -> None:
    kinds: set[int] = set()
    results: set[int] = set()
    for seed in range(20):
        events = ModelKernel(seed, config=CONFIG).run(300).events
        kinds |= set(events.columns["kind"].tolist())
        results |= set(events.column("ret")[events.columns["kind"] == Kind.HOTPLUG].tolist())
    beside = {
        Kind.RECORDING_BEGIN,
        Kind.RECORDING_END,
        Kind.GAP,
        Kind.EXTFRAG,
        Kind.CONTIG_RANGE,
    }  # ingest's, a damage, no matter here, and what the model's kernel does not do
    assert {Kind(kind) for kind in kinds} == set(Kind) - beside
    assert {0, -12, -16, -22} <= results


def test_a_dump_lists_aligned_heads_that_are_owned_and_no_page_of_the_buddy_allocator() -> None:
    history = ModelKernel(4, config=ModelConfig(page_owner_step=60)).run(200)
    events = history.events
    end = int(np.flatnonzero(events.columns["kind"] == Kind.BASELINE_END)[-1])
    begin = int(np.flatnonzero(events.columns["kind"] == Kind.BASELINE_BEGIN)[-1])
    listed = np.arange(begin + 1, end)
    pages = history.truth_at(end).kernel.pages[events.column("pfn")[listed]]
    assert (pages["state"] == PageState.OWNED).all()
    for name in ("order", "pid", "tgid", "gfp_mask", "ts_nsec"):
        assert np.array_equal(events.column(name)[listed], pages[name])
    assert (events.column("pfn")[listed] % (1 << pages["order"].astype(np.int64)) == 0).all()


# -- damages --------------------------------------------------------------------------------------------------------------


def test_a_gap_covers_every_event_that_its_cpu_lost() -> None:
    history = ModelKernel(2).run(200)
    damaged = lose_stretches(history, 1)
    gaps = {
        int(damaged.events.column("cpu")[row]): Gap.model_validate_json(damaged.events.details[row])
        for row in np.flatnonzero(damaged.events.columns["kind"] == Kind.GAP).tolist()
    }
    assert damaged.lost.size == sum(gap.lost or 0 for gap in gaps.values()) > 0
    for row in damaged.lost.tolist():
        gap = gaps[int(history.events.columns["cpu"][row])]
        assert gap.t_lo <= history.events.columns["trace_ts_nsec"][row] <= gap.t_hi
    assert (np.diff(damaged.events.columns["trace_ts_nsec"]) >= 0).all()


def test_missing_probes_are_not_claimed() -> None:
    damaged = without_probes(ModelKernel(2).run(200), ["migrate", "split"])
    assert not np.isin(damaged.events.columns["kind"], [Kind.MIGRATE, Kind.SPLIT]).any()
    row = int(np.argmax(damaged.events.columns["kind"] == Kind.COVERAGE))
    said = Coverage.model_validate_json(damaged.events.details[row])
    assert set(said.kinds) == {"alloc", "free", "isolate", "drain", "refill", "hotplug"}


def test_skewed_events_are_in_the_order_of_their_clocks_and_within_the_bound() -> None:
    history = ModelKernel(2).run(200)
    damaged = skew(history, 1, bound=5_000)
    ts = damaged.events.columns["trace_ts_nsec"]
    off = ts - history.events.columns["trace_ts_nsec"][damaged.origin]
    assert (np.diff(ts) >= 0).all()
    assert off.min() >= 0
    assert off.max() <= 5_000
    assert sorted(damaged.origin.tolist()) == list(range(len(history.events)))


def test_withheld_events_leave_nothing_behind() -> None:
    history = ModelKernel(2).run(200)
    damaged = withhold(history, 1, events=3)
    assert damaged.lost.size == 3
    assert len(damaged.events) == len(history.events) - 3
    assert not (damaged.events.columns["kind"] == Kind.GAP).any()


def test_a_late_start_claims_coverage_from_the_first_event_that_is_left() -> None:
    history = ModelKernel(2).run(200)
    damaged = start_late(history, 50)
    row = int(np.argmax(damaged.events.columns["kind"] == Kind.COVERAGE))
    traced = damaged.events.columns["cpu"] >= 0
    assert not traced[:row].any()
    assert traced[row:].any()


# -- recordings -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", [ModelRecording, PlainLoad])
def test_a_model_recording_is_stored_once_however_often_it_is_ingested(
    tmp_path: Path, model: type[ModelRecording | PlainLoad]
) -> None:
    host = ModelHost(host="web-1", seed=3, events=300, boot_id="b" * 32)
    reports = []
    for _ in range(2):
        recording = model_recording(model(host))
        with SqliteLogWriter(tmp_path) as log:
            reports.append(ingest(recording, origin_of(recording, producer_version="test"), log))
    assert [report.duplicates for report in reports] == [0, reports[0].frames]
    assert reports[0].end.events == reports[1].end.events


def test_two_hosts_of_the_model_are_two_recordings() -> None:
    hosts = [ModelHost(host=f"web-{i}", seed=s, events=10) for i in range(2) for s in range(2)]
    assert len({host.identity for host in hosts}) == 4


def test_plain_load_allocates_what_is_free_and_frees_what_is_owned() -> None:
    load = PlainLoad(ModelHost(host="web-1", seed=3, events=200_000), sections=2)
    batch = concat(list(load.batches()))
    kind, pfn = batch.columns["kind"], batch.column("pfn")
    traced = np.flatnonzero(pfn >= 0)
    by_page = traced[np.argsort(pfn[traced], kind="stable")]
    first = np.concatenate(([True], pfn[by_page][1:] != pfn[by_page][:-1]))
    assert (kind[by_page][first] == Kind.ALLOC).all()
    assert (kind[by_page][1:] != kind[by_page][:-1])[~first[1:]].all()
    again = (pfn[by_page][1:] == pfn[by_page][:-1]) & (kind[by_page][1:] == Kind.FREE)
    assert (batch.columns["pid"][by_page][1:] == batch.columns["pid"][by_page][:-1])[again].all()
    assert (pfn[traced] % (1 << batch.column("order")[traced].astype(np.int64)) == 0).all()
    origin = FrameOrigin(host="h", boot_id="b", recording="r", producer="p", producer_version="v")
    assert sum(frame.header.rows for frame in [*Framer(origin).add(batch)]) <= len(batch)
