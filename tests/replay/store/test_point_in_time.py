"""A question about an instant is answered by one file."""

from collections.abc import Iterator
from itertools import chain
from typing import Any

from hypothesis import given

from tests.oracles.fold.oracle import Reference
from tests.oracles.fold.values import FIELDS
from tests.oracles.packed import spans_of
from tests.replay.states import FLOOR, folded
from tests.replay.strategies import History, histories, to_frames

CHECKED = [name for name in FIELDS if not name.endswith(("comm", "stack"))]


def expanded(rows: list[dict[str, Any]]) -> list[tuple[tuple[int, int], tuple[Any, ...], dict[str, int]]]:
    """Return rows of spans or live, page by page: (page, view), what it says, and the row."""
    return [
        ((page, row["kernel_view"]), (row["generation"], *(row[name] for name in CHECKED)), row)
        for row in rows
        for page in range(row["pfn"], row["pfn"] + row["nr_pages"])
    ]


def states(told: History) -> Iterator[tuple[int, int, dict[tuple[int, int], tuple[Any, ...]]]]:
    """Yield stream_seq, time and the oracle's state after each event."""
    oracle = Reference(correct=told.correct)
    at = [FIELDS.index(name) for name in CHECKED]
    for event in told.events:
        oracle.apply(event)
        state = {key: (generation, *(said[i] for i in at)) for key, (generation, said) in oracle.state().items()}
        yield oracle.last_seq, oracle.last_ts, state


def at(rows: list[Any], begin: str, end: str, point: int) -> dict[tuple[int, int], tuple[Any, ...]]:
    """Return what rows say of a point; no page may be there twice in one view."""
    found: dict[tuple[int, int], tuple[Any, ...]] = {}
    for key, said, row in rows:
        if row[begin] <= point < row[end]:
            assert key not in found
            found[key] = said
    return found


@given(histories(max_events=60))
def test_every_stream_seq_is_answered_by_the_one_file_that_holds_it(told: History) -> None:
    run = folded(to_frames(told.recordings), correct=told.correct, floor=FLOOR)
    files = [(digest[:2], expanded([*chain(*spans_of(t))])) for digest, t in zip(run.digests, run.tables, strict=True)]
    for seq, _, state in states(told):
        (rows,) = [rows for (first, last), rows in files if first <= seq <= last]
        assert at(rows, "begin_seq", "end_seq", seq) == state


@given(histories(max_events=60))
def test_every_instant_is_answered_by_the_one_file_that_holds_it(told: History) -> None:
    run = folded(to_frames(told.recordings), correct=told.correct, floor=FLOOR)
    last_ts = {ts: state for _, ts, state in states(told)}  # the last event of each time stays
    files, since = [], -1
    for tables in run.tables:
        said = dict(zip(*tables["meta"].to_pydict().values(), strict=True))
        files.append((since, int(said["last_ts"]), expanded([*chain(*spans_of(tables))])))
        since = int(said["last_ts"])
    for ts, state in last_ts.items():
        (rows,) = [rows for lo, hi, rows in files if lo < ts <= hi]
        assert at(rows, "begin_ts", "end_ts", ts) == state


@given(histories(max_events=60))
def test_a_segment_says_all_doubts_that_were_found_while_it_was_made(told: History) -> None:
    run = folded(to_frames(told.recordings), correct=told.correct, floor=FLOOR)
    for (first, last, _), tables in zip(run.digests, run.tables, strict=True):
        rows = tables["doubts"].to_pylist()
        assert all(first <= row["seq"] <= last or row["to_ts"] == 2**63 - 1 for row in rows)
        said = dict(zip(*tables["meta"].to_pydict().values(), strict=True))
        assert int(said["doubts_reach_back_to"]) == min((row["from_ts"] for row in rows), default=2**63 - 1)
