"""Split the text after an event's name into fields, one event at a time, in plain Python.

The jit functions take the common forms of the four commonest events; everything else comes here. Sources: the print formats
in include/trace/events/kmem.h (Linux 6.1), and those that kernel/trace/trace_kprobe.c makes for the probes.
"""

import re
from typing import Final

from pagetrail.producers.formats.text.names import may_tell_of_pages
from pagetrail.producers.formats.text.text_jit import ALLOC, DRAIN, FREE, IGNORE, RARE, REFILL
from pagetrail.producers.meaning import Fields
from pagetrail.schemas.linux import kmem_events, probes

_NUMBER: Final = r"0x[0-9a-f]{1,16}|[0-9]{1,20}"
_SMALL: Final = r"-?[0-9]{1,10}"
_WORDS: Final = r"[!-~]+"
_MORE: Final = r"(?: [A-Za-z_]\w*=[^ ]*)*\s*"  # fields that later kernels may have added
_PAGE: Final = r" +page= *[0-9A-Za-z_()]+"  # hashed by the kernel, and written in several ways
_PROBE: Final = r" +\([^()]*\)"


_MARKER: Final = "tracing_mark_write"


def _printed(head: str, **fields: str) -> re.Pattern[str]:
    """Return the pattern of an event that prints *head* and then its *fields*, name to pattern."""
    return re.compile(
        head + "".join(f" {name}=(?P<{name}>{value})" for name, value in fields.items()) + _MORE, re.ASCII
    )


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
    probes.SPLIT_OWNER.name: _printed(_PROBE, page=_NUMBER, nr=_NUMBER),
    probes.ISO_OWNER.name: _printed(_PROBE, page=_NUMBER, order=_NUMBER, gfp=_NUMBER),
    probes.ONLINE_PAGES.name: _printed(_PROBE, pfn=_NUMBER, nr_pages=_NUMBER),
    probes.ONLINE_PAGES_RET.name: _printed(_PROBE, ret=_SMALL),
    probes.OFFLINE_PAGES.name: _printed(_PROBE, pfn=_NUMBER, nr_pages=_NUMBER),
    probes.OFFLINE_PAGES_RET.name: _printed(_PROBE, ret=_SMALL),
    _MARKER: re.compile(" ?(?P<buf>.*)", re.DOTALL),
}  # fmt: skip

_TEXTS: Final = ("gfp_flags", "buf")
"""Fields that are no numbers."""

_COMPILED: Final = {
    kmem_events.MM_PAGE_ALLOC: ALLOC,
    kmem_events.MM_PAGE_FREE: FREE,
    kmem_events.MM_PAGE_FREE_DIRECT: FREE,
    kmem_events.MM_PAGEVEC_FREE: FREE,
    kmem_events.MM_PAGE_PCPU_DRAIN: DRAIN,
    kmem_events.MM_PAGE_ALLOC_ZONE_LOCKED: REFILL,
}


_TIME: Final = r"[0-9]\.(?:[0-9]{6}|[0-9]{9}): "
JOINED: Final = re.compile(_TIME)
"""The time in the head of an event: behind the name of another one, it shows that two lines were joined."""
_JOINED_TO_TEXT: Final = re.compile(r"\[[0-9]{1,5}\] +(?:[^ 0-9][^ ]* +)?[0-9]{0,9}" + _TIME)
"""The same behind a text that may hold anything: with the CPU, and with what lies between."""


def action_of(name: str, payload: str = "") -> int:
    """Return what the jit functions do with events *name* (without its group), the first of which prints *payload*.

    An event that is not known and may tell of pages is RARE: ``fields_of`` has no fields of it, so that each is a loss.
    """
    rare = name in _PRINTED or may_tell_of_pages(name, payload)
    return _COMPILED.get(name, RARE if rare else IGNORE)


def bare_name(name: str) -> str:
    """Return *name* without its group, which perf prints before it."""
    return name.rpartition(":")[2]


def fields_of(name: str, payload: str) -> Fields | None:
    """Return the fields of the event *name* (without its group); null where *payload* is not what it prints.

    Parameters
    ----------
    payload
        The text behind ``name:``, its bytes decoded as Latin-1.
    """
    printed = _PRINTED.get(name)
    joined = JOINED if name != _MARKER else _JOINED_TO_TEXT
    found = printed.fullmatch(payload) if printed and not joined.search(payload) else None
    if found is None:
        return None
    return {field: _text(value) if field in _TEXTS else _integer(value) for field, value in found.groupdict().items()}


def _integer(text: str) -> int:
    return int(text, 16) if text.startswith("0x") else int(text)


def _text(latin: str) -> str:
    return latin.encode("latin-1").decode("utf-8", "backslashreplace")
