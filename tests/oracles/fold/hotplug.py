"""Hotplug calls, and what the notifier does to the extension of one section."""

from typing import TYPE_CHECKING, Any

from pagetrail.schemas.owner import DOUBT_HOTPLUG, Anomaly, Evidence
from tests.oracles.fold.sections import offline, online
from tests.oracles.fold.values import MAX_SECTIONS, Event

if TYPE_CHECKING:
    from tests.oracles.fold.oracle import Reference


def take_call(oracle: "Reference", event: Event, said: dict[str, Any]) -> None:
    size = oracle.pages_per_section
    call, phase = said["call"], said["phase"]
    pfn, nr, pid, ret = event.get("pfn"), event.get("nr_pages"), event.get("pid"), event.get("ret")
    if pfn is not None and nr is not None and (
        pfn < 0 or nr < 1 or nr > 4096 * size or pfn + nr > size * MAX_SECTIONS
    ):  # fmt: skip
        oracle.quarantine(Anomaly.BEYOND_MACHINE, pfn, None, (pfn, 1))
        return
    entry = oracle.calls.get((call, pid))
    if phase == "return":
        oracle.calls.pop((call, pid), None)
        if entry is None:
            oracle.note(Anomaly.HOTPLUG_UNPAIRED, nr or 0)
            if pfn is None:
                oracle.gap_ends.append(oracle.ts)
        else:
            if pfn is None:
                pfn, nr = entry["pfn"], entry["nr_pages"]
            if ret is None or any(end >= entry["ts"] for end in oracle.gap_ends):
                oracle.gap_ends.append(oracle.ts)
    elif phase == "entry":
        oracle.calls[call, pid] = {"call": call, "pfn": pfn, "nr_pages": nr, "ts": oracle.ts}
    if oracle.flatmem:
        oracle.quarantine(Anomaly.HOTPLUG_ON_FLATMEM, pfn, None, (pfn, nr or 1))
        return
    if pfn is None or nr is None:
        return
    if phase == "notified" or (pfn + nr) % size == 0:  # else the call itself refuses: it notifies nobody
        for section_nr in range(pfn // size, (pfn + nr - 1) // size + 1):
            page_ext_callback(oracle, section_nr, call, phase, ret)
    if phase == "return" and entry is not None:
        for page in range(pfn, pfn + nr):
            oracle.doubt(page, entry["ts"], oracle.ts, DOUBT_HOTPLUG)


def page_ext_callback(oracle: "Reference", section_nr: int, call: str, phase: str, ret: int | None) -> None:
    """Do to one section what the notifier's action does that an observation shows (mm/page_ext.c)."""
    there, size = section_nr in oracle.open, oracle.pages_per_section
    if (call, phase) == ("online_pages", "entry"):  # MEM_GOING_ONLINE
        pages = range(section_nr * size, (section_nr + 1) * size)
        used = any(page in view for page in pages for view in (oracle.proven, oracle.kernel))
        used |= any((page, field) in oracle.flags for page in pages for field in ("poison", "guard"))
        if there and not used:
            return  # an extension that is there is kept
        if there:
            offline(oracle, section_nr)
        online(oracle, section_nr)
        for page in pages if oracle.debug else ():  # zeroed
            for field in ("poison", "guard"):
                oracle.set_flag(page, field, 0, Evidence.INFERRED)
    elif call == "online_pages" and (phase == "notified" or ret == 0) and not there:  # MEM_ONLINE: it had succeeded
        online(oracle, section_nr)
    elif phase == "return" and ret is None:
        return
    elif there and (  # MEM_CANCEL_ONLINE and MEM_OFFLINE
        (call == "online_pages" and phase == "return" and ret != 0)
        or (call == "offline_pages" and (phase == "notified" or (phase == "return" and ret == 0)))
    ):
        offline(oracle, section_nr)
