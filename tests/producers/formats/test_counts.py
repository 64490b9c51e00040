"""Lines that are missing are noticed where a count tells of them: then nothing of the recording is certain."""

import io

import pytest

from pagetrail.producers.formats.text.ftrace import FtraceText
from pagetrail.producers.formats.text.perf_script import PerfScript
from pagetrail.schemas.columns import Kind
from tests.oracles.text.reading import Row, rows_of
from tests.producers.formats.text_samples import classes

HEADER = b"# tracer: nop\n#\n# entries-in-buffer/entries-written: 4/4   #P:2\n#\n"
# trace-cmd report --stat: lib/trace-cmd/trace-input.c, tracecmd_print_stats
OF_CPU = (
    b"CPU: %d\nentries: %d\noverrun: 0\ncommit overrun: 0\nbytes: 3560\noldest event ts:     1.000000\n"
    b"now ts:     9.000000\ndropped events: 0\nread events: %d\n"
)
STATISTICS = b"Kernel buffer statistics:\n" + OF_CPU % (0, 0, 2) + OF_CPU % (1, 0, 2)
RECORDED = b"[ perf record: Woken up 1 times to write data ]\n[ perf record: Captured and wrote 0.1 MB perf.data (4 samples) ]\n"
EVENTS = [
    b"          sh-43    [%03d] .....     %d.000000: mm_page_free: page=0 pfn=%#x order=0\n" % (at % 2, at, 16 + at)
    for at in range(4)
]
SAMPLES = [
    b"sh 43 [%03d]     %d.000000: kmem:mm_page_free: page=0 pfn=%#x order=0\n" % (at % 2, at, 16 + at)
    for at in range(4)
]
TEXTS = {
    "header": (FtraceText, HEADER, EVENTS, b""),
    "statistics before": (FtraceText, STATISTICS, EVENTS, b""),
    "statistics behind": (FtraceText, b"cpus=2\n", EVENTS, STATISTICS),
    "perf": (PerfScript, b"", SAMPLES, RECORDED),
}


def read(name: str, lines: list[bytes]) -> list[Row]:
    """Return the gaps of the text *name* with *lines* in place of its own."""
    opened, before, _, behind = TEXTS[name]
    parser = opened(io.BytesIO(before + b"".join(lines) + behind), source="test")
    rows = rows_of(parser.batches())
    assert sum(classes(parser.account).values()) == parser.account.lines
    return [row for row in rows if row["kind"] == Kind.GAP]


@pytest.mark.parametrize("name", TEXTS)
def test_what_fits_its_count_has_no_gap(name: str) -> None:
    assert read(name, TEXTS[name][2]) == []


@pytest.mark.parametrize("at", range(4))
@pytest.mark.parametrize("name", TEXTS)
def test_a_line_less_than_the_count_leaves_nothing_certain(name: str, at: int) -> None:
    lines = TEXTS[name][2]
    (gap,) = read(name, lines[:at] + lines[at + 1 :])
    assert gap["detail"]["t_lo"] == 0  # type: ignore[index]
    assert gap["detail"]["lost"] == 1  # type: ignore[index]
    assert "cpu" not in gap
    assert "pfn" not in gap


@pytest.mark.parametrize("name", TEXTS)
def test_a_line_that_was_not_understood_is_none_of_the_missing(name: str) -> None:
    lines = TEXTS[name][2]
    (gap,) = read(name, [*lines[:2], lines[2].replace(b"pfn=0x", b"pfn=x"), lines[3]])
    assert gap["detail"]["count"] == 1  # type: ignore[index]
    assert "missing" not in gap["detail"]["reason"]  # type: ignore[index]


def test_lines_of_one_cpu_do_not_stand_for_those_of_another() -> None:
    moved = EVENTS[1].replace(b"[001]", b"[000]")
    (gap,) = read("statistics before", [EVENTS[0], moved, *EVENTS[2:]])
    assert gap["detail"]["lost"] == 1  # type: ignore[index]


def test_an_unread_line_of_one_cpu_does_not_stand_for_a_missing_one_of_another() -> None:
    found = read("statistics before", [EVENTS[0].replace(b"pfn=0x", b"pfn=x"), *EVENTS[2:]])
    assert [gap["detail"]["lost"] for gap in found if "missing" in gap["detail"]["reason"]] == [1]  # type: ignore[index]


def test_what_stayed_in_the_ring_is_lost() -> None:
    text = STATISTICS.replace(b"entries: 0", b"entries: 7", 1) + b"".join(EVENTS)
    parser = FtraceText(io.BytesIO(text), source="test")
    (gap,) = (row for row in rows_of(parser.batches()) if row["kind"] == Kind.GAP)
    assert (gap["detail"]["lost"], parser.account.lost_events) == (7, 7)  # type: ignore[index]


def test_the_statistics_of_a_ring_that_is_still_full_say_nothing_of_a_loss() -> None:
    stats = OF_CPU.partition(b"\n")[2] % (4, 0)  # per_cpu/cpu0/stats, behind the trace of that file system
    assert read("header", [*EVENTS, stats]) == []
