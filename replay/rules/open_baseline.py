"""A baseline that has begun and not ended: its records so far, which a tip keeps too."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pagetrail.schemas.batch import EventBatch, concat, from_arrow, to_arrow
from pagetrail.schemas.columns import ARROW_SCHEMA
from pagetrail.schemas.details import BaselineBegin
from pagetrail.schemas.store.kept_rows import KeptRows, unpacked

_BLOCK: Final = tuple(map(ARROW_SCHEMA.get_field_index, ("kind", "pfn", "order")))


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
    entries, larger
        How many records it has, and how many of them are of blocks of more than one page.
    rises
        Whether their page frame numbers rise: then they can be taken one part after another.
    repeats
        Whether a part begins with the page with which the one before it ends.
    rows
        Its records, in batches of the events' schema.
    """

    begin: BaselineBegin
    seq: int
    floor: int
    since: int
    entries: int = 0
    larger: int = 0
    rises: bool = True
    repeats: bool = False
    rows: KeptRows = field(default_factory=KeptRows)
    _last: int = -1

    def add(self, batch: EventBatch) -> None:
        """Add records behind those that are there."""
        pfn = np.asarray(batch.column("pfn"), np.int64)
        self.rises = self.rises and int(pfn[0]) >= self._last and bool((pfn[1:] >= pfn[:-1]).all())
        self.repeats = self.repeats or int(pfn[0]) == self._last
        self._last = int(pfn[-1])
        self.entries += len(batch)
        self.larger += int(np.count_nonzero(np.asarray(batch.column("order"), np.int8) > 0))
        self.rows.add(to_arrow(batch))

    def batches(self) -> Iterator[EventBatch]:
        """Yield its records in their order."""
        return map(from_arrow, self.rows.batches())

    def blocks(self) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int8]]]:
        """Yield the pfn and order of its records in their order, some at a time."""
        for rows in self.rows.batches(_BLOCK):
            batch = from_arrow(rows)
            yield np.asarray(batch.column("pfn"), np.int64), np.asarray(batch.column("order"), np.int8)

    def records(self) -> pa.RecordBatch | None:
        """Return its records as one batch of the events' schema; null: there are none yet."""
        return to_arrow(concat(list(self.batches()))) if self.rows else None

    def plain(self) -> dict[str, Any]:
        """Return it as values of JSON, without its records: earlier formats of the store have them in ``records``."""
        begin = self.begin.model_dump(mode="json")
        return {"begin": begin, "seq": self.seq, "floor": self.floor, "since": self.since, "records": []}

    @classmethod
    def from_plain(cls, saved: dict[str, Any], records: Iterable[bytes]) -> "OpenBaseline":
        """Return the baseline that ``plain`` saved, with its *records*: batches as ``packed`` compressed them."""
        opened = cls(BaselineBegin.model_validate(saved["begin"]), saved["seq"], saved["floor"], saved["since"])
        for rows in records:
            opened.add(from_arrow(unpacked(rows)))
        return opened
