"""Where each rule was read: every rule, every release, and nothing empty."""

import dataclasses
import re

import pytest

from pagetrail.schemas.linux.releases import RELEASES, KernelRules
from pagetrail.schemas.linux.sources import rules
from pagetrail.schemas.linux.sources.functions import FUNCTIONS
from tests.conftest import REPOSITORY

NAMES = [found.release for found in RELEASES]
PAGE = (REPOSITORY / "docs" / "rules.md").read_text()
NO_FACT = {"others"}
"""Between which releases a kernel is, is no fact of one of them."""


def rows(region: str) -> list[list[str]]:
    """Return the cells of a generated table of docs/rules.md, its head first."""
    text = PAGE.partition(f"<!-- generated: {region} -->")[2].partition("<!-- end -->")[0]
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    return [line.removeprefix("| ").removesuffix(" |").split(" | ") for line in [lines[0], *lines[2:]]]


def test_each_field_of_the_rules_was_read_in_each_release() -> None:
    fields = {field.name for field in dataclasses.fields(KernelRules)} - NO_FACT
    assert set(rules.PLACES) == fields
    assert list(rules.READ) == NAMES
    for name, places in rules.PLACES.items():
        assert sorted(places) == sorted(NAMES), name


def test_each_function_that_a_rule_of_the_fold_follows_has_its_place_in_each_release() -> None:
    table = PAGE.partition("## Rules by release")[0]
    kernel = [line.split(" | ")[1] for line in table.splitlines() if re.match(r"\| (?!rule |---)", line)]
    assert set(FUNCTIONS) == {name for cell in kernel for name in re.findall(r"`(\w+)`", cell)}
    for name, places in FUNCTIONS.items():
        assert sorted(places) == sorted(NAMES), name


@pytest.mark.parametrize(("region", "more"), [("kernel_rules", ["between two that differ"]), ("kernel_functions", [])])
def test_the_table_has_a_row_for_each_and_a_column_for_each_release_and_no_empty_cell(
    region: str, more: list[str]
) -> None:
    head, *body = rows(region)
    assert head[1:] == NAMES + more
    assert [row[0].strip("`") for row in body] == list(rules.PLACES if region == "kernel_rules" else FUNCTIONS)
    for row in body:
        assert len(row) == len(head), row
        assert all(cell.strip() for cell in row), row


@pytest.mark.parametrize("table", [rules.PLACES, FUNCTIONS], ids=["rules", "functions"])
def test_each_place_names_a_file_and_a_function(table: dict) -> None:  # type: ignore[type-arg]
    for places in table.values():
        for place in places.values():
            assert re.fullmatch(r"Makefile|[\w/-]+\.[ch]", place.file)
            assert place.function.strip()
