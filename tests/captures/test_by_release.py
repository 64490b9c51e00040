"""Kernels of other releases than 6.1, each held against its own dumps: nothing certain is wrong, and nearly all is certain."""

import pytest

from pagetrail.replay.rules.page_ext import bytes_a_page
from tests.captures.conftest import ReplayedCapture
from tests.captures.test_certainty import both
from tests.conftest import KernelDump
from tests.oracles.contradictions import certain_share, contradictions

HUGE_PAGES = "k612-thpmig"
OTHERS = ("k510-probes", "k612-probes", "k72-probes")
BYTES_A_PAGE = {"k510-probes": 24, "k612-probes": 72, "k72-probes": 72}
WITH_EARLY_STAMPS = {"k510-probes"}
"""At their first snapshot the trace knows more than page_owner of pages that it stamped as early: class 1 of the README."""


@pytest.mark.parametrize("snapshot", ["1-boot", "2-thp", "3-migrated", "4-split", "5-split-to-order-4", "6-end"])
def test_the_tails_of_huge_pages_that_moved_and_were_split_are_what_6_12_says(
    replayed_capture: ReplayedCapture, kernel_dump: KernelDump, snapshot: str
) -> None:
    ours, kernel = both(replayed_capture(HUGE_PAGES), snapshot, kernel_dump)
    assert contradictions(ours, kernel) == {}
    if snapshot != "1-boot":  # what was allocated before the tracepoints were on is in its dump
        records, pages = certain_share(ours, kernel.dump)
        assert records >= 99.9
        assert pages >= 99


@pytest.mark.parametrize("snapshot", ["4-split", "5-split-to-order-4"])
def test_with_probes_every_record_of_6_12_agrees(replayed_capture: ReplayedCapture, snapshot: str) -> None:
    audits = {audit["name"]: audit for audit in replayed_capture(HUGE_PAGES).opened().audits().to_pylist()}
    assert audits[snapshot]["agree"] == audits[snapshot]["records"] > 20_000


@pytest.mark.slow
@pytest.mark.parametrize("capture", OTHERS)
def test_with_probes_each_kernel_agrees_and_nothing_certain_is_wrong(
    replayed_capture: ReplayedCapture, kernel_dump: KernelDump, capture: str
) -> None:
    trail = replayed_capture(capture)
    stream = trail.opened().stream()
    assert bytes_a_page(stream.facts.boot) == BYTES_A_PAGE[capture]
    audits = {audit["name"]: audit for audit in trail.opened().audits().to_pylist()}
    for place, snapshot in enumerate(trail.snapshots()):
        ours, kernel = both(trail, snapshot, kernel_dump)
        if place or capture not in WITH_EARLY_STAMPS:
            assert contradictions(ours, kernel) == {}, snapshot
        if place:
            audit = audits[snapshot]
            aside = dict(audit["classes"]).get("touched during the dump", 0)  # the offline that the dump met
            assert audit["agree"] >= 0.999 * (audit["records"] - aside), snapshot
            assert aside < 0.03 * audit["records"], snapshot
            least = 97.5 if capture == "k510-probes" else 99  # tails of blocks that came before the first marker
            assert certain_share(ours, kernel.dump)[1] >= least, snapshot


def test_what_a_kernel_says_of_its_page_ext_is_what_its_rules_say(replayed_capture: ReplayedCapture) -> None:
    boot = replayed_capture(HUGE_PAGES).opened().stream().facts.boot
    assert boot is not None
    assert boot.page_ext_bytes == 72 * (640 << 20 >> 12)
    assert bytes_a_page(boot) == 72
