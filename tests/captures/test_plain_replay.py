"""With tracepoints alone, replay is right of no fewer records than one that knows allocations and frees and no rule."""

import numpy as np
import pytest

from tests.captures.conftest import ReplayedCapture
from tests.captures.test_certainty import both
from tests.conftest import KernelDump
from tests.oracles.kernel_truth import NOT_TOLD, SAME_TS
from tests.oracles.plain_replay import PlainReplay


@pytest.mark.parametrize("capture", ["small", "basic", pytest.param("k510-basic", marks=pytest.mark.slow)])
def test_tracepoints_alone_are_worth_no_less_than_to_a_plain_replay(
    replayed_capture: ReplayedCapture, kernel_dump: KernelDump, capture: str
) -> None:
    """Records of early stamps are set aside, and pages touched while the dump was read; only ours has to have the time too."""
    trail = replayed_capture(capture)
    plain: PlainReplay | None = None
    for snapshot in trail.snapshots():
        ours, kernel = both(trail, snapshot, kernel_dump)
        begin, dumped, _ = trail.window(snapshot)
        dump = kernel.dump
        if plain is None:
            plain = PlainReplay(trail.path, ours.row.size + (1 << 21))
            plain.until(dumped)
            plain.take(dump)
            continue
        plain.until(begin)
        rows = ~((dump.order == 0) & (dump.gfp_mask == 0)) & ~kernel.touched_in_dump[dump.pfn]
        at = np.maximum(ours.row[dump.pfn], 0)
        agree = rows & (ours.row[dump.pfn] >= 0) & (ours.state[at] == "owned")
        for name in ("order", "gfp_mask", "pid", "ts_nsec"):
            said = getattr(dump, name)
            off = np.abs(ours.values[name][at] - said)
            agree &= (said == NOT_TOLD) | (off <= (SAME_TS if name == "ts_nsec" else 0))
        share, least = int(agree.sum()), plain.agreeing(dump, rows)
        print(f"{capture} @{snapshot}: {share:,} of {int(rows.sum()):,} records, a plain replay {least:,}")
        assert share >= least, snapshot
