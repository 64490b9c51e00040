"""Folds beside one another: the automatic one, and those whose rules an option chose; and which of them answers."""

import json
from pathlib import Path
from typing import Any

import pytest

from pagetrail import api
from pagetrail.replay.store.local import store_of
from pagetrail.schemas.columns import Kind
from pagetrail.schemas.errors import BadArgument, NotFound
from pagetrail.schemas.store.names import fold_of, streams_among
from tests.commands.cli import run
from tests.stories import BOOT, Story

AUTOMATIC, AUDITED = "fold9", "fold9-no-correct"
NEWER, NEWER_AUDITED = "fold9-rules-linux-6.12", "fold9-no-correct-rules-linux-6.12"
OLD, NEW = 0, 8
"""The first pages of two blocks of order 3."""


@pytest.fixture
def moved(tmp_path: Path) -> Path:
    """Return a trail of a 6.1 kernel whose block was migrated, replayed automatically: only the head's owner moved there."""
    story = Story(boot=BOOT.model_copy(update={"release": "6.1.192"}))
    story(Kind.ALLOC, OLD, order=3, pid=5)
    story(Kind.ALLOC, NEW, order=3, pid=9)
    story.now += 1
    story.log.add(Kind.MIGRATE, story.now, (0, 9, 9, 0), pfn=NEW, src_pfn=OLD)
    story.trail(tmp_path / "trail")
    return tmp_path / "trail"


def folds(trail: Path) -> set[str]:
    return {fold_of(name) for name in streams_among(store_of(trail).list())}


def tail_owner(trail: api.Trail) -> int:
    return int(trail.owner([NEW + 3], "-0s")["pid"][0].as_py())


def test_only_an_option_adds_the_rules_to_the_folds_name(moved: Path) -> None:
    for options in ({}, {"correct": False}, {"rules": "linux-6.12"}, {"rules": "6.12", "correct": False}):
        api.replay(moved, **options)  # type: ignore[arg-type]
    assert folds(moved) == {AUTOMATIC, AUDITED, NEWER, NEWER_AUDITED}


def test_each_fold_follows_its_own_rules_and_the_automatic_one_answers_by_itself(moved: Path) -> None:
    before = api.open(moved).streams().to_pylist()[0]
    api.replay(moved, rules="linux-6.12")
    assert (tail_owner(api.open(moved)), tail_owner(api.open(moved, fold=NEWER))) == (9, 5)
    after = api.open(moved).streams().to_pylist()[0]
    assert after | {"folds": before["folds"]} == before
    assert after["folds"] == [AUTOMATIC, NEWER]
    newer = api.open(moved, fold=NEWER).streams().to_pylist()[0]
    assert [(row["rules"], row["fold"]) for row in (after, newer)] == [("linux-6.1", AUTOMATIC), ("linux-6.12", NEWER)]
    assert newer["state_digest"] != after["state_digest"]


def test_the_kernels_own_rules_make_the_same_state_whoever_chose_them(moved: Path) -> None:
    api.replay(moved, rules="linux-6.1")
    found = [api.open(moved, fold=fold).streams().to_pylist()[0] for fold in (AUTOMATIC, "fold9-rules-linux-6.1")]
    assert found[0]["state_digest"] == found[1]["state_digest"]


def test_a_fold_by_option_is_gone_on_with_by_its_own_rules(moved: Path) -> None:
    api.replay(moved, rules="linux-6.12")
    for _ in range(2):  # a resume restores it from its file
        assert api.replay(moved, rules="linux-6.12").events == 0
    assert api.open(moved, fold=NEWER).stream().facts.rules.name == "linux-6.12"


def test_a_fold_alone_answers_and_of_several_by_option_none_is_guessed(moved: Path) -> None:
    store = store_of(moved)
    api.replay(moved, rules="linux-6.12")
    for name in store.list():
        if f"/{AUTOMATIC}/" in name:
            store.remove(name)
    assert tail_owner(api.open(moved)) == 5
    api.replay(moved, rules="linux-7.2")
    with pytest.raises(NotFound, match=r"choose one with --fold NAME: fold9-rules-linux-6\.12, fold9-rules-linux-7\.2"):
        api.open(moved)


def test_an_unknown_fold_is_refused_with_those_that_are_there(moved: Path) -> None:
    with pytest.raises(NotFound, match=r"no fold is called fold10; the trail has: fold9$"):
        api.open(moved, fold="fold10")
    with pytest.raises(BadArgument, match="--fold cannot be used with"):
        api.open(moved, fold=AUTOMATIC, correct=True)


def test_unknown_rules_are_refused_with_those_that_there_are(moved: Path) -> None:
    with pytest.raises(BadArgument, match=r"linux-5\.10, linux-6\.1, linux-6\.12, linux-7\.2"):
        api.replay(moved, rules="debian")
    assert folds(moved) == {AUTOMATIC}


ASKED: tuple[tuple[str, ...], ...] = (
    ("owner", "11", "--at", "-0s"), ("history", "11"), ("snapshot", "--at", "-0s", "--format", "json"),
    ("top", "--at", "-0s", "--by", "pid"),
    ("leaks", "--from", "1s", "--to", "-0s", "--by", "pid"), ("sections",), ("streams",), ("doctor",), ("audit",),
)  # fmt: skip


@pytest.mark.parametrize("command", ASKED, ids=[words[0] for words in ASKED])
def test_every_question_can_choose_a_fold(moved: Path, command: tuple[str, ...]) -> None:
    assert run("replay", "--rules", "linux-6.12", "--trail", moved).code == 0
    done = run(*command, "--fold", NEWER, "--trail", moved)
    assert done.code == 0, done.err
    if command[0] == "owner":
        assert "pid 5" in done.out
    refused = run(*command, "--fold", "fold9-rules-6.12", "--trail", moved)
    assert (refused.code, f"{AUTOMATIC}, {NEWER}" in refused.err) == (3, True)


def test_the_folds_are_listed_and_exported_by_name(moved: Path, tmp_path: Path) -> None:
    api.replay(moved, rules="linux-6.12")
    assert f"folds {AUTOMATIC} {NEWER}; choose one with --fold NAME" in run("streams", "--trail", moved).out
    rows: list[dict[str, Any]] = json.loads(run("streams", "--json", "--trail", moved).out)
    assert rows[0]["folds"] == [AUTOMATIC, NEWER]
    assert run("export", "spans", "-o", tmp_path / "spans", "--fold", NEWER, "--trail", moved).code == 0


def test_rules_that_are_not_there_are_a_wrong_argument(moved: Path) -> None:
    done = run("replay", "--rules", "linux-5.x", "--trail", moved)
    assert (done.code, "expected the name of a release" in done.err) == (2, True)
