"""The general path of the text parsers: what stands behind an event's name, one event at a time, in plain Python.

The kernels take the common forms of the three commonest events; everything else comes here. Sources: the print formats
in include/trace/events/kmem.h (Linux 6.1), and those that kernel/trace/trace_kprobe.c makes for the probes.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from pagetrail.producers.formats.text.text_jit import ALLOC, DRAIN, FREE, IGNORE, RARE, REFILL
from pagetrail.schemas.columns import Kind
from pagetrail.schemas.details import Hotplug, Marker
from pagetrail.schemas.errors import BadArgument
from pagetrail.schemas.linux import kmem_events, probes
from pagetrail.schemas.linux.gfp import parse_gfp
from pagetrail.schemas.linux.mmzone import PFN_LIMIT
from pagetrail.schemas.linux.vmemmap import KASLR_STEP_BYTES, STRUCT_PAGE_BYTES, VMEMMAP_BYTES

_NUMBER: Final = r"(0x[0-9a-f]{1,16}|[0-9]{1,20})"
_SMALL: Final = r"(-?[0-9]{1,10})"
_MORE: Final = r"(?: [A-Za-z_]\w*=[^ ]*)*\s*"  # fields that later kernels may have added
_PAGE: Final = rf" +page= *[^ ]+ pfn={_NUMBER}"


def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text + _MORE, re.ASCII)


_ALLOC: Final = _pattern(rf"{_PAGE} order={_SMALL} migratetype={_SMALL} gfp_flags=([!-~]+)")
_FREE: Final = _pattern(rf"{_PAGE} order={_SMALL}")
_DRAIN: Final = _pattern(rf"{_PAGE} order={_SMALL} migratetype={_SMALL}")
_REFILL: Final = _pattern(rf"{_PAGE} order={_SMALL} migratetype={_SMALL} percpu_refill={_SMALL}")
_EXTFRAG: Final = _pattern(
    rf"{_PAGE} alloc_order={_SMALL} fallback_order={_SMALL} pageblock_order={_SMALL} alloc_migratetype={_SMALL} "
    rf"fallback_migratetype={_SMALL} fragmenting={_SMALL} change_ownership={_SMALL}"
)
_PROBE: Final = r" +\([^()]*\)"
_COPY_OWNER: Final = _pattern(rf"{_PROBE} new={_NUMBER} old={_NUMBER}")
_SPLIT_OWNER: Final = _pattern(rf"{_PROBE} page={_NUMBER} nr={_NUMBER}")
_ISO_OWNER: Final = _pattern(rf"{_PROBE} page={_NUMBER} order={_NUMBER} gfp={_NUMBER}")
_HOTPLUG: Final = _pattern(rf"{_PROBE} pfn={_NUMBER} nr_pages={_NUMBER}")
_HOTPLUG_RET: Final = _pattern(rf"{_PROBE} ret={_SMALL}")


@dataclass(frozen=True, slots=True)
class Event:
    """One event as a row: its kind, columns by name, and the JSON of its detail."""

    kind: Kind
    columns: Mapping[str, int]
    detail: str | None = None
    unknown_gfp: str | None = None
    """Why ``gfp_mask`` is absent although the line had one."""


@dataclass(frozen=True, slots=True)
class FailedAlloc:
    """An allocation that got no page."""


@dataclass(frozen=True, slots=True)
class NothingNew:
    """What another event says too."""


@dataclass(frozen=True, slots=True)
class Refused:
    """What stands there is not what the event prints; the reason, if there is more to say."""

    reason: str = ""


Outcome = Event | FailedAlloc | NothingNew | Refused


class _Bad(Exception):
    """A field that no kernel prints so."""

    def __init__(self, reason: str = "") -> None:
        super().__init__(reason)
        self.reason = reason


def _integer(text: str) -> int:
    return int(text, 16) if text.startswith("0x") else int(text)


def _pfn(text: str) -> int:
    value = _integer(text)
    if value >= PFN_LIMIT:
        raise _Bad
    return value


def _order(text: str) -> int:
    value = _integer(text)
    if not 0 <= value < 64:
        raise _Bad
    return value


def _migratetype(text: str) -> int:
    value = int(text)
    if not -1 <= value <= 127:
        raise _Bad
    return value


def _count(text: str) -> int:
    value = _integer(text)
    if not 0 <= value < PFN_LIMIT:
        raise _Bad
    return value


def _s32(text: str) -> int:
    value = int(text)
    if not -(1 << 31) < value < 1 << 32:
        raise _Bad
    return value - (1 << 32) if value >= 1 << 31 else value


def action_of(name: str) -> int:
    """Return what the kernels do with events named *name* (perf says ``group:name``)."""
    return _ACTIONS.get(name.rpartition(":")[2], IGNORE)


@dataclass(slots=True)
class EventReader:
    """Reads what stands behind the names; remembers the hotplug calls that have not returned."""

    gfp_flags: Mapping[str, int]
    vmemmap_base: int | None
    highest_pfn: Callable[[], int]
    """The highest pfn that events have named so far: what deduced ones are held against."""
    _open_calls: dict[int, tuple[str, int, int]] = field(default_factory=dict)
    _pid: int = 0

    def read(self, name: str, payload: str, pid: int) -> Outcome:
        """Return what the event *name* of thread *pid* says; *payload* is the text behind ``name:``."""
        self._pid = pid
        try:
            return _READERS[name.rpartition(":")[2]](self, payload)
        except _Bad as bad:
            return Refused(bad.reason)

    def _alloc(self, payload: str) -> Outcome:
        pfn, order, migratetype, gfp_text = _match(_ALLOC, payload)
        columns = {"order": _order(order), "migratetype": _migratetype(migratetype)}
        # A failed allocation has no page: the kernel prints 0 for its -1.
        if _integer(pfn) in (0, (1 << 64) - 1):
            return FailedAlloc()
        columns["pfn"] = _pfn(pfn)
        try:
            columns["gfp_mask"] = parse_gfp(gfp_text, self.gfp_flags)
        except BadArgument as error:
            return Event(Kind.ALLOC, columns, unknown_gfp=str(error))
        return Event(Kind.ALLOC, columns)

    def _free(self, payload: str) -> Outcome:
        pfn, order = _match(_FREE, payload)
        return Event(Kind.FREE, {"pfn": _pfn(pfn), "order": _order(order)})

    def _drain(self, payload: str) -> Outcome:
        pfn, order, migratetype = _match(_DRAIN, payload)
        columns = {"pfn": _pfn(pfn), "order": _order(order), "migratetype": _migratetype(migratetype)}
        return Event(Kind.DRAIN, columns)

    def _refill(self, payload: str) -> Outcome:
        """A block off the free lists, for a per-cpu list; or else for an allocation, of which mm_page_alloc tells.

        Source: mm/page_alloc.c, __rmqueue_smallest (Linux 6.1).
        """
        pfn, order, migratetype, to_pcp = _match(_REFILL, payload)
        columns = {"pfn": _pfn(pfn), "order": _order(order), "migratetype": _migratetype(migratetype)}
        if _integer(to_pcp) not in (0, 1):
            raise _Bad
        return Event(Kind.REFILL, columns) if _integer(to_pcp) else NothingNew()

    def _extfrag(self, payload: str) -> Outcome:
        pfn, alloc_order, fallback_order, pageblock_order, alloc_type, fallback_type, fragmenting, owner = _match(
            _EXTFRAG, payload
        )
        columns = {
            "pfn": _pfn(pfn),
            "order": _order(alloc_order),
            "migratetype": _migratetype(alloc_type),
            "block_migratetype": _migratetype(fallback_type),
        }
        rest = {
            "fallback_order": int(fallback_order),
            "pageblock_order": int(pageblock_order),
            "fragmenting": int(fragmenting),
            "change_ownership": int(owner),
        }
        return Event(Kind.EXTFRAG, columns, detail=json.dumps(rest, separators=(",", ":")))

    def _copy_owner(self, payload: str) -> Outcome:
        new, old = _match(_COPY_OWNER, payload)
        return Event(Kind.MIGRATE, {"pfn": self._page_to_pfn(new), "src_pfn": self._page_to_pfn(old)})

    def _split_owner(self, payload: str) -> Outcome:
        page, nr = _match(_SPLIT_OWNER, payload)
        return Event(Kind.SPLIT, {"pfn": self._page_to_pfn(page), "nr_pages": _count(nr), "order": 0})

    def _iso_owner(self, payload: str) -> Outcome:
        page, order, gfp = _match(_ISO_OWNER, payload)
        columns = {"pfn": self._page_to_pfn(page), "order": _order(order), "gfp_mask": _count(gfp)}
        return Event(Kind.ISOLATE, columns)

    def _online(self, payload: str) -> Outcome:
        return self._entry("online_pages", payload)

    def _offline(self, payload: str) -> Outcome:
        return self._entry("offline_pages", payload)

    def _entry(self, call: str, payload: str) -> Outcome:
        pfn_text, nr = _match(_HOTPLUG, payload)
        pfn, nr_pages = _pfn(pfn_text), _count(nr)
        self._open_calls[self._pid] = (call, pfn, nr_pages)
        return Event(Kind.HOTPLUG, {"pfn": pfn, "nr_pages": nr_pages}, detail=_hotplug(call, "entry"))

    def _online_ret(self, payload: str) -> Outcome:
        return self._return("online_pages", payload)

    def _offline_ret(self, payload: str) -> Outcome:
        return self._return("offline_pages", payload)

    def _return(self, call: str, payload: str) -> Outcome:
        (text,) = _match(_HOTPLUG_RET, payload)
        columns = {"ret": _s32(text)}
        opened = self._open_calls.pop(self._pid, None)
        if opened is not None and opened[0] == call:
            columns |= {"pfn": opened[1], "nr_pages": opened[2]}
        return Event(Kind.HOTPLUG, columns, detail=_hotplug(call, "return"))

    def _marker(self, payload: str) -> Outcome:
        text = payload.encode("latin-1").decode("utf-8", "backslashreplace")
        return Event(Kind.MARKER, {}, detail=Marker(text=text.removeprefix(" ")).model_dump_json())

    def _page_to_pfn(self, text: str) -> int:
        """Return the pfn of the struct page at the address *text*.

        Source: include/asm-generic/memory_model.h (Linux 6.1), __page_to_pfn with SPARSEMEM_VMEMMAP.
        """
        pointer = _integer(text)
        base = self.vmemmap_base
        if base is None:
            for known, size in VMEMMAP_BYTES.items():
                if known <= pointer < known + size:
                    base = known
        if base is None:
            raise _Bad(f"no pfn for struct page {text}: the vmemmap base is not one of a kernel without KASLR; give it")
        pfn, rest = divmod(pointer - base, STRUCT_PAGE_BYTES)
        if rest or not 0 <= pfn < PFN_LIMIT:
            raise _Bad(f"no pfn for struct page {text}: it is no multiple of {STRUCT_PAGE_BYTES} above {base:#x}")
        if self.vmemmap_base is None and pfn > 2 * self.highest_pfn() + KASLR_STEP_BYTES // STRUCT_PAGE_BYTES:
            raise _Bad(
                f"no pfn for struct page {text}: from {base:#x} it would lie far beyond all pages named; give the base"
            )
        return pfn


def _match(pattern: re.Pattern[str], payload: str) -> tuple[str, ...]:
    found = pattern.fullmatch(payload)
    if found is None:
        raise _Bad
    return found.groups()


def _hotplug(call: str, phase: str) -> str:
    return Hotplug.model_validate({"call": call, "phase": phase, "source": "kprobe"}).model_dump_json()


_READERS: Final[dict[str, Callable[[EventReader, str], Outcome]]] = {
    kmem_events.MM_PAGE_ALLOC: EventReader._alloc,
    kmem_events.MM_PAGE_FREE: EventReader._free,
    kmem_events.MM_PAGE_PCPU_DRAIN: EventReader._drain,
    kmem_events.MM_PAGE_ALLOC_ZONE_LOCKED: EventReader._refill,
    kmem_events.MM_PAGE_ALLOC_EXTFRAG: EventReader._extfrag,
    probes.COPY_OWNER.name: EventReader._copy_owner,
    probes.SPLIT_OWNER.name: EventReader._split_owner,
    probes.ISO_OWNER.name: EventReader._iso_owner,
    probes.ONLINE_PAGES.name: EventReader._online,
    probes.ONLINE_PAGES_RET.name: EventReader._online_ret,
    probes.OFFLINE_PAGES.name: EventReader._offline,
    probes.OFFLINE_PAGES_RET.name: EventReader._offline_ret,
    "tracing_mark_write": EventReader._marker,
}

_ACTIONS: Final = dict.fromkeys(_READERS, RARE) | {
    kmem_events.MM_PAGE_ALLOC: ALLOC,
    kmem_events.MM_PAGE_FREE: FREE,
    kmem_events.MM_PAGE_PCPU_DRAIN: DRAIN,
    kmem_events.MM_PAGE_ALLOC_ZONE_LOCKED: REFILL,
}
