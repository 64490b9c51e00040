"""Lifting events of older versions, one version at a time.

The rules for a single event (a dict) are the readable ones; those for a batch do the same column by column, and a test
compares the two. An upcaster never invents: fields that an old version did not record are null.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import pyarrow as pa

from pagetrail.schemas.columns import SCHEMA_VERSION
from pagetrail.schemas.errors import SchemaTooNew
from pagetrail.schemas.versions import v1_columns as v1
from pagetrail.schemas.versions import v2_columns as v2
from pagetrail.schemas.versions import v3_columns as v3
from pagetrail.schemas.versions import v4_columns as v4
from pagetrail.schemas.versions.v3_details import Hotplug

RawEvent = Mapping[str, Any]

WIRE_SCHEMAS: Final[dict[int, pa.Schema]] = {v.VERSION: v.ARROW_SCHEMA for v in (v1, v2, v3, v4)}

_CUT_OFF = "..."
_NEW_IN_V4: Final = {
    "recording_begin": ("reader", "supersedes", "gfp_read_for", "gfp_known"),
    "recording_end": ("lines", "records", "records_unread"),
    "boot": ("deferred_struct_pages",),
    "gap": ("pfn", "order", "nr_pages", "src_pfn", "line"),
    "split": ("old_order",),
    "migrate": ("migrate_reason",),
    "baseline_begin": ("extent", "partial_because"),
    "baseline_entry": ("memcg_flags", "page_flag_names"),
}
_UNSAID_IN_V3: Final[dict[str, dict[str, Any]]] = {"recording_end": {"lines_of_kinds": ()}, "gap": {"count": 1}}
_CALLS: Final = {"online": "online_pages", "offline": "offline_pages"}


def upcast_event(event: RawEvent, to_version: int = SCHEMA_VERSION) -> RawEvent:
    """Return *event*, valid in its own ``schema_version``, as an event of *to_version*.

    Raises
    ------
    SchemaTooNew
        The event has a later version than this pagetrail knows.
    """
    version = event["schema_version"]
    if version > SCHEMA_VERSION:
        raise SchemaTooNew(where=f"event {event.get('seq')}", found=version, supported=SCHEMA_VERSION)
    for step in range(version, to_version):
        event = EVENT_STEPS[step](event)
    return event


def upcast_batch(table: pa.RecordBatch, version: int) -> pa.RecordBatch:
    """Return *table*, of schema *version*, as a batch of the current version.

    Missing nullable columns become null. A batch of the current version is returned as it is.
    """
    if version < SCHEMA_VERSION:
        table = _assemble(table, {}, WIRE_SCHEMAS[version])
    for step in range(version, SCHEMA_VERSION):
        table = BATCH_STEPS[step](table)
    return table


def _v1_to_v2(event: RawEvent) -> RawEvent:
    """v2 added pid, tgid, comm, cpu and node. v1 did not record them, so they are absent, not zero."""
    kept = {name: value for name, value in event.items() if name not in ("trace_ts_usec", "stack")}
    who = {"pid": None, "tgid": None, "comm": None, "cpu": None, "node": None}
    lifted = kept | who | {"schema_version": 2, "trace_ts_nsec": event["trace_ts_usec"] * 1000}
    if event["kind"] == "alloc":
        lifted |= {"migratetype": None, "stack": _as_text(event.get("stack"))}
    elif event["kind"] == "free":
        lifted |= {"stack": None}
    return lifted


def _as_text(stack: list[str] | tuple[str, ...] | None) -> str | None:
    """v1 kept at most 8 entries: a stack with 8 may have been cut off, and is marked so."""
    if stack is None:
        return None
    return "\n".join([*stack, _CUT_OFF] if len(stack) == v1.STACK_DEPTH else stack)


def _v2_to_v3(event: RawEvent) -> RawEvent:
    """v3 distinguishes an observed hotplug call from a notification. v2 recorded only that it happened: notified."""
    lifted = dict(event) | {"schema_version": 3, "raw_ts_nsec": None, "cgroup": None}
    if event["kind"] == "free":
        lifted |= {"migratetype": None}
    elif event["kind"] == "hotplug":
        call = _hotplug(lifted.pop("action")).model_dump()
        lifted |= {"pfn": lifted.pop("start_pfn"), "ret": None, "stack": None} | call
    return lifted


def _hotplug(action: str) -> Hotplug:
    return Hotplug.model_validate({"call": _CALLS[action], "phase": "notified"})


def _v3_to_v4(event: RawEvent) -> RawEvent:
    """v4 has more fields. v3 recorded none of them, so they are absent: a view is not said to be whole, nor a line counted."""
    kind = event["kind"]
    absent = dict.fromkeys((*_NEW_IN_V4.get(kind, ()), "user_stack"))
    return dict(event) | absent | _UNSAID_IN_V3.get(kind, {}) | {"schema_version": 4}


def _v1_to_v2_batch(table: pa.RecordBatch) -> pa.RecordBatch:
    import pyarrow.compute as pc  # here: frames of today need none of it, and it takes a while to load

    stack = table.column("stack")
    text = pc.binary_join(stack.cast(pa.list_(pa.utf8())), "\n")
    whole = pc.not_equal(pc.list_value_length(stack), v1.STACK_DEPTH)
    marked = pc.if_else(whole, text, pc.binary_join_element_wise(text, _CUT_OFF, "\n"))
    made = {
        "trace_ts_nsec": pc.multiply_checked(table.column("trace_ts_usec"), 1000),
        "stack": marked.dictionary_encode(),
    }
    return _assemble(table, made, v2.ARROW_SCHEMA)


def _v2_to_v3_batch(table: pa.RecordBatch) -> pa.RecordBatch:
    import pyarrow.compute as pc

    online, offline = (_hotplug(action).model_dump_json() for action in _CALLS)
    made = {
        "pfn": pc.coalesce(table.column("pfn"), table.column("start_pfn")),
        "detail": pc.if_else(pc.equal(table.column("action"), "online"), online, offline),
    }
    return _assemble(table, made, v3.ARROW_SCHEMA)


def _v3_to_v4_batch(table: pa.RecordBatch) -> pa.RecordBatch:
    return _assemble(table, {}, v4.ARROW_SCHEMA)


def _assemble(table: pa.RecordBatch, made: Mapping[str, pa.Array], schema: pa.Schema) -> pa.RecordBatch:
    """Return a batch of *schema*: each column from *made*, else from *table*, else null."""
    names = set(table.schema.names)
    arrays = []
    for field in schema:
        found = made.get(field.name, table.column(field.name) if field.name in names else None)
        arrays.append(pa.nulls(table.num_rows, type=field.type) if found is None else found)
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


EVENT_STEPS: Final[dict[int, Callable[[RawEvent], RawEvent]]] = {1: _v1_to_v2, 2: _v2_to_v3, 3: _v3_to_v4}
BATCH_STEPS: Final[dict[int, Callable[[pa.RecordBatch], pa.RecordBatch]]] = {
    1: _v1_to_v2_batch,
    2: _v2_to_v3_batch,
    3: _v3_to_v4_batch,
}
