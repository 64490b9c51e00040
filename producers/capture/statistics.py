"""Read the files of a capture that say how complete it is, line by line: what is not whole is told, and declares nothing.

What the statistics of the rings count and the trace does not have is a gap.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from pagetrail.producers.parsed import ReadAccount
from pagetrail.schemas.details import Gap

FINAL: Final = "final"
"""What the capture script calls the reading of the rings' statistics after the trace was saved (docs/guide.md)."""

# kernel/trace/trace.c (Linux 6.1), tracing_stats_read; its lines joined, behind the reading's name and the CPU's directory
_RING: Final = re.compile(
    r"(\S+) cpu([0-9]{1,5}) entries: ([0-9]{1,18}) overrun: ([0-9]{1,18}) commit overrun: ([0-9]{1,18}) bytes: [0-9]{1,18} "
    r"oldest event ts: +[0-9.]{1,24} now ts: +[0-9.]{1,24} dropped events: ([0-9]{1,18}) read events: ([0-9]{1,18})\s*"
)
_RING_OF: Final = re.compile(r"(\S+) cpu([0-9]{1,5}) ")
_EVENT: Final = re.compile(r"[\w-]+:[\w-]+", re.ASCII)
# kernel/trace/trace_kprobe.c (Linux 6.1), trace_kprobe_show and probes_profile_seq_show
_PROBE: Final = re.compile(r"[pr][0-9]*:(\w+/\w+) ([\w.:+]+)((?: \w+=\S+)*)", re.ASCII)
_PROFILE: Final = re.compile(r"\s*(\w+)\s+[0-9]{1,20}\s+([0-9]{1,20})\s*", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ring:
    """Statistics of a CPU's ring, all counted since it was made."""

    entries: int
    overrun: int
    dropped: int
    read: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Rings:
    """What ring_stats.txt says.

    Attributes
    ----------
    final
        By CPU: the reading after the trace was saved; null where it is missing or not whole.
    every_cpu
        Whether no line that cannot be read may be that of a further CPU.
    """

    final: Mapping[int, Ring | None]
    every_cpu: bool


class SideFile:
    """A small text of a capture, read line by line, with a note on what is not whole.

    A last line without an end may be cut: it counts as unreadable.
    """

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        *self.lines, tail = text.split("\n")
        self.unreadable = [tail] if tail.strip() else []

    def matching(self, pattern: re.Pattern[str]) -> Iterator[re.Match[str]]:
        """Yield the match of each line that is not empty; those that do not match are kept for a note."""
        for line in self.lines:
            found = pattern.fullmatch(line.removesuffix("\r"))
            if found:
                yield found
            elif line.strip(" \t\r"):
                self.unreadable.append(line)

    def notes(self) -> list[str]:
        """Return what to say of the lines that could not be read."""
        if not self.unreadable:
            return []
        number, first = len(self.unreadable), self.unreadable[0][:60]
        which = "a line cannot be read" if number == 1 else f"{number} lines cannot be read, one of them"
        return [f"{self.name}: {which}: {first!r}; nothing is declared that would rest on it"]


def events_on(file: SideFile) -> set[str]:
    """Return the events that set_event.txt says were on."""
    return {found[0] for found in file.matching(_EVENT)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Probed:
    """What kprobe_events.txt says of a probe: its function, and its arguments as they are written there."""

    function: str
    arguments: str

    def __str__(self) -> str:
        return f"{self.function} {self.arguments}".strip()


def probe_definitions(file: SideFile) -> dict[str, Probed]:
    """Return by event what kprobe_events.txt says its probe is on; an event on several functions is left out."""
    probes: dict[str, set[Probed]] = {}
    for found in file.matching(_PROBE):
        there = Probed(function=found[2], arguments=found[3].strip())
        probes.setdefault(found[1].replace("/", ":"), set()).add(there)
    return {event: next(iter(on)) for event, on in probes.items() if len(on) == 1}


def probe_misses(file: SideFile) -> dict[str, int]:
    """Return by probe how many hits it missed, as kprobe_profile.txt says."""
    misses: dict[str, int] = {}
    for found in file.matching(_PROFILE):
        misses[found[1]] = misses.get(found[1], 0) + int(found[2])
    return misses


def ring_statistics(file: SideFile) -> Rings:
    """Return what ring_stats.txt says of the rings after the trace was saved."""
    readings: dict[int, set[Ring | None]] = {}
    for found in file.matching(_RING):
        ring = Ring(
            entries=int(found[3]), overrun=int(found[4]), dropped=int(found[5]) + int(found[6]), read=int(found[7])
        )
        readings.setdefault(int(found[2]), set()).update({ring} if found[1] == FINAL else ())
    every_cpu = True
    for line in file.unreadable:
        of = _RING_OF.match(line)
        if of is None or of[1] == FINAL:
            every_cpu = False
        if of is not None:
            readings.setdefault(int(of[2]), set()).update({None} if of[1] == FINAL else ())
    final = {cpu: next(iter(found)) if len(found) == 1 else None for cpu, found in readings.items()}
    return Rings(final=final, every_cpu=every_cpu)


def missing_entries(rings: Rings, account: ReadAccount, end: int) -> Iterator[Gap]:
    """Yield the gaps, up to *end*, of what the rings count and the trace does not have."""
    counted = {cpu: ring.entries + ring.read for cpu, ring in rings.final.items() if ring is not None}
    for cpu, count in counted.items():
        found = account.entries.get(cpu, 0)
        if found > count:
            both = f"the trace has {found:,} events of CPU {cpu}, ring_stats.txt counts {count:,}"
            yield Gap(t_lo=0, t_hi=end, reason=f"{both}: one of the two is not whole")
    if missing := account.missing_of(counted):
        reason = f"ring_stats.txt counts {missing:,} events that are not in the trace"
        yield Gap(t_lo=0, t_hi=end, lost=missing, reason=reason)


def unknown_cpus(rings: Rings, account: ReadAccount, end: int) -> Iterator[Gap]:
    """Yield the gaps, up to *end*, of CPUs that are in the trace and of which the statistics say nothing."""
    for cpu in sorted(account.entries.keys() - rings.final.keys()):
        yield Gap(
            t_lo=0, t_hi=end, reason=f"CPU {cpu} is in the trace and not in ring_stats.txt: what it lost is unknown"
        )
