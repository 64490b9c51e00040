"""Sections and their extensions, page by page: which blocks can be, which memory is there, what comes and goes."""

from typing import TYPE_CHECKING

from pagetrail.schemas.columns import Kind
from pagetrail.schemas.owner import Anomaly, How
from tests.oracles.fold.recording import covered
from tests.oracles.fold.values import FLAGS, Event

if TYPE_CHECKING:
    from tests.oracles.fold.oracle import Reference


def has_node(oracle: "Reference", pfn: int) -> bool:
    """Whether there can be such a page: a FLATMEM kernel has no memory but its nodes'."""
    return not oracle.flatmem or pfn // oracle.pages_per_section in oracle.open


def names_range(kind: Kind, event: Event) -> bool:
    return kind == Kind.SPLIT or (kind in FLAGS and event.get("order") is None)


def impossible(oracle: "Reference", kind: Kind, event: Event) -> Anomaly | None:
    """Say why the blocks of an event cannot be, if so."""
    section, beyond = oracle.pages_per_section, oracle.beyond
    pfns = [event.get("pfn")]
    order = event.get("order")
    if kind == Kind.MIGRATE:
        pfns, order = [event.get("pfn"), event.get("src_pfn")], 0
    elif kind in FLAGS and order is None:
        order = 0
    if order is None or order < 0 or 2**order > section:
        return Anomaly.BAD_ORDER
    nr = event.get("nr_pages", 0) if names_range(kind, event) else 2**order
    if nr < 1 or nr > section:
        return Anomaly.BAD_ORDER
    for pfn in pfns:
        if pfn is None or pfn < 0 or pfn + nr > beyond:
            return Anomaly.BEYOND_MACHINE
        if nr.bit_count() == 1 and pfn % nr:
            return Anomaly.UNALIGNED
        if pfn // section != (pfn + nr - 1) // section:
            return Anomaly.UNALIGNED
    return None


def is_gone(oracle: "Reference", section_nr: int) -> bool:
    """Whether it was seen to go, and would have been seen to come back."""
    went = oracle.went.get(section_nr)
    if section_nr in oracle.open or went is None:
        return False
    if not covered(oracle, "hotplug") or oracle.covered_since["hotplug"] > went:
        return False
    return not any(end >= went for end in oracle.gap_ends)


def open_section_of(oracle: "Reference", pfn: int) -> None:
    """Open the section of a page that something happened to."""
    section_nr = pfn // oracle.pages_per_section
    if section_nr not in oracle.open:
        online(oracle, section_nr)
        oracle.note(Anomaly.SECTION_OPENED, oracle.pages_per_section)


def online(oracle: "Reference", section_nr: int) -> None:
    oracle.open.add(section_nr)
    for page in range(section_nr * oracle.pages_per_section, (section_nr + 1) * oracle.pages_per_section):
        oracle.doubted.pop(page, None)
    oracle.generation[section_nr] = oracle.generation.get(section_nr, 0) + 1


def offline(oracle: "Reference", section_nr: int) -> None:
    for page in range(section_nr * oracle.pages_per_section, (section_nr + 1) * oracle.pages_per_section):
        for view in (oracle.proven, oracle.kernel):
            if page in view:
                oracle.end(page, How.OFFLINED, view)
        for name in ("poison", "guard"):
            oracle.end_flag(page, name)
    oracle.open.discard(section_nr)
    oracle.went[section_nr] = oracle.ts
