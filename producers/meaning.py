"""What tracepoints mean: the name and the fields of an event in, a row out. It is the same for every capture format.

A reader of one format takes an event apart into fields with the names that the format of the tracepoint or of the probe
gives them, and asks ``Meaning``. Source of the fields: include/trace/events/kmem.h (Linux 6.1), and for the probes the
arguments of functions in mm/page_owner.c and mm/memory_hotplug.c.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from pagetrail.schemas.columns import Kind, absent
from pagetrail.schemas.details import ContigRange, Extfrag, Hotplug, Marker
from pagetrail.schemas.errors import BadArgument
from pagetrail.schemas.linux import kmem_events, probes
from pagetrail.schemas.linux.gfp import parse_gfp
from pagetrail.schemas.linux.mmzone import MAX_FOLIO_ORDER, PFN_LIMIT
from pagetrail.schemas.linux.releases import Either, GfpReading, gfp_of, rules_of
from pagetrail.schemas.linux.vmemmap import KASLR_STEP_BYTES, STRUCT_PAGE_BYTES, VMEMMAP_BYTES, VMEMMAP_LOWEST

Fields = Mapping[str, int | str]
"""An event's fields by name: numbers, and texts where the format has no number."""

_KASLR_STEP: Final = KASLR_STEP_BYTES // STRUCT_PAGE_BYTES

_NO_PAGE: Final = (0, -1, (1 << 64) - 1)
"""The pfn of a failed allocation: it is -1, and the kernel prints 0 for it."""


class NamesAddresses(Protocol):
    """The symbols of one boot of a kernel; or of a kernel as it was *linked*: then where that boot had it has to be said."""

    @property
    def linked(self) -> bool:
        """Whether they are where the kernel was linked."""
        ...

    @property
    def build_id(self) -> bytes:
        """Of the kernel; empty: it is not known."""
        ...

    def name(self, address: int) -> str | None:
        """Return the function and offset of an address; null: there is none."""
        ...

    def address(self, name: str) -> int | None:
        """Return where the kernel's first symbol is, by its *name*, or the end of its code, ``_etext``; null: it is not known."""
        ...

    def placed(self, name: str, address: int) -> bool:
        """Take that the kernel's first symbol *name* is at *address*; return whether these can be the symbols of that boot."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedKernel:
    """What a reader must know of the kernel that was recorded.

    Attributes
    ----------
    gfp_flags
        Names that it prints for gfp flags, to their bits; empty where the recording has no table: then those of *release* count.
    gfp_from
        What gave *gfp_flags*.
    vmemmap_base
        Address of the struct page of pfn 0; null where it was not given.
    release
        Its ``uname -r``; null where it was not recorded.
    symbols
        Its symbols; null where they were not given.
    """

    gfp_flags: Mapping[str, int] = field(default_factory=dict)
    gfp_from: str = "format file"
    vmemmap_base: int | None = None
    release: str | None = None
    symbols: NamesAddresses | None = None

    @property
    def gfp(self) -> GfpReading:
        """What gives the names of gfp flags their bits."""
        if self.gfp_flags:
            return GfpReading(flags=self.gfp_flags, read_for=self.gfp_from, known=True)
        return gfp_of(self.release)

    def unread_gfp(self) -> str | None:
        """Return what to tell the user if whose names of gfp flags the recording has is not known."""
        if self.gfp.known:
            return None
        if self.gfp.twice:
            return (
                f"symbolic gfp masks are read as {self.gfp.read_for} prints them, and it prints two masks as {self.gfp.twice}: "
                "they are not certain; ingest --gfp-table FILE says which is meant"
            )
        what = f"of release {self.release}, which was not read" if self.release else "of a release that it does not say"
        return (
            f"symbolic gfp masks are read as {self.gfp.read_for} prints them, and the recording is {what}: they are not certain "
            "where releases differ; give ingest --kernel-release RELEASE, or --gfp-table FILE"
        )


UNKNOWN_KERNEL: Final = RecordedKernel()


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One event as a row: its kind, columns by name, and the JSON of its detail."""

    kind: Kind
    columns: Mapping[str, int]
    detail: str | None = None
    unknown_gfp: str | None = None
    """Why ``gfp_mask`` is absent although the event had one."""


@dataclass(frozen=True, slots=True)
class FailedAlloc:
    """An allocation that got no page."""


@dataclass(frozen=True, slots=True)
class NothingNew:
    """An event that repeats what another one says."""


@dataclass(frozen=True, slots=True)
class Refused:
    """No kernel writes such fields; the reason, if there is more to say."""

    reason: str = ""


Outcome = Row | FailedAlloc | NothingNew | Refused


class _Bad(Exception):
    """A field that no kernel writes so."""

    def __init__(self, reason: str = "") -> None:
        super().__init__(reason)
        self.reason = reason


class Meaning:
    """Turns events into rows; remembers the hotplug calls that have not returned.

    Parameters
    ----------
    highest_pfn
        Returns the highest pfn that events have named so far. A pfn that is deduced from a pointer is compared with it.
    """

    def __init__(self, kernel: RecordedKernel, highest_pfn: Callable[[], int]) -> None:
        self._gfp_flags, self._rules = kernel.gfp.flags, rules_of(kernel.release)
        self._vmemmap_base, self._highest_pfn = kernel.vmemmap_base, highest_pfn
        self._open_calls: dict[int, tuple[str, int, int]] = {}
        self._pid = absent("pid")

    def outcome(self, name: str, fields: Fields, *, pid: int) -> Outcome:
        """Return what the event *name*, one of ``EVENTS``, of thread *pid* means."""
        self._pid = pid
        try:
            return _MEANINGS[name](self, fields)
        except _Bad as bad:
            return Refused(bad.reason)

    def is_plain(self, name: str) -> bool:
        """Return whether the fields of an event *name* alone say what it means, as the recorded kernel is known to write it so."""
        new_order = self._rules.split_has_new_order
        if name == probes.SPLIT_OWNER.name:
            return new_order == Either.NO
        if name == probes.SPLIT_ORDERS.name:
            return new_order == Either.YES
        return name != probes.SPLIT_PAGE.name or self._has_split_page()

    def gfp_mask(self, text: str) -> int:
        """Return the mask that *text* names in the words of the recorded kernel.

        Raises
        ------
        BadArgument
            A part of it is no such word.
        """
        return parse_gfp(text, self._gfp_flags)

    def _alloc(self, fields: Fields) -> Outcome:
        columns = {"order": _order(fields), "migratetype": _migratetype(fields)}
        if _number(fields, "pfn") in _NO_PAGE:
            return FailedAlloc()
        columns["pfn"] = _below_limit(fields, "pfn")
        gfp_flags = fields.get("gfp_flags")
        if not isinstance(gfp_flags, str):
            return Row(kind=Kind.ALLOC, columns=columns | {"gfp_mask": _below_limit(fields, "gfp_flags")})
        try:
            columns["gfp_mask"] = self.gfp_mask(gfp_flags)
        except BadArgument as error:
            return Row(kind=Kind.ALLOC, columns=columns, unknown_gfp=str(error))
        return Row(kind=Kind.ALLOC, columns=columns)

    def _free(self, fields: Fields) -> Outcome:
        return Row(kind=Kind.FREE, columns={"pfn": _below_limit(fields, "pfn"), "order": _order(fields)})

    def _drain(self, fields: Fields) -> Outcome:
        return Row(kind=Kind.DRAIN, columns=_block(fields))

    def _refill(self, fields: Fields) -> Outcome:
        """A block leaves the free lists, for a per-cpu list or for an allocation, which has an mm_page_alloc of its own.

        Source: mm/page_alloc.c, __rmqueue_smallest (Linux 6.1).
        """
        columns = _block(fields)
        to_pcp = _number(fields, "percpu_refill")
        if to_pcp not in (0, 1):
            raise _Bad
        return Row(kind=Kind.REFILL, columns=columns) if to_pcp else NothingNew()

    def _extfrag(self, fields: Fields) -> Outcome:
        columns = {
            "pfn": _below_limit(fields, "pfn"),
            "order": _order(fields, "alloc_order"),
            "migratetype": _migratetype(fields, "alloc_migratetype"),
            "block_migratetype": _migratetype(fields, "fallback_migratetype"),
        }
        detail = Extfrag.model_validate(
            {name: _number(fields, name) for name in Extfrag.model_fields if name in fields}
        )
        return Row(kind=Kind.EXTFRAG, columns=columns, detail=detail.model_dump_json())

    def _copy_owner(self, fields: Fields) -> Outcome:
        columns = {"pfn": self._page_to_pfn(fields, "new"), "src_pfn": self._page_to_pfn(fields, "old")}
        return Row(kind=Kind.MIGRATE, columns=columns)

    def _migrate_reason(self, fields: Fields) -> Outcome:
        """A page that was migrated to is told why: an event of this page alone, as the copy of its owner was one before.

        Source: mm/page_owner.c, __set_page_owner_migrate_reason (Linux 6.1).
        """
        pfn, reason = self._page_to_pfn(fields, "page"), _within(fields, "reason", 0, 128)
        return Row(kind=Kind.MIGRATE, columns={"pfn": pfn, "src_pfn": pfn, "migrate_reason": reason})

    def _split_owner(self, fields: Fields) -> Outcome:
        pfn, nr_pages, new_order = (
            self._page_to_pfn(fields, "page"),
            _below_limit(fields, "nr"),
            self._rules.split_has_new_order,
        )
        if new_order == Either.YES or (new_order == Either.UNKNOWN and nr_pages <= MAX_FOLIO_ORDER):
            raise _Bad(
                f"nr={nr_pages} is an order in {self._rules.name}: set the probe {probes.SPLIT_ORDERS.event} instead"
            )
        return Row(kind=Kind.SPLIT, columns={"pfn": pfn, "nr_pages": nr_pages, "order": 0})

    def _split_orders(self, fields: Fields) -> Outcome:
        """A block of an old order becomes blocks of a new one.

        Source: mm/page_owner.c, __split_page_owner (Linux 6.12, 7.2).
        """
        old, new = _within(fields, "old_order", 0, MAX_FOLIO_ORDER + 1), _order(fields, "new_order")
        if new > old or self._rules.split_has_new_order != Either.YES:
            raise _Bad(f"{self._rules.name} has no split from order {old} to order {new}")
        columns = {"pfn": self._page_to_pfn(fields, "page"), "nr_pages": 1 << old, "order": new, "old_order": old}
        return Row(kind=Kind.SPLIT, columns=columns)

    def _split_page(self, fields: Fields) -> Outcome:
        """A block that is no folio becomes single pages.

        Source: mm/page_alloc.c, __split_page (Linux 7.2). Before, the function has other arguments.
        """
        old = _within(fields, "order", 0, MAX_FOLIO_ORDER + 1)
        if not self._has_split_page():
            raise _Bad(f"{self._rules.name} has no {probes.SPLIT_PAGE.function} of one order")
        columns = {"pfn": self._page_to_pfn(fields, "page"), "nr_pages": 1 << old, "order": 0, "old_order": old}
        return Row(kind=Kind.SPLIT, columns=columns)

    def _has_split_page(self) -> bool:
        releases = (self._rules.release, *self._rules.others)
        return all(probes.SPLIT_PAGE in probes.PROBES_WITHOUT_PAGE_OWNER[release] for release in releases)

    def _contig_range(self, fields: Fields) -> Outcome:
        start, end = _below_limit(fields, "start"), _below_limit(fields, "end")
        if start >= end:
            raise _Bad
        columns = {"pfn": start, "nr_pages": end - start, "gfp_mask": _below_limit(fields, "gfp")}
        return Row(kind=Kind.CONTIG_RANGE, columns=columns, detail=_contig_range("entry"))

    def _contig_range_ret(self, fields: Fields) -> Outcome:
        return Row(kind=Kind.CONTIG_RANGE, columns={"ret": _s32(fields, "ret")}, detail=_contig_range("return"))

    def _iso_owner(self, fields: Fields) -> Outcome:
        columns = {"pfn": self._page_to_pfn(fields, "page"), "order": _order(fields)}
        return Row(kind=Kind.ISOLATE, columns=columns | {"gfp_mask": _below_limit(fields, "gfp")})

    def _entry(self, call: str, fields: Fields) -> Outcome:
        pfn, nr_pages = _below_limit(fields, "pfn"), _below_limit(fields, "nr_pages")
        self._open_calls[self._pid] = (call, pfn, nr_pages)
        return Row(kind=Kind.HOTPLUG, columns={"pfn": pfn, "nr_pages": nr_pages}, detail=_hotplug(call, "entry"))

    def _return(self, call: str, fields: Fields) -> Outcome:
        columns = {"ret": _s32(fields, "ret")}
        opened = self._open_calls.pop(self._pid, None)
        if opened is not None and opened[0] == call:
            columns |= {"pfn": opened[1], "nr_pages": opened[2]}
        return Row(kind=Kind.HOTPLUG, columns=columns, detail=_hotplug(call, "return"))

    def _marker(self, fields: Fields) -> Outcome:
        text = fields.get("buf")
        if not isinstance(text, str):
            raise _Bad("the event has no text buf")
        return Row(kind=Kind.MARKER, columns={}, detail=Marker(text=text).model_dump_json())

    def _page_to_pfn(self, fields: Fields, name: str) -> int:
        """Return the pfn of the struct page whose address is in the field *name*.

        Source: include/asm-generic/memory_model.h (Linux 6.1), __page_to_pfn with SPARSEMEM_VMEMMAP.
        """
        pointer = _number(fields, name)
        shown, base = f"struct page {pointer:#x}", _own_base(fields, self._vmemmap_base)
        told = base is not None
        if base is None:
            base = next((known for known, size in VMEMMAP_BYTES.items() if known <= pointer < known + size), None)
        if base is None:
            raise _Bad(f"no pfn for {shown}: the vmemmap base is not one of a kernel without KASLR; give it")
        pfn, rest = divmod(pointer - base, STRUCT_PAGE_BYTES)
        if rest or not 0 <= pfn < PFN_LIMIT:
            raise _Bad(f"no pfn for {shown}: it is no multiple of {STRUCT_PAGE_BYTES} above {base:#x}")
        if not told and pfn > 2 * self._highest_pfn() + _KASLR_STEP:
            raise _Bad(f"no pfn for {shown}: from {base:#x} it would lie far beyond all pages named; give the base")
        return pfn


def _own_base(fields: Fields, given: int | None) -> int | None:
    """Return the base of the vmemmap that an event records; *given* if it records none."""
    if probes.VMEMMAP_BASE not in fields:
        return given
    base = _number(fields, probes.VMEMMAP_BASE)
    if base < VMEMMAP_LOWEST or base % KASLR_STEP_BYTES:
        raise _Bad(
            f"no base of struct pages is at {base:#x}: it is a multiple of {KASLR_STEP_BYTES:#x} from {VMEMMAP_LOWEST:#x} on"
        )
    return base


def _number(fields: Fields, name: str) -> int:
    value = fields.get(name)
    if not isinstance(value, int):
        raise _Bad(f"the event has no number {name}")
    return value


def _within(fields: Fields, name: str, low: int, stop: int) -> int:
    value = _number(fields, name)
    if not low <= value < stop:
        raise _Bad
    return value


def _below_limit(fields: Fields, name: str) -> int:
    return _within(fields, name, 0, PFN_LIMIT)


def _order(fields: Fields, name: str = "order") -> int:
    return _within(fields, name, 0, 64)


def _migratetype(fields: Fields, name: str = "migratetype") -> int:
    return _within(fields, name, -1, 128)


def _s32(fields: Fields, name: str) -> int:
    value = _within(fields, name, 1 - (1 << 31), 1 << 32)
    return value - (1 << 32) if value >= 1 << 31 else value


def _block(fields: Fields) -> dict[str, int]:
    return {
        "pfn": _below_limit(fields, "pfn"),
        "order": _order(fields),
        "migratetype": _migratetype(fields),
    }


def _contig_range(phase: str) -> str:
    return ContigRange.model_validate(
        {"call": "alloc_contig_range", "phase": phase, "source": "kprobe"}
    ).model_dump_json()


def _hotplug(call: str, phase: str) -> str:
    return Hotplug.model_validate({"call": call, "phase": phase, "source": "kprobe"}).model_dump_json()


_MEANINGS: Final[dict[str, Callable[[Meaning, Fields], Outcome]]] = {
    kmem_events.MM_PAGE_ALLOC: Meaning._alloc,
    kmem_events.MM_PAGE_FREE: Meaning._free,
    kmem_events.MM_PAGE_FREE_DIRECT: Meaning._free,
    kmem_events.MM_PAGEVEC_FREE: Meaning._free,
    kmem_events.MM_PAGE_PCPU_DRAIN: Meaning._drain,
    kmem_events.MM_PAGE_ALLOC_ZONE_LOCKED: Meaning._refill,
    kmem_events.MM_PAGE_ALLOC_EXTFRAG: Meaning._extfrag,
    probes.COPY_OWNER.name: Meaning._copy_owner,
    probes.MIGRATE_REASON.name: Meaning._migrate_reason,
    probes.SPLIT_OWNER.name: Meaning._split_owner,
    probes.SPLIT_ORDERS.name: Meaning._split_orders,
    probes.ISO_OWNER.name: Meaning._iso_owner,
    probes.SPLIT_PAGE.name: Meaning._split_page,
    probes.CONTIG_RANGE.name: Meaning._contig_range,
    probes.CONTIG_RANGE_RET.name: Meaning._contig_range_ret,
    probes.ONLINE_PAGES.name: lambda meaning, fields: meaning._entry("online_pages", fields),
    probes.ONLINE_PAGES_RET.name: lambda meaning, fields: meaning._return("online_pages", fields),
    probes.OFFLINE_PAGES.name: lambda meaning, fields: meaning._entry("offline_pages", fields),
    probes.OFFLINE_PAGES_RET.name: lambda meaning, fields: meaning._return("offline_pages", fields),
    "tracing_mark_write": Meaning._marker,
}

EVENTS: Final = frozenset(_MEANINGS)
"""Names, without their group, of the tracepoints and probes that say something about ownership. Others are ignored."""
