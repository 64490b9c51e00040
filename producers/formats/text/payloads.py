"""Split the text after an event's name into fields, one event at a time, in plain Python.

The jit functions take the common forms of the four commonest events; everything else comes here. Sources: the print formats
in include/trace/events/kmem.h (Linux 6.1), and those that kernel/trace/trace_kprobe.c makes for the probes.
"""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from pagetrail.producers.formats.text.names import may_tell_of_pages
from pagetrail.producers.formats.text.text_jit import (
    ALLOC,
    DRAIN,
    FREE,
    IGNORE,
    KERNEL_STACK,
    RARE,
    REFILL,
    USER_STACK,
)
from pagetrail.producers.meaning import Fields
from pagetrail.schemas.linux import kmem_events, probes
from pagetrail.schemas.linux.mmzone import MAX_ORDER, PFN_LIMIT

# No kernel prints a decimal number with zeros before it: such digits are the rest of another field.
_NUMBER: Final = r"0x[0-9a-f]{1,16}|0|[1-9][0-9]{0,19}"
_SMALL: Final = r"-?(?:0|[1-9][0-9]{0,9})|0x[0-9a-f]{1,8}"
_WORDS: Final = r"[!-~]+"
_PAGE: Final = "page"  # hashed by the kernel, and written in several ways
_PROBE: Final = "probe"

_MARKER: Final = "tracing_mark_write"
_TEXTS: Final = ("gfp_flags",)
"""Fields that are no numbers where the event is printed as its print format says."""

# tools/lib/traceevent (Linux 5.10), pretty_print and tep_print_fields: an event that it cannot print as the format says
_UNPRINTED: Final = "[FAILED TO PARSE]"
# kernel/trace/trace_output.c, print_fields (Linux 6.12), of the option fields: each number in both bases
_TWICE: Final = re.compile(r"(=0x[0-9a-f]+) \(-?[0-9]+\)")
_NULL_PAGE: Final = re.compile(r"(?<= page=) +(?=[^ =]+(?: |$))")  # "page=          (null)", before Linux 4.15
_PROBED: Final = re.compile(r" *\([ -'*-~]*\)")  # the place of a probe: a symbol, or an address
_TOKEN: Final = re.compile(r"([A-Za-z_][\w.-]*)=([!-~]*)", re.ASCII)
# tools/perf/util/evsel_fprintf.c, sample__fprintf_sym (Linux 6.1): the sample's own place, behind an event without a chain
_SAMPLE_PLACE: Final = re.compile(r" +[0-9a-f]{8,16} [!-~]+(?: \([^()]*\))?$")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Printed:
    """The fields that an event prints, name to pattern; and whether ``page=`` or a probe's place is printed with them.

    A probe may print *more* fields; they are read too.
    """

    with_page: bool
    with_place: bool
    values: Mapping[str, re.Pattern[str]]
    more: Mapping[str, re.Pattern[str]]

    def fields(self, payload: str, added: frozenset[str]) -> Fields | None:
        """Return each field of *payload* by its name; null unless each is there, whole and once.

        Fields that a vendor or a later kernel adds may stand anywhere between them, and all in any order: those that are *added*,
        and others that no event of ours has.
        """
        text = payload.rstrip(" \t\r\v\f")
        unprinted = text.lstrip(" ").startswith(_UNPRINTED)
        if unprinted:
            text = text.lstrip(" ").removeprefix(_UNPRINTED)
        elif self.with_place:
            place = _PROBED.match(text)
            if place is None:
                return None
            text = text[place.end() :]
        named = _named(_TWICE.sub(r"\1", _SAMPLE_PLACE.sub("", text)))
        if named is None or self._has_rest_of_another(named, added):
            return None
        if self.with_page and not unprinted and not named.get("page"):
            if named.keys() != self.values.keys():
                return None
            unprinted = True  # as trace-cmd report -R prints them: all of the fields, and nothing else
        elif self.with_page and not unprinted and not _PAGES.fullmatch(named["page"]):
            return None
        found: dict[str, int | str] = {}
        wanted = self.values if self.more.keys().isdisjoint(named) else {**self.values, **self.more}
        for name, pattern in wanted.items():
            value = named.get(name)
            if value is None or not (_RAW if unprinted else pattern).fullmatch(value):
                return None
            found[name] = value if name in _TEXTS and not unprinted else _integer(value)
        return found

    def _has_rest_of_another(self, named: Mapping[str, str], added: frozenset[str]) -> bool:
        """Return whether what is left of another line stands in this one, and what lay between them is gone.

        Its fields are then behind all of this event's; a probe may have more of them among its own. The beginning of a field's name
        may stand before the whole name of one of the other line.
        """
        own = self.values.keys() | {"page"}
        behind = list(named)[max((place for place, name in enumerate(named, 1) if name in own), default=0) :]
        return any(name in _FIELDS and name not in added for name in behind) or not _JOINED_NAMES.isdisjoint(
            named.keys() - own - added
        )


_PAGES: Final = re.compile(r"[0-9A-Za-z_()]+")  # a number or a hash, (null) or (____ptrval____)
_RAW: Final = re.compile(f"{_NUMBER}|{_SMALL}")


def _named(text: str) -> dict[str, str] | None:
    """Return the values of a text of ``name=value`` by name; null where it has anything else, or a name twice."""
    named: dict[str, str] = {}
    for token in _NULL_PAGE.sub("", text).split(" "):
        if not token:
            continue
        found = _TOKEN.fullmatch(token)
        if found is None or found[1] in named:
            return None
        named[found[1]] = found[2]
    return named


def _printed(head: str, **fields: str) -> _Printed:
    """Return what an event prints: *head*, and its *fields*, name to pattern."""
    values = {name: re.compile(value) for name, value in fields.items()}
    more = {probes.VMEMMAP_BASE: re.compile(_NUMBER)} if head == _PROBE else {}
    return _Printed(with_page=head == _PAGE, with_place=head == _PROBE, values=values, more=more)


_PRINTED: Final = {
    kmem_events.MM_PAGE_ALLOC: _printed(_PAGE, pfn=_NUMBER, order=_SMALL, migratetype=_SMALL, gfp_flags=_WORDS),
    **dict.fromkeys(
        (kmem_events.MM_PAGE_FREE, kmem_events.MM_PAGE_FREE_DIRECT, kmem_events.MM_PAGEVEC_FREE),
        _printed(_PAGE, pfn=_NUMBER, order=_SMALL),
    ),
    kmem_events.MM_PAGE_PCPU_DRAIN: _printed(_PAGE, pfn=_NUMBER, order=_SMALL, migratetype=_SMALL),
    kmem_events.MM_PAGE_ALLOC_ZONE_LOCKED: _printed(
        _PAGE, pfn=_NUMBER, order=_SMALL, migratetype=_SMALL, percpu_refill=_SMALL
    ),
    kmem_events.MM_PAGE_ALLOC_EXTFRAG: _printed(
        _PAGE, pfn=_NUMBER, alloc_order=_SMALL, fallback_order=_SMALL, pageblock_order=_SMALL, alloc_migratetype=_SMALL,
        fallback_migratetype=_SMALL, fragmenting=_SMALL, change_ownership=_SMALL,
    ),
    probes.COPY_OWNER.name: _printed(_PROBE, new=_NUMBER, old=_NUMBER),
    probes.MIGRATE_REASON.name: _printed(_PROBE, page=_NUMBER, reason=_SMALL),
    probes.SPLIT_OWNER.name: _printed(_PROBE, page=_NUMBER, nr=_NUMBER),
    probes.SPLIT_ORDERS.name: _printed(_PROBE, page=_NUMBER, old_order=_NUMBER, new_order=_NUMBER),
    probes.SPLIT_PAGE.name: _printed(_PROBE, page=_NUMBER, order=_NUMBER),
    probes.ISO_OWNER.name: _printed(_PROBE, page=_NUMBER, order=_NUMBER, gfp=_NUMBER),
    probes.CONTIG_RANGE.name: _printed(_PROBE, start=_NUMBER, end=_NUMBER, gfp=_NUMBER),
    probes.CONTIG_RANGE_RET.name: _printed(_PROBE, ret=_SMALL),
    probes.ONLINE_PAGES.name: _printed(_PROBE, pfn=_NUMBER, nr_pages=_NUMBER),
    probes.ONLINE_PAGES_RET.name: _printed(_PROBE, ret=_SMALL),
    probes.OFFLINE_PAGES.name: _printed(_PROBE, pfn=_NUMBER, nr_pages=_NUMBER),
    probes.OFFLINE_PAGES_RET.name: _printed(_PROBE, ret=_SMALL),
}  # fmt: skip

_FIELDS: Final = frozenset(name for printed in _PRINTED.values() for name in printed.values)
_JOINED_NAMES: Final = frozenset(
    name[:size] + whole
    for name in (*_FIELDS, "page")
    for size in range(1, len(name))
    for whole in ("pfn", "order", "migratetype", "gfp_flags", "percpu_refill", "nr_pages")
)
"""Beginnings of fields' names, each before the whole name of one: ``gmigratetype`` is what is left of two lines."""


FieldsOfEvents = Mapping[str, frozenset[str]]
NO_FIELDS: Final[frozenset[str]] = frozenset()
_ADDED_LINES: Final = 8
"""In so many lines of an event a field has to be to be one that a vendor added, and in three of four of them."""
_EVENT_LINE: Final = re.compile(rf"\b({'|'.join(map(re.escape, _PRINTED))}): ([^\n]*)")


def added_fields(head: bytes) -> FieldsOfEvents:
    """Return, by the names of events, fields that a text beginning with *head* has in nearly all of their lines, beside our own."""
    lines: Counter[str] = Counter()
    found: dict[str, Counter[str]] = {}
    for name, payload in _EVENT_LINE.findall(head.decode("latin-1")):
        lines[name] += 1
        names = {token[0] for token in _TOKEN.findall(payload)}
        found.setdefault(name, Counter()).update(names - _PRINTED[name].values.keys() - {"page"})
    return {
        name: frozenset(other for other, count in counts.items() if count >= max(_ADDED_LINES, 3 * lines[name] // 4))
        for name, counts in found.items()
    }


_COMPILED: Final = {
    kmem_events.MM_PAGE_ALLOC: ALLOC,
    kmem_events.MM_PAGE_FREE: FREE,
    kmem_events.MM_PAGE_FREE_DIRECT: FREE,
    kmem_events.MM_PAGEVEC_FREE: FREE,
    kmem_events.MM_PAGE_PCPU_DRAIN: DRAIN,
    kmem_events.MM_PAGE_ALLOC_ZONE_LOCKED: REFILL,
    "kernel_stack": KERNEL_STACK,  # kernel/trace/trace_entries.h (Linux 6.1); trace-cmd names the entries so
    "user_stack": USER_STACK,
    _MARKER: RARE,
}

# What a text in the ring is called: by trace-cmd (kernel/trace/trace_entries.h: print, bprint, bputs), and where the name of
# the function that wrote it has a suffix of the compiler, an offset or an address behind it (options sym-offset, sym-addr), or
# is not known.
_TEXT_ENTRIES: Final = ("print", "bprint", "bputs")
_SUFFIXES: Final = re.compile(
    r"(?:\.(?:llvm|isra|constprop|part|cold|lto_priv)(?:\.[0-9]+)?)*(?:\+0x[0-9a-f/x]+)?(?: <[0-9a-f]+>)?$"
)
_ADDRESS: Final = re.compile(r"0x[0-9a-f]{4,16}s?|(?=[a-f]*[0-9])(?:[0-9a-f]{8}|[0-9a-f]{16})")
_MODIFIERS: Final = re.compile(r"[ukhIGHpPSDWeb]+")  # tools/perf/util/parse-events.l (Linux 6.1), modifier_event
# trace-cmd pads the name to 21 columns, and prints the writer in front of the text
_MARKED: Final = re.compile(
    r"(?: {8,}(?:(?:0x[0-9a-f]{4,16}s?|[0-9a-f]{8,16}|\[?tracing_mark_write[^: ]*): )?| ?)(.*)", re.DOTALL
)


_SECONDS: Final = r"[0-9]\.(?:[0-9]{6}|[0-9]{9})"
_CPU_AND: Final = r"\[[0-9]{1,5}\] +(?:[^ 0-9][^ ]* +)?"
JOINED: Final = re.compile(f"(?:{_SECONDS}|{_CPU_AND}[0-9]{{1,18}}): ")
"""The time in the head of an event: behind the name of another one, it shows that two lines were joined.

An integer, of a clock that counts, shows it with the CPU before it.
"""
_JOINED_TO_TEXT: Final = re.compile(f"{_CPU_AND}(?:[0-9]{{0,9}}{_SECONDS}|[0-9]{{1,18}}): ")
"""The same behind a text that may hold anything: with the CPU, and with what lies between."""


def action_of(name: str, payload: str = "") -> int:
    """Return what the jit functions do with events *name* (without its group), the first of which prints *payload*.

    An event that is not known and may tell of pages is RARE: ``fields_of`` has no fields of it, so that each is a loss.
    """
    rare = name in _PRINTED or (name not in _COMPILED and may_tell_of_pages(name, payload))
    return _COMPILED.get(name, RARE if rare else IGNORE)


def has_page(name: str) -> bool:
    """Return whether the event *name* (without its group) prints the struct page and the pfn of one page."""
    return name in _PRINTED and _PRINTED[name].with_page


def is_no_measure(name: str, payload: str) -> bool:
    """Return whether an event that no reader knows by *name* prints nothing, or another line: it is no measure of its like."""
    return name not in _PRINTED and name not in _COMPILED and (not payload or JOINED.search(payload) is not None)


def bare_name(name: str) -> str:
    """Return the name of the tracepoint: without its group and modifiers, which perf prints; a marker's is one for all."""
    group, _, last = name.rpartition(":")
    if ":" in group and _MODIFIERS.fullmatch(last):
        group, _, last = group.rpartition(":")
    last = _SUFFIXES.sub("", last)
    return _MARKER if last in _TEXT_ENTRIES or _ADDRESS.fullmatch(last) else last


def fields_of(name: str, payload: str, added: frozenset[str] = NO_FIELDS) -> Fields | None:
    """Return the fields of the event *name* (without its group); null where *payload* is not what it prints.

    Parameters
    ----------
    payload
        The text behind ``name:``, its bytes decoded as Latin-1.
    added
        Fields of the event that a vendor added: see ``added_fields``.
    """
    if name == _MARKER:
        marked = _MARKED.fullmatch(payload)
        return None if marked is None or _JOINED_TO_TEXT.search(payload) else {"buf": _text(marked[1])}
    printed = _PRINTED.get(name)
    return None if printed is None or JOINED.search(payload) else printed.fields(payload, added)


_BLOCKS: Final = {
    kmem_events.MM_PAGE_ALLOC: ("migratetype", "gfp_flags"),
    kmem_events.MM_PAGE_FREE: (),
    kmem_events.MM_PAGE_PCPU_DRAIN: ("migratetype",),
    kmem_events.MM_PAGE_ALLOC_ZONE_LOCKED: ("migratetype", "percpu_refill"),
}
"""Events of one block, with the fields behind ``pfn`` and ``order`` that do not say which pages it has."""
_BLOCK: Final = re.compile(rf" *page=[!-~]+ pfn=({_NUMBER}) order=([0-9]{{1,2}})( .*)?")


def pages_named(name: str, payload: str) -> dict[str, int]:
    """Return which pages the event *name* concerns whose *payload* was not understood; empty where it does not say for sure.

    It does where the page and its order are whole, with more behind them, and all of that is the rest of this event's fields,
    in their order, the last maybe cut: anything else may be the rest of another line.
    """
    found = _BLOCK.fullmatch(payload) if name in _BLOCKS else None
    if found is None or found[3] is None or not _is_rest(found[3].split(" ")[1:], _BLOCKS[name]):
        return {}
    pfn, order = _integer(found[1]), int(found[2])
    return {"pfn": pfn, "order": order} if 0 < pfn < PFN_LIMIT and order < MAX_ORDER else {}


def _is_rest(tokens: list[str], fields: tuple[str, ...]) -> bool:
    """Return whether *tokens* are *fields*, each at most once and in this order, whatever their values; the last maybe cut."""
    if len(tokens) > len(fields):
        return False
    *whole, last = tokens
    pairs = zip(whole, fields, strict=False)
    if any(not token.startswith(f"{field}=") or token.count("=") > 1 for token, field in pairs):
        return False
    start = f"{fields[len(whole)]}="
    return last.count("=") <= 1 and (start.startswith(last) or last.startswith(start))


def _integer(text: str) -> int:
    return int(text, 16) if text.startswith("0x") else int(text)


def _text(latin: str) -> str:
    return latin.encode("latin-1").decode("utf-8", "backslashreplace")
