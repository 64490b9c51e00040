"""How a recording's trace clock relates to the kernel's other clocks."""

import re
from dataclasses import dataclass
from typing import Final

from pagetrail.producers.capture.dmesg import StableClock
from pagetrail.producers.capture.numbers import INT64_STOP, NSEC_STOP, number
from pagetrail.schemas.details import Clock

_PRINTED_TO: Final = 1000
"""dmesg truncates timestamps to microseconds, as ftrace text does."""

UNKNOWN_ERROR: Final = 20_000_000
"""Assumed error of a marker that has no bound of its own: writing one took at most 6 ms in real recordings."""

_MARKER: Final = re.compile(
    r"SNAPSHOT (?P<name>\S+) (?P<what>begin|page_owner_end|end)"
    r"(?: mono=(?P<mono>[0-9]+))?(?: raw=(?P<raw>[0-9]+))?(?: boot=(?P<boot>[0-9]+))?(?: real=(?P<real>[0-9]+))?"
    r"(?: after_mono=(?P<after>[0-9]+))?"
)

_STOPS: Final = {"mono": NSEC_STOP, "raw": NSEC_STOP, "boot": NSEC_STOP, "real": INT64_STOP, "after": NSEC_STOP}
"""Readings are below these, ns: clocks that start with the kernel, and that of the time of day."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Relation:
    """Offsets that hold from trace time *valid_from* on, all in ns.

    Attributes
    ----------
    ts_offset
        page_owner's clock minus the trace clock.
    mono_offset
        CLOCK_MONOTONIC minus the trace clock.
    """

    ts_offset: int
    mono_offset: int
    valid_from: int

    def clock(self, trace_ts_nsec: int, source: str) -> Clock:
        """Return the reading implied at *trace_ts_nsec*; before *valid_from* it only fixes the line."""
        return Clock(
            ts_nsec=trace_ts_nsec + self.ts_offset,
            monotonic=trace_ts_nsec + self.mono_offset,
            valid_from=self.valid_from,
            source=source,
        )

    def at_latest(self, printed_nsec: int) -> int:
        """Return the latest trace time that a time which dmesg printed may have been; it must be one of a stable clock."""
        return printed_nsec + _PRINTED_TO - self.ts_offset


def relation(stable: StableClock, trace_clock: str) -> Relation | None:
    """Return how trace clock *trace_clock* relates to the others once sched_clock is stable; null if it does not say.

    page_owner and dmesg read local_clock() = sched_clock() + offset = CLOCK_MONOTONIC + gtod_offset (the latter within
    what NTP steers). The trace clock reads sched_clock() (local, and global, which never goes back), local_clock()
    (perf) or CLOCK_MONOTONIC (mono).

    Source: kernel/sched/clock.c, kernel/trace/trace_clock.c, kernel/events/core.c perf_event_clock (Linux 6.1).
    """
    to_mono = -stable.gtod_offset  # from local_clock()
    ts_offset = {"local": stable.offset, "global": stable.offset, "perf": 0, "mono": stable.gtod_offset}.get(
        trace_clock
    )
    if ts_offset is None:
        return None
    printed = stable.printed_nsec + _PRINTED_TO
    return Relation(ts_offset=ts_offset, mono_offset=ts_offset + to_mono, valid_from=printed - ts_offset)


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotMarker:
    """A marker that a snapshot wrote: "SNAPSHOT name what mono=...". Clocks in ns, read just before it was written."""

    name: str
    what: str
    monotonic: int | None = None
    monotonic_raw: int | None = None
    boottime: int | None = None
    realtime: int | None = None
    after_monotonic: int | None = None

    def clock(self, trace_ts_nsec: int, known: Relation | None, written_by: int | None) -> Clock | None:
        """Return its reading as a CLOCK detail.

        The error is bound by when it had been written (*written_by*, monotonic), else by what is *known*.
        """
        if self.monotonic is None:
            return None
        error = UNKNOWN_ERROR
        if written_by is not None and written_by >= self.monotonic:
            error = written_by - self.monotonic + _PRINTED_TO
        elif known is not None:
            error = abs(trace_ts_nsec + known.mono_offset - self.monotonic) + _PRINTED_TO
        return Clock(
            monotonic=self.monotonic,
            monotonic_raw=self.monotonic_raw,
            boottime=self.boottime,
            realtime=self.realtime,
            error=error,
            source=f"marker SNAPSHOT {self.name} {self.what}",
        )


def parse_marker(text: str) -> SnapshotMarker | None:
    """Return the snapshot's marker that *text* is, if it is one; one with a reading that no clock has is none."""
    found = _MARKER.match(text)
    if not found:
        return None
    texts = {name: found[name] for name in _STOPS if found[name] is not None}
    read = {name: number(value, stop=_STOPS[name]) for name, value in texts.items()}
    if None in read.values():
        return None
    return SnapshotMarker(
        name=found["name"],
        what=found["what"],
        monotonic=read.get("mono"),
        monotonic_raw=read.get("raw"),
        boottime=read.get("boot"),
        realtime=read.get("real"),
        after_monotonic=read.get("after"),
    )
