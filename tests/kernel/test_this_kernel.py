"""The kernel that runs the tests, recorded by tracepoints alone and held against its own /proc/kpageflags."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from pagetrail import api
from pagetrail.schemas.linux.releases import rules_of
from pagetrail.schemas.owner import ANOMALY_TEXT, Anomaly
from tests.conftest import Unavailable
from tests.kernel.tracefs import END, MissingTracefs, instance, record
from tests.oracles.kernel_truth import KPF_BUDDY, KPF_IN_USE

pytestmark = [pytest.mark.kernel, pytest.mark.slow]

NAMED = re.compile(rb"pfn=0x([0-9a-f]+) order=([0-9]+)")


@dataclass(frozen=True, kw_only=True)
class Here:
    """A recording of this kernel, replayed."""

    capture: Path
    trail: api.Trail
    release: str


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory, unavailable: Unavailable) -> Here:
    capture, trail = tmp_path_factory.mktemp("here"), tmp_path_factory.mktemp("trail")
    try:
        with instance(f"pagetrail-{capture.parent.name}-{capture.name}") as ftrace:
            record(ftrace, capture)
    except MissingTracefs as error:
        unavailable("tracefs", str(error))
    api.ingest(trail, capture)
    api.replay(trail, correct=False)
    release = (capture / "uname.txt").read_text().split()[2]
    return Here(capture=capture, trail=api.open(trail, correct=False), release=release)


def touched_since(trace: Path, marker: bytes, pages: int) -> NDArray[np.bool_]:
    """Return which pages events name from *marker* on."""
    touched = np.zeros(pages, np.bool_)
    text = trace.read_bytes()
    for found in NAMED.finditer(text, text.index(marker)):
        first = int(found[1], 16)
        touched[first : first + (1 << int(found[2]))] = True
    return touched


def test_nothing_certain_is_refuted_by_kpageflags_at_the_end_of_a_recording(here: Here) -> None:
    flags = np.fromfile(here.capture / "snapshots" / END / "kpageflags.bin", "<u8")
    touched = touched_since(here.capture / "trace.txt", f"SNAPSHOT {END} begin".encode(), flags.size)
    free = (flags >> np.uint64(KPF_BUDDY) & np.uint64(1)) != 0
    used = (flags & np.uint64(sum(1 << bit for bit in KPF_IN_USE.values()))) != 0
    refuted = {"owned": free & ~touched, "free": used & ~free & ~touched}
    rows = here.trail.snapshot(f"@{END}", everything=True).select(["pfn", "nr_pages", "state", "uncertain"]).to_pylist()
    certain = dict.fromkeys(refuted, 0)
    for row in rows:
        if row["state"] not in refuted or "state" in (row["uncertain"] or ()):
            continue
        pages = slice(row["pfn"], row["pfn"] + row["nr_pages"])
        assert not refuted[row["state"]][pages].any(), row
        certain[row["state"]] += row["nr_pages"]
    assert certain["owned"] > 0


def test_the_rules_are_those_of_this_kernels_release_and_are_named(here: Here) -> None:
    (stream,) = here.trail.streams().to_pylist()
    assert (stream["release"], stream["rules"]) == (here.release, rules_of(here.release).name)


def test_every_contradiction_is_named_with_what_may_have_caused_it(here: Here) -> None:
    """What was allocated before the recording is freed, and bulk allocations are not seen where page_owner is off."""
    findings = here.trail.doctor().to_pylist()
    texts = {finding["what"]: finding["detail"] for finding in findings}
    assert ANOMALY_TEXT[Anomaly.FREE_UNSEEN_BOOT] in texts["free unseen boot"]
    for what in {"free of free", "use of free", "alloc over owned"} & texts.keys():
        assert "; possible causes: " in texts[what], texts[what]
    assert not [finding for finding in findings if finding["level"] in ("loss", "quarantined")]
