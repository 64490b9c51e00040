"""page_ext takes as many bytes as the kernel said."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from pagetrail.producers.recordings import open_recording
from pagetrail.replay.rules.page_ext import bytes_a_page
from pagetrail.schemas.batch import EventBatch
from pagetrail.schemas.columns import Kind
from pagetrail.schemas.details import Boot
from tests.oracles.answers import folded

CAPTURES = (
    "small", "basic", "probes", "stack", "lossy", "perf-plain", "perf-g", "perf-lost", "fleet/host-a", "fleet/host-b",
    "fleet/host-c",
)  # fmt: skip


def constants(directory: Path) -> Iterator[tuple[EventBatch, Boot]]:
    """Yield what a recording says before its first event, and the constants of its boot."""
    for batch in open_recording(directory).parser.batches():
        for row in batch.details:
            if batch.columns["kind"][row] == Kind.BOOT:
                yield batch.slice(row, row + 1), Boot.model_validate_json(batch.details[row])


@pytest.mark.parametrize("capture", CAPTURES)
def test_the_sections_of_a_boot_take_the_bytes_that_dmesg_says(captures: Path, capture: str) -> None:
    """``allocated N bytes of page_ext``: 64 a page with page_owner alone."""
    events, boot = next(constants(captures / capture))
    (engine,) = folded(events, [0])
    sections, each = engine.state.facts.sections, bytes_a_page(boot)
    assert each == 64
    assert boot.page_ext_bytes == len(sections) * each * engine.state.facts.pages_per_section
    assert f"allocated {boot.page_ext_bytes} bytes of page_ext" in (captures / capture / "dmesg.txt").read_text()
