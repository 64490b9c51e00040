"""The facts that a segment passes on to the next file, and facts of files that follow one another, put together again.

What a later file keeps depends on what can still be asked of it, and not on how much has happened: losses that live evidence is
not safe from, coverage of that evidence, clocks that a time may be converted with, calls that have not returned, and of each
section the extension that it has and the one before.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from pagetrail.replay.facts.earlier import Earlier
from pagetrail.replay.facts.facts import Facts
from pagetrail.replay.facts.hotplug import Extension
from pagetrail.replay.facts.losses import still_needed
from pagetrail.schemas.details import Clock
from pagetrail.schemas.owner import OPEN_END


def carry_over(facts: Facts, evidence: NDArray[np.int64], last_ts: int, in_doubt: NDArray[np.int64]) -> None:
    """Leave in *facts* what the next file needs of them, at the end of a segment.

    Parameters
    ----------
    evidence
        (n,) the time of the evidence of each live span; trace clock, ns.
    last_ts
        The time of the segment's last event.
    in_doubt
        The stream_seq of each event that cast a doubt which lasts into the next file.
    """
    gaps = still_needed(facts.gaps, facts.clock_skew(), evidence, last_ts)
    calls, clocks = facts.open_calls(), _clocks(facts.clocks)
    earlier = Earlier(
        gaps=len(gaps), clocks=len(clocks), hotplug=len(calls),
        coverage=facts.covered().plain(evidence) if facts.coverage or facts.earlier.coverage else None,
        audited=sorted({*facts.earlier.audited, *(audit.view for audit in facts.audits)}),
        whole_dumps=sorted({*facts.whole_dumps()} & {*in_doubt.tolist()}),
        first_loss=facts.first_loss, last_call=facts.last_call, missing=facts.missing(),
    )  # fmt: skip
    facts.gaps, facts.gap_ts = [facts.gaps[i] for i in gaps], [facts.gap_ts[i] for i in gaps]
    facts.clocks, facts.hotplug = clocks, calls
    facts.coverage, facts.markers, facts.audits = [], [], []
    facts.sections[:] = _present_and_before(facts.sections)
    facts.earlier = earlier


def _clocks(readings: list[tuple[int, Clock]]) -> list[tuple[int, Clock]]:
    """Return the first reading of each clock, and the last one of the wall clock."""
    owner = [i for i, (_, clock) in enumerate(readings) if clock.ts_nsec is not None]
    wall = [i for i, (_, clock) in enumerate(readings) if clock.realtime is not None]
    return [readings[i] for i in sorted({*owner[:1], *wall[:1], *wall[-1:]})]


def _present_and_before(sections: list[Extension]) -> list[Extension]:
    """Return of each section the extension that it has, and the last one that has ended."""
    ended = {e.section_nr: id(e) for e in sections if e.end_seq != OPEN_END}
    return [e for e in sections if e.end_seq == OPEN_END or ended[e.section_nr] == id(e)]


def collected(parts: Iterable[Facts]) -> Facts:
    """Return the facts of files that follow one another, at least one, as those of one file; they may share parts with these."""
    first, *others = parts
    found = first.copy()
    sections = {(e.section_nr, e.generation): e for e in found.sections}
    for part in others:
        earlier, later = part.earlier, part
        found.gaps += later.gaps[earlier.gaps :]
        found.gap_ts += later.gap_ts[earlier.gaps :]
        found.clocks += later.clocks[earlier.clocks :]
        found.hotplug += later.hotplug[earlier.hotplug :]
        found.coverage += later.coverage
        found.markers += later.markers
        found.audits += later.audits
        sections |= {(e.section_nr, e.generation): e for e in later.sections}
        for name in _OF_THE_LAST:
            setattr(found, name, getattr(later, name))
    found.sections = [*sections.values()]
    return found


_OF_THE_LAST = (
    "boots", "pages_per_section", "lost_until", "recordings", "accounts", "events", "clients", "client_ts", "fields",
    "open_ranges", "chosen_rules",
)  # fmt: skip
"""What every file has whole."""
