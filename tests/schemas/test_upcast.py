"""Laws of upcasting."""

from typing import Any

import pytest
from hypothesis import given

from pagetrail.schemas.batch import from_arrow
from pagetrail.schemas.errors import SchemaTooNew
from pagetrail.schemas.events import Event, batch_row_to_event, parse_event
from pagetrail.schemas.publish import record_batch
from pagetrail.schemas.upcast import upcast_batch, upcast_event
from tests.schemas.strategies import events, recordings

ORIGINAL_NAMES = {"trace_ts_usec", "action", "start_pfn"}


def lifted_as_batch(version: int, drawn: list[dict[str, Any]]) -> list[Event]:
    batch = from_arrow(upcast_batch(record_batch(version, drawn), version))
    return [batch_row_to_event(batch, row) for row in range(len(batch))]


@given(recordings(1))
def test_version_1_batches_are_lifted_as_its_events_are(drawn: list[dict[str, Any]]) -> None:
    assert lifted_as_batch(1, drawn) == [parse_event(event) for event in drawn]


@given(recordings(2))
def test_version_2_batches_are_lifted_as_its_events_are(drawn: list[dict[str, Any]]) -> None:
    assert lifted_as_batch(2, drawn) == [parse_event(event) for event in drawn]


@given(recordings(3))
def test_version_3_batches_are_lifted_as_its_events_are(drawn: list[dict[str, Any]]) -> None:
    assert lifted_as_batch(3, drawn) == [parse_event(event) for event in drawn]


@given(events(3))
def test_what_version_3_did_not_record_is_absent_in_version_4(event: dict[str, Any]) -> None:
    found = parse_event(event).model_dump(exclude_defaults=True)
    assert found.keys() <= event.keys()


@given(events(4))
def test_upcasting_the_latest_version_changes_nothing(event: dict[str, Any]) -> None:
    assert upcast_event(event) is event


@given(recordings(4))
def test_upcasting_a_batch_of_the_latest_version_changes_nothing(drawn: list[dict[str, Any]]) -> None:
    table = record_batch(4, drawn)
    assert upcast_batch(table, 4) is table


@given(events(1))
def test_an_upcaster_never_invents(event: dict[str, Any]) -> None:
    found = parse_event(event).model_dump(exclude_none=True)
    added = found.keys() - event.keys() - {"trace_ts_nsec"}
    assert added == ({"call", "phase", "source", "pfn"} if event["kind"] == "hotplug" else set())


@given(events(1))
def test_two_steps_are_the_steps_one_after_the_other(event: dict[str, Any]) -> None:
    assert upcast_event(event) == upcast_event(upcast_event(event, to_version=2))


def test_a_stack_that_used_all_8_entries_says_that_it_may_have_been_cut_off() -> None:
    event = {"schema_version": 1, "kind": "alloc", "seq": 0, "trace_ts_usec": 1, "pfn": 1, "order": 0, "gfp_mask": 0}
    assert parse_event(event | {"stack": list("abcdefgh")}).stack == "a\nb\nc\nd\ne\nf\ng\nh\n..."
    assert parse_event(event | {"stack": list("abcdefg")}).stack == "a\nb\nc\nd\ne\nf\ng"


def test_hotplug_of_old_versions_is_what_was_announced() -> None:
    event = {"schema_version": 2, "kind": "hotplug", "seq": 0, "trace_ts_nsec": 1, "start_pfn": 5, "nr_pages": 3}
    found = parse_event(event | {"action": "offline"})
    assert (found.call, found.phase, found.pfn, found.nr_pages) == ("offline_pages", "notified", 5, 3)


def test_an_event_of_a_later_version_is_too_new() -> None:
    with pytest.raises(SchemaTooNew):
        parse_event({"schema_version": 5, "seq": 9, "kind": "whatever"})
