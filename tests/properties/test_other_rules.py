"""Histories of the model kernel under the rules of another release than its own: the right ones explain its dumps best."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from pagetrail import api
from pagetrail.replay.rules.fold_options import FoldOptions
from pagetrail.schemas.batch import EventBatch
from pagetrail.schemas.columns import Kind
from pagetrail.schemas.details import Boot
from pagetrail.schemas.linux.releases import LINUX_6_1, LINUX_6_12, RELEASES, KernelRules
from tests.model.config import ModelConfig
from tests.model.kernel import ModelKernel
from tests.oracles.answers import folded, numbered
from tests.stories import told

STEPS = 250
SEEDS = range(6)
MOVES = {"huge": 9.0, "migrate": 9.0, "contiguous": 6.0, "dump": 4.0}
KERNELS = {"5.10.223": LINUX_6_12, "6.1.192": LINUX_6_12, "6.12.117": LINUX_6_1, "7.2.13": LINUX_6_1}
"""Each release, and rules under which a migrated block differs."""


def history(release: str, seed: int) -> EventBatch:
    return ModelKernel(seed, config=ModelConfig(release=release, max_order=7, weights=MOVES)).run(STEPS).events


def agreeing(events: EventBatch, rules: KernelRules | None) -> int:
    """Return how many records of the dumps a fold by *rules* explains, none of which but the first corrects it."""
    options = FoldOptions(correct=False, rules=rules, floor=1 << 40, events_a_live=1)
    (engine,) = folded(events, [len(events) - 1], options)
    return sum(audit.agree for audit in engine.state.facts.audits if audit.view == "page_owner")


def totals(release: str, chosen: Sequence[KernelRules | None]) -> list[int]:
    return [sum(agreeing(history(release, seed), rules) for seed in SEEDS) for rules in chosen]


@pytest.mark.parametrize("release", KERNELS)
def test_no_rules_explain_the_dumps_better_than_the_kernels_own(release: str) -> None:
    own, differing, *others = totals(release, [None, KERNELS[release], *RELEASES])
    assert differing < own
    assert max(others) == own


def recorded_as(events: EventBatch, release: str) -> EventBatch:
    """Return *events* as somebody recorded them who gives another release."""
    (row,) = np.flatnonzero(events.columns["kind"] == Kind.BOOT).tolist()
    boot = Boot.model_validate_json(events.details[row]).model_copy(update={"release": release})
    details = {**events.details, row: boot.model_dump_json()}
    return EventBatch(columns=events.columns, texts=events.texts, details=details)


@pytest.mark.parametrize(("recorded", "better"), [("6.1.192", True), ("6.12.117", False)])
def test_the_doctor_says_so_when_other_rules_explain_the_dumps_better(
    tmp_path: Path, recorded: str, better: bool
) -> None:
    """GIVEN a 6.12 kernel WHEN it was recorded as a 6.1 THEN the doctor names the rules of 6.12, which agree with its dumps."""
    trail = tmp_path / "trail"
    told(trail, numbered(recorded_as(history("6.12.117", 1), recorded)), correct=False)
    api.replay(trail, correct=False, rules="linux-6.12" if better else "linux-6.1")
    found = {fold: _other_rules(api.open(trail, fold=fold)) for fold in api.open(trail).streams()["folds"][0].as_py()}
    wrong = "fold9-no-correct" if better else "fold9-no-correct-rules-linux-6.1"
    right = (found.keys() - {wrong}).pop()
    assert found[right] == []
    (said,) = found[wrong]
    assert said.startswith("the dumps agree better with linux-6.12 than with linux-6.1")
    assert f"--fold {right} asks that fold" in said


def _other_rules(trail: api.Trail) -> list[str]:
    return [row["detail"] for row in trail.doctor().to_pylist() if row["what"] == "other rules"]
