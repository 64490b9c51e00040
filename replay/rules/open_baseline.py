"""A view of the kernel's own whose end has not come: its records until then, which a tip keeps too."""

import base64
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from pagetrail.schemas.batch import EventBatch, concat, from_arrow, to_arrow
from pagetrail.schemas.details import BaselineBegin


@dataclass(slots=True)
class OpenBaseline:
    """A dump whose end has not come yet.

    Attributes
    ----------
    begin, seq
        What its first event says, and that event's stream_seq.
    floor
        The fold's floor of a segment, which is put back at its end: no segment ends before.
    since
        Trace clock, ns: what touched a page from then on may have come after it was read.
    parts
        Its records, in their order.
    """

    begin: BaselineBegin
    seq: int
    floor: int
    since: int
    parts: list[EventBatch] = field(default_factory=list)

    @property
    def nbytes(self) -> int:
        """Return bytes of its records, about."""
        return sum(column.nbytes for part in self.parts for column in part.columns.values())

    def records(self) -> pa.RecordBatch | None:
        """Return its records as one batch of the events' schema; null: there are none yet."""
        return to_arrow(concat(self.parts)) if self.parts else None

    def plain(self) -> dict[str, Any]:
        """Return it as what JSON can say."""
        records = self.records()
        packed = None if records is None else base64.b64encode(_packed(records)).decode()
        begin = self.begin.model_dump(mode="json")
        return {"begin": begin, "seq": self.seq, "floor": self.floor, "since": self.since, "records": packed}

    @classmethod
    def from_plain(cls, said: dict[str, Any]) -> "OpenBaseline":
        """Return a view from what ``plain`` made of it."""
        view = cls(BaselineBegin.model_validate(said["begin"]), said["seq"], said["floor"], said["since"])
        if said["records"] is not None:
            with pa.ipc.open_stream(base64.b64decode(said["records"])) as reader:
                view.parts = [from_arrow(batch) for batch in reader]
        return view


def _packed(records: pa.RecordBatch) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, records.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_batch(records)
    return bytes(sink.getvalue().to_pybytes())
