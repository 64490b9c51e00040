"""The questions agree with each other, on a chain of segments of a real recording."""

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from pagetrail.api import Trail
from pagetrail.queries.core.row_columns import ROW_SCHEMA
from pagetrail.queries.holders.attributes import BY, By
from pagetrail.replay.facts.clock import owner_clock
from pagetrail.schemas.owner import State
from tests.oracles.processes import process_of

INSTANTS = ("12.5", "@1-boot", "@2-t2", "23.75", "@3-t3", "33.125", "@4-t4", "@5-t5", "-0s")
SAME_IN_A_HISTORY = ("state", "order", "pid", "tgid", "comm", "gfp_mask", "stack", "evidence", "src_pfn", "block_pfn")


def sample(trail: Trail, count: int, seed: int) -> list[int]:
    """Return pages that had several owners, pages that had one, and pages of no section."""
    rng = np.random.default_rng(seed)
    rows = trail.snapshot("-0s", everything=True)
    starts, sizes = rows["pfn"].to_numpy(), rows["nr_pages"].to_numpy()
    chosen = rng.choice(starts.size, count)
    return [*(starts[chosen] + rng.integers(0, sizes[chosen])).tolist(), 1 << 30]


@pytest.mark.parametrize("at", INSTANTS)
def test_an_owner_is_the_row_of_the_snapshot_that_holds_the_page(audited: Trail, at: str) -> None:
    rows = audited.snapshot(at, everything=True)
    starts = rows["pfn"].to_numpy()
    pfns = sample(audited, 60, seed=len(at))
    for pfn, answer in zip(pfns, audited.owner(pfns, at).to_pylist(), strict=True):
        row = rows.slice(int(np.searchsorted(starts, pfn, side="right")) - 1, 1).to_pylist()[0]
        if answer["state"] == "absent":
            assert pfn >= row["pfn"] + row["nr_pages"]
            assert not answer["certain"]
            continue
        assert row["pfn"] <= pfn < row["pfn"] + row["nr_pages"]
        same = [name for name in ROW_SCHEMA.names if name not in ("pfn", "nr_pages")]
        assert {name: answer[name] for name in same} == {name: row[name] for name in same}


@pytest.mark.slow
def test_many_pairs_are_answered_as_one_by_one_and_in_their_order(audited: Trail) -> None:
    rng = np.random.default_rng(7)
    pfns = sample(audited, 40, seed=1)
    pairs = [(pfn, INSTANTS[rng.integers(0, len(INSTANTS))]) for pfn in pfns for _ in range(2)]
    together = audited.owners(pairs).to_pylist()
    assert [row["asked_pfn"] for row in together] == [pfn for pfn, _ in pairs]
    for pair, row in list(zip(pairs, together, strict=True))[::5]:
        assert audited.owner([pair[0]], pair[1]).to_pylist() == [row]


def test_no_pairs_are_answered_with_no_rows(audited: Trail) -> None:
    assert audited.owners([]).num_rows == 0
    assert audited.owner([], "@2-t2").num_rows == 0


@pytest.mark.slow
def test_a_history_tiles_time_and_says_what_owner_says_at_every_instant_of_it(audited: Trail) -> None:
    rng = np.random.default_rng(3)
    for pfn in sample(audited, 8, seed=2)[:-1]:
        spans = audited.history(pfn).to_pylist()
        assert all(a["end_ts"] is not None and a["end_ts"] <= b["begin_ts"] for a, b in pairwise(spans))
        horizon = audited.stream().horizon
        for span in spans[:: max(1, len(spans) // 4)]:
            stop = horizon if span["end_ts"] is None else span["end_ts"] - 1
            if stop < span["begin_ts"]:
                continue  # began and ended within one instant
            at = int(rng.integers(span["begin_ts"], stop + 1))
            then = audited.owner([pfn], at).to_pylist()[0]
            assert {n: then[n] for n in SAME_IN_A_HISTORY} == {n: span[n] for n in SAME_IN_A_HISTORY}


@pytest.mark.slow
def test_a_history_is_as_sure_of_each_span_as_owner_is_at_the_end_of_it(audited: Trail) -> None:
    rows = audited.snapshot("@3-t3", everything=True)
    viewed = rows.filter(pc.is_valid(rows["kernel_says"]))["pfn"].to_pylist()
    for pfn in [*sample(audited, 6, seed=5)[:-1], *viewed[:: len(viewed) // 4]]:
        for span in audited.history(pfn).to_pylist()[-3:]:
            stop = audited.stream().horizon if span["end_ts"] is None else span["end_ts"] - 1
            if stop > span["begin_ts"]:
                then = audited.owner([pfn], stop).to_pylist()[0]
                assert (then["certain"], then["uncertain"]) == (span["certain"], span["uncertain"])


def test_a_history_from_to_is_the_part_of_the_whole_that_touches_the_window(audited: Trail) -> None:
    pfn = 0x1802
    since, until = (audited.stream().instant(text).ts for text in ("@2-t2", "@3-t3"))
    whole = audited.history(pfn).to_pylist()
    inside = [s for s in whole if s["begin_ts"] <= until and (s["end_ts"] is None or s["end_ts"] >= since)]
    part = audited.history(pfn, since="@2-t2", until="@3-t3").to_pylist()
    assert [(s["begin_seq"], s["pid"]) for s in part] == [(s["begin_seq"], s["pid"]) for s in inside]


@pytest.mark.parametrize("at", INSTANTS)
def test_rows_are_disjoint_and_sorted_and_all_of_them_cover_each_page_once(audited: Trail, at: str) -> None:
    rows = audited.snapshot(at, everything=True)
    start, size = rows["pfn"].to_numpy(), rows["nr_pages"].to_numpy()
    stop = start + size
    assert (size > 0).all()
    assert (start[1:] >= stop[:-1]).all()
    sections = audited.sections(at)
    for low, high in zip(sections["start_pfn"].to_pylist(), sections["stop_pfn"].to_pylist(), strict=True):
        mine = (start >= low) & (start < high)
        assert stop[mine].max() <= high
        assert size[mine].sum() == high - low
    assert size.sum() == pc.sum(pc.subtract(sections["stop_pfn"], sections["start_pfn"])).as_py()


@pytest.mark.parametrize("at", ["@2-t2", "33.125"])
def test_without_all_rows_are_those_that_are_owned_or_that_the_kernel_thinks_are(audited: Trail, at: str) -> None:
    everything = audited.snapshot(at, everything=True)
    keep = pc.or_(pc.equal(everything["state"], "owned"), pc.is_valid(everything["kernel_says"]))
    assert audited.snapshot(at).to_pylist() == everything.filter(keep).to_pylist()


@pytest.mark.parametrize("at", INSTANTS)
def test_certain_means_nothing_uncertain_and_no_why(audited: Trail, at: str) -> None:
    rows = audited.snapshot(at, everything=True)
    certain = rows["certain"].to_numpy()
    assert (certain == (pc.list_value_length(rows["uncertain"]).to_numpy() == 0)).all()
    assert (certain == pc.equal(rows["why"], "").to_numpy()).all()
    unknown = pc.equal(rows["state"], State.UNKNOWN.name.lower()).to_numpy()
    assert not (certain & unknown).any()


def trace_offset(trail: Trail) -> int:
    """Return what page_owner's clock is ahead of the trace clock."""
    clock = owner_clock(trail.stream().facts.clocks)
    assert clock is not None
    return clock.offset


@pytest.mark.parametrize("by", BY)
def test_top_adds_up_to_the_snapshot(audited: Trail, by: By) -> None:
    owned = audited.snapshot("@4-t4")
    owned = owned.filter(pc.equal(owned["state"], "owned"))
    found = audited.top("@4-t4", by)
    if by == "pid":  # a pid is used again
        keys = process_of(owned.to_pylist(), trace_offset(audited))
    else:
        keys = [(key,) for key in owned["gfp_mask" if by == "gfp" else by].to_pylist()]
    expected: dict[object, list[int]] = {}
    for key, pages, certain in zip(keys, owned["nr_pages"].to_pylist(), owned["certain"].to_pylist(), strict=True):
        counts = expected.setdefault(key, [0, 0])
        counts[0] += pages
        counts[1] += pages if certain and by != "cgroup" else 0  # no page is certain of its cgroup
    rows = found.to_pylist()
    beside = ("comm", "tgid") if by == "pid" else ()
    assert {
        tuple(row[name] for name in ("key", *beside)): [row["pages"], row["certain_pages"]] for row in rows
    } == expected
    assert len(rows) == len(expected)
    assert all(row["bytes"] == row["pages"] * 4096 for row in rows)
    assert [row["pages"] for row in rows] == sorted((row["pages"] for row in rows), reverse=True)


@pytest.mark.parametrize("by", ["comm", "stack", "pid"])
def test_leaks_are_what_was_born_in_the_window_and_is_there_at_its_end(audited: Trail, by: By) -> None:
    since, until = (audited.stream().instant(text).ts for text in ("@2-t2", "@5-t5"))
    held = audited.snapshot("@5-t5").to_pylist()
    clock = next(c for _, c in audited.stream().facts.clocks if c.ts_nsec is not None)
    trace_ts = next(ts for ts, c in audited.stream().facts.clocks if c.ts_nsec is not None)
    expected: dict[object, tuple[int, int]] = {}
    for row in held:
        if row["state"] != "owned":
            continue
        born = row["alloc_ts"] if row["alloc_ts"] is not None else row["ts_nsec"] - (clock.ts_nsec - trace_ts)
        if since < born <= until:
            pages, oldest = expected.get(row[by], (0, 0))
            expected[row[by]] = (pages + row["nr_pages"], max(oldest, until - born))
    found = audited.leaks("@2-t2", "@5-t5", by).to_pylist()
    assert {row["key"]: (row["pages"], row["oldest_ns"]) for row in found} == expected


def test_a_leak_was_not_there_when_the_window_began(audited: Trail) -> None:
    held = audited.snapshot("@5-t5")
    mine = held.filter(pc.equal(held["comm"], "leakd"))
    pages = [
        pfn + i for pfn, n in zip(mine["pfn"].to_pylist(), mine["nr_pages"].to_pylist(), strict=True) for i in range(n)
    ]
    now, then = audited.owner(pages, "@5-t5").to_pylist(), audited.owner(pages, "@2-t2").to_pylist()
    changed = sum(a["begin_seq"] != b["begin_seq"] for a, b in zip(now, then, strict=True))
    leaked = {row["key"]: row["pages"] for row in audited.leaks("@2-t2", "@5-t5", "comm").to_pylist()}
    assert changed == leaked["leakd"]


def test_sections_take_the_bytes_that_dmesg_says(audited: Trail) -> None:
    boot = audited.stream().facts.boot
    assert boot is not None
    assert boot.page_ext_bytes == 12_582_912  # "allocated 12582912 bytes of page_ext"
    assert pc.sum(audited.sections("@1-boot")["page_ext_bytes"]).as_py() == boot.page_ext_bytes


def test_answers_say_which_event_of_which_recording_they_go_back_to(audited: Trail) -> None:
    (part,) = audited.stream().facts.recordings
    rows = audited.owner(sample(audited, 30, seed=9)[:-1], "@5-t5").to_pylist()
    known = [row for row in rows if row["state"] != "unknown"]
    assert known
    assert all(row["recording"] == part.recording and row["event"] == row["begin_seq"] for row in known)
    assert {row["horizon"] for row in rows} == {audited.stream().horizon}


def test_every_table_has_the_schema_that_it_is_documented_with(audited: Trail) -> None:
    assert audited.snapshot("@2-t2").schema.equals(ROW_SCHEMA)
    assert all(field.metadata and field.metadata[b"doc"] for field in ROW_SCHEMA)
    assert isinstance(audited.owner([1], "@2-t2"), pa.Table)
