"""Read uevents of memory blocks: hotplug as the kernel reported it to user space, with the time of each report."""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Final, Literal, get_args

from pagetrail.producers.capture.numbers import INT64_STOP, NSEC_STOP, number
from pagetrail.producers.detail_rows import detail_row
from pagetrail.schemas.batch import EventBatch
from pagetrail.schemas.columns import Kind
from pagetrail.schemas.details import Hotplug
from pagetrail.schemas.linux.memory_notify import CALL_OF_UEVENT
from pagetrail.schemas.linux.mmzone import PFN_LIMIT

Action = Literal["add", "online", "offline", "remove"]

_HEADER: Final = re.compile(
    r"uevent (?:seq=[0-9]+ )?mono_ns=([0-9]+) boot_ns=([0-9]+) real_ns=([0-9]+).* header=(\w+)@\S*/memory/memory([0-9]+)$"
)
_OF_MEMORY: Final = re.compile(r"uevent .*/memory/memory")


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryEvent:
    """One uevent of a memory block. Clocks in ns, read as it was received, so a little after the fact."""

    action: Action
    block: int
    monotonic: int
    boottime: int
    realtime: int


def parse_uevents(lines: Iterable[str], unread: Callable[[str], None] = lambda line: None) -> Iterator[MemoryEvent]:
    """Yield the uevents of memory blocks in *lines*, in their order; others are passed over.

    Parameters
    ----------
    unread
        Is called with each line that speaks of memory blocks and is not understood.
    """
    for line in lines:
        found = _HEADER.match(line)
        action = _action(found[4]) if found else None
        if found and action:
            monotonic, boottime = number(found[1], stop=NSEC_STOP), number(found[2], stop=NSEC_STOP)
            realtime, block = number(found[3], stop=INT64_STOP), number(found[5], stop=PFN_LIMIT)
            if monotonic is not None and boottime is not None and realtime is not None and block is not None:
                yield MemoryEvent(action=action, block=block, monotonic=monotonic, boottime=boottime, realtime=realtime)
                continue
        elif found or not _OF_MEMORY.match(line):
            continue
        unread(line)


def hotplug_rows(
    events: Iterable[MemoryEvent], block_pages: int, mono_offset: int, unread: Callable[[str], None] = lambda line: None
) -> Iterator[tuple[int, Callable[[], EventBatch]]]:
    """Yield for each uevent of hotplug in *events* its time on the trace clock, and what makes its HOTPLUG row.

    Rows are made when their turn comes: a machine may have a million of them.

    Parameters
    ----------
    block_pages
        Pages of a memory block.
    mono_offset
        CLOCK_MONOTONIC minus the trace clock, ns.
    unread
        Is called with each block that no machine has.
    """
    for event in events:
        if event.action not in CALL_OF_UEVENT:
            continue
        if (event.block + 1) * block_pages > PFN_LIMIT:
            unread(f"memory{event.block}")
            continue
        at = event.monotonic - mono_offset
        yield at, partial(_row, at, CALL_OF_UEVENT[event.action], event.block * block_pages, block_pages)


def _row(at: int, call: str, pfn: int, nr_pages: int) -> EventBatch:
    detail = Hotplug.model_validate({"call": call, "phase": "notified", "source": "uevents.txt"})
    return detail_row(Kind.HOTPLUG, at, detail, pfn=pfn, nr_pages=nr_pages, ret=0)


def _action(word: str) -> Action | None:
    return next((action for action in get_args(Action) if action == word), None)
