"""The rules of the fold are held: whoever disables one is told by a test. All of them: ``make mutations``; here some."""

import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.effort import effort
from tests.mutations.rules import MUTATIONS, Mutation
from tests.mutations.run import NONE

DISABLED = effort(MUTATIONS[::24], MUTATIONS)
RULES = (REPOSITORY / "docs" / "rules.md").read_text()
TABLE = RULES.partition("## Rules by release")[0]
ROWS = [line.split(" | ")[0].removeprefix("| ") for line in TABLE.splitlines() if re.match(r"\| (?!rule |---)", line)]


@pytest.mark.slow
@pytest.mark.parametrize("mutation", DISABLED, ids=lambda one: one.name)
def test_a_rule_that_is_disabled_makes_a_test_fail(mutation: Mutation) -> None:
    ran = run(mutation.name)
    assert ran.returncode == 1, f"no test noticed (0), or none could run (2):\n{ran.stdout[-2000:]}{ran.stderr[-2000:]}"


@pytest.mark.slow
def test_where_no_rule_is_disabled_no_test_of_a_mutation_fails() -> None:
    """Or a mutation would be noticed by a test that fails anyway: with the JIT off, say, or on other examples."""
    ran = run(NONE, *(mutation.name for mutation in DISABLED))
    assert ran.returncode == 0, f"{ran.stdout[-2000:]}{ran.stderr[-2000:]}"


def run(*names: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.mutations.run", *names],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )


def test_every_rule_of_the_docs_is_disabled_once() -> None:
    assert {mutation.rule for mutation in MUTATIONS} == set(ROWS)


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda one: one.name)
def test_what_a_mutation_changes_is_there_once(mutation: Mutation) -> None:
    spec = find_spec(mutation.module)
    assert spec is not None
    assert spec.origin is not None
    mutation.changed(Path(spec.origin).read_text())
