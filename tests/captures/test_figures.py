"""How much of the kernel's own records a replay of whole recordings gets right, counted twice: by audit, and by reading texts."""

from functools import lru_cache

import numpy as np
import pytest

from pagetrail.schemas.owner import OPEN_END
from tests.captures.conftest import ReplayedCapture
from tests.captures.trails import Replayed
from tests.commands.cli import run
from tests.conftest import KernelDump
from tests.oracles.kernel_truth import Dump, agreeing, read_dump, read_dump_of

PLAIN_REPLAY = {
    ("small", True): (100.0, 100.0, 88.7, 81.9, 80.2, 73.1, 74.9, 79.7, 74.8),
    ("basic", True): (100.0, 100.0, 91.6, 82.9, 82.0, 76.1, 79.0, 85.9),
    ("stack", True): (100.0, 100.0, 96.9, 93.4, 93.4, 91.6, 93.5, 95.9),
    ("probes", False): (100.0, 100.0, 95.0, 88.7, 83.5, 77.3, 87.4, 91.9),
}
"""What a plain alloc/free replay reaches, in percent of the kernel's records, from the second snapshot on."""

WRONG_IN_THE_KERNEL = {"2-workload": 41, "2b-added-not-online": 40}
"""Ghosts in `probes`: free pages that page_owner stamped as its own early ones, until they were next allocated."""

FULL_FOLD = ("3-hotplugged", "4-offlined", "5-after-cancel", "6-compact-cma-split", "7-end", "8-unplugged")


@lru_cache(maxsize=16)
def our_dump(trail: Replayed, snapshot: str) -> Dump:
    """Return the records of the page_owner text that a trail gives for the instant of a snapshot."""
    return read_dump(trail.opened().page_owner_text(f"@{snapshot}").encode())


@pytest.mark.parametrize(("capture", "probes"), PLAIN_REPLAY)
def test_at_least_what_a_plain_replay_gets_right(replayed_capture: ReplayedCapture, capture: str, probes: bool) -> None:
    audits = replayed_capture(capture, probes=probes).opened().audits().to_pylist()
    shares = [round(audit["share"], 1) for audit in audits[1:]]
    print(capture, "with" if probes else "without", "its probes:", *(f"{a['name']} {a['share']:.2f} %" for a in audits))
    assert [audit["applied"] for audit in audits] == [True] + [False] * (len(audits) - 1)
    least = PLAIN_REPLAY[capture, probes]
    assert len(shares) == len(least)
    assert all(share >= figure for share, figure in zip(shares, least, strict=True)), (shares, least)


@pytest.mark.parametrize(("capture", "probes"), [*PLAIN_REPLAY, ("probes", True)])
def test_two_texts_read_independently_confirm_what_audit_says(
    replayed_capture: ReplayedCapture, kernel_dump: KernelDump, capture: str, probes: bool
) -> None:
    opened = replayed_capture(capture, probes=probes).opened()
    said, counted = {}, {}
    for audit in opened.audits().to_pylist()[1:]:
        name = audit["name"]
        kernel = read_dump_of(kernel_dump(capture, name))
        ours = our_dump(replayed_capture(capture, probes=probes), name)
        said[name] = (audit["records"], audit["agree"])
        counted[name] = (kernel.pfn.size, agreeing(kernel, ours))
    assert counted == said


@pytest.mark.parametrize("snapshot", FULL_FOLD)
def test_with_probes_every_record_of_the_kernel_agrees(replayed_capture: ReplayedCapture, snapshot: str) -> None:
    audits = {audit["name"]: audit for audit in replayed_capture("probes").opened().audits().to_pylist()}
    assert audits[snapshot]["agree"] == audits[snapshot]["records"] > 25_000


@pytest.mark.parametrize("snapshot", [*WRONG_IN_THE_KERNEL, *FULL_FOLD])
def test_with_probes_our_text_lists_the_kernels_heads_and_no_other_with_their_tgid(
    replayed_capture: ReplayedCapture, kernel_dump: KernelDump, snapshot: str
) -> None:
    kernel = read_dump_of(kernel_dump("probes", snapshot))
    ours = our_dump(replayed_capture("probes"), snapshot)
    assert np.array_equal(kernel.pfn, ours.pfn)
    assert np.array_equal(kernel.tgid, ours.tgid)


@pytest.mark.parametrize("snapshot", WRONG_IN_THE_KERNEL)
def test_ghosts_are_named_and_both_views_of_them_kept(replayed_capture: ReplayedCapture, snapshot: str) -> None:
    """GIVEN pages on a per-cpu free list that page_owner stamped WHEN asked THEN free is proven, and the stamp is told."""
    rows = replayed_capture("probes").opened().snapshot(f"@{snapshot}", everything=True).to_pylist()
    ghosts = [r for r in rows if r["kernel_says"] is not None and r["state"] == "free"]
    assert sum(r["nr_pages"] for r in ghosts) == WRONG_IN_THE_KERNEL[snapshot]
    assert {(r["kernel_says"]["pid"], r["kernel_says"]["gfp_mask"]) for r in ghosts} == {(1, 0)}


@pytest.mark.parametrize("snapshot", FULL_FOLD)
def test_the_dump_lacks_no_head_of_ours(replayed_capture: ReplayedCapture, snapshot: str) -> None:
    """Ghosts in free blocks are not ours to list either.

    Source: mm/page_owner.c, read_page_owner (Linux 6.1): it steps over free blocks, and not over per-cpu lists.
    """
    differing = replayed_capture("probes").opened().differences(snapshot).to_pylist()
    assert [r["pfn"] for r in differing if r["class"] == "not in the dump"] == []


@pytest.mark.parametrize("capture", ["small", "basic", "stack", "probes"])
def test_every_record_that_differs_has_its_class_and_both_sides(
    replayed_capture: ReplayedCapture, capture: str
) -> None:
    opened = replayed_capture(capture).opened()
    for audit in opened.audits().to_pylist():
        differing = [r for r in opened.differences(audit["name"]).to_pylist() if r["class"] != "not in the dump"]
        assert len(differing) == audit["records"] - audit["agree"]
        assert all(r["class"] and r["kernel_order"] is not None for r in differing)
        counts = dict(audit["classes"])
        assert sum(counts.values()) - counts.get("not in the dump", 0) == len(differing)


# -- losses ------------------------------------------------------------------------------------------------------------------


def test_the_doctor_says_what_was_lost(replayed_capture: ReplayedCapture) -> None:
    done = run("doctor", "--trail", replayed_capture("lossy").path)
    assert done.code == 0
    assert "849,759 events lost in 542 gaps" in done.out
    assert max(map(len, done.out.splitlines())) < 400


@pytest.mark.parametrize(
    "at",
    ["2s", "@2-workload", "22.3", "@3-hotplugged", "33.5", "@5-after-cancel", "52.9", "@7-end", "79.0", "@8-unplugged"],
)
def test_nothing_that_a_gap_may_have_changed_is_certain(replayed_capture: ReplayedCapture, at: str) -> None:
    """A loss covers all pages, free ones too, from its t_lo on; only what began after its t_hi is safe from it."""
    opened = replayed_capture("lossy").opened()
    instant = opened.stream().instant(at).ts
    gaps = [(gap.t_lo, gap.t_hi) for _, _, gap in opened.stream().history.gaps]
    safe_from = max(t_hi for t_lo, t_hi in gaps if t_lo <= instant)
    rows = opened.snapshot(at, everything=True)
    begin = rows["begin_ts"].fill_null(-OPEN_END).to_numpy()
    sure = np.array(["state" not in names for names in rows["uncertain"].to_pylist()])
    assert rows.num_rows > 100
    assert not (sure & (begin < safe_from)).any()
    assert not (rows["certain"].to_numpy() & (begin < safe_from)).any()


def test_the_gaps_are_those_that_the_trace_names(replayed_capture: ReplayedCapture) -> None:
    gaps = [gap for _, _, gap in replayed_capture("lossy").opened().stream().history.gaps if gap.lost is not None]
    assert (len(gaps), sum(gap.lost or 0 for gap in gaps)) == (542, 849_759)
    assert all(gap.t_lo <= gap.t_hi for gap in gaps)
