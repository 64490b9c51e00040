"""Facts as a text of JSON, which a file of the store holds; the digest of facts, and the digest of digests.

Lists may have millions of facts. So values of JSON are made of some at a time: those of a fact take several times its own size.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from hashlib import blake2b
from typing import Any, Final

from pagetrail.replay.facts.facts import Facts
from pagetrail.schemas.linux.releases import rules_of

_AT_ONCE: Final = 1 << 12

_MODELS_AT: Final[Mapping[str, Mapping[str, Any]]] = {
    "boots": {"deferred_struct_pages": None},
    "gaps": {"count": 1, "line": None},
    "accounts": {"lines": None, "lines_of_kinds": [], "records": None, "records_unread": None},
}
"""Facts whose models have fields that version 4 of the events added, and what these are when they were not recorded."""

_HOW_IT_CAME = ("lines", "lines_of_kinds", "line")


_OF_RECORDINGS: Final[Mapping[str, Any]] = {
    "supersedes": None, "gfp_read_for": None, "counting_clock": None, "page_size_given": False, "page_size_guessed": False,
}  # fmt: skip
"""Fields that later versions of the store added."""

_NOT_FACTS: Final = ("clients", "fields", "earlier")
"""The values of clients are digested by field, see ``values_digest``; where a file begins is no fact."""


def plain(value: Any) -> Any:
    """Return a fact as values of JSON."""
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if hasattr(value, "__dataclass_fields__"):
        return {name: plain(getattr(value, name)) for name in value.__dataclass_fields__}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    return value


def fields_of(facts: Facts) -> dict[str, Any]:
    """Return the fields of facts by name, as they are saved."""
    found = {name: getattr(facts, name) for name in facts.__dataclass_fields__}
    return found | {"open_ranges": [*facts.open_ranges.values()]}


def pieces(fields: Mapping[str, Any], one: Callable[[str, Any], Any], *, sort_keys: bool = False) -> Iterator[str]:
    """Yield the text of JSON of *fields*, a piece at a time; *one* makes values of JSON of a field, or of one fact of its list."""
    for nr, name in enumerate(sorted(fields) if sort_keys else fields):
        yield f"{', ' if nr else '{'}{json.dumps(name)}: "
        value = fields[name]
        if not isinstance(value, list):
            yield json.dumps(one(name, value), sort_keys=sort_keys)
            continue
        yield "["
        for start in range(0, len(value), _AT_ONCE):
            some = [one(name, fact) for fact in value[start : start + _AT_ONCE]]
            yield f"{', ' if start else ''}{json.dumps(some, sort_keys=sort_keys)[1:-1]}"
        yield "]"
    yield "}"


def text_of(facts: Facts) -> str:
    """Return facts as a text of JSON."""
    return "".join(pieces(fields_of(facts), lambda _, fact: plain(fact)))


def facts_digest(facts: Facts) -> bytes:
    """Return the BLAKE2b-256 of facts; where a file begins, and what it was carried over, are no facts."""
    fields = {name: value for name, value in fields_of(facts).items() if name not in _NOT_FACTS}
    if facts.rules == rules_of(facts.release):  # whoever chose them
        fields["chosen_rules"] = None
    _drop_absent(fields, {"lost_until": None, "open_ranges": [], "chosen_rules": None})
    found = blake2b(digest_size=32)
    for piece in pieces(fields, _digested, sort_keys=True):
        found.update(piece.encode())
    return found.digest()


def _digested(name: str, fact: Any) -> Any:
    """Return what is digested of a field that is no list, or of one fact of a list."""
    found = plain(fact)
    if name == "recordings":
        del found["next_frame"], found["version"]
        _drop_absent(found, _OF_RECORDINGS)
    elif name == "audits":
        _drop_absent(found, {"whole": False})
    elif name in _MODELS_AT:
        for model in (part for part in found if isinstance(part, dict)):
            _drop_absent(model, _MODELS_AT[name])
    return found


def _drop_absent(fields: dict[str, Any], added: Mapping[str, Any]) -> None:
    """Remove those of the *added* fields that have no value, and those that say how facts came, whatever their value.

    So digests of what older versions recorded, and of what was read whole, stay what they were.
    """
    for name, nothing in added.items():
        if fields[name] == nothing or name in _HOW_IT_CAME:
            del fields[name]


def join_digests(*digests: bytes) -> str:
    """Return the digest of digests, as hex."""
    return blake2b(b"".join(len(one).to_bytes(8, "little") + one for one in digests), digest_size=32).hexdigest()
