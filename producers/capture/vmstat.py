"""Readings of vmstat: a counter that did not move shows what did not happen between two of them."""

from dataclasses import dataclass
from typing import Final

from pagetrail.producers.capture.numbers import number
from pagetrail.schemas.details import Coverage
from pagetrail.schemas.linux.vm_event_item import MAY_BE_MISSING, VM_EVENTS

_WORDS: Final = 2
_COUNTER_STOP: Final = 1 << 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One reading: not before ``begin`` and not after ``end`` (trace clock, ns)."""

    name: str
    begin: int
    end: int
    counters: dict[str, int]


def parse_vmstat(text: str) -> dict[str, int]:
    """Return the counters of /proc/vmstat; other lines are left out, and a last one without an end, which may be cut."""
    rows = (line.split() for line in text.split("\n")[:-1])
    counters = {row[0]: number(row[1], stop=_COUNTER_STOP) for row in rows if len(row) == _WORDS}
    return {name: value for name, value in counters.items() if value is not None}


def unmoved(readings: list[Reading], first_ts: int) -> list[Coverage]:
    """Return what the last of *readings* shows not to have happened, each kind with the longest stretch before it.

    Counters only grow: equal at two readings, they did not move between. One that is 0 has not moved since the boot, so not since
    the recording's first event (*first_ts*). A migration that was under way while a reading was made is counted at its end
    and missed here: a documented exception.
    """
    last = readings[-1]
    found = []
    for kind, names in VM_EVENTS.items():
        now = _values(last, names)
        if now is None:
            continue
        since = next((earlier.end for earlier in readings[:-1] if _values(earlier, names) == now), None)
        if not any(now):
            since = first_ts
        if since is not None and since < last.begin:
            by = f"vmstat of {last.name}: {', '.join(names)} had not moved"
            found.append(Coverage(kinds=(kind,), since=since, until=last.begin, declared_by=by))
    return found


def _values(reading: Reading, names: tuple[str, ...]) -> tuple[int, ...] | None:
    values = [reading.counters.get(name, 0 if name in MAY_BE_MISSING else None) for name in names]
    return None if None in values else tuple(value for value in values if value is not None)
