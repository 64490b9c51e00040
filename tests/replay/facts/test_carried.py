"""What a later file keeps of facts and doubts says of its instants what all of them say, however much happened before."""

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pagetrail.queries.core.certainty import judge
from pagetrail.queries.core.instant import Instants
from pagetrail.queries.core.runs import unlisted
from pagetrail.replay.facts.digest import plain
from pagetrail.replay.facts.doubts import order_of
from pagetrail.replay.facts.doubts_aside import DoubtsAside
from pagetrail.replay.facts.earlier import Earlier
from pagetrail.replay.facts.facts import Facts
from pagetrail.replay.facts.lasting import lasting_after
from pagetrail.replay.facts.losses import Reaching, reaches_of, still_needed
from pagetrail.replay.facts.recording import StreamRecording
from pagetrail.schemas.details import Gap
from pagetrail.schemas.owner import (
    DOUBT_BASELINE,
    DOUBT_DTYPE,
    DOUBT_LOST,
    DOUBT_MIGRATED,
    OPEN_END,
    RECORD_DTYPE,
    RUN_DTYPE,
    State,
)
from pagetrail.schemas.structs import taken
from tests.replay.states import folded
from tests.replay.strategies import History, histories, to_frames

END = 100
"""The time of a segment's last event."""

times = st.integers(0, END)
SKEW = 3


def gaps_of(spans: list[tuple[int, int]]) -> list[tuple[int, int | None, Gap]]:
    return [(seq, None, Gap(t_lo=min(span), t_hi=max(span), reason="a test")) for seq, span in enumerate(spans)]


def named(gaps: list[tuple[int, int | None, Gap]], skew: int, evidence: int, until: int) -> int | None:
    """Return the seq of the loss that an answer names: of those that the evidence is not safe from, the first to begin."""
    reaches = reaches_of(gaps, skew)
    found = int(Reaching(reaches).first(np.array([evidence]))[0])
    return None if found < 0 or reaches[found, 0] > until else gaps[found][0]


@given(
    st.lists(st.tuples(times, st.integers(0, END + 9)), max_size=8),
    st.lists(times, max_size=4),
    st.lists(st.tuples(times, st.integers(END, END + 30)), max_size=3),
    st.integers(END, END + 40),
)
def test_the_loss_that_is_named_is_kept(
    before: list[tuple[int, int]], evidence: list[int], after: list[tuple[int, int]], until: int
) -> None:
    gaps = gaps_of([*before, *after])
    some, others = gaps[: len(before)], gaps[len(before) :]
    kept = [some[i] for i in still_needed(some, SKEW, np.array(evidence, np.int64), END)]
    for one in [*evidence, *range(END, until, 7)]:
        assert named([*kept, *others], SKEW, one, until) == named(gaps, SKEW, one, until)


@given(st.lists(st.tuples(times, times), max_size=8), st.lists(times, max_size=4), st.integers(0, 30), times)
def test_with_a_larger_skew_nothing_is_certain_because_a_loss_was_not_kept(
    before: list[tuple[int, int]], evidence: list[int], skew: int, any_evidence: int
) -> None:
    gaps = gaps_of(before)
    kept = [gaps[i] for i in still_needed(gaps, SKEW, np.array(evidence, np.int64), END)]
    for one in [*evidence, any_evidence]:
        assert (named(kept, SKEW + skew, one, END) is None) == (named(gaps, SKEW + skew, one, END) is None)


REASONS = (DOUBT_BASELINE, DOUBT_LOST, DOUBT_MIGRATED)
DUMPS = (3, 4, 7, 11)


@st.composite
def doubts(draw: st.DrawFn) -> NDArray[np.void]:
    """Return doubts that last, in the order of their events, of which several may be of one."""
    rows = []
    for seq in sorted(draw(st.lists(st.integers(0, 12), max_size=10))):
        first, noticed = draw(st.integers(0, 5)), 8 * seq
        reason = DOUBT_BASELINE if seq in DUMPS else draw(st.sampled_from(REASONS))
        from_ts = draw(st.integers(0, noticed))
        rows.append((first, draw(st.integers(1, 4)), from_ts, OPEN_END, noticed, seq, reason))
    return np.array(rows, DOUBT_DTYPE)


def answered(facts: Facts, rows: NDArray[np.void], page: int, evidence: int) -> tuple[int | None, bool]:
    """Return the event of the doubt that an answer names, and whether a whole dump was silent of the page."""
    runs, records = np.zeros(1, RUN_DTYPE), np.zeros(1, RECORD_DTYPE)
    runs["pfn"], runs["nr_pages"] = page, 1
    records["evidence_ts"], records["state"] = evidence, State.OWNED
    at = Instants(ts=np.array([END]), seq=np.array([OPEN_END]))
    doubt = int(judge(runs, records, np.zeros(1, np.bool_), END, facts, rows).doubt[0])
    silent = bool(unlisted(runs["pfn"], records, at, facts, rows)[0])
    return None if doubt < 0 else int(rows["seq"][doubt]), silent


@given(doubts(), st.integers(0, 10), st.integers(0, 9), st.integers(0, 40))
def test_the_doubt_that_is_named_is_carried_over(rows: NDArray[np.void], cut: int, page: int, evidence: int) -> None:
    """In two steps as in one, for all evidence that is not older than the oldest."""
    recording = StreamRecording(recording="r", base_seq=0, clock_skew=SKEW, complete=True)
    facts = Facts(recordings=[recording], earlier=Earlier(whole_dumps=list(DUMPS)))
    kept = np.zeros(0, DOUBT_DTYPE)
    for part in (rows[:cut], rows[cut:]):
        kept = lasting_after(kept, part, DoubtsAside(), skew=SKEW, dumps=DUMPS, oldest=5)
    ordered = lasting_after(rows[:0], rows, DoubtsAside(), skew=SKEW, dumps=DUMPS, oldest=5)
    assert kept.tolist() == ordered.tolist()
    whole = taken(rows, order_of(rows))
    assert answered(facts, kept, page, max(evidence, 5)) == answered(facts, whole, page, max(evidence, 5))


def test_doubts_of_one_page_are_few_however_many_were_cast() -> None:
    rows = np.array([(8, 1, 10 * i, OPEN_END, 10 * i + 1, i, DOUBT_LOST) for i in range(1000)], DOUBT_DTYPE)
    assert lasting_after(rows[:0], rows, DoubtsAside(), skew=0, dumps=(), oldest=0)["seq"].tolist() == [999]


def of_facts(facts: Facts) -> dict[str, Any]:
    found = plain(facts)
    del found["earlier"]
    return found


@given(histories(max_events=80))
def test_facts_of_files_put_together_are_those_of_one_file(told: History) -> None:
    frames = to_frames(told.recordings[:1], [7])
    one, many = (folded(frames, correct=told.correct, floor=floor, kept=False) for floor in (1 << 40, 12))
    assert of_facts(many.facts) == of_facts(one.facts)
