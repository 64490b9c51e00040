"""TIME: what a user may type, and the instant of a stream that it means.

An instant is a trace time, and includes every event up to that time; a marker may mean a place between two events (``seq``).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pagetrail.replay.facts.facts import Facts
from pagetrail.schemas.errors import BadArgument
from pagetrail.schemas.owner import OPEN_END
from pagetrail.schemas.times import as_text, in_range, is_wall_time, parse_number, parse_wall_time

FORMS: Final = (
    "an integer (ns of the trace clock), seconds with a decimal point or an 's' (19.5, 19s), @MARKER, "
    "an RFC 3339 time (2026-11-22T21:51:07.5Z), or an offset from the end (-5s, -200ms)"
)

_DUMP_END: Final = "page_owner_end"


@dataclass(frozen=True, slots=True, kw_only=True)
class Instant:
    """An instant of one stream: trace clock in ns; with ``seq``, the state just after that stream_seq."""

    ts: int
    seq: int | None = None
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Instants:
    """Instants of one stream, of n questions.

    Attributes
    ----------
    ts
        (n,) trace clock, ns.
    seq
        (n,) the stream_seq just behind which the place is that is meant; OPEN_END where the instant is a time.
    """

    ts: NDArray[np.int64]
    seq: NDArray[np.int64]

    @classmethod
    def of(cls, instants: Sequence[Instant]) -> "Instants":
        """Return the instants of a list."""
        seqs = [OPEN_END if at.seq is None else at.seq for at in instants]
        return cls(ts=np.array([at.ts for at in instants], np.int64), seq=np.array(seqs, np.int64))

    def take(self, which: NDArray[np.int64]) -> "Instants":
        """Return those of the questions *which*."""
        return Instants(ts=self.ts[which], seq=self.seq[which])

    def times(self) -> NDArray[np.bool_]:
        """Return which are times; the others are places between two events."""
        return np.asarray(self.seq == OPEN_END)

    def include(self, ts: NDArray[np.int64], seq: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return whether each includes the event at *ts* with stream_seq *seq*, one of each."""
        return np.asarray(np.where(self.times(), ts <= self.ts, seq <= self.seq))


def parse_instant(text: str, facts: Facts, horizon: int) -> Instant:
    """Return the instant that *text* means in a stream whose last event is at *horizon* (trace clock, ns).

    Raises
    ------
    BadArgument
        It has none of ``FORMS``, is out of range, or names a marker that does not exist or is not the only one; the message lists
        what there is.
    """
    text = text.strip()
    if facts.counting_clock is not None:
        _check_count(text, facts.counting_clock)
    if text.startswith("@"):
        return _marker(text[1:], facts)
    if number := parse_number(text):
        value, sign = number
        return Instant(ts=in_range(horizon - value if sign == "-" else value, text), text=text)
    if is_wall_time(text):
        return Instant(ts=in_range(_wall(text, facts), text), text=text)
    raise BadArgument(f"TIME {text!r}: expected {FORMS}")


def _check_count(text: str, clock: str) -> None:
    """Refuse what needs seconds: a trace clock that counts has none. The end, -0s, is the same on every clock."""
    if text.startswith("@") or (text.isascii() and text.isdecimal()) or re.fullmatch(r"-0+(ns|us|ms|s|m|h)?", text):
        return
    raise BadArgument(
        f"TIME {text!r}: the trace clock is {clock}: its times are counts, and nobody knows how long one lasts. "
        "Expected an integer, as the trace has them, @MARKER, or -0s for the end"
    )


def _marker(name: str, facts: Facts) -> Instant:
    """Return the place just before the marker SNAPSHOT N page_owner_end for ``@N``; else the only marker with the text.

    Where no marker has the text, it may be the name of a dump that was given alone: then it is the instant of that dump.
    """
    ends = [(seq, ts) for seq, ts, text in facts.markers if snapshot_end(text) == name]
    if len(ends) == 1:
        seq, ts = ends[0]
        return Instant(ts=ts, seq=seq - 1, text=f"@{name}")
    exact = [m for m in facts.markers if m[2] == name]
    found = exact or [m for m in facts.markers if name in m[2]]
    if len(found) == 1:
        seq, ts, _ = found[0]
        return Instant(ts=ts, seq=seq, text=f"@{name}")
    dumps = [] if found else [audit for audit in facts.audits if audit.view == "page_owner" and audit.name == name]
    if len(dumps) == 1:
        return Instant(ts=dumps[0].ts, text=f"@{name}")
    if dumps:
        listed = ", ".join(as_text(dump.ts, facts.counting_clock) for dump in dumps)
        raise BadArgument(
            f"TIME @{name}: expected one dump of that name, found {len(dumps)}, at {listed}; give one of them"
        )
    if found:
        listed = ", ".join(repr(text) for _, _, text in found[:5])
        raise BadArgument(
            f"TIME @{name}: expected one marker with that text, found {len(found)}: {listed} …; give more of the text"
        )
    snapshots = [s for _, _, text in facts.markers if (s := snapshot_end(text))]
    snapshots += [audit.name for audit in facts.audits if audit.view == "page_owner" and audit.name not in snapshots]
    known = f"snapshots are {', '.join('@' + s for s in snapshots)}; " if snapshots else ""
    raise BadArgument(f"TIME @{name}: no marker has that text; {known}'pagetrail streams --markers' lists all")


def snapshot_end(text: str) -> str | None:
    """Return N of a marker ``SNAPSHOT N page_owner_end …``: the end of the kernel's own dump N."""
    words = text.split()
    if len(words) >= 3 and words[0] == "SNAPSHOT" and words[2] == _DUMP_END:
        return words[1]
    return None


def _wall(text: str, facts: Facts) -> int:
    wall = parse_wall_time(text)
    readings = [(ts, clock.realtime) for ts, clock in facts.clocks if clock.realtime is not None]
    if not readings:
        raise BadArgument(
            f"TIME {text!r}: the recording has no reading of the wall clock; use a time of its trace clock"
        )
    ts, real = next(((t, r) for t, r in reversed(readings) if r <= wall), readings[0])
    return ts + wall - real


def wall_text(ts: int, facts: Facts) -> str | None:
    """Return the wall time (RFC 3339, UTC, µs) of a trace time; null where the recording read no wall clock, or nonsense."""
    readings = [(t, clock.realtime) for t, clock in facts.clocks if clock.realtime is not None]
    if not readings or facts.counting_clock is not None:
        return None
    t, real = next(((t, r) for t, r in reversed(readings) if t <= ts), readings[0])
    try:
        return datetime.fromtimestamp((real + ts - t) / 1e9, tz=UTC).isoformat(timespec="microseconds")
    except (ValueError, OverflowError, OSError):  # a reading that no calendar has
        return None
