"""The law above all others, on recordings of real kernels: never wrong and certain.

Every snapshot of every capture, before its dump is looked at (``--no-correct``, and ``@N`` leaves out the dump of N), against
that dump and /proc/kpageflags. Two exceptions, where the kernel is known to be wrong: its early stamps (class 1 of the
captures' README) and ghosts (class 6); there what we say that it says must be what it says.
"""

from collections.abc import Iterator

import numpy as np
import pytest

from tests.captures.conftest import ReplayedCapture
from tests.captures.trails import Replayed
from tests.conftest import KernelDump
from tests.oracles.contradictions import Answers, Views, answers, certain_share, contradictions, pages_of
from tests.oracles.kernel_truth import Dump, read_dump_of, read_kpageflags

FIRST = "1-boot"
SNAPSHOTS = (
    FIRST, "2-workload", "2b-added-not-online", "3-hotplugged", "4-offlined", "5-after-cancel", "6-compact-cma-split",
    "7-end", "8-unplugged",
)  # fmt: skip
WITH_A_SECOND_DIMM = (*SNAPSHOTS[:-1], "7b-dimm2-used", SNAPSHOTS[-1])
CAPTURES = {
    "small": WITH_A_SECOND_DIMM,
    "basic": SNAPSHOTS,
    "stack": SNAPSHOTS,
    "probes": SNAPSHOTS,
    "lossy": WITH_A_SECOND_DIMM,
}
CASES = [(capture, True, name) for capture, names in CAPTURES.items() for name in names]
CASES += [("probes", False, name) for name in SNAPSHOTS]


def both(trail: Replayed, snapshot: str, kernel_dump: KernelDump) -> tuple[Answers, Views]:
    table = trail.opened().snapshot(f"@{snapshot}", everything=True)
    dump = read_dump_of(kernel_dump(trail.capture.name, snapshot))
    flags = read_kpageflags(trail.capture / "snapshots" / snapshot)
    pages = pages_of(table, dump, flags)
    begin, dumped, end = trail.window(snapshot)
    views = Views(
        dump=dump,
        kpageflags=flags,
        touched_in_dump=trail.touched.between(begin, dumped, pages),
        touched=trail.touched.between(begin, end, pages),
    )
    return answers(table, pages), views


@pytest.mark.parametrize(("capture", "probes", "snapshot"), CASES)
def test_nothing_certain_is_wrong(
    replayed_capture: ReplayedCapture,
    kernel_dump: KernelDump,
    capture: str,
    probes: bool,
    snapshot: str,
) -> None:
    trail = replayed_capture(capture, probes=probes)
    ours, kernel = both(trail, snapshot, kernel_dump)
    if snapshot == FIRST:
        kernel = without_early_stamps(ours, kernel)
    assert contradictions(ours, kernel) == {}
    records, pages = certain_share(ours, kernel.dump)
    print(f"{capture}{'' if probes else ' without its probes'} @{snapshot}: certain {pages:.2f} % of the pages, "
          f"{records:.2f} % of the records")  # fmt: skip


def without_early_stamps(ours: Answers, kernel: Views) -> Views:
    """Leave out the records of class 1 that no dump has told of yet, where the trace saw who allocated the page."""
    dump = kernel.dump
    early = (dump.order == 0) & (dump.gfp_mask == 0) & (dump.pid == 1)
    row = np.maximum(ours.row[dump.pfn], 0)
    evidence = np.array(ours.table["evidence"].to_pylist())[row]
    known = early & (ours.row[dump.pfn] >= 0) & (evidence == "observed")
    kept = Dump(*(getattr(dump, name)[~known] for name in Dump.__slots__))
    touched = kernel.touched_in_dump.copy()
    touched[dump.pfn[known]] = True  # a page of class 1 is no head that the dump lacks
    return Views(dump=kept, kpageflags=kernel.kpageflags, touched_in_dump=touched, touched=kernel.touched)


def test_the_snapshots_are_all_that_the_captures_have(replayed_capture: ReplayedCapture) -> None:
    assert {name: tuple(replayed_capture(name).snapshots()) for name in CAPTURES} == CAPTURES


@pytest.mark.parametrize("snapshot", SNAPSHOTS[1:])
def test_with_probes_nearly_all_is_certain(
    replayed_capture: ReplayedCapture, kernel_dump: KernelDump, snapshot: str
) -> None:
    ours, kernel = both(replayed_capture("probes"), snapshot, kernel_dump)
    _, pages = certain_share(ours, kernel.dump)
    assert pages >= 99.0


def wrong_answers(ours: Answers, kernel: Views) -> Iterator[tuple[str, Answers]]:
    """Yield answers that are wrong in one way each, and sure of it."""
    row = ours.row[kernel.dump.pfn]
    there = np.maximum(row, 0)
    sure = row[(row >= 0) & ours.certain[there] & ~ours.viewed[there] & ~kernel.touched[kernel.dump.pfn]]
    at = int(sure[sure.size // 2])
    for name in ("order", "pid", "gfp_mask", "ts_nsec"):
        off = answers(ours.table, ours.row.size)
        off.values[name][at] += 10**9 if name == "ts_nsec" else 1
        yield f"certain and wrong: {name}", off
    off = answers(ours.table, ours.row.size)
    off.state[at] = "free"
    yield "certainly free, and listed", off
    free = np.flatnonzero((ours.state == "free") & ~ours.uncertain["state"])
    off = answers(ours.table, ours.row.size)
    off.state[free] = "owned"
    off.values["order"][free] = 0
    yield "certainly owned, and in a free block", off


def test_this_check_would_see_each_kind_of_wrong_answer(
    replayed_capture: ReplayedCapture, kernel_dump: KernelDump
) -> None:
    ours, kernel = both(replayed_capture("probes"), "3-hotplugged", kernel_dump)
    for what, off in wrong_answers(ours, kernel):
        assert what in contradictions(off, kernel)
