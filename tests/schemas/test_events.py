"""Laws of events one at a time."""

from typing import Any

import pytest
from hypothesis import given
from pydantic import ValidationError

from pagetrail.schemas.batch import from_arrow, to_arrow
from pagetrail.schemas.columns import Kind
from pagetrail.schemas.details import DETAIL_MODELS
from pagetrail.schemas.events import batch_row_to_event, event_to_row, parse_event, rows_to_batch
from pagetrail.schemas.versions import v4
from tests.schemas.strategies import SCHEMAS, events, recordings


@given(recordings(4))
def test_events_come_back_from_a_batch(drawn: list[dict[str, Any]]) -> None:
    made = [parse_event(event) for event in drawn]
    batch = rows_to_batch([event_to_row(event) for event in made])
    assert [batch_row_to_event(batch, row) for row in range(len(batch))] == made


@given(recordings(4))
def test_a_batch_of_events_goes_over_the_wire_unchanged(drawn: list[dict[str, Any]]) -> None:
    batch = rows_to_batch([event_to_row(parse_event(event)) for event in drawn])
    assert to_arrow(from_arrow(to_arrow(batch))) == to_arrow(batch)


@given(events(4))
def test_an_unknown_field_is_refused(event: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        parse_event(event | {"colour": "blue"})


def test_every_kind_has_a_model_and_no_other() -> None:
    kinds = set(SCHEMAS[4]["discriminator"]["mapping"])
    assert kinds == {kind.name.lower() for kind in Kind} == set(v4.KINDS)


def test_a_kind_with_a_detail_has_its_fields_inline() -> None:
    for kind, model in DETAIL_MODELS.items():
        name = SCHEMAS[4]["discriminator"]["mapping"][kind.name.lower()].rsplit("/", 1)[1]
        assert model.model_fields.keys() <= SCHEMAS[4]["$defs"][name]["properties"].keys()


def test_an_event_without_a_version_is_refused() -> None:
    with pytest.raises(ValidationError):
        parse_event({"kind": "marker", "seq": 0, "trace_ts_nsec": 0, "text": "x"})
