"""Laws of compatibility."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pagetrail.schemas.compat import check_published_schemas, check_schema
from pagetrail.schemas.events import parse_event
from pagetrail.schemas.instances import UnknownKeyword, accepts, corners
from tests.effort import effort
from tests.schemas.strategies import SCHEMAS, events, mutated

V3 = SCHEMAS[3]
ALLOC = V3["discriminator"]["mapping"]["alloc"].rsplit("/", 1)[1]
HOTPLUG = V3["discriminator"]["mapping"]["hotplug"].rsplit("/", 1)[1]
Change = Callable[[dict[str, Any]], object]


def changed(change: Change) -> dict[str, Any]:
    schema = copy.deepcopy(V3)
    change(schema["$defs"])
    return schema


def test_the_tree_agrees_with_what_was_published() -> None:
    assert check_published_schemas() == []


@pytest.mark.parametrize("version", SCHEMAS)
def test_a_schema_is_compatible_with_itself(version: int) -> None:
    assert check_schema(SCHEMAS[version], SCHEMAS[version]) == []


@pytest.mark.slow
@settings(max_examples=effort(25, 2_000))
@given(mutated(V3), st.data())
def test_where_nothing_is_reported_every_old_event_is_valid_under_the_new_schema(
    new: dict[str, Any], data: st.DataObject
) -> None:
    if check_schema(V3, new) == []:
        assert accepts(new, data.draw(events(3)), new)


@pytest.mark.slow
@settings(max_examples=effort(25, 2_000))
@given(mutated(V3))
def test_where_a_corner_event_is_refused_something_is_reported(new: dict[str, Any]) -> None:
    if not all(accepts(new, event, new) for event in corners(V3, V3)):
        assert check_schema(V3, new)


COMPATIBLE: dict[str, Change] = {
    "an optional field more": lambda d: d[ALLOC]["properties"].update(colour={"type": "string"}),
    "a wider bound": lambda d: d[ALLOC]["properties"]["order"].update(maximum=100),
    "a required field made optional": lambda d: d[ALLOC]["required"].remove("order"),
    "one more value of an enum": lambda d: d[HOTPLUG]["properties"]["call"]["enum"].append("remove_memory"),
}
INCOMPATIBLE: dict[str, Change] = {
    "a field less": lambda d: d[ALLOC]["properties"].pop("stack"),
    "a required field more": lambda d: d[ALLOC]["required"].append("pid"),
    "a narrower bound": lambda d: d[ALLOC]["properties"]["order"].update(maximum=10),
    "a value of an enum less": lambda d: d[HOTPLUG]["properties"]["call"]["enum"].pop(),
    "another type": lambda d: d[ALLOC]["properties"].update(pfn={"type": "string"}),
    "null no longer": lambda d: d[ALLOC]["properties"].update(comm={"type": "string"}),
    "another name of the kind": lambda d: d[ALLOC]["properties"]["kind"].update(const="allocation"),
}


@pytest.mark.parametrize("change", COMPATIBLE.values(), ids=COMPATIBLE)
def test_widening_is_compatible(change: Change) -> None:
    assert check_schema(V3, changed(change)) == []


@pytest.mark.parametrize("change", INCOMPATIBLE.values(), ids=INCOMPATIBLE)
def test_narrowing_is_incompatible_and_says_where(change: Change) -> None:
    found = check_schema(V3, changed(change))
    assert found
    assert all(problem.path for problem in found)


def test_a_kind_less_is_incompatible_and_a_kind_more_is_not() -> None:
    fewer = copy.deepcopy(V3)
    fewer["oneOf"] = [branch for branch in V3["oneOf"] if not branch["$ref"].endswith(f"/{ALLOC}")]
    assert [problem.path for problem in check_schema(V3, fewer)] == ["alloc"]
    assert check_schema(fewer, V3) == []


def test_a_version_may_not_fall() -> None:
    assert check_schema(SCHEMAS[3], SCHEMAS[2])


def test_a_version_without_an_upcaster_is_incompatible() -> None:
    assert "no upcaster" in check_schema(V3, V3 | {"version": 5})[0].reason


def test_a_rise_is_judged_after_the_upcasters() -> None:
    refusing = changed(lambda d: d[HOTPLUG]["properties"]["phase"]["enum"].remove("notified"))
    assert [problem.path for problem in check_schema(SCHEMAS[1], refusing)] == ["hotplug"]


@pytest.mark.parametrize("version", SCHEMAS)
def test_corner_events_are_valid_for_the_models(version: int) -> None:
    for event in corners(SCHEMAS[version], SCHEMAS[version]):
        parse_event(event)


def test_a_keyword_without_a_rule_is_an_error_not_ignored() -> None:
    with pytest.raises(UnknownKeyword):
        check_schema(V3, changed(lambda d: d[ALLOC]["properties"]["order"].update(multipleOf=2)))
