"""The memory hotplug notifier: which of its six actions an observed call implies, and what each does to sections' page_ext.

No recording shows the notifier itself. Its actions are inferred from calls of online_pages and offline_pages, seen at entry and
at return, or from notifications after them. Everything here is pure.

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
"""The call that returned 0 before a memory block sends this uevent.

Source: drivers/base/core.c, device_online and device_offline (Linux 6.1).
"""


class Call(NamedTuple):
    """One observation of a call: its function, its phase (entry, return, notified) and its result."""

    call: str
    phase: str
    ret: int | None


class ExtensionState(enum.Enum):
    """State of a section's extension before an action."""

    ABSENT = enum.auto()
    BLANK = enum.auto()
    """It exists, and nothing is known about its pages."""
    USED = enum.auto()
    """It exists, and its pages have been in use."""


class Step(NamedTuple):
    """A section's extension exists from now on, or no longer; ``why`` is the reason as the store keeps it.

    ``fresh``: its allocation is seen now; otherwise it may have existed before.
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
    """Return the action that an observation implies; null if a return's result was not recorded.

    online_pages begins with MEM_GOING_ONLINE. If one of the notifiers fails then, the call ends with MEM_CANCEL_ONLINE; it cannot
    fail otherwise, and ends with MEM_ONLINE. offline_pages sends MEM_GOING_OFFLINE later, and ends with MEM_OFFLINE, or, if it
    fails after that, with MEM_CANCEL_OFFLINE.
    """
    if seen.phase != "return":
        return _ACTIONS.get((seen.call, seen.phase))
    if seen.ret is None:
        return None
    if seen.call == "online_pages":
        return MemoryAction.MEM_CANCEL_ONLINE if seen.ret else MemoryAction.MEM_ONLINE
    return MemoryAction.MEM_CANCEL_OFFLINE if seen.ret else MemoryAction.MEM_OFFLINE


def refused(pfn: int, nr_pages: int, pageblock_pages: int, pages_per_section: int) -> bool:
    """Whether a call on this range ends with -EINVAL before it calls the notifiers.

    Source: mm/memory_hotplug.c, the first check of online_pages and of offline_pages (Linux 6.1).
    """
    return nr_pages <= 0 or pfn % pageblock_pages != 0 or (pfn + nr_pages) % pages_per_section != 0


def page_ext_callback(
    action: MemoryAction, sections: Iterable[int], extension: Callable[[int], ExtensionState], *, why: str
) -> list[Step]:
    """Return the steps of an action on the extensions of *sections*, in the order in which the kernel takes them.

    *why* names what allocates or frees, unless it is a cancellation. MEM_ONLINE changes nothing in the kernel; it proves that
    MEM_GOING_ONLINE succeeded, which may not have been seen. MEM_CANCEL_ONLINE proves that it failed: see ``rollback``.
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

    An existing one is kept (init_section_page_ext), unless its pages have been in use: memory that comes online was offline, so
    that extension ended unseen, and this is another one.
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
    """Undo a failed MEM_GOING_ONLINE: free every extension of the range, also those that existed before it.

    Source: mm/page_ext.c, online_page_ext, which frees all of them when its own allocation fails; when another notifier fails,
    offline_page_ext does the same on MEM_CANCEL_ONLINE, which follows in any case.
    """
    return offline_page_ext(sections, extension, why="cancelled")


def offline_page_ext(sections: Iterable[int], extension: Callable[[int], ExtensionState], *, why: str) -> list[Step]:
    """Free the existing extensions of *sections*."""
    return [Step(nr, False, why) for nr in sections if extension(nr) is not ExtensionState.ABSENT]


def _after(extension: Callable[[int], ExtensionState], steps: list[Step]) -> Callable[[int], ExtensionState]:
    changed = {step.section_nr: ExtensionState.BLANK if step.there else ExtensionState.ABSENT for step in steps}
    return lambda nr: changed.get(nr, extension(nr))
