"""A capture folded by the rules of another release than its own: the dumps tell which explain it."""

from pathlib import Path

import pytest

from pagetrail import api
from tests.shared import made_once

HUGE_PAGES = "k612-thpmig"
OWN, OLDER = "fold9-no-correct", "fold9-no-correct-rules-linux-6.1"


@pytest.fixture(scope="module")
def in_two_folds(captures: Path, shared_folder: Path) -> Path:
    """Return the 6.12 capture of huge pages as a trail, folded by its own rules and by those of 6.1."""

    def make(trail: Path) -> None:
        api.ingest(trail, captures / HUGE_PAGES)
        api.replay(trail, correct=False)
        api.replay(trail, correct=False, rules="linux-6.1")

    return made_once(shared_folder, f"{HUGE_PAGES}-in-two-folds", make)


def test_the_audit_of_each_fold_shows_where_the_rules_differ(in_two_folds: Path) -> None:
    found = [api.open(in_two_folds, fold=fold).audits().to_pylist() for fold in (OWN, OLDER)]
    own, older = ({row["name"]: row for row in rows} for rows in found)
    assert own.keys() == older.keys()
    for snapshot in ("4-split", "5-split-to-order-4"):  # tails of migrated huge pages keep the migrator's record by 6.1
        assert own[snapshot]["agree"] == own[snapshot]["records"]
        assert older[snapshot]["agree"] < 0.97 * older[snapshot]["records"]
    assert all(own[name]["agree"] >= older[name]["agree"] for name in own)


def test_the_doctor_says_which_rules_explain_the_dumps_better(in_two_folds: Path) -> None:
    own, older = (api.open(in_two_folds, fold=fold).doctor().to_pylist() for fold in (OWN, OLDER))
    assert [row for row in own if row["what"] == "other rules"] == []
    (said,) = (row["detail"] for row in older if row["what"] == "other rules")
    assert said.startswith("the dumps agree better with linux-6.12 than with linux-6.1")
