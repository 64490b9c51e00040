"""The fold is what the oracle says, page by page."""

import random
from collections import Counter

import pytest
from hypothesis import given

from pagetrail.schemas.owner import Anomaly
from tests.effort import effort
from tests.replay.states import anomalies, folded, live_flags, live_state, reference_anomalies
from tests.replay.strategies import History, histories, history, to_frames


@given(histories())
def test_the_fold_equals_the_oracle_page_by_page(told: History) -> None:
    run, oracle = folded(to_frames(told.recordings), correct=told.correct, kept=False), told.oracle
    assert live_state(run.engine) == oracle.state()
    assert run.spans == Counter(oracle.spans)


@given(histories())
def test_what_is_noticed_is_what_the_oracle_notices(told: History) -> None:
    run, oracle = folded(to_frames(told.recordings), correct=told.correct, kept=False), told.oracle
    assert anomalies(run.engine) == reference_anomalies(oracle)
    assert run.doubts == oracle.doubts
    assert quarantined(run.quarantined) == oracle.quarantined


@given(histories())
def test_every_dump_is_audited_as_the_oracle_audits_it(told: History) -> None:
    run, oracle = folded(to_frames(told.recordings), correct=told.correct, kept=False), told.oracle
    ours = [(a.name, a.records, a.agree, a.extra, a.applied, a.view) for a in run.facts.audits]
    assert ours == [(a.name, a.records, a.agree, a.extra, a.applied, a.view) for a in oracle.audits]


@given(histories())
def test_the_flags_of_a_page_are_what_the_oracle_says_at_every_instant(told: History) -> None:
    run, oracle = folded(to_frames(told.recordings), correct=told.correct, kept=False), told.oracle
    assert live_flags(run.engine) == set(oracle.flags.values())
    assert run.flags == Counter(oracle.flag_spans)


@pytest.mark.parametrize("seed", range(effort(12, 100)))
def test_the_fold_equals_the_oracle_on_long_histories(seed: int) -> None:
    """Where Hypothesis looks for short histories, these are long: rules that seldom apply do apply in them."""
    told = history(random.Random(seed).randbytes(1_500), correct=seed % 3 > 0)
    run, oracle = folded(to_frames(told.recordings), correct=told.correct, kept=False), told.oracle
    assert live_state(run.engine) == oracle.state()
    assert run.spans == Counter(oracle.spans)
    assert anomalies(run.engine) == reference_anomalies(oracle)
    assert run.doubts == oracle.doubts
    assert quarantined(run.quarantined) == oracle.quarantined


def quarantined(rows: list[tuple[int, ...]]) -> list[tuple[int, int | None, int | None, Anomaly]]:
    absent = {-(2**63), -(2**7)}
    return [(seq, *(None if x in absent else x for x in (pfn, order)), Anomaly(why)) for seq, pfn, order, why in rows]
