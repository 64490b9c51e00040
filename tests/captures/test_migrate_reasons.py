"""Why pages were migrated, from the probe on it, is what the kernel's own dumps say."""

import re

import numpy as np
import pytest

from tests.captures.conftest import ReplayedCapture
from tests.captures.test_certainty import both
from tests.conftest import KernelDump

_PFN = re.compile(rb"PFN (0x[0-9a-f]+|\d+) ")
_REASON = re.compile(rb"Page has been migrated, last migrate reason: (\S+)")


def reasons_of(text: bytes) -> dict[int, str | None]:
    """Return the reason of each record of a page_owner text, by pfn."""
    found: dict[int, str | None] = {}
    pfn = -1
    for line in text.splitlines():
        if named := _PFN.match(line):
            pfn = int(named[1], 0)
            found[pfn] = None
        elif said := _REASON.match(line):
            found[pfn] = said[1].decode()
    return found


@pytest.mark.parametrize(
    ("capture", "snapshot", "least"),
    [("probes", "6-compact-cma-split", 7_000), ("probes", "8-unplugged", 1_500), ("k612-thpmig", "5-split-to-order-4", 28),
     pytest.param("k72-probes", "6-two-offline", 6_000, marks=pytest.mark.slow)],
)  # fmt: skip
def test_a_page_has_the_reason_that_the_kernel_says(
    replayed_capture: ReplayedCapture, kernel_dump: KernelDump, capture: str, snapshot: str, least: int
) -> None:
    ours, kernel = both(replayed_capture(capture), snapshot, kernel_dump)
    names = ours.table["migrate_reason_name"].to_pylist()
    said = reasons_of(kernel_dump(capture, snapshot).read_bytes())
    quiet = {pfn: reason for pfn, reason in said.items() if not kernel.touched_in_dump[pfn] and ours.row[pfn] >= 0}
    assert np.count_nonzero([reason is not None for reason in quiet.values()]) >= least
    assert {pfn: names[ours.row[pfn]] for pfn in quiet} == quiet
