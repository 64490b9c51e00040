"""The memory hotplug notifier: which of its six actions an observed call means, and what each does to sections' page_ext.

No recording shows the notifier itself. Its actions follow from the calls online_pages and offline_pages, seen at entry and at
return, or from word of them afterwards: they are inferred. Everything here is pure.

Source: mm/memory_hotplug.c, online_pages and offline_pages; mm/page_ext.c, page_ext_callback, online_page_ext and
offline_page_ext; include/linux/memory.h, struct memory_notify (Linux 6.1).
"""

import enum
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Final, NamedTuple


class MemoryAction(enum.IntFlag):
    """The notifier's actions. Source: include/linux/memory.h (Linux 6.1)."""

    MEM_ONLINE = 1 << 0
    MEM_GOING_OFFLINE = 1 << 1
    MEM_OFFLINE = 1 << 2
    MEM_GOING_ONLINE = 1 << 3
    MEM_CANCEL_ONLINE = 1 << 4
    MEM_CANCEL_OFFLINE = 1 << 5


CALL_OF_UEVENT: Final[Mapping[str, str]] = MappingProxyType({"online": "online_pages", "offline": "offline_pages"})
"""The call that has returned 0 when a memory block has this uevent.

Source: drivers/base/core.c, device_online and device_offline (Linux 6.1).
"""


class Call(NamedTuple):
    """One observation of a call: which (online_pages, offline_pages), at entry, return or notified afterwards, its result."""

    call: str
    phase: str
    ret: int | None


class ExtensionState(enum.Enum):
    """What is known of a section's extension before an action."""

    ABSENT = enum.auto()
    BLANK = enum.auto()
    """It is there, and nothing is known of any of its pages."""
    USED = enum.auto()
    """It is there, and so were its pages."""


class Step(NamedTuple):
    """One section's extension is there from now on, or not, and why, as the store says it.

    ``fresh``: it is seen to be allocated just now; else it may have been there for a while.
    """

    section_nr: int
    there: bool
    why: str
    fresh: bool = False


_ACTIONS = {
    ("online_pages", "entry"): MemoryAction.MEM_GOING_ONLINE,
    ("offline_pages", "entry"): MemoryAction.MEM_GOING_OFFLINE,
    ("online_pages", "notified"): MemoryAction.MEM_ONLINE,
    ("offline_pages", "notified"): MemoryAction.MEM_OFFLINE,
}


def memory_action(seen: Call) -> MemoryAction | None:
    """Return the action that an observation means; null where a return's result was not recorded.

    MEM_GOING_ONLINE comes first thing in online_pages. If one of its notifiers fails, the call ends with MEM_CANCEL_ONLINE, and
    there is no other way for it to fail; else it ends with MEM_ONLINE. MEM_GOING_OFFLINE comes somewhere in offline_pages,
    which ends with MEM_OFFLINE, or, if it comes to that, with MEM_CANCEL_OFFLINE.
    """
    if seen.phase != "return":
        return _ACTIONS.get((seen.call, seen.phase))
    if seen.ret is None:
        return None
    if seen.call == "online_pages":
        return MemoryAction.MEM_CANCEL_ONLINE if seen.ret else MemoryAction.MEM_ONLINE
    return MemoryAction.MEM_CANCEL_OFFLINE if seen.ret else MemoryAction.MEM_OFFLINE


def refused(pfn: int, nr_pages: int, pageblock_pages: int, pages_per_section: int) -> bool:
    """Whether a call on this range ends with -EINVAL before it notifies anybody.

    Source: mm/memory_hotplug.c, the first check of online_pages and of offline_pages (Linux 6.1).
    """
    return nr_pages <= 0 or pfn % pageblock_pages != 0 or (pfn + nr_pages) % pages_per_section != 0


def page_ext_callback(
    action: MemoryAction, sections: Iterable[int], extension: Callable[[int], ExtensionState], *, why: str
) -> list[Step]:
    """Return what an action does to the extensions of *sections*, in the order in which it does it.

    *why* is what allocates or frees, where it is no cancellation. MEM_ONLINE changes nothing in the kernel; it proves that
    MEM_GOING_ONLINE had succeeded, which may not have been seen. MEM_CANCEL_ONLINE proves that it had failed: see ``rollback``.
    """
    if action is MemoryAction.MEM_GOING_ONLINE:
        return online_page_ext(sections, extension, why=why)
    if action is MemoryAction.MEM_ONLINE:
        return [Step(nr, True, why) for nr in sections if extension(nr) is ExtensionState.ABSENT]
    if action is MemoryAction.MEM_OFFLINE:
        return offline_page_ext(sections, extension, why=why)
    if action is MemoryAction.MEM_CANCEL_ONLINE:
        return rollback(sections, extension)
    return []


def online_page_ext(
    sections: Iterable[int], extension: Callable[[int], ExtensionState], *, why: str, fails_at: int | None = None
) -> list[Step]:
    """Allocate the extensions of *sections*, one by one; with *fails_at*, that section's allocation fails.

    One that is there already is kept (init_section_page_ext), unless its pages had been in use: memory that comes was not
    there, so it had gone unseen, and this is another extension.
    """
    sections = list(sections)
    steps: list[Step] = []
    for nr in sections:
        known = extension(nr)
        if known is ExtensionState.BLANK:
            continue
        if known is ExtensionState.USED:
            steps.append(Step(nr, False, "unseen"))
        if nr == fails_at:
            return [*steps, *rollback(sections, _after(extension, steps))]
        steps.append(Step(nr, True, why, fresh=True))
    return steps


def rollback(sections: Iterable[int], extension: Callable[[int], ExtensionState]) -> list[Step]:
    """Undo a MEM_GOING_ONLINE that failed: free every extension of the range, those too that were there before it.

    Source: mm/page_ext.c, online_page_ext, which frees all of them when its own allocation fails; when another notifier fails,
    offline_page_ext does the same with MEM_CANCEL_ONLINE, which follows in any case.
    """
    return offline_page_ext(sections, extension, why="cancelled")


def offline_page_ext(sections: Iterable[int], extension: Callable[[int], ExtensionState], *, why: str) -> list[Step]:
    """Free the extensions of *sections* that are there."""
    return [Step(nr, False, why) for nr in sections if extension(nr) is not ExtensionState.ABSENT]


def _after(extension: Callable[[int], ExtensionState], steps: list[Step]) -> Callable[[int], ExtensionState]:
    changed = {step.section_nr: ExtensionState.BLANK if step.there else ExtensionState.ABSENT for step in steps}
    return lambda nr: changed.get(nr, extension(nr))
