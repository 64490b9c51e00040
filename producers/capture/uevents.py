"""Read uevents of memory blocks: hotplug as the kernel reported it to user space, with the time of each report."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal, get_args

from pagetrail.producers.detail_rows import detail_row
from pagetrail.schemas.batch import EventBatch
from pagetrail.schemas.columns import Kind
from pagetrail.schemas.details import Hotplug
from pagetrail.schemas.linux.memory_notify import CALL_OF_UEVENT

Action = Literal["add", "online", "offline", "remove"]

_HEADER: Final = re.compile(
    r"uevent (?:seq=\d+ )?mono_ns=(\d+) boot_ns=(\d+) real_ns=(\d+).* header=(\w+)@\S*/memory/memory(\d+)$"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryEvent:
    """One uevent of a memory block. Clocks in ns, read as it was received, so a little after the fact."""

    action: Action
    block: int
    monotonic: int
    boottime: int
    realtime: int


def parse_uevents(text: str) -> Iterator[MemoryEvent]:
    """Yield the uevents of memory blocks in *text*, in its order; others are passed over."""
    for line in text.splitlines():
        found = _HEADER.match(line)
        if found and (action := _action(found[4])):
            yield MemoryEvent(
                action=action,
                block=int(found[5]),
                monotonic=int(found[1]),
                boottime=int(found[2]),
                realtime=int(found[3]),
            )


def hotplug_rows(text: str, block_pages: int, mono_offset: int) -> Iterator[tuple[int, EventBatch]]:
    """Yield a HOTPLUG row for each uevent of hotplug in *text*, with its time on the trace clock.

    Parameters
    ----------
    mono_offset
        CLOCK_MONOTONIC minus the trace clock, ns.
    """
    for event in parse_uevents(text):
        if event.action not in CALL_OF_UEVENT:
            continue
        at = event.monotonic - mono_offset
        detail = Hotplug.model_validate(
            {"call": CALL_OF_UEVENT[event.action], "phase": "notified", "source": "uevents.txt"}
        )
        yield at, detail_row(Kind.HOTPLUG, at, detail, pfn=event.block * block_pages, nr_pages=block_pages, ret=0)


def _action(word: str) -> Action | None:
    return next((action for action in get_args(Action) if action == word), None)
