"""Who owned pages at an instant, or many (pfn, time) pairs at once."""

from collections.abc import Sequence
from contextlib import closing

import numpy as np
import pyarrow as pa

from pagetrail.queries.core.filters import check_pfns
from pagetrail.queries.core.instant import Instant
from pagetrail.queries.core.page_values import PAGE_EXT, page_values_at
from pagetrail.queries.core.proof import LoggedEvent, Proofs, SpanOrigin
from pagetrail.queries.core.row_columns import ROW_SCHEMA
from pagetrail.queries.core.rows import ABSENT_WHY, Asked, rows_at
from pagetrail.queries.core.stream import Stream
from pagetrail.schemas.owner import How

_EVIDENCE = "the event that the evidence goes back to: before a split or a migration, or a dump's record of the page"

ANSWER_SCHEMA = pa.schema(
    [
        pa.field("asked_pfn", pa.int64(), metadata={"doc": "the page that was asked for"}),
        pa.field("asked_ts", pa.int64(), metadata={"doc": "ns, trace clock: the instant that was asked for"}),
        *ROW_SCHEMA,
        pa.field("horizon", pa.int64(), metadata={"doc": "ns, trace clock: how far the log had been replayed"}),
        pa.field("recording", pa.utf8(), metadata={"doc": "recording of the event with which this state began"}),
        pa.field("event", pa.int64(), metadata={"doc": "number (seq) of that event in its recording"}),
        pa.field("log_partition", pa.int32(), metadata={"doc": "where the log holds that event; null: not any more"}),
        pa.field("log_offset", pa.int64(), metadata={"doc": "offset of the frame that holds it"}),
        pa.field("evidence_recording", pa.utf8(), metadata={"doc": f"recording of {_EVIDENCE}"}),
        pa.field("evidence_event", pa.int64(), metadata={"doc": "number (seq) of that event in its recording"}),
        pa.field("evidence_log_partition", pa.int32(), metadata={"doc": "where the log holds it; null: not any more"}),
        pa.field("evidence_log_offset", pa.int64(), metadata={"doc": "offset of the frame that holds it"}),
        pa.field("page_ext", PAGE_EXT, metadata={"doc": "what other clients of page_ext held of the page; advisory"}),
    ]
)
"""A row a question, in the order asked; a page of no section has state "absent"."""


def owners_at(stream: Stream, pfns: Sequence[int], at: Instant) -> pa.Table:
    """Return who owned each of *pfns* at an instant: ``ANSWER_SCHEMA``, one row each, in their order."""
    with closing(Proofs(stream)) as proofs:
        return _owners_at(stream, pfns, at, proofs)


def _owners_at(stream: Stream, pfns: Sequence[int], at: Instant, proofs: Proofs) -> pa.Table:
    check_pfns(pfns)
    found = rows_at(stream, at, Asked(pfns=pfns))
    starts = found["pfn"].to_numpy()
    ends = starts + found["nr_pages"].to_numpy()
    asked = np.asarray(pfns, np.int64)
    row = np.searchsorted(starts, asked, side="right") - 1
    inside = (row >= 0) & (asked < ends[np.maximum(row, 0)]) if starts.size else np.zeros(asked.size, np.bool_)
    taken = found.take(pa.array(np.where(inside, row, 0), mask=~inside))
    columns = {name: taken[name] for name in ROW_SCHEMA.names}
    absent = ~inside
    columns["state"] = _where(absent, "absent", taken["state"])
    columns["evidence"] = _where(absent, "none", taken["evidence"])
    columns["why"] = _where(absent, ABSENT_WHY, taken["why"])
    columns["certain"] = _where(absent, False, taken["certain"])
    columns["uncertain"] = pa.array(
        [["state"] if gone else value for gone, value in zip(absent, taken["uncertain"].to_pylist(), strict=True)],
        pa.list_(pa.utf8()),
    )
    return pa.table(
        [
            pa.array(asked), pa.array(np.full(asked.size, at.ts)), *columns.values(),
            pa.array(np.full(asked.size, stream.horizon)), *_proven(proofs, asked.tolist(), taken),
            pa.array(page_values_at(stream, pfns, at), PAGE_EXT),
        ],
        schema=ANSWER_SCHEMA,
    )  # fmt: skip


def owners(stream: Stream, pairs: Sequence[tuple[int, Instant]]) -> pa.Table:
    """Return who owned each pfn at its instant, in the order of *pairs*; the store is read once for each instant."""
    groups: dict[tuple[int, int | None], list[int]] = {}
    for i, (_, at) in enumerate(pairs):
        groups.setdefault((at.ts, at.seq), []).append(i)
    tables, order = [ANSWER_SCHEMA.empty_table()], []
    with closing(Proofs(stream)) as proofs:
        for rows in groups.values():
            tables.append(_owners_at(stream, [pairs[i][0] for i in rows], pairs[rows[0]][1], proofs))
            order += rows
    return pa.concat_tables(tables).take(pa.array(np.argsort(np.array(order, np.int64))))


def _where(mask: np.ndarray, value: object, column: pa.ChunkedArray) -> pa.Array:
    return pa.array(
        [value if chosen else other for chosen, other in zip(mask, column.to_pylist(), strict=True)], column.type
    )


def _proven(proofs: Proofs, pfns: list[int], taken: pa.Table) -> list[pa.Array]:
    """Return the columns that name the events that prove each answer, and where the log holds them."""
    names = ("begin_seq", "how", "src_pfn", "evidence_ts")
    rows = list(zip(pfns, *(taken[name].to_pylist() for name in names), strict=True))
    known = [i for i, row in enumerate(rows) if row[1] is not None]
    spans = [
        SpanOrigin(pfn=pfn, begin_seq=seq, how=int(How[how.upper().replace(" ", "_")]), src_pfn=src, evidence_ts=ts)
        for pfn, seq, how, src, ts in (rows[i] for i in known)
    ]
    began, evidence = [LoggedEvent()] * len(rows), [LoggedEvent()] * len(rows)
    for i, span, event in zip(known, spans, proofs.evidence(spans), strict=True):
        began[i], evidence[i] = proofs.event(span.begin_seq), event
    columns = []
    for events in (began, evidence):
        columns += [
            pa.array([e.recording for e in events], pa.utf8()), pa.array([e.event for e in events], pa.int64()),
            pa.array([e.partition for e in events], pa.int32()), pa.array([e.offset for e in events], pa.int64()),
        ]  # fmt: skip
    return columns
