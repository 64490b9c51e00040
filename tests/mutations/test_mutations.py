"""The rules of the fold are held: whoever disables one is told by a test."""

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.mutations.rules import MUTATIONS, Mutation

RULES = (REPOSITORY / "docs" / "rules.md").read_text()
ROWS = [line.split(" | ")[0].removeprefix("| ") for line in RULES.splitlines() if re.match(r"\| (?!rule |---)", line)]


@pytest.mark.slow
@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda one: one.name)
def test_a_rule_that_is_disabled_makes_a_test_fail(mutation: Mutation) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "tests.mutations.run", mutation.name],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 1, f"no test noticed, or none could run:\n{ran.stdout[-2000:]}{ran.stderr[-2000:]}"
    assert re.search(r"^(FAILED|ERROR) ", ran.stdout, re.M) or " failed" in ran.stdout


def test_every_rule_of_the_docs_is_disabled_once() -> None:
    assert {mutation.rule for mutation in MUTATIONS} == set(ROWS)


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda one: one.name)
def test_what_a_mutation_changes_is_there_once(mutation: Mutation) -> None:
    spec = find_spec(mutation.module)
    assert spec is not None
    assert spec.origin is not None
    mutation.changed(Path(spec.origin).read_text())


def test_without_a_mutation_its_tests_pass() -> None:
    """A test that fails anyway would notice everything."""
    tests = sorted({test for mutation in MUTATIONS for test in mutation.tests})
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-p", "no:xdist", *tests],
        cwd=REPOSITORY, env=_environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout[-2000:]


def _environment() -> dict[str, str]:
    return os.environ | {"NUMBA_DISABLE_JIT": "1", "HYPOTHESIS_PROFILE": "ci"}
