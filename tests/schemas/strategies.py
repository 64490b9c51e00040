"""Hypothesis strategies: events of any version, from the JSON Schema itself; batches; small mutations of schemas."""

import copy
import functools
from typing import Any

import numpy as np
from hypothesis import strategies as st

from pagetrail.schemas.batch import EventBatch
from pagetrail.schemas.columns import Kind
from pagetrail.schemas.instances import branches, resolve
from pagetrail.schemas.publish import VERSIONS, published_schema

SCHEMAS = {version: published_schema(version) or {} for version in VERSIONS}
"""As they were published: the models still make them (``test_published``), but making them takes a second of every process."""


def valid(schema: dict[str, Any], root: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Return a strategy of values valid under *schema*."""
    schema = resolve(schema, root)
    union = branches(schema)
    if union is not None:
        return st.one_of([valid(branch, root) for branch in union])
    if "const" in schema:
        return st.just(schema["const"])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    match schema["type"]:
        case "null":
            return st.none()
        case "boolean":
            return st.booleans()
        case "integer":
            low = schema.get("minimum", schema.get("exclusiveMinimum", -(2**40)) + ("exclusiveMinimum" in schema))
            high = schema.get("maximum", schema.get("exclusiveMaximum", 2**40) - ("exclusiveMaximum" in schema))
            return st.integers(low, high)
        case "string":
            return st.text(min_size=schema.get("minLength", 0), max_size=schema.get("maxLength", 12))
        case "array":
            return _arrays(schema, root)
        case _:
            return _objects(schema, root)


def _arrays(schema: dict[str, Any], root: dict[str, Any]) -> st.SearchStrategy[Any]:
    if "prefixItems" in schema:
        return st.tuples(*[valid(item, root) for item in schema["prefixItems"]]).map(list)
    sizes = {"min_size": schema.get("minItems", 0), "max_size": schema.get("maxItems", 3)}
    return st.lists(valid(schema["items"], root), **sizes)


def _objects(schema: dict[str, Any], root: dict[str, Any]) -> st.SearchStrategy[Any]:
    fields = schema.get("properties", {})
    required = {name: valid(fields[name], root) for name in schema.get("required", ())}
    optional = {name: valid(field, root) for name, field in fields.items() if name not in required}
    rest = schema.get("additionalProperties")
    if isinstance(rest, dict):
        return st.dictionaries(st.text(max_size=5), valid(rest, root), max_size=3)
    return st.fixed_dictionaries(required, optional=optional)


@functools.cache  # there are hundreds of strategies in it
def events(version: int) -> st.SearchStrategy[dict[str, Any]]:
    """Return a strategy of events valid in *version*."""
    return valid(SCHEMAS[version], SCHEMAS[version])


@st.composite
def recordings(draw: st.DrawFn, version: int) -> list[dict[str, Any]]:
    """Draw some events of *version* as a frame may hold them: seq without holes, time never decreasing."""
    drawn = draw(st.lists(events(version), min_size=1, max_size=8))
    clock = "trace_ts_usec" if version == 1 else "trace_ts_nsec"
    times = sorted(event[clock] for event in drawn)
    return [event | {"seq": seq, clock: ts} for seq, (event, ts) in enumerate(zip(drawn, times, strict=True))]


@st.composite
def batches(draw: st.DrawFn) -> EventBatch:
    """Draw a batch of page events whose columns are present or absent, row by row."""
    n = draw(st.integers(1, 40))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    pfn = np.where(rng.random(n) < 0.2, np.iinfo(np.int64).min, rng.integers(0, 2**40, n))
    texts = draw(st.lists(st.text(max_size=8), min_size=1, max_size=5, unique=True))
    columns: dict[str, np.ndarray] = {
        "seq": np.arange(n, dtype=np.int64) + draw(st.integers(0, 2**50)),
        "trace_ts_nsec": np.cumsum(rng.integers(0, 5, n)) + draw(st.integers(-(2**50), 2**50)),
        "kind": rng.choice(np.array([Kind.ALLOC, Kind.FREE, Kind.DRAIN], dtype=np.int8), n),
        "pfn": pfn,
        "cpu": rng.integers(0, 8, n).astype(np.int16),
        "comm": rng.integers(-1, len(texts), n).astype(np.int32),
        "stack": rng.integers(-1, len(texts), n).astype(np.int32),
    }
    for name in draw(st.sets(st.sampled_from(["pfn", "cpu", "comm", "stack"]))):
        del columns[name]
    used = {name: texts for name in ("comm", "stack") if name in columns}
    details = draw(st.dictionaries(st.integers(0, n - 1), st.text(max_size=5), max_size=3))
    return EventBatch(columns=columns, texts=used, details=details)


@st.composite
def mutated(draw: st.DrawFn, schema: dict[str, Any]) -> dict[str, Any]:
    """Draw *schema* with a few small changes anywhere: some of them compatible, some not."""
    changed = copy.deepcopy(schema)
    for _ in range(draw(st.integers(1, 3))):
        places = [place for place in _places(changed) if _changes(place)]
        place = draw(st.sampled_from(places))
        draw(st.sampled_from(_changes(place)))(place)
    return changed


def _places(schema: Any) -> list[dict[str, Any]]:
    if isinstance(schema, list):
        return [place for item in schema for place in _places(item)]
    if not isinstance(schema, dict):
        return []
    inner = [place for key, item in schema.items() if key != "discriminator" for place in _places(item)]
    return ([schema] if {"type", "const", "enum", "oneOf", "anyOf"} & schema.keys() else []) + inner


def _changes(place: dict[str, Any]) -> list[Any]:
    found: list[Any] = []
    if isinstance(place.get("properties"), dict) and place["properties"]:
        name = sorted(place["properties"])[-1]
        found += [
            lambda p: p["properties"].pop(name),
            lambda p: p.update(required=[*p.get("required", []), name]),
            lambda p: p.update(required=p.get("required", [])[:-1]),
            lambda p: p["properties"].update(brand_new={"type": "string"}),
            lambda p: p.update(required=[*p.get("required", []), "brand_new"]),
        ]
    if place.get("type") == "integer":
        found += [
            lambda p: p.update(minimum=0),
            lambda p: p.update(maximum=2**70),
            lambda p: p.pop("exclusiveMaximum", None),
            lambda p: p.update(type="string"),
            lambda p: p.update(type="number"),
        ]
    if place.get("type") == "string":
        found += [lambda p: p.update(minLength=1), lambda p: p.update(maxLength=3), lambda p: p.update(enum=["alloc"])]
    if place.get("type") == "array":
        found += [lambda p: p.update(maxItems=1), lambda p: p.update(minItems=2), lambda p: p.pop("minItems", None)]
    for union in ("oneOf", "anyOf", "enum"):
        if isinstance(place.get(union), list) and len(place[union]) > 1:
            found += [lambda p, u=union: p[u].pop(), lambda p, u=union: p[u].reverse()]
    return found
