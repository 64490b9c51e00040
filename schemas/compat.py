"""Whether one schema of events may replace another: BACKWARD_TRANSITIVE, with a closed content model.

The question is always: *can a consumer of NEW read every event that is valid under OLD?* (Consumers are upgraded first.)

Within one version number, the schemas are compared. Compatible: one more optional field, one more kind, a wider type, wider
bounds, more values of an enum. Incompatible: one field or kind less (the content model is closed, so an old event that
has it would be refused), one more required field, a narrower type, narrower bounds, fewer values.

Where the version number rises, shapes differ by design and upcasters bridge them. Then the rule is: *every event valid
under OLD is valid under NEW after the registered upcasters.* Upcasters are code, so this is not proved but tried, on
the corner events of OLD: each kind with its required fields alone, with each further field at each of its bounds, with
each value of each enum, and with all fields at once.

A version number that falls, or rises to one that no upcaster reaches, is incompatible.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pagetrail.schemas.columns import SCHEMA_VERSION
from pagetrail.schemas.instances import Schema, accepts, branches, corners, resolve
from pagetrail.schemas.publish import json_schema, published_schema
from pagetrail.schemas.upcast import EVENT_STEPS, upcast_event


@dataclass(frozen=True, slots=True, kw_only=True)
class Incompatibility:
    """The reason why a consumer of NEW could not read some event of OLD, and the path of the field concerned."""

    path: str
    reason: str

    def __str__(self) -> str:
        return f"{self.path or 'event'}: {self.reason}"


def check_schema(old: dict[str, Any], new: dict[str, Any]) -> list[Incompatibility]:
    """Return why consumers of the JSON Schema *new* could not read events of *old*; empty: compatible."""
    before, after = old.get("version"), new.get("version")
    if before == after:
        return list(_narrowed(old, new, _Roots(old, new), ""))
    if not isinstance(before, int) or not isinstance(after, int) or after < before:
        return [Incompatibility(path="", reason=f"the version changes from {before} to {after}: it may only rise")]
    missing = [step for step in range(before, after) if step not in EVENT_STEPS]
    if missing:
        return [Incompatibility(path="", reason=f"no upcaster leads from version {missing[0]} to {missing[0] + 1}")]
    return _refused(old, new, after)


def check_published_schemas() -> list[Incompatibility]:
    """Return where this tree's models are incompatible with published versions: each with its own file, and transitively."""
    found: list[Incompatibility] = []
    for version in range(1, SCHEMA_VERSION + 1):
        published = published_schema(version)
        if published is None:
            found.append(Incompatibility(path=f"v{version}", reason="was never published"))
            continue
        if version < SCHEMA_VERSION and published != json_schema(version):
            found.append(Incompatibility(path=f"v{version}", reason="its models changed after it was published"))
        for later in range(version, SCHEMA_VERSION + 1):
            found.extend(
                Incompatibility(path=f"v{version} to v{later}: {problem.path}", reason=problem.reason)
                for problem in check_schema(published, json_schema(later))
            )
    return found


def _refused(old: Schema, new: Schema, after: int) -> list[Incompatibility]:
    """Return corner events of *old* that the schema *new* refuses after lifting, one for each kind of event."""
    refused: dict[str, str] = {}
    for event in corners(old, old):
        lifted = json.loads(json.dumps(dict(upcast_event(event, after))))
        if not accepts(new, lifted, new):
            refused.setdefault(str(event.get("kind")), json.dumps(event, ensure_ascii=False))
    return [
        Incompatibility(path=kind, reason=f"refused after lifting to version {after}: {text}")
        for kind, text in refused.items()
    ]


@dataclass(frozen=True, slots=True)
class _Roots:
    """The documents in which references are resolved."""

    old: Schema
    new: Schema


def _narrowed(old: Schema, new: Schema, roots: _Roots, path: str) -> Iterator[Incompatibility]:
    """Yield the reasons why *new* does not accept all values of *old*."""
    old, new = resolve(old, roots.old), resolve(new, roots.new)
    union = branches(old)
    if union is not None:
        for branch in union:
            yield from _narrowed(branch, new, roots, path)
    elif branches(new) is not None:
        yield from _best_branch(old, new, roots, path)
    elif "const" in old or "enum" in old:
        for value in old.get("enum", [old.get("const")]):
            if not accepts(new, value, roots.new):
                yield Incompatibility(path=path, reason=f"{value!r} is no longer valid")
    elif "const" in new or "enum" in new:
        yield Incompatibility(path=path, reason="any value was valid; now only some are")
    else:
        yield from _narrowed_type(old, new, roots, path)


def _best_branch(old: Schema, new: Schema, roots: _Roots, path: str) -> Iterator[Incompatibility]:
    """Yield nothing if one alternative of *new* accepts all of *old*, else the reasons why the one of the same kind does not."""
    meant = _kind(old, roots.old)
    name = path or (meant or "")
    tried = [(branch, list(_narrowed(old, branch, roots, name))) for branch in branches(new) or ()]
    if any(not problems for _, problems in tried):
        return
    for branch, problems in tried:
        if meant is not None and _kind(resolve(branch, roots.new), roots.new) == meant:
            yield from problems
            return
    what = f"the kind {meant}" if meant is not None else f"type {old.get('type', 'any')}"
    yield Incompatibility(path=name, reason=f"{what} is no longer accepted, or not all of its values are")


def _kind(schema: Schema, root: Schema) -> str | None:
    found = schema.get("properties", {}).get("kind")
    return None if found is None else resolve(found, root).get("const")


def _narrowed_type(old: Schema, new: Schema, roots: _Roots, path: str) -> Iterator[Incompatibility]:
    before, after = old.get("type"), new.get("type")
    if after is not None and before != after and (before, after) != ("integer", "number"):
        yield Incompatibility(path=path, reason=f"was of type {before or 'any'}, is {after}")
        return
    yield from _narrowed_bounds(old, new, path)
    if before == "object":
        yield from _narrowed_object(old, new, roots, path)
    elif before == "array":
        yield from _narrowed_array(old, new, roots, path)


def _narrowed_bounds(old: Schema, new: Schema, path: str) -> Iterator[Incompatibility]:
    for low, strict, at_zero in (("minimum", "exclusiveMinimum", None), ("minLength", None, 0), ("minItems", None, 0)):
        before, after = _bound(old, low, strict, 1), _bound(new, low, strict, 1)
        before = at_zero if before is None else before
        if after is not None and after != at_zero and (before is None or before < after):
            yield Incompatibility(path=path, reason=f"{low} rises from {before} to {after}")
    for high, strict in (("maximum", "exclusiveMaximum"), ("maxLength", None), ("maxItems", None)):
        before, after = _bound(old, high, strict, -1), _bound(new, high, strict, -1)
        if after is not None and (before is None or before > after):
            yield Incompatibility(path=path, reason=f"{high} falls from {before} to {after}")


def _bound(schema: Schema, plain: str, strict: str | None, step: int) -> int | None:
    """Return a bound as an inclusive one. All numbers here are integers."""
    found: int | None = schema.get(plain)
    if found is None and strict is not None and strict in schema:
        found = int(schema[strict]) + step
    return found


def _narrowed_object(old: Schema, new: Schema, roots: _Roots, path: str) -> Iterator[Incompatibility]:
    had, has = old.get("properties", {}), new.get("properties", {})
    rest_old, rest_new = old.get("additionalProperties", True), new.get("additionalProperties", True)
    for name in sorted(set(new.get("required", ())) - set(old.get("required", ()))):
        yield Incompatibility(path=f"{path}.{name}", reason="is now required; old events may lack it")
    for name, field in had.items():
        yield from _narrowed_into(field, has.get(name, rest_new), roots, f"{path}.{name}")
    if rest_old is False:
        return
    yield from _narrowed_into(rest_old, rest_new, roots, f"{path}.*")
    for name in has.keys() - had.keys():
        yield from _narrowed_into(rest_old, has[name], roots, f"{path}.{name}")


def _narrowed_array(old: Schema, new: Schema, roots: _Roots, path: str) -> Iterator[Incompatibility]:
    first_old, first_new = old.get("prefixItems", []), new.get("prefixItems", [])
    rest_old, rest_new = old.get("items", True), new.get("items", True)
    longest = old.get("maxItems", max(len(first_old), len(first_new)) + 1)
    for position in range(min(longest, max(len(first_old), len(first_new)) + 1)):
        before = first_old[position] if position < len(first_old) else rest_old
        after = first_new[position] if position < len(first_new) else rest_new
        yield from _narrowed_into(before, after, roots, f"{path}[{position}]")


def _narrowed_into(old: Schema | bool, new: Schema | bool, roots: _Roots, path: str) -> Iterator[Incompatibility]:
    """Yield as ``_narrowed`` does, for schemas that may also be true (anything) or false (nothing)."""
    if old is False or new is True:
        return
    if new is False:
        yield Incompatibility(path=path, reason="was removed; a closed content model refuses events that have it")
    else:
        yield from _narrowed({} if old is True else old, new, roots, path)
