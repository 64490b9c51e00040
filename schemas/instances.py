"""Values and JSON Schemas: whether a schema accepts a value, and the corner values that it accepts.

Only those features of JSON Schema (2020-12) that the published schemas use; any other keyword is an ``UnknownKeyword``, never
silently ignored.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from pagetrail.schemas.errors import InputError

Json = Any
Schema = Mapping[str, Any]

UNDERSTOOD: Final = frozenset(
    {"type", "const", "enum", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "minLength", "maxLength"}
    | {"minItems", "maxItems", "items", "prefixItems", "properties", "required", "additionalProperties"}
    | {"anyOf", "oneOf", "$ref", "$defs"}
)
IGNORED: Final = frozenset(
    {"title", "description", "default", "discriminator", "$schema", "$id", "examples", "version"}
)
"""Keywords that do not affect which values are valid."""

_TYPES: Final[Mapping[str, tuple[type, ...]]] = {
    "null": (type(None),),
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
    "string": (str,),
    "array": (list, tuple),
    "object": (dict,),
}


class UnknownKeyword(InputError):
    """A JSON Schema uses a keyword that these rules do not know."""

    def __init__(self, *, keyword: str) -> None:
        super().__init__(f"expected a JSON Schema of the form that pagetrail publishes, found the keyword {keyword!r}")
        self.keyword = keyword


def resolve(schema: Schema, root: Schema) -> Schema:
    """Return *schema* with its ``$ref`` followed, if it is one. Raises ``UnknownKeyword`` for keywords not in ``UNDERSTOOD``."""
    while "$ref" in schema:
        found = root.get("$defs", {}).get(schema["$ref"].removeprefix("#/$defs/"))
        if found is None:
            raise UnknownKeyword(keyword=f"$ref: {schema['$ref']}")
        schema = {**found, **{key: value for key, value in schema.items() if key != "$ref"}}
    for keyword in schema:
        if keyword not in UNDERSTOOD and keyword not in IGNORED:
            raise UnknownKeyword(keyword=keyword)
    if not isinstance(schema.get("type", "null"), str) or schema.get("type", "null") not in _TYPES:
        raise UnknownKeyword(keyword=f"type: {schema['type']}")
    return schema


def branches(schema: Schema) -> list[Schema] | None:
    """Return the alternatives of a union, or None if *schema* is not one."""
    found: list[Schema] | None = schema.get("anyOf", schema.get("oneOf"))
    return found


def accepts(schema: Schema, value: Json, root: Schema) -> bool:
    """Return whether *value* is valid under *schema*; references are resolved in *root*."""
    schema = resolve(schema, root)
    union = branches(schema)
    if union is not None:
        return any(accepts(branch, value, root) for branch in union)
    if "const" in schema and not _same(schema["const"], value):
        return False
    if "enum" in schema and not any(_same(allowed, value) for allowed in schema["enum"]):
        return False
    if "type" in schema and not _is_of(schema["type"], value):
        return False
    if isinstance(value, dict):
        return _accepts_object(schema, value, root)
    if isinstance(value, list | tuple):
        return _accepts_array(schema, value, root)
    return _within_bounds(schema, value)


def _same(a: Json, b: Json) -> bool:
    return type(a) is type(b) and bool(a == b)


def _is_of(name: str, value: Json) -> bool:
    if isinstance(value, bool):
        return name == "boolean"
    return isinstance(value, _TYPES[name])


def _within_bounds(schema: Schema, value: Json) -> bool:
    if isinstance(value, str):
        return bool(schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", len(value)))
    if isinstance(value, bool) or not isinstance(value, int | float):
        return True
    return bool(
        schema.get("minimum", value) <= value <= schema.get("maximum", value)
        and ("exclusiveMinimum" not in schema or value > schema["exclusiveMinimum"])
        and ("exclusiveMaximum" not in schema or value < schema["exclusiveMaximum"])
    )


def _accepts_object(schema: Schema, value: Mapping[str, Json], root: Schema) -> bool:
    if any(name not in value for name in schema.get("required", ())):
        return False
    known = schema.get("properties", {})
    rest = schema.get("additionalProperties", True)
    for name, item in value.items():
        expected = known.get(name, rest)
        if expected is False or (expected is not True and not accepts(expected, item, root)):
            return False
    return True


def _accepts_array(schema: Schema, value: list[Json] | tuple[Json, ...], root: Schema) -> bool:
    if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)):
        return False
    prefix = schema.get("prefixItems", [])
    rest = schema.get("items", True)
    for position, item in enumerate(value):
        expected = prefix[position] if position < len(prefix) else rest
        if expected is False or (expected is not True and not accepts(expected, item, root)):
            return False
    return True


def corners(schema: Schema, root: Schema) -> Iterator[Json]:
    """Yield the corner values: each alternative, each bound, each optional field alone, none of them, and all."""
    schema = resolve(schema, root)
    union = branches(schema)
    if union is not None:
        for branch in union:
            yield from corners(branch, root)
    elif "const" in schema:
        yield schema["const"]
    elif "enum" in schema:
        yield from schema["enum"]
    else:
        yield from _corners_of_type(schema, root)


def _corners_of_type(schema: Schema, root: Schema) -> Iterator[Json]:
    match schema.get("type"):
        case "null":
            yield None
        case "boolean":
            yield from (False, True)
        case "integer" | "number":
            yield from _corner_numbers(schema)
        case "string":
            low, high = schema.get("minLength", 0), schema.get("maxLength", 200)
            yield from (text[:high] for text in ("x" * low, "x" * high, ("é\n" * high)) if len(text[:high]) >= low)
        case "array":
            yield from _corner_arrays(schema, root)
        case "object":
            yield from _corner_objects(schema, root)
        case other:
            raise UnknownKeyword(keyword=f"type: {other}")


def _corner_numbers(schema: Schema) -> Iterator[int]:
    low = schema.get("minimum", schema.get("exclusiveMinimum", -(2**31)) + ("exclusiveMinimum" in schema))
    high = schema.get("maximum", schema.get("exclusiveMaximum", 2**31) - ("exclusiveMaximum" in schema))
    yield from sorted({low, high} | ({0} if low <= 0 <= high else set()))


def _corner_arrays(schema: Schema, root: Schema) -> Iterator[list[Json]]:
    prefix = [next(corners(item, root)) for item in schema.get("prefixItems", [])]
    low, high = schema.get("minItems", 0), schema.get("maxItems", len(prefix) + 3)
    rest = schema.get("items", False)
    if rest is False or rest is True:
        yield prefix[:high]
        return
    for item in corners(rest, root):
        yield from (prefix + [item] * (length - len(prefix)) for length in sorted({low, high}))


def _corner_objects(schema: Schema, root: Schema) -> Iterator[dict[str, Json]]:
    fields = schema.get("properties", {})
    required = schema.get("required", ())
    least = {name: next(corners(fields[name], root)) for name in required}
    yield least
    for name, field in fields.items():
        for value in corners(field, root):
            yield least | {name: value}
    yield {name: list(corners(field, root))[-1] for name, field in fields.items()}
    rest = schema.get("additionalProperties", True)
    if isinstance(rest, Mapping):
        for value in corners(rest, root):
            yield least | {"any name": value}
