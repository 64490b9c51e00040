"""What was lost, quarantined, inferred or not understood: everything that makes answers less sure."""

import re
from dataclasses import asdict, dataclass
from typing import Final

import pyarrow as pa

from pagetrail.queries.core.certainty import page_owner_on
from pagetrail.queries.core.opening import other_folds
from pagetrail.queries.core.stream import Stream
from pagetrail.replay.facts.facts import Facts
from pagetrail.replay.store.cut import cuts, held_of, refused_of
from pagetrail.schemas.details import Gap
from pagetrail.schemas.linux.releases import Either, was_read
from pagetrail.schemas.linux.trace_clock import DUMP_ORDER
from pagetrail.schemas.owner import ANOMALY_TEXT, QUARANTINED, Anomaly
from pagetrail.schemas.store.names import RULES

_ALLOC_UNSEEN: Final = frozenset({Anomaly.FREE_OF_FREE, Anomaly.USE_OF_FREE})
"""Contradictions that an allocation without an event explains."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that makes answers less sure: how bad it is, what it is, and how often it occurred."""

    level: str
    what: str
    count: int
    detail: str = ""


FINDINGS_SCHEMA: Final = pa.schema(
    [("level", pa.utf8()), ("what", pa.utf8()), ("count", pa.int64()), ("detail", pa.utf8())]
)
"""A row a finding."""


def doctor(stream: Stream) -> pa.Table:
    """Return the findings of a stream: ``FINDINGS_SCHEMA``, the worst first."""
    return pa.Table.from_pylist([asdict(finding) for finding in findings(stream)], schema=FINDINGS_SCHEMA)


def findings(stream: Stream) -> list[Finding]:
    """Return what is known to be wrong or missing in a stream, the worst first."""
    found = [
        *_damaged(stream), *_dropped(stream), *_log(stream), *_losses(stream), *_coverage(stream), *_rules(stream),
        *_other_rules(stream), *_recordings(stream), *_anomalies(stream),
    ]  # fmt: skip
    levels = ("loss", "quarantined", "unknown", "inferred", "note")
    return sorted(found, key=lambda finding: levels.index(finding.level))


def _damaged(stream: Stream) -> list[Finding]:
    """Return which files of the store are damaged or missing: instants in them, and before them, are not answered."""
    stream.check()
    return [Finding(level="loss", what="store", count=1, detail=str(error)) for error in stream.damage()]


def _dropped(stream: Stream) -> list[Finding]:
    """Return from when on the store knows of losses, dumps, markers and sections, where files of it were dropped."""
    if not stream.since_seq:
        return []
    text = f"nothing is known of the first {stream.since_seq:,} events, but what still counts for later ones"
    return [Finding(level="note", what="dropped segments", count=stream.since_seq, detail=text)]


def _log(stream: Stream) -> list[Finding]:
    """Return what replay noticed in the log of a stream: why it stopped there, and what the partition lost."""
    key, found = (stream.host, stream.boot_id), []
    there = cuts(stream.place.store, stream.fold)
    if whys := refused_of(there, *key):
        text = "refused, so that no answer takes account of them: " + "; ".join(whys)
        found.append(Finding(level="loss", what="recordings", count=len(whys), detail=text))
    if (held := held_of(there, *key)) is not None:
        found.append(Finding(level="note", what="held", count=1, detail=f"at log offset {held[0]}: {held[1]}"))
    for cut in there:
        aside = {old[2]: new.recording for old, new in cut.superseded.items() if old[:2] == key}
        if aside:
            text = "stored again by a later reader, whose recording takes their place: "
            text += "; ".join(f"{new} that of {old}" for old, new in aside.items())
            found.append(Finding(level="note", what="superseded", count=len(aside), detail=text))
        if key in cut.streams and cut.losses:
            text = "the log lost records of the partition: " + "; ".join(cut.losses)
            found.append(Finding(level="loss", what="log", count=len(cut.losses), detail=text))
    return found


def _losses(stream: Stream) -> list[Finding]:
    """Return the losses that the source counted, and those of unknown size; equal reasons are named once."""
    gaps = [gap for _, _, gap in stream.history.gaps]
    counted = [gap for gap in gaps if gap.lost is not None]
    others = [gap for gap in gaps if gap.lost is None]
    found = []
    if counted:
        lost = sum(gap.lost or 0 for gap in counted)
        detail = f"{lost:,} events lost in {len(counted):,} gaps ({_reasons(counted)})"
        found.append(Finding(level="loss", what="gaps", count=len(counted), detail=detail))
    if others:
        detail = f"events were lost, how many is unknown ({_reasons(others)})"
        found.append(Finding(level="loss", what="gaps of unknown size", count=len(others), detail=detail))
    return found


def _reasons(gaps: list[Gap]) -> str:
    return "; ".join(sorted({re.sub(r"\d+", "N", gap.reason) for gap in gaps}))


def _coverage(stream: Stream) -> list[Finding]:
    kinds = stream.history.covered().kinds()
    if not kinds:
        text = (
            "nothing declares what was recorded completely, so nothing can be certain; see 'pagetrail ingest --covers'"
        )
        return [Finding(level="unknown", what="coverage", count=0, detail=text)]
    missing = sorted({"alloc", "free", "split", "migrate", "isolate", "drain", "hotplug"} - kinds)
    if not missing:
        return []
    return [Finding(level="unknown", what="not recorded", count=len(missing), detail=", ".join(missing))]


def _rules(stream: Stream) -> list[Finding]:
    """Return whose rules are followed, where those of the recorded kernel were not read."""
    release, rules = stream.facts.release, stream.facts.rules
    if release is None or was_read(release):
        return []
    text = f"Linux {release} was not read: it is replayed by the rules of Linux {rules.release}"
    if rules.others:
        text += f", and where Linux {' or '.join(rules.others)} does otherwise, the pages concerned are not certain"
    return [Finding(level="note", what="rules", count=1, detail=text)]


def _other_rules(stream: Stream) -> list[Finding]:
    """Return which other fold of the stream explains the dumps best, if it explains them better than this one."""
    best, finding = 0, []
    base = stream.fold.partition(RULES)[0]
    for other in other_folds(stream):
        if other.fold.partition(RULES)[0] != base:
            continue  # dumps corrected the one and not the other
        own, their, records = _explained(stream, other)
        if their - own > best:
            best = their - own
            text = (
                f"the dumps agree better with {other.facts.rules.name} than with {stream.facts.rules.name}: "
                f"{100 * their / records:.2f} % of {records:,} records, not {100 * own / records:.2f} %; --fold {other.fold} asks "
                "that fold; check which kernel was recorded (uname -r), and ingest with --kernel-release if it was another"
            )
            finding = [Finding(level="unknown", what="other rules", count=best, detail=text)]
    return finding


def _explained(stream: Stream, other: Stream) -> tuple[int, int, int]:
    """Return how many records of the dumps that both folds have met each of them explains, and how many there are."""
    mine, theirs = (
        {(a.seq, a.view): a for a in one.history.audits if a.view == "page_owner"} for one in (stream, other)
    )
    both = mine.keys() & theirs.keys()
    records = sum(mine[dump].records for dump in both)
    return sum(mine[dump].agree for dump in both), sum(theirs[dump].agree for dump in both), records


def _recordings(stream: Stream) -> list[Finding]:
    found = []
    ordered = sum(part.counting_clock == DUMP_ORDER for part in stream.facts.recordings)
    if ordered:
        text = "dumps without times: theirs are the order in which they were given; see 'pagetrail ingest --at'"
        found.append(Finding(level="unknown", what="times", count=ordered, detail=text))
    for part in stream.facts.recordings:
        if not part.complete:
            text = f"recording {part.recording} has no end: its ingest was stopped, or is still running"
            found.append(Finding(level="note", what="incomplete", count=1, detail=text))
    for recording, account in stream.facts.accounts:
        if account.truncated:
            found.append(Finding(level="loss", what="truncated", count=1, detail=f"{recording}: {account.truncated}"))
        if account.not_understood:
            shown = "; ".join((f"line {e.line}: " if e.line else "") + repr(e.text) for e in account.examples[:3])
            found.append(Finding(level="loss", what="lines not understood", count=account.not_understood, detail=shown))
        if account.clamped:
            text = "timestamps went backwards and were clamped (raw_ts_nsec keeps them); the gaps say where nothing is certain"
            found.append(Finding(level="note", what="clamped", count=account.clamped, detail=text))
        if account.failed_allocs:
            text = "allocations that failed and took no page"
            found.append(Finding(level="note", what="failed allocs", count=account.failed_allocs, detail=text))
        if account.ignored:
            text = "events that add nothing about ownership; they were read and not stored: " + ", ".join(
                account.ignored
            )
            found.append(Finding(level="note", what="ignored", count=sum(account.ignored.values()), detail=text))
    return found


def _anomalies(stream: Stream) -> list[Finding]:
    with stream.opened(stream.files[-1]) as db:
        rows = db.execute("SELECT kind, events, pages, first_seq FROM anomalies ORDER BY kind").fetchall()
    found = []
    for kind, events, pages, first_seq in rows:
        level = "quarantined" if kind in QUARANTINED else "inferred"
        text = f"{ANOMALY_TEXT[Anomaly(kind)]}; {pages:,} pages, first at event {first_seq:,}"
        if causes := _causes(Anomaly(kind), stream.history):
            text += f"; possible causes: {'; '.join(causes)}"
        found.append(Finding(level=level, what=Anomaly(kind).name.lower().replace("_", " "), count=events, detail=text))
    return found


def _causes(kind: Anomaly, facts: Facts) -> list[str]:
    """Return what the kernel may have done, without an event in this stream, that an event of *kind* contradicted."""
    if kind in _ALLOC_UNSEEN:
        causes = _unseen_allocations(facts)
    elif kind == Anomaly.ALLOC_OVER_OWNED:
        causes = ["a free without an event (the kernels whose source was read have none)"]
        if facts.rules.contig_has_own_mask != Either.NO and facts.covered().now("contig_range"):
            causes.append(
                "a contiguous range, whose blocks are split before its call returns (CMA, alloc_contig_range)"
            )
    else:
        return []
    if facts.gaps:
        causes.append("events that were lost")
    if facts.clock_skew():
        causes.append("clocks of CPUs that differ")
    return causes


def _unseen_allocations(facts: Facts) -> list[str]:
    """Return in which ways pages may have been taken without an event.

    Source: mm/page_alloc.c, __alloc_pages_bulk (Linux 5.13 and later), alloc_contig_range; mm/compaction.c (Linux 5.10 to 7.2).
    """
    coverage = facts.covered()
    causes = []
    if not page_owner_on(facts):
        causes.append(
            "pages taken in bulk, as vmalloc does for stacks of tasks: no tracepoint shows them while page_owner is off"
        )
    if not coverage.now("isolate"):  # vmstat shows of some stretches that compaction took none
        causes.append("free pages that compaction took")
    if facts.rules.contig_has_own_mask != Either.NO and not coverage.now("contig_range"):
        causes.append("a contiguous range (CMA, alloc_contig_range)")
    return causes
