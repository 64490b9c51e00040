"""The rings' statistics, held against the lines that the trace has."""

from pagetrail.producers.capture.directory import Capture
from pagetrail.schemas.columns import Kind
from tests.producers.capture.capture_samples import RINGS, TRACE, of_kind, rows_of


def gaps_of(capture):
    return [detail for _, detail in of_kind(rows_of(capture), Kind.GAP)]


def test_lines_that_the_statistics_count_and_the_trace_does_not_have_are_a_gap(make):
    trace = TRACE.splitlines(keepends=True)
    (gap,) = gaps_of(Capture(make(**{"trace.txt": "".join(trace[:1] + trace[2:])})))
    assert (gap["t_lo"], gap["t_hi"], gap["lost"]) == (0, 7_000_000_000, 1)


def test_a_line_that_was_not_understood_is_not_missing_too(make):
    (gap,) = gaps_of(Capture(make(**{"trace.txt": TRACE.replace("pfn=0x100 order=0 migratetype", "pfn=0x1x", 1)})))
    assert gap["line"] == 2


def test_a_line_more_than_the_statistics_count_does_not_fit_them(make):
    trace = TRACE.splitlines(keepends=True)
    (gap,) = gaps_of(Capture(make(**{"trace.txt": "".join([*trace, trace[-1].replace(".000000:", ".000001:")])})))
    assert "one of the two is not whole" in gap["reason"]


def test_an_event_that_is_there_twice_is_stored_once_and_said_and_fits_the_statistics(make):
    trace = TRACE.splitlines(keepends=True)
    whole = rows_of(Capture(make()))
    capture = Capture(make(**{"trace.txt": "".join([*trace, trace[-1]])}))
    assert rows_of(capture) == whole
    assert [note for note in capture.account.notes if "repeat an event" in note]


def test_an_event_in_place_of_another_is_missed_by_the_statistics(make):
    trace = TRACE.splitlines(keepends=True)
    (gap,) = gaps_of(Capture(make(**{"trace.txt": "".join([*trace[:-1], trace[-2]])})))
    assert gap["lost"] == 1


def test_a_cpu_that_is_in_the_trace_and_not_in_the_statistics_leaves_nothing_certain(make):
    capture = Capture(make(**{"ring_stats.txt": "".join(RINGS.splitlines(keepends=True)[:2])}))
    assert [gap["reason"][:22] for gap in gaps_of(capture)] == ["CPU 1 is in the trace "]
