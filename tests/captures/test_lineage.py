"""A real migration, followed end to end: what the kernel says of the pages before and after it."""

from tests.captures.conftest import ReplayedCapture
from tests.conftest import KernelDump
from tests.oracles.kernel_truth import SAME_TS, Dump, read_dump_of

BEFORE, AFTER = "3-hotplugged", "4-offlined"
"""Between them a memory block was offlined: what was on it went elsewhere."""


def record(dump: Dump, pfn: int) -> tuple[int, int, int, int]:
    (row,) = (dump.pfn == pfn).nonzero()[0].tolist()
    return int(dump.pid[row]), int(dump.gfp_mask[row]), int(dump.order[row]), int(dump.ts_nsec[row])


def test_a_migrated_page_has_the_owner_that_the_kernel_had_where_it_came_from(
    replayed_capture: ReplayedCapture, kernel_dump: KernelDump
) -> None:
    trail = replayed_capture("probes").opened()
    since, until = trail.stream().instant(f"@{BEFORE}"), trail.stream().instant(f"@{AFTER}")
    before, after = (read_dump_of(kernel_dump("probes", name)) for name in (BEFORE, AFTER))
    moved = [
        row for row in trail.snapshot(f"@{AFTER}").to_pylist()
        if row["how"] in ("migrate", "migrate reason")
        and row["alloc_ts"] is not None and row["alloc_ts"] < since.ts < row["begin_ts"]
    ]  # fmt: skip
    followed = 0
    for row in moved[:: max(1, len(moved) // 6)]:
        stays = trail.lineage(row["pfn"], f"@{AFTER}").to_pylist()
        source = next(s for s in stays if s["begin_ts"] <= since.ts and (s["end_ts"] is None or s["end_ts"] > since.ts))
        target = next(s for s in stays if s["begin_ts"] <= until.ts and (s["end_ts"] is None or s["end_ts"] > until.ts))
        assert target["pfn"] == row["pfn"] != source["pfn"]
        theirs, ours = record(before, source["pfn"]), record(after, target["pfn"])
        assert theirs == ours
        pid, gfp_mask, order, ts_nsec = ours
        for stay in stays:
            assert (stay["pid"], stay["gfp_mask"]) == (pid, gfp_mask)
            assert abs(stay["ts_nsec"] - ts_nsec) <= SAME_TS
            assert (
                stay["certain"] or "memory was being onlined or offlined" in stay["why"]
            )  # it left during the offline
        assert target["order"] == order
        assert trail.owner([target["pfn"]], f"@{AFTER}")["certain"][0].as_py()
        followed += 1
    assert followed >= 3
    print(f"followed {followed} of {len(moved)} pages that were migrated between {BEFORE} and {AFTER}")
