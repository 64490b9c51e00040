"""The messages of ``pagetrail publish``: rows of sealed segments, with headers that name the segment and the rows.

A message's key is the host (UTF-8). Its value is one Arrow IPC stream (buffers in zstd) of one of the schemas below. Its headers
(UTF-8) are the fields of ``Rows``, named ``pagetrail.NAME``; ``pagetrail.schema`` names the schema. Rows never change, and (host,
boot_id, fold, segment_last_seq, row) identifies one: delivery is at least once, and a consumer drops repeats by it. The
messages of a stream are in one partition, in the order of its segments; within a segment in the order of ``FEEDS``.

A published schema never changes: each is in ``schemas/published/NAME-vN.arrow``, and a test compares them. So the texts of columns
below are not reworded either.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Final

import pyarrow as pa

_IDENTITY: Final = (
    ("host", pa.utf8(), "host"),
    ("boot_id", pa.utf8(), "boot of the host; pages mean nothing across boots"),
    ("fold", pa.utf8(), "rules of replay: their version and options"),
    ("segment_last_seq", pa.int64(), "last event (stream_seq) of the segment: what is said here was known then"),
    ("row", pa.int64(), "number of the row within its segment and schema, from 0 on"),
)

SPAN_FIELDS: Final = (
    ("pfn", pa.int64(), "page frame number of the first page of the run"),
    ("nr_pages", pa.int64(), "pages in the run"),
    ("block_pfn", pa.int64(), "first page of the block, as it was allocated or freed"),
    ("order", pa.int8(), "the block is 2^order pages"),
    ("state", pa.utf8(), "owned or free"),
    ("pid", pa.int32(), "thread id of the owner; of a free run: of the last owner that was seen"),
    ("tgid", pa.int32(), "process id of the owner; null where it was not recorded"),
    ("comm", pa.utf8(), "command name of the owner; advisory"),
    ("gfp_mask", pa.int64(), "gfp_t of the allocation"),
    ("migratetype", pa.int8(), "MIGRATE_* of the allocation"),
    ("stack", pa.utf8(), "stack of the allocation, canonical: innermost first, a frame a line"),
    ("stack_id", pa.int64(), "64-bit id of the stack, the same on every host"),
    ("alloc_ts", pa.int64(), "ns, trace clock: when the owner allocated; null when only the kernel's dump told of it"),
    ("ts_nsec", pa.int64(), "ns, page_owner's clock: when the owner allocated; null where that is not known"),
    ("free_ts_nsec", pa.int64(), "ns, page_owner's clock: the free before this allocation, from a dump"),
    ("src_pfn", pa.int64(), "page frame number that the contents were migrated from"),
    ("migrate_reason", pa.int8(), "MR_* of the last migration, from a dump"),
    ("free_pid", pa.int32(), "of a free run: thread id of who freed it"),
    ("free_tgid", pa.int32(), "of a free run: process id of who freed it"),
    ("free_comm", pa.utf8(), "of a free run: command name of who freed it"),
    ("free_stack", pa.utf8(), "of a free run: stack of the free"),
    ("free_stack_id", pa.int64(), "64-bit id of that stack"),
    ("evidence", pa.utf8(), "observed, baseline or inferred"),
    ("how", pa.utf8(), "what began it: alloc, free, split, migrate, baseline, confirmed, ..."),
    ("cpu", pa.int16(), "CPU of the event that began it; null: no event of a CPU did"),
    ("unordered", pa.bool_(), "began within the clock skew of another CPU's event: which came last is not sure"),
    ("begin_seq", pa.int64(), "event (stream_seq) that began it"),
    ("begin_ts", pa.int64(), "ns, trace clock: when it began"),
    ("evidence_ts", pa.int64(), "ns, trace clock: since when the evidence holds"),
    ("end_seq", pa.int64(), "event (stream_seq) that ended it; null: it is open"),
    ("end_ts", pa.int64(), "ns, trace clock: when it ended; null: it is open"),
    ("end_how", pa.utf8(), "what ended it; null: it is open"),
    ("generation", pa.int32(), "generation of the section: a pfn that came back is not the old page"),
    ("kernel_view", pa.bool_(), "this is what the kernel's record said where it is known to be wrong; else what is proven"),
    ("certain", pa.bool_(), "at its last instant, of state, order, pid, tgid, gfp_mask and ts_nsec; null of the kernel's view"),
    ("uncertain", pa.list_(pa.utf8()), "which of those are not certain"),
    ("why", pa.utf8(), "why not; empty when certain"),
)  # fmt: skip
"""The columns of a span: (name, Arrow type, meaning) each."""

_DOUBT_FIELDS: Final = (
    ("pfn", pa.int64(), "first page"),
    ("nr_pages", pa.int64(), "pages; 2^52: all there are"),
    ("from_ts", pa.int64(), "ns, trace clock: the first instant in doubt"),
    ("to_ts", pa.int64(), "ns, trace clock: the last instant in doubt; 2^63-1: it is not over"),
    ("evidence_until_ts", pa.int64(), "ns, trace clock: only evidence (evidence_ts) up to then is in doubt"),
    ("noticed_ts", pa.int64(), "ns, trace clock: when it was noticed"),
    ("seq", pa.int64(), "event (stream_seq) that showed it"),
    ("reason", pa.utf8(), "why"),
)
_ANOMALY_FIELDS: Final = (
    ("kind", pa.utf8(), "what replay noticed"),
    ("level", pa.utf8(), "quarantined: set aside, or inferred"),
    ("meaning", pa.utf8(), "the same in a line"),
    ("events", pa.int64(), "events of this segment that showed it; null: the segment before is gone"),
    ("pages", pa.int64(), "pages concerned by those; null: as above"),
    ("total_events", pa.int64(), "events of the stream until now"),
    ("total_pages", pa.int64(), "pages concerned until now"),
    ("first_seq", pa.int64(), "event (stream_seq) that showed it first in the stream"),
)
_QUARANTINED_FIELDS: Final = (
    ("seq", pa.int64(), "event (stream_seq) that could not be folded"),
    ("pfn", pa.int64(), "page frame number it named"),
    ("order", pa.int64(), "order it named"),
    ("kind", pa.utf8(), "why it could not"),
    ("meaning", pa.utf8(), "the same in a line"),
)


def _schema(columns: tuple[tuple[str, pa.DataType, str], ...]) -> pa.Schema:
    """Return the schema of a message: its texts are dictionaries, because they repeat often."""
    texts = pa.dictionary(pa.int32(), pa.utf8())
    return pa.schema([
        pa.field(name, texts if kind == pa.utf8() else kind, metadata={"doc": doc})
        for name, kind, doc in (*_IDENTITY, *columns)
    ])  # fmt: skip


FEED_SCHEMAS: Final = {
    "spans-v1": _schema(SPAN_FIELDS),
    "doubts-v1": _schema(_DOUBT_FIELDS),
    "anomalies-v1": _schema(_ANOMALY_FIELDS),
    "quarantined-v1": _schema(_QUARANTINED_FIELDS),
}
"""By name, as in the header ``pagetrail.schema``."""

FEEDS: Final = {"spans": ("spans-v1", "doubts-v1"), "anomalies": ("anomalies-v1", "quarantined-v1")}
"""The feeds that can be published: the schemas of their messages, in the order in which a segment's messages are sent."""

SCHEMA_HEADER: Final = "pagetrail.schema"
_HEADER: Final = "pagetrail."


HEADER_MEANINGS: Final = {
    "schema": "schema of the value",
    "host": "host, as the key",
    "boot_id": "boot of the host",
    "fold": "rules of replay",
    "segment_first_seq": "first event (stream_seq) of the segment",
    "segment_last_seq": "its last event",
    "segment_digest": "chain digest of the segment",
    "first_row": "number of the first row of the message within the segment",
    "rows": "rows of the message",
    "of_rows": "number of rows of this schema in the segment",
}
"""The headers of a message: ``pagetrail.NAME``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """The rows that a message holds: ``rows`` rows from ``first_row`` on, out of the segment's ``of_rows`` of this schema."""

    host: str
    boot_id: str
    fold: str
    segment_first_seq: int
    segment_last_seq: int
    segment_digest: str
    first_row: int
    rows: int
    of_rows: int
    schema: str

    @property
    def stop_row(self) -> int:
        """The row after the last one."""
        return self.first_row + self.rows

    def headers(self) -> list[tuple[str, str | bytes | None]]:
        """Return the headers of a message with these rows."""
        return [(_HEADER + field.name, str(getattr(self, field.name)).encode()) for field in fields(self)]

    @classmethod
    def from_headers(cls, headers: Mapping[str, bytes]) -> "Rows | None":
        """Return the rows that the headers of a message name; null: it is not such a message."""
        values: dict[str, str | int] = {}
        for field in fields(cls):
            text = headers.get(_HEADER + field.name, b"").decode(errors="replace")
            if field.type is int and not (text.isascii() and text.isdecimal()):
                return None
            values[field.name] = int(text) if field.type is int else text
        return cls(**values) if values["schema"] in FEED_SCHEMAS else None  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedMessage:
    """Rows to publish: which they are, and the Arrow IPC stream that holds them."""

    which: Rows
    payload: bytes
