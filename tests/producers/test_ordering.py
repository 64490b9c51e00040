"""Laws of time in a trace: it never falls, what does not fit is doubtful, and one wrong time spoils one event."""

import json
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pagetrail.producers import ordering
from pagetrail.producers.ordering import in_order
from pagetrail.producers.parsed import ReadAccount
from pagetrail.schemas.batch import EventBatch
from pagetrail.schemas.columns import Kind, absent


def batches_of(times: list[int], size: int) -> Iterator[EventBatch]:
    for start in range(0, len(times), size):
        part = np.array(times[start : start + size], np.int64)
        pfn = np.arange(start, start + part.size, dtype=np.int64)
        yield EventBatch(columns={"kind": np.full(part.size, Kind.FREE, np.int8), "trace_ts_nsec": part, "pfn": pfn})


class Read:
    """What comes of events with some times: rows in order, gaps by the number of rows before them."""

    def __init__(self, times: list[int], size: int = 1000) -> None:
        self.account = ReadAccount()
        self.given: list[int] = []
        self.raw: list[int] = []
        self.pfn: list[int] = []
        self.all_times: list[int] = []
        self.gaps: list[tuple[int, int, int]] = []
        for batch in in_order(batches_of(times, size), self.account):
            self.all_times += batch.columns["trace_ts_nsec"].tolist()
            if batch.columns["kind"][0] == Kind.GAP:
                gap = json.loads(batch.details[0])
                self.gaps.append((len(self.given), gap["t_lo"], gap["t_hi"]))
                continue
            self.given += batch.columns["trace_ts_nsec"].tolist()
            self.raw += batch.column("raw_ts_nsec").tolist()
            self.pfn += batch.columns["pfn"].tolist()


def unsure(read: Read, begin: int, until: int) -> bool:
    """Return whether evidence that begins at *begin* is not certain at *until*."""
    return any(t_hi >= begin and t_lo <= until for _, t_lo, t_hi in read.gaps)


def test_events_in_order_stay_as_they_are() -> None:
    times = [i // 3 for i in range(30_000)]
    read = Read(times)
    assert read.given == times
    assert read.gaps == []
    assert set(read.raw) == {absent("raw_ts_nsec")}
    assert read.account.clamped == 0


def test_a_late_event_gets_the_time_before_it_and_nothing_is_sure_in_between() -> None:
    read = Read([10, 20, 30, 15, 40, 50])
    assert read.given == [10, 20, 30, 30, 40, 50]
    assert read.raw[3] == 15
    assert read.gaps == [(4, 15, 30)]
    assert read.account.clamped == 1


@pytest.mark.parametrize("at", [0, 1, 5, 4_000, 9_000, 9_996])
def test_one_time_that_is_too_high_spoils_one_event(at: int) -> None:
    times = list(range(100, 10_100))
    times[at] += 1_000_000_000
    read = Read(times)
    assert read.account.clamped == 1
    assert [given for i, given in enumerate(read.given) if i != at] == [t for i, t in enumerate(times) if i != at]
    assert read.raw[at] == times[at]
    assert unsure(read, read.given[at], read.given[at])
    assert not unsure(read, read.given[at] + 2, 20_000)


def test_the_own_time_of_an_early_event_is_unsure_when_it_comes() -> None:
    times = list(range(100, 10_100))
    times[50] = 7_000
    read = Read(times)
    assert read.account.clamped == 1
    assert unsure(read, 200, 7_000)
    assert not unsure(read, 200, 6_999)
    assert not unsure(read, 7_001, 10_000)


def test_late_events_near_each_other_are_one_gap_and_far_ones_are_two() -> None:
    times = list(range(100, 10_100))
    for at in (50, 60, 5_000):
        times[at] -= 5
    read = Read(times)
    assert [(lo, hi) for _, lo, hi in read.gaps] == [(145, 159), (5_095, 5_099)]


@given(
    st.lists(st.integers(0, 60), min_size=1, max_size=120),
    st.integers(1, 40),
    st.sampled_from([1, 4, 4096]),
)
def test_nothing_is_lost_time_never_falls_and_what_does_not_fit_is_unsure(
    times: list[int], size: int, lookahead: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ordering, "LOOKAHEAD", lookahead)
        read = Read(times, size)
    assert read.pfn == list(range(len(times)))
    assert read.all_times == sorted(read.all_times)
    odd = [i for i, raw in enumerate(read.raw) if raw != absent("raw_ts_nsec")]
    assert read.account.clamped == len(odd)
    for i, own in enumerate(times):
        if i not in odd:
            assert read.given[i] == own
            continue
        assert read.raw[i] == own
        low, high = min(own, read.given[i]), read.given[i]
        assert all(unsure(read, begin, until) for begin, until in ((low, low), (high, high), (low - 1, high + 1)))
        if own <= read.given[-1]:
            assert unsure(read, 0, own)


def test_a_stretch_that_begins_anew_behind_the_last_event_is_a_gap_at_the_end() -> None:
    """The second of a pair may have a time that was lowered, so no batch reaches it."""
    (batch,) = batches_of([10, 20, 30], 3)
    rows = list(ordering._with_gaps(iter([batch]), [(15, 20), (35, 40)]))
    gaps = [(row.columns["trace_ts_nsec"][0], json.loads(row.details[0])) for row in rows if row.details]
    assert [(int(ts), gap["t_lo"], gap["t_hi"]) for ts, gap in gaps] == [(20, 15, 20), (35, 30, 35)]


def test_a_million_late_events_make_few_gaps() -> None:
    times = np.arange(400_000, dtype=np.int64)
    times[1::2] -= 7
    read = Read(times.tolist(), 100_000)
    assert len(read.gaps) < 10
