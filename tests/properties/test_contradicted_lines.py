"""Harm that leaves a valid line and that something else contradicts: no page is certain and wrong, and each line is counted."""

import random
import re

import numpy as np
import pytest

from pagetrail.schemas.columns import Kind
from tests.effort import effort
from tests.model.config import ModelConfig
from tests.model.kernel import ModelKernel
from tests.properties.test_harmed_lines import BASE, STEPS, as_text, check, events_of, reader_of

HISTORIES = effort(24, 2_000)
PARTS = 3
CONFIG = ModelConfig()
_PAGE = re.compile(rb"page=0 pfn=(0x[0-9a-f]+) ")
_PAIR = re.compile(rb"(?<=page=)([0-9a-f]{16}) pfn=0x([0-9a-f]+)(?= )")


def with_pointers(text: bytes) -> bytes:
    """Return *text* with the address of each event's struct page, as a kernel prints it that hashes none."""
    return _PAGE.sub(lambda found: b"page=%016x pfn=%b " % (BASE + 64 * int(found[1], 16), found[1]), text)


def another_digit(line: bytes, rng: random.Random) -> bytes:
    """Change a digit of the page or of the pfn to another one."""
    found = _PAIR.search(line)
    assert found is not None
    at = rng.randrange(*found.span(1 + rng.randrange(2)))
    digit = rng.choice([c for c in b"0123456789abcdef" if c != line[at]])
    return line[:at] + bytes([digit]) + line[at + 1 :]


@pytest.mark.parametrize("part", range(PARTS))
def test_another_digit_of_a_page_or_a_pfn_leaves_no_page_certain_and_different_from_the_truth(part: int) -> None:
    certain = 0
    for seed in range(part, HISTORIES, PARTS):
        rng = random.Random(seed)
        history = ModelKernel(seed, config=CONFIG).run(STEPS)
        lines = with_pointers(as_text(history)).splitlines(keepends=True)
        chosen = rng.sample([at for at, line in enumerate(lines) if _PAIR.search(line)], 1 + seed % 4)
        for at in chosen:
            lines[at] = another_digit(lines[at], rng)
        reader = reader_of(b"".join(lines))
        events = events_of(history, reader)
        assert reader.account.not_understood == len(chosen), (seed, chosen)
        certain += check(history, events, seed)
    assert certain


@pytest.mark.parametrize("seed", range(6))
def test_events_that_are_there_twice_are_stored_once_and_counted(seed: int) -> None:
    rng = random.Random(seed)
    history = ModelKernel(seed, config=CONFIG).run(STEPS)
    lines = with_pointers(as_text(history)).splitlines(keepends=True)
    chosen = rng.sample([at for at, line in enumerate(lines) if _PAIR.search(line)], 5)
    twice = b"".join(line * 2 if at in chosen else line for at, line in enumerate(lines))
    reader, whole = reader_of(twice), events_of(history, reader_of(b"".join(lines)))
    events = events_of(history, reader)
    for name in ("kind", "trace_ts_nsec", "cpu", "pfn", "order", "src_pfn", "nr_pages"):
        assert np.array_equal(events.column(name), whole.column(name)), name
    assert not (events.columns["kind"] == Kind.GAP).any()
    assert reader.account.kinds["nothing_new", "repeat of an event"].lines == 5
