"""When a kind is covered: on all CPUs, or not at all."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pagetrail.replay.facts.coverage import Coverage
from pagetrail.schemas import details
from pagetrail.schemas.owner import OPEN_END

CPUS = (None, (0,), (1,), (0, 1))


def said(*, begins: bool = True, cpus: tuple[int, ...] | None = None, **past: int) -> details.Coverage:
    return details.Coverage(kinds=("split",), begins=begins, cpus=cpus, declared_by="a test", **past)  # type: ignore[arg-type]


def declared(*told: details.Coverage) -> Coverage:
    """Return coverage declared at 10, 20, 30, …"""
    return Coverage([(10 * (i + 1), one) for i, one in enumerate(told)])


@pytest.mark.parametrize(
    ("told", "stretches"),
    [
        ([], []),
        ([said()], [(10, OPEN_END)]),
        ([said(cpus=(0,))], []),
        ([said(), said(cpus=(0,))], [(10, OPEN_END)]),
        ([said(), said(begins=False)], [(10, 20)]),
        ([said(), said(begins=False, cpus=(1,))], [(10, 20)]),
        ([said(), said(begins=False, cpus=(1,)), said(cpus=(0,))], [(10, 20)]),
        ([said(), said(begins=False, cpus=(1,)), said(cpus=(1,))], [(10, 20), (30, OPEN_END)]),
        ([said(), said(begins=False, cpus=(0, 1)), said(cpus=(1,)), said(cpus=(0,))], [(10, 20), (40, OPEN_END)]),
        ([said(), said(begins=False, cpus=(1,)), said()], [(10, 20), (30, OPEN_END)]),
        ([said(begins=False, cpus=(1,)), said()], [(20, OPEN_END)]),
        ([said(since=2, until=5)], [(2, 5)]),
        ([said(since=2, until=5), said(since=5)], [(2, 20)]),
        ([said(since=2, until=5, cpus=(0,))], []),
        ([said(), said(since=2, until=10)], [(2, OPEN_END)]),
    ],
)
def test_a_kind_is_covered_while_all_cpus_are(told: list[details.Coverage], stretches: list[tuple[int, int]]) -> None:
    coverage = declared(*told)
    assert coverage.stretches("split") == stretches
    assert coverage.kinds() == ({"split"} if stretches else set())
    assert coverage.stretches("free") == []


def test_what_is_covered_now_does_not_rest_on_a_stretch_that_is_past() -> None:
    assert not declared(said(since=2, until=50)).now("split")
    assert declared(said()).since("split") == 10


def test_only_a_declaration_that_leaves_a_kind_covered_renews() -> None:
    assert declared(said(cpus=(0,))).renewed is None
    assert declared(said(), said(begins=False, cpus=(0,))).renewed == 10
    assert declared(said(), said()).renewed == 20


@given(
    st.lists(st.builds(lambda begins, cpus: said(begins=begins, cpus=cpus), st.booleans(), st.sampled_from(CPUS))),
    st.integers(0, 200),
    st.integers(0, 200),
)
def test_an_instant_is_covered_as_the_cpus_were_one_by_one(
    told: list[details.Coverage], since: int, until: int
) -> None:
    """GIVEN declarations on a machine of two CPUs WHEN each CPU is followed by itself THEN all covered is covered."""
    if since > until:
        since, until = until, since
    coverage = declared(*told)
    every, missing, whole = False, set[int](), []
    for ts in range(201):
        if ts % 10 == 1 and 0 < ts // 10 <= len(told):  # it holds from its own instant on, and ends after its own
            one = told[ts // 10 - 1]
            if one.cpus is None:
                every, missing = one.begins, set()
            else:
                missing = missing - set(one.cpus) if one.begins else missing | set(one.cpus)
        whole.append(every and not missing)
    begun = [ts for ts in range(201) if ts % 10 == 0 and ts + 1 < 201 and whole[ts + 1] and not whole[ts]]
    expected = all(whole[ts] or ts in begun for ts in range(since, until + 1))
    breaks = [ts for ts in range(since, until) if whole[ts] and not whole[ts + 1]]
    found = bool(coverage.covers("split", np.array([since]), until)[0])
    assert found == (expected and not breaks)
