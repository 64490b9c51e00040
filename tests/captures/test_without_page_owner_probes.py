"""Kernels recorded with the probes for kernels without page_owner, and page_owner on: each is held against its own dumps.

No such recording lies with the others yet: docs/guide.md says how they are made, and what was measured.
"""

from pathlib import Path

import pytest

from tests.captures.conftest import ReplayedCapture
from tests.captures.test_certainty import both
from tests.conftest import KernelDump, Unavailable
from tests.oracles.contradictions import contradictions

STARVED = "certain and wrong: ts_nsec"
"""A virtual CPU was off its host between page_owner's stamp and the event: no recording shows it; on a busy host it happens."""

CAPTURES = ("k510-tier2", "k61-tier2", "k612-tier2", "k72-tier2")


@pytest.mark.slow
@pytest.mark.parametrize("capture", CAPTURES)
def test_probes_that_need_no_page_owner_make_nothing_certain_that_is_wrong(
    replayed_capture: ReplayedCapture,
    kernel_dump: KernelDump,
    captures: Path,
    unavailable: Unavailable,
    capture: str,
) -> None:
    if not (captures / capture).is_dir():
        unavailable(f"capture {capture}", f"no folder {captures / capture}")
    trail = replayed_capture(capture)
    audits = {audit["name"]: audit for audit in trail.opened().audits().to_pylist()}
    for place, snapshot in enumerate(trail.snapshots()):
        ours, kernel = both(trail, snapshot, kernel_dump)
        audit = audits[snapshot]
        found = contradictions(ours, kernel)
        assert set(found) <= {STARVED}, snapshot
        assert len(found.get(STARVED, ())) < 20, snapshot  # as many are named at most
        if place:
            aside = dict(audit["classes"]).get("touched during the dump", 0)
            assert audit["agree"] >= 0.99 * (audit["records"] - aside), snapshot
