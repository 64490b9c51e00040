"""The state digest says what is known, not how it is cut, kept or named."""

import dataclasses

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pagetrail.replay.fold.decode import StackTable
from pagetrail.replay.fold.tables import EventColumns, run_columns
from pagetrail.replay.rules.stretch import Stretch
from pagetrail.replay.store.packed.sums import spans_sums
from pagetrail.replay.store.state_digest import EndedSums, doubts_sum, quarantined_sum, values_sum
from pagetrail.schemas.columns import Kind
from pagetrail.schemas.owner import (
    ABSENT64,
    ACT_FIELDS,
    DETAIL_FIELDS,
    DOUBT_DTYPE,
    ENDED_RUN_DTYPE,
    OWNER_FIELDS,
    RECORD_DTYPE,
    RUN_DTYPE,
    VALUE_DTYPE,
)
from tests.oracles import span_sums
from tests.replay.states import folded
from tests.replay.strategies import History, Machine, histories, history, to_frames

COMMS, STACKS, FIELDS = ["a", "b"], [7, -7], ["debug.poison", "debug.guard"]


@pytest.mark.slow
@given(histories(), st.integers(0, 60))
@example(history(b"\x07\x8d\x00\x00\x00\x00\x14\x01\x03", correct=False), 0)  # two segments set one event aside each
def test_the_state_digest_does_not_depend_on_where_segments_end(told: History, floor: int) -> None:
    frames = to_frames(told.recordings, [1 << 16])
    cut, whole = (folded(frames, correct=told.correct, floor=f) for f in (floor, 1 << 40))
    assert cut.state_digests[-1] == whole.state_digests[-1]


def test_the_state_digest_does_not_name_the_fold() -> None:
    """GIVEN a history without a dump WHEN two folds replay it THEN their chains differ, and what they know does not."""
    m = Machine()
    m.begin()
    for pfn in range(8):
        m.emit(Kind.ALLOC, pfn=pfn, order=0, gfp_mask=0, pid=1)
    m.end()
    correct, audited = (folded(to_frames(m.recordings, [4]), correct=value) for value in (True, False))
    assert correct.state_digests == audited.state_digests
    assert correct.digests != audited.digests


def stretch_with(runs: np.ndarray, records: np.ndarray, comms: list[str], stack_ids: list[int]) -> Stretch:
    """Return a stretch with spans that ended: each has events, acts and so on of its own."""
    n = runs.size
    rows = np.arange(n, dtype=np.int32)
    ended = np.zeros(n, ENDED_RUN_DTYPE)
    for name in ("pfn", "nr_pages", "generation", "kernel_view"):
        ended[name] = runs[name]
    ended["begin_event"], ended["end_event"] = rows, rows + n

    def wide(name: str) -> np.ndarray:
        column = records[name].astype(np.int64)
        column[records[name] == np.iinfo(records[name].dtype).min] = ABSENT64
        return column

    acts, owners, details = (np.stack([wide(n) for n in f], 1) for f in (ACT_FIELDS, OWNER_FIELDS, DETAIL_FIELDS))
    ends = np.full_like(acts, -1)
    ends[:, ACT_FIELDS.index("how")] = runs["end_how"]
    begun, over = [records["begin_seq"], records["begin_ts"]], [runs["end_seq"], runs["end_ts"]]
    seq, ts = (np.concatenate(both) for both in zip(begun, over, strict=True))
    born = records["alloc_ts"]
    age = np.where(born == ABSENT64, ABSENT64, records["begin_ts"] - born)
    none = np.full(n, -1, np.int32)
    events = EventColumns(
        seq=seq, ts=ts, act=np.concatenate([rows, rows + n]), owner=np.concatenate([rows, none]),
        age=np.concatenate([age, np.full(n, ABSENT64)]), detail=np.concatenate([rows, none]),
    )  # fmt: skip
    given: dict[str, object] = dict.fromkeys(Stretch.__dataclass_fields__)
    stacks = StackTable()
    stacks.ids = stack_ids
    given |= {
        "runs": ended, "open_runs": run_columns(0), "events": events, "acts": np.concatenate([acts, ends]), "owners": owners,
        "details": details, "comms": comms, "stacks": stacks,
    }  # fmt: skip
    return Stretch(**given)  # type: ignore[arg-type]


def spans_sum(runs: np.ndarray, records: np.ndarray, comms: list[str], stack_ids: list[int]) -> int:
    """Return the sum over packed spans, which is that over their columns."""
    found, _ = spans_sums(stretch_with(runs, records, comms, stack_ids))
    assert found == span_sums.spans_sum(runs, records, comms, stack_ids)
    return found


def rows(dtype: np.dtype[np.void], size: int, **columns: object) -> np.ndarray:
    """Return rows whose every field has another value."""
    made = np.zeros(size, dtype)
    for i, name in enumerate(dtype.names or ()):
        made[name] = 20 + i
    for name, values in columns.items():
        made[name] = values
    return made


def spans(first: int, *lengths: int, **said: object) -> int:
    """Return the sum over one span on pages from *first* on, divided into runs of these lengths."""
    starts = first + np.concatenate([[0], np.cumsum(lengths[:-1])])
    run = {name: value for name, value in said.items() if name in (RUN_DTYPE.names or ())}
    record = {name: value for name, value in said.items() if name in (RECORD_DTYPE.names or ())}
    texts = {"comm": 0, "free_comm": 1, "stack": 1, "free_stack": 0} | record
    runs = rows(RUN_DTYPE, len(lengths), pfn=starts, nr_pages=lengths, **run)
    return spans_sum(runs, rows(RECORD_DTYPE, len(lengths), **texts), COMMS, STACKS)


@given(st.integers(0, 1 << 50), st.lists(st.integers(1, 1 << 24), min_size=1, max_size=6))
def test_pages_count_the_same_however_their_run_is_divided(first: int, lengths: list[int]) -> None:
    assert spans(first, *lengths) == spans(first, sum(lengths))


@given(st.integers(0, 1 << 40), st.integers(2, 300))
def test_a_range_counts_as_its_pages_one_by_one(first: int, count: int) -> None:
    assert spans(first, count) == spans(first, *[1] * count)
    doubts = [
        rows(DOUBT_DTYPE, len(sizes), pfn=[first + i * sizes[0] for i in range(len(sizes))], nr_pages=sizes)
        for sizes in ([count], [1] * count)
    ]
    assert doubts_sum(doubts[0]) == doubts_sum(doubts[1])


@pytest.mark.parametrize("name", [*(RECORD_DTYPE.names or ()), *(RUN_DTYPE.names or ())])
def test_every_fact_of_a_span_counts(name: str) -> None:
    changed = {"pfn": spans(101, 8), "nr_pages": spans(100, 9)}
    other = changed[name] if name in changed else spans(100, 8, **{name: 1 if name == "comm" else 0})
    other = spans(100, 8, free_comm=0) if name == "free_comm" else other
    other = spans(100, 8, free_stack=1) if name == "free_stack" else other
    assert other != spans(100, 8)


def test_pages_that_are_exchanged_count() -> None:
    """GIVEN two owners of the same time WHEN pages 1 and 4 of one are the other's 2 and 3 THEN the sums differ."""
    assert (spans(1, 1) + spans(4, 1)) % (1 << 128) != (spans(2, 1) + spans(3, 1)) % (1 << 128)


def test_absent_is_the_same_in_every_width() -> None:
    wide, narrow = ({"begin_seq": np.iinfo(t).min} for t in (np.int64, np.int32))
    widths = [np.dtype([(n, np.int32 if n == "begin_seq" and small else t) for n, (t, *_) in VALUE_DTYPE.fields.items()])  # type: ignore[union-attr]
              for small in (False, True)]  # fmt: skip
    sums = [
        values_sum(rows(dtype, 1, field=0, pfn=1, nr_pages=1, **said), FIELDS)
        for dtype, said in zip(widths, (wide, narrow), strict=True)
    ]
    assert sums[0] == sums[1]


def test_dense_ids_count_by_what_they_mean() -> None:
    runs = rows(RUN_DTYPE, 1, pfn=1, nr_pages=1)
    first = rows(RECORD_DTYPE, 1, comm=0, free_comm=1, stack=0, free_stack=1)
    second = rows(RECORD_DTYPE, 1, comm=1, free_comm=0, stack=1, free_stack=0)
    assert spans_sum(runs, first, COMMS, STACKS) == spans_sum(runs, second, COMMS[::-1], STACKS[::-1])
    poison = [
        values_sum(rows(VALUE_DTYPE, 1, field=i, pfn=1, nr_pages=1), names)
        for i, names in enumerate((FIELDS, FIELDS[::-1]))
    ]
    assert poison[0] == poison[1]


def test_a_span_that_covered_no_instant_counts_for_nothing() -> None:
    assert spans(100, 8, begin_seq=5, end_seq=5) == 0


def test_what_was_set_aside_counts_by_every_column() -> None:
    whole = quarantined_sum(np.array([[1, 2, 3, 4]]))
    assert (
        len({whole, *(quarantined_sum(np.array([[1, 2, 3, 4]]) + np.eye(4, dtype=np.int64)[i]) for i in range(4))}) == 5
    )


def test_sums_add_up_by_halves_and_survive_json() -> None:
    most = (1 << 64) - 1
    one = EndedSums(spans=most | most << 64, values=2, doubts=3, quarantined=4)
    assert one.plus(EndedSums(spans=2)) == dataclasses.replace(one, spans=1 | most << 64), (
        "a half was carried to the other"
    )
    assert one.plus(EndedSums(spans=2 << 64)) == dataclasses.replace(one, spans=most | 1 << 64)
    assert EndedSums.from_plain(one.plain()) == one


@given(st.integers(0, 1 << 50), st.integers(2, 40), st.data())
def test_rows_of_two_segments_add_up_to_what_those_of_one_are(first: int, count: int, data: st.DataObject) -> None:
    """Carries showed in this: whether one was made depends on the hashes, so many rows are asked for each kind of sum."""
    cut = data.draw(st.integers(1, count - 1))
    pages = np.arange(first, first + count)
    values = rows(VALUE_DTYPE, count, field=np.arange(count) % 2, pfn=pages, nr_pages=1)
    doubted = rows(DOUBT_DTYPE, count, pfn=pages, nr_pages=1)
    set_aside = np.stack([pages, pages + 1, pages % 7, pages % 3], axis=1)
    runs = rows(RUN_DTYPE, count, pfn=pages, nr_pages=1)
    records = rows(RECORD_DTYPE, count, comm=0, free_comm=1, stack=0, free_stack=1)

    def sums(which: slice) -> EndedSums:
        return EndedSums(
            spans=spans_sum(runs[which], records[which], COMMS, STACKS), values=values_sum(values[which], FIELDS),
            doubts=doubts_sum(doubted[which]), quarantined=quarantined_sum(set_aside[which]),
        )  # fmt: skip

    assert sums(slice(cut)).plus(sums(slice(cut, None))) == sums(slice(None))
