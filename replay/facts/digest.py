"""The digest of facts, and the digest of digests."""

import json
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any, Final

from pagetrail.replay.facts.facts import Facts, plain
from pagetrail.schemas.linux.releases import rules_of

_MODELS_AT: Final[Mapping[str, Mapping[str, Any]]] = {
    "boots": {"deferred_struct_pages": None},
    "gaps": {"count": 1, "line": None},
    "accounts": {"lines": None, "lines_of_kinds": [], "records": None, "records_unread": None},
}
"""Facts whose models have fields that version 4 of the events added, and what these are when they were not recorded."""

_HOW_IT_CAME = ("lines", "lines_of_kinds", "line")


def facts_digest(facts: Facts) -> bytes:
    """Return the BLAKE2b-256 of facts; where a file begins, and what it was carried over, are no facts."""
    fields = plain(facts)
    del fields["clients"], fields["fields"]  # the values of clients are digested by field: see ``values_digest``
    del fields["earlier"]
    if facts.rules == rules_of(facts.release):  # whoever chose them
        fields["chosen_rules"] = None
    for recording in fields["recordings"]:
        del recording["next_frame"], recording["version"]
        added = {"supersedes": None, "gfp_read_for": None, "counting_clock": None}
        _drop_absent(recording, added | {"page_size_given": False, "page_size_guessed": False})
    for audit in fields["audits"]:
        _drop_absent(audit, {"whole": False})
    for name, models in _MODELS_AT.items():
        for fact in fields[name]:
            for model in (part for part in fact if isinstance(part, dict)):
                _drop_absent(model, models)
    _drop_absent(fields, {"lost_until": None, "open_ranges": [], "chosen_rules": None})
    return blake2b(json.dumps(fields, sort_keys=True).encode(), digest_size=32).digest()


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
