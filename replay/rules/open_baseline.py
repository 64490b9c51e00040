"""A baseline that has begun and not ended: its records so far, which a tip keeps too."""

import base64
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from pagetrail.schemas.batch import EventBatch, concat, from_arrow, to_arrow
from pagetrail.schemas.details import BaselineBegin


@dataclass(slots=True)
class OpenBaseline:
    """A baseline whose ``baseline_end`` has not come yet.

    Attributes
    ----------
    begin, seq
        Detail and stream_seq of its ``baseline_begin``.
    floor
        The fold's least number of events in a segment, to restore at the end of the baseline: no segment ends before it.
    since
        Trace clock, ns: an event on a page from then on may have come after the page's record was read.
    batches
        Its records, in their order.
    """

    begin: BaselineBegin
    seq: int
    floor: int
    since: int
    batches: list[EventBatch] = field(default_factory=list)

    @property
    def nbytes(self) -> int:
        """Return the approximate size of its records, in bytes."""
        return sum(column.nbytes for batch in self.batches for column in batch.columns.values())

    def records(self) -> pa.RecordBatch | None:
        """Return its records as one batch of the events' schema; null: there are none yet."""
        return to_arrow(concat(self.batches)) if self.batches else None

    def plain(self) -> dict[str, Any]:
        """Return it as values of JSON."""
        records = self.records()
        packed = None if records is None else base64.b64encode(_packed(records)).decode()
        begin = self.begin.model_dump(mode="json")
        return {"begin": begin, "seq": self.seq, "floor": self.floor, "since": self.since, "records": packed}

    @classmethod
    def from_plain(cls, saved: dict[str, Any]) -> "OpenBaseline":
        """Return the baseline that ``plain`` saved."""
        opened = cls(BaselineBegin.model_validate(saved["begin"]), saved["seq"], saved["floor"], saved["since"])
        if saved["records"] is not None:
            with pa.ipc.open_stream(base64.b64decode(saved["records"])) as reader:
                opened.batches = [from_arrow(batch) for batch in reader]
        return opened


def _packed(records: pa.RecordBatch) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, records.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_batch(records)
    return bytes(sink.getvalue().to_pybytes())
