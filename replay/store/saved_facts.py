"""The facts of a file of the store, read within limits: the file may be somebody else's."""

import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from itertools import chain
from types import UnionType
from typing import Any, Final, get_args, get_origin

import duckdb

from pagetrail.replay.facts.earlier import Earlier
from pagetrail.replay.facts.facts import Audit, Facts, OpenRange
from pagetrail.replay.facts.hotplug import Extension, HotplugCall
from pagetrail.replay.facts.recording import StreamRecording
from pagetrail.replay.store.databases import attached_as
from pagetrail.schemas.details import Boot, Clock, Gap, RecordingEnd
from pagetrail.schemas.details import Coverage as CoverageDetail
from pagetrail.schemas.linux.mmzone import MAX_SECTION_ORDER, PFN_LIMIT
from pagetrail.schemas.owner import OPEN_END

_ALWAYS_ALLOWED: Final = 64 << 20
_MOST_TEXT_A_BYTE: Final = 256
"""Text for each byte of a file: a million sections that began together take a hundredth of their text."""

_LONG_NUMBER: Final = re.compile("-?[0-9]{19,}")
_MOST_DIGITS: Final = len(str(-OPEN_END - 1))

_FIELDS: Final[Mapping[frozenset[str], Callable[..., Any]]] = {
    frozenset(made.__dataclass_fields__): made for made in (HotplugCall, Extension)
}


def saved_facts(db: duckdb.DuckDBPyConnection) -> Facts:
    """Return the facts that one file of the store has.

    Raises
    ------
    ValueError, TypeError, KeyError
        It has none, or more than it can hold.
    """
    row = db.execute("SELECT value FROM state WHERE name = 'facts'").fetchone()
    return facts_within(db, row[0] if row else "")


def facts_within(db: duckdb.DuckDBPyConnection, text: str) -> Facts:
    """Return the facts of a *text* that was read of a file; for errors, see ``saved_facts``."""
    if len(text) > _ALWAYS_ALLOWED:
        size = "SELECT total_blocks * block_size FROM pragma_database_size() WHERE database_name = $attached"
        [(file_bytes,)] = db.execute(size, {"attached": attached_as(db)}).fetchall()
        if len(text) > _MOST_TEXT_A_BYTE * file_bytes:
            raise ValueError(f"{len(text):,} bytes of facts, more than {file_bytes:,} bytes hold")
    return facts_of(text)


def facts_of(text: str) -> Facts:
    """Return the facts of a text that ``digest.text_of`` made.

    Raises
    ------
    ValueError, TypeError, KeyError, AttributeError, RecursionError
        The text is none of facts, or of facts that no stream can have.
    """
    saved = json.loads(text, object_hook=_fact, parse_float=_no_number, parse_constant=_no_number)
    if any(map(_is_beyond, _LONG_NUMBER.findall(text))) and not _is_within(saved):  # they may be digits of a name
        raise ValueError("a number beyond 64 bits")
    found = Facts(
        boots=[(ts, Boot.model_validate_json(json.dumps(boot))) for ts, boot in saved["boots"]],
        pages_per_section=saved["pages_per_section"],
        clocks=[(ts, Clock(**clock)) for ts, clock in saved["clocks"]],
        coverage=[(ts, CoverageDetail.model_validate_json(json.dumps(cov))) for ts, cov in saved["coverage"]],
        gaps=[(seq, cpu, Gap(**gap)) for seq, cpu, gap in saved["gaps"]],
        gap_ts=saved["gap_ts"],
        lost_until=saved["lost_until"],
        markers=[(seq, ts, text) for seq, ts, text in saved["markers"]],
        hotplug=_all_of(HotplugCall, saved["hotplug"]),
        audits=[Audit(**audit) for audit in saved["audits"]],
        recordings=[StreamRecording(**recording) for recording in saved["recordings"]],
        accounts=[(recording, RecordingEnd.model_validate_json(json.dumps(a))) for recording, a in saved["accounts"]],
        sections=_all_of(Extension, saved["sections"]),
        events=saved["events"],
        clients=saved["clients"],
        client_ts=saved["client_ts"],
        fields=saved["fields"],
        open_ranges={opened["pid"]: OpenRange(**opened) for opened in saved.get("open_ranges", ())},
        chosen_rules=saved.get("chosen_rules"),
        earlier=_earlier(saved["earlier"]),
    )
    _check(found)
    return found


def _check(facts: Facts) -> None:
    """Check what questions and the fold count with: a file may be somebody else's.

    Raises
    ------
    ValueError, TypeError
        It has sections that no machine has, or a value of another type than the fact has.
    """
    pages = facts.pages_per_section
    if not 0 < pages <= 1 << MAX_SECTION_ORDER or pages & (pages - 1):
        raise ValueError(f"expected a power of two of pages a section, found {pages}")
    before = facts.earlier
    for listed in (
        facts.hotplug,
        facts.sections,
        facts.audits,
        facts.recordings,
        [*facts.open_ranges.values()],
        [before],
    ):
        _check_types(listed)
    if not all(0 <= getattr(before, name) <= len(getattr(facts, name)) for name in ("gaps", "clocks", "hotplug")):
        raise ValueError("more that is carried over than there is")
    if {*map(type, chain(before.whole_dumps, *before.missing))} - {int} or {*map(type, before.audited)} - {str}:
        raise TypeError("something else among the numbers and names that are carried over")
    if before.coverage is not None:
        facts.covered()  # it is read as it is needed
    others = (facts.gap_ts, facts.client_ts, [pages, facts.lost_until], [*facts.events.values()])
    numbers = [*chain(*others, *(fact[:-1] for fact in (*facts.boots, *facts.clocks, *facts.coverage, *facts.gaps)))]
    numbers += chain(*(marker[:2] for marker in facts.markers))
    texts = chain(
        facts.clients, facts.fields, facts.events, (m[2] for m in facts.markers), (a[0] for a in facts.accounts)
    )
    if {*map(type, numbers)} - {int, type(None)} or {*map(type, texts)} - {str}:
        raise TypeError("a number or a text in the place of the other")
    if any(not 0 <= extension.section_nr < PFN_LIMIT // pages for extension in facts.sections):
        raise ValueError("a section that no machine has")


def _check_types(facts: Sequence[Any]) -> None:
    """Check each field of facts of one kind, all together."""
    if not facts:
        return
    kind: Any = type(facts[0])
    for name, allowed in _allowed(kind).items():
        values = [getattr(fact, name) for fact in facts]
        if {*map(type, values)} - allowed:
            raise TypeError(f"{name} of a {type(facts[0]).__name__} of another type")


@cache
def _allowed(kind: Any) -> dict[str, frozenset[type]]:
    """Return the types that the fields of a dataclass may have."""
    fields: dict[str, Any] = {name: field.type for name, field in kind.__dataclass_fields__.items()}
    kinds = {name: get_args(found) if isinstance(found, UnionType) else (found,) for name, found in fields.items()}
    return {name: frozenset(get_origin(one) or one for one in some) for name, some in kinds.items()}


def _is_within(value: object) -> bool:
    """Return whether every number in a value of JSON, and in what was made of it, is of 64 bits."""
    if isinstance(value, HotplugCall | Extension):
        return all(_is_within(getattr(value, name)) for name in value.__dataclass_fields__)
    if isinstance(value, dict):
        return all(map(_is_within, value.values()))
    if isinstance(value, list):
        return all(map(_is_within, value))
    return not isinstance(value, int) or -OPEN_END - 1 <= value <= OPEN_END


def _is_beyond(digits: str) -> bool:
    """Return whether so many digits may be a number of more than 64 bits; thousands of them are none that Python makes."""
    return len(digits) > _MOST_DIGITS or not _is_within(int(digits))


def _no_number(text: str) -> Any:
    raise ValueError(f"{text[:40]}, where no fact has such a number")


def _fact(found: dict[str, Any]) -> Any:
    """Return a call or an extension in place of its values of JSON, as soon as they are read: there may be millions.

    A user's names may be the same as those of the fields. What they stand for are numbers, and never the text of one.
    """
    made = _FIELDS.get(frozenset(found))
    if made is None or not isinstance(found.get("call", found.get("how")), str):
        return found
    return made(**{name: sys.intern(value) if isinstance(value, str) else value for name, value in found.items()})


def _all_of(kind: type[Any], facts: list[Any]) -> list[Any]:
    """Return *facts*, all of one kind."""
    if not all(isinstance(fact, kind) for fact in facts):
        raise TypeError(f"expected each to have the fields of {kind.__name__}")
    return facts


def _earlier(saved: dict[str, Any]) -> Earlier:
    return Earlier(**saved | {"missing": [(seq, lost) for seq, lost in saved["missing"]]})
