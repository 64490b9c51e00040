"""Who owned these pages then: point-in-time answers, one page or many (pfn, time) pairs at once."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from pagetrail.queries.instant import Instant
from pagetrail.queries.page_values import PAGE_EXT, page_values_at
from pagetrail.queries.rows import ROW_SCHEMA, rows_at
from pagetrail.queries.stream import Stream

ANSWER_SCHEMA = pa.schema(
    [
        pa.field("asked_pfn", pa.int64(), metadata={"doc": "the page that was asked for"}),
        pa.field("asked_ts", pa.int64(), metadata={"doc": "ns, trace clock: the instant that was asked for"}),
        *ROW_SCHEMA,
        pa.field("horizon", pa.int64(), metadata={"doc": "ns, trace clock: how far the log had been replayed"}),
        pa.field("recording", pa.utf8(), metadata={"doc": "recording of the event with which the evidence began"}),
        pa.field("event", pa.int64(), metadata={"doc": "number (seq) of that event in its recording"}),
        pa.field("page_ext", PAGE_EXT, metadata={"doc": "what other clients of page_ext held of the page; advisory"}),
    ]
)
"""A row a question, in the order asked; an absent page (no section there) has state "absent"."""


def owners_at(stream: Stream, pfns: Sequence[int], at: Instant) -> pa.Table:
    """Return who owned each of *pfns* at an instant: ``ANSWER_SCHEMA``, one row each, in their order."""
    found = rows_at(stream, at, pfns=pfns)
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
    columns["why"] = _where(absent, "the page's section has no extension: not a page that was online", taken["why"])
    columns["certain"] = _where(absent, False, taken["certain"])
    columns["uncertain"] = pa.array(
        [["state"] if gone else value for gone, value in zip(absent, taken["uncertain"].to_pylist(), strict=True)],
        pa.list_(pa.utf8()),
    )
    recordings, events = _events(stream, taken["begin_seq"].to_pylist())
    return pa.table(
        [
            pa.array(asked), pa.array(np.full(asked.size, at.ts)), *columns.values(),
            pa.array(np.full(asked.size, stream.horizon)), pa.array(recordings, pa.utf8()), pa.array(events, pa.int64()),
            pa.array(page_values_at(stream, pfns, at), PAGE_EXT),
        ],
        schema=ANSWER_SCHEMA,
    )  # fmt: skip


def owners(stream: Stream, pairs: Sequence[tuple[int, Instant]]) -> pa.Table:
    """Return who owned each pfn at its instant, in the order of *pairs*; one read for each distinct instant."""
    groups: dict[tuple[int, int | None], list[int]] = {}
    for i, (_, at) in enumerate(pairs):
        groups.setdefault((at.ts, at.seq), []).append(i)
    tables, order = [ANSWER_SCHEMA.empty_table()], []
    for rows in groups.values():
        tables.append(owners_at(stream, [pairs[i][0] for i in rows], pairs[rows[0]][1]))
        order += rows
    return pa.concat_tables(tables).take(pa.array(np.argsort(np.array(order, np.int64))))


def _where(mask: np.ndarray, value: object, column: pa.ChunkedArray) -> pa.Array:
    return pa.array(
        [value if chosen else other for chosen, other in zip(mask, column.to_pylist(), strict=True)], column.type
    )


def _events(stream: Stream, begin: list[int | None]) -> tuple[list[str | None], list[int | None]]:
    """Return recording and event number of each stream_seq."""
    recordings: list[str | None] = []
    events: list[int | None] = []
    for seq in begin:
        part = next((p for p in reversed(stream.facts.recordings) if seq is not None and p.base_seq <= seq), None)
        recordings.append(part.recording if part else None)
        events.append(seq - part.base_seq if part and seq is not None else None)
    return recordings, events
