"""The rows of each published schema for one segment. They depend on the segment alone, not on when they are made."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa

from pagetrail.queries.core.certainty import gap_reaches
from pagetrail.queries.core.doubts import ALL, Bearing, doubts_in, doubts_noticed
from pagetrail.queries.core.spans import span_batches
from pagetrail.queries.core.stream import Stream
from pagetrail.replay.facts.doubts import evidence_until
from pagetrail.replay.facts.facts import Facts
from pagetrail.schemas.feed import FEED_SCHEMAS
from pagetrail.schemas.owner import ANOMALY_TEXT, DOUBT_TEXT, OPEN_END, QUARANTINED, Anomaly
from pagetrail.schemas.store.names import StoreFile

ALL_PAGES: Final = 1 << 52
"""As many pages as 64-bit addresses have."""

_Loss = tuple[int, int, int, int, str]
"""From, until, reported, seq, reason of a loss."""

RowsFrom = tuple[int, Iterator[pa.Table]]
"""How many rows of a schema the segment has, and the rows from some row on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A sealed segment: the stream as known when it was sealed, and when the segment before it was (null: that is removed)."""

    known: Stream
    before: Stream | None

    @property
    def file(self) -> StoreFile:
        """The segment's file."""
        return self.known.newest.file

    @property
    def meta(self) -> Mapping[str, str]:
        """The segment's table ``meta``."""
        return self.known.newest.meta


def rows_of(segment: Segment, schema: str, first_row: int) -> RowsFrom:
    """Return how many rows of *schema* the segment has, and the rows from *first_row* on, without the columns of identity."""
    return _ROWS[schema](segment, first_row)


def _spans(segment: Segment, first_row: int) -> RowsFrom:
    """Return every span that ended in the segment, as sure as it was when the segment was sealed."""
    known, before = segment.known, segment.before
    since = known.newest.first_ts if before is None else before.horizon
    doubts = doubts_in(known, [segment.file], Bearing(since=since), into=segment.file)
    return known.nr_spans(segment.file, "spans"), span_batches(known, segment.file, doubts, first_row=first_row)


def _doubts(segment: Segment, first_row: int) -> RowsFrom:
    """Return doubts and losses that were noticed in the segment: they may concern spans that were published before."""
    noticed = doubts_noticed(segment.known, [segment.file], ALL)
    until = evidence_until(noticed, segment.known.facts.clock_skew()).tolist()
    rows: list[dict[str, Any]] = [
        {name: int(doubt[name]) for name in ("pfn", "nr_pages", "from_ts", "to_ts", "noticed_ts", "seq")}
        | {"evidence_until_ts": evidence}
        | {"reason": DOUBT_TEXT[int(doubt["reason"])]}
        for doubt, evidence in zip(noticed, until, strict=True)
    ]
    rows += [
        {"pfn": 0, "nr_pages": ALL_PAGES, "from_ts": low, "to_ts": OPEN_END, "evidence_until_ts": high}
        | {"noticed_ts": ts, "seq": seq, "reason": f"events were lost: {reason}"}
        for low, high, ts, seq, reason in sorted(_new_losses(segment))
    ]
    return _whole("doubts-v1", rows, first_row)


def _new_losses(segment: Segment) -> set[_Loss]:
    """Return the losses that were not known, or not so wide, at the end of the segment before."""
    if segment.before is None:
        return _losses(segment.known.facts)
    facts, before = segment.known.facts, segment.before.facts
    if facts.clock_skew() != before.clock_skew():  # a new recording widens those of all times
        facts, before = segment.known.history, segment.before.history
    return _losses(facts) - _losses(before)


def _losses(facts: Facts) -> set[_Loss]:
    losses = zip(gap_reaches(facts).tolist(), facts.gap_ts, facts.gaps, strict=True)
    return {(low, high, ts, seq, gap.reason) for (low, high), ts, (seq, _, gap) in losses}


def _anomalies(segment: Segment, first_row: int) -> RowsFrom:
    """Return what replay noticed in the segment, by kind. Counts of a segment are since the start of the stream."""
    before = {} if segment.before is None else _counts(segment.before)
    known = segment.before is not None or segment.file.first_seq == 0
    rows: list[dict[str, Any]] = []
    for kind, (events, pages, first_seq) in _counts(segment.known).items():
        had = before.get(kind, (0, 0, 0))
        if not known or events > had[0]:
            rows.append(_named(kind) | {
                "level": "quarantined" if kind in QUARANTINED else "inferred",
                "events": events - had[0] if known else None, "pages": pages - had[1] if known else None,
                "total_events": events, "total_pages": pages, "first_seq": first_seq,
            })  # fmt: skip
    return _whole("anomalies-v1", rows, first_row)


def _counts(known: Stream) -> dict[int, tuple[int, int, int]]:
    """Return (events, pages, first_seq) by kind of anomaly, as the newest file of a stream counts them."""
    with known.opened(known.newest.file) as db:
        found = db.execute("SELECT kind, events, pages, first_seq FROM anomalies ORDER BY kind").fetchall()
    return {kind: (events, pages, first_seq) for kind, events, pages, first_seq in found}


def _quarantined(segment: Segment, first_row: int) -> RowsFrom:
    with segment.known.opened(segment.file) as db:
        found = db.execute('SELECT seq, pfn, "order", kind FROM quarantined ORDER BY rowid').fetchall()
    rows = [{"seq": seq, "pfn": pfn, "order": order} | _named(kind) for seq, pfn, order, kind in found]
    return _whole("quarantined-v1", rows, first_row)


def _named(kind: int) -> dict[str, Any]:
    return {"kind": Anomaly(kind).name.lower().replace("_", " "), "meaning": ANOMALY_TEXT[Anomaly(kind)]}


def _whole(schema: str, rows: list[dict[str, Any]], first_row: int) -> RowsFrom:
    """Return rows that are few enough to make at once."""
    if not rows:
        return 0, iter(())
    fields = [field for field in FEED_SCHEMAS[schema] if field.name in rows[0]]
    plain = {field.name: pa.utf8() if pa.types.is_dictionary(field.type) else field.type for field in fields}
    table = pa.table({name: pa.array([row[name] for row in rows], kind) for name, kind in plain.items()})
    return len(rows), iter([table.slice(first_row)])


_ROWS: Final[Mapping[str, Callable[[Segment, int], RowsFrom]]] = {
    "spans-v1": _spans, "doubts-v1": _doubts, "anomalies-v1": _anomalies, "quarantined-v1": _quarantined,
}  # fmt: skip
