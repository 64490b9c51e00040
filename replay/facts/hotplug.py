"""Memory hotplug as the facts of a stream keep it: calls, those of them that are open, and extensions of sections."""

from collections.abc import Sequence
from dataclasses import dataclass

from pagetrail.schemas.owner import OPEN_END


@dataclass(slots=True, kw_only=True)
class Extension:
    """One extension of one section, from its allocation to its end."""

    section_nr: int
    generation: int
    begin_seq: int
    begin_ts: int
    end_seq: int = OPEN_END
    end_ts: int = OPEN_END
    how: str
    end_how: str | None = None


@dataclass(slots=True, kw_only=True)
class HotplugCall:
    """One hotplug event: entry or return of a call, or a notification."""

    seq: int
    ts: int
    call: str
    phase: str
    pfn: int | None
    nr_pages: int | None
    ret: int | None
    pid: int | None


class OpenCalls:
    """The calls of a list that have been entered and have not returned, one for each function and pid.

    It keeps up with a list that grows: each call is looked at once, however often it is asked.
    """

    def __init__(self) -> None:
        self._seen: Sequence[HotplugCall] = ()
        self._count = 0
        self._open: dict[tuple[str, int | None], HotplugCall] = {}
        self._of: dict[str, dict[int | None, HotplugCall]] = {}
        self._last: int | None = None

    def read(self, calls: Sequence[HotplugCall]) -> "OpenCalls":
        """Return it as of *calls*, which may be longer than when it was last given, or another list."""
        if calls is not self._seen or len(calls) < self._count:
            self._seen, self._count, self._open, self._of, self._last = calls, 0, {}, {}, None
        for seen in calls[self._count :]:
            self._take(seen)
        self._count = len(calls)
        return self

    def _take(self, seen: HotplugCall) -> None:
        of_call = self._of.setdefault(seen.call, {})
        if seen.phase == "entry":
            of_call[seen.pid] = self._open[seen.call, seen.pid] = seen
        elif seen.phase == "return":
            of_call.pop(seen.pid, None)
            self._open.pop((seen.call, seen.pid), None)
        if seen.phase != "notified":
            self._last = seen.ts if self._last is None else max(self._last, seen.ts)

    def of(self, call: str, pid: int | None) -> HotplugCall | None:
        """Return the open call of a function by a process."""
        return self._open.get((call, pid))

    def range_of(self, call: str) -> tuple[int, int] | None:
        """Return the pages [start_pfn, stop_pfn) of the open call of a function that was entered first, of those with a range."""
        found = self._of.get(call, {}).values()
        return next((_range(c.pfn, c.nr_pages) for c in found if c.pfn is not None and c.nr_pages is not None), None)

    @property
    def last(self) -> int | None:
        """The time of the last entry or return; trace clock, ns."""
        return self._last

    def all(self) -> list[HotplugCall]:
        """Return the open calls; one that was entered again has the place of its first entry."""
        return list(self._open.values())


def _range(pfn: int, nr_pages: int) -> tuple[int, int]:
    return pfn, pfn + nr_pages
