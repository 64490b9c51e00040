"""Single events: from outside into a batch, and out of a batch for display. Replay and ingest of batches do not use this."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import pyarrow as pa
from pydantic import TypeAdapter

from pagetrail.schemas.batch import EventBatch, from_arrow
from pagetrail.schemas.columns import ARROW_SCHEMA, COLUMN, TEXT_COLUMNS, Kind, absent
from pagetrail.schemas.details import DETAIL_MODELS
from pagetrail.schemas.errors import SchemaTooNew
from pagetrail.schemas.upcast import RawEvent, upcast_event
from pagetrail.schemas.versions import v1, v2, v3, v4
from pagetrail.schemas.versions.v4 import ADAPTER, AnyEvent

Event = AnyEvent
"""An event of the current version: one model for each kind; ``kind`` selects it."""

Row = Mapping[str, Any]
"""Column name to value, with the columns of ``ARROW_SCHEMA``; a missing column is absent."""

_ADAPTERS: Final[Mapping[int, TypeAdapter[Any]]] = {
    v1.VERSION: v1.ADAPTER,
    v2.VERSION: v2.ADAPTER,
    v3.VERSION: v3.ADAPTER,
    v4.VERSION: v4.ADAPTER,
}


def parse_event(raw: RawEvent) -> Event:
    """Return *raw*, an event of the version in its ``schema_version``, as one of the current version.

    Raises
    ------
    SchemaTooNew
        It has a later version.
    pydantic.ValidationError
        It is not a valid event of its version.
    """
    version = raw.get("schema_version", v4.VERSION)  # if it is missing, the current version's model complains
    if isinstance(version, int) and version > v4.VERSION:
        raise SchemaTooNew(where=f"event {raw.get('seq')}", found=version, supported=v4.VERSION)
    adapter = _ADAPTERS.get(version, v4.ADAPTER)
    checked = adapter.validate_python(raw).model_dump()
    return ADAPTER.validate_python(upcast_event(checked))


def event_to_row(event: Event) -> Row:
    """Return *event* as values of the columns; the fields that its kind has beyond them go into ``detail`` as JSON."""
    values = event.model_dump()
    kind = Kind[values.pop("kind").upper()]
    del values["schema_version"]
    row: dict[str, Any] = {"kind": int(kind)}
    model = DETAIL_MODELS.get(kind)
    if model is not None:
        detail = {name: values.pop(name) for name in model.model_fields}
        row["detail"] = model.model_validate(detail).model_dump_json()
    return row | values


def rows_to_batch(rows: Sequence[Row]) -> EventBatch:
    """Return *rows* as a batch."""
    return from_arrow(pa.RecordBatch.from_pylist([dict(row) for row in rows], schema=ARROW_SCHEMA))


def batch_row_to_event(batch: EventBatch, row: int) -> Event:
    """Return one row of *batch* as an event.

    Raises
    ------
    pydantic.ValidationError
        The row has a value that no event of its kind may have: the batch's producer broke the contract.
    """
    values: dict[str, Any] = {"schema_version": v4.VERSION}
    for name, column in batch.columns.items():
        value = int(column[row])
        if not COLUMN[name].nullable or value != absent(name):
            values[name] = batch.texts[name][value] if name in TEXT_COLUMNS else value
    kind = Kind(values["kind"])
    values["kind"] = kind.name.lower()
    detail = batch.details.get(row)
    if detail is not None:
        fields = DETAIL_MODELS[kind].model_validate_json(detail)
        values |= {name: getattr(fields, name) for name in type(fields).model_fields}
    return ADAPTER.validate_python(values)
