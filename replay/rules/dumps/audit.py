"""A dump against the state, added up over its sections; and the records in which they differ, as rows of the store."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pagetrail.replay.facts.clock import OwnerClock, owner_ts
from pagetrail.replay.facts.facts import Audit
from pagetrail.replay.rules.page_owner_baseline import CLASSES, Comparison, Entries, heads_of
from pagetrail.schemas.owner import ABSENT64, State
from pagetrail.schemas.store.tables import arrow_schema
from pagetrail.schemas.structs import concatenated, taken

NOT_LISTED: Final = "not in the dump"
"""The class of a block that replay has as owned and the dump does not list."""

EXTRA_DTYPE: Final = np.dtype([("pfn", np.int64), ("nr_pages", np.int64), ("from_ts", np.int64)])
"""Such a block, and the time (trace clock, ns) of the evidence that the dump contradicts."""

_CLASSES: Final = (*CLASSES, NOT_LISTED)
_SCHEMA: Final = arrow_schema("audit_differences")
_KERNEL: Final = ("order", "pid", "tgid", "gfp_mask", "ts_nsec")
_OURS: Final = _KERNEL[:-1]
"""What replay has as it is; ts_nsec is derived."""


@dataclass(slots=True, kw_only=True)
class DumpAudit:
    """One dump against the state, as far as its sections have been compared.

    Attributes
    ----------
    records
        How many records it has.
    listed
        By section: a bit (``np.packbits``) for each page of a block that the dump lists.
    """

    pages_per_section: int
    records: int = 0
    listed: dict[int, NDArray[np.uint8]] = field(default_factory=dict)
    _counts: Counter[str] = field(default_factory=Counter)
    _kinds: Counter[int] = field(default_factory=Counter)
    _sections: Counter[int] = field(default_factory=Counter)
    _extra: list[NDArray[np.void]] = field(default_factory=list)

    def add(self, entries: Entries, seen: Comparison, kinds: NDArray[np.int8]) -> None:
        """Add some sections: their records, compared with the state; *kinds* are the classes of their differences."""
        head = heads_of(entries)
        pages = np.minimum(np.int64(1) << entries.order.astype(np.int64), self.pages_per_section)
        self.records += int(head.sum())
        self._counts["agree"] += int((seen.agree & head).sum())
        self._counts["pages"] += int(pages.sum())
        self._counts["agree_pages"] += int(pages[seen.agree].sum())
        differs = ~seen.agree & head
        self._kinds.update(_counted(kinds[differs]))
        self._sections.update(_counted(entries.pfn[differs] // self.pages_per_section))
        self._add_extra(seen)
        self._add_listed(entries, pages)

    def take_extra(self) -> Iterator[NDArray[np.void]]:
        """Yield the blocks that replay has as owned and the dump does not list, EXTRA_DTYPE, by pfn; drop them on the way."""
        self._extra.reverse()
        while self._extra:
            yield self._extra.pop()

    def audit(self, *, seq: int, ts: int, name: str, applied: bool, whole: bool) -> Audit:
        """Return the dump in numbers; *whole*: its silence counts too."""
        extra = sum(part.size for part in self._extra)
        classes = {CLASSES[kind]: count for kind, count in sorted(self._kinds.items())}
        classes |= {NOT_LISTED: extra} if extra else {}
        return Audit(
            seq=seq, ts=ts, name=name, records=self.records, agree=self._counts["agree"], pages=self._counts["pages"],
            agree_pages=self._counts["agree_pages"], extra=extra, applied=applied, classes=classes,
            sections={str(nr): count for nr, count in sorted(self._sections.items())}, whole=whole,
        )  # fmt: skip

    def _add_extra(self, seen: Comparison) -> None:
        extra = np.zeros(seen.extra.size, EXTRA_DTYPE)
        extra["pfn"], extra["from_ts"] = seen.extra, seen.extra_ours["evidence_ts"]
        extra["nr_pages"] = np.int64(1) << np.maximum(seen.extra_ours["order"], 0).astype(np.int64)
        self._extra.append(extra)

    def _add_listed(self, entries: Entries, pages: NDArray[np.int64]) -> None:
        """Remember the pages of the listed blocks, tails included."""
        size = self.pages_per_section
        section, first = entries.pfn // size, entries.pfn % size
        borders = [0, *(np.flatnonzero(np.diff(section)) + 1).tolist(), section.size]
        for start, stop in pairwise(borders) if section.size else ():
            rises = np.zeros(size + 1, np.int64)
            np.add.at(rises, first[start:stop], 1)
            np.add.at(rises, np.minimum(first[start:stop] + pages[start:stop], size), -1)
            self.listed[int(section[start])] = np.packbits(np.cumsum(rises[:-1]) > 0)


def differences_of(
    seen: Comparison, entries: Entries, kinds: NDArray[np.int8], clock: OwnerClock | None, *, seq: int, name: str
) -> pa.RecordBatch:
    """Return the records that differ with both sides, as rows of the table ``audit_differences``.

    The blocks that the dump does not list come behind its records.
    """
    differs = np.flatnonzero(~seen.agree & heads_of(entries))
    rows, more = differs.size + seen.extra.size, seen.extra.size
    ours = concatenated([taken(seen.ours, differs), seen.extra_ours])
    owned, stamps = ours["state"] == State.OWNED, owner_ts(ours, clock)
    columns: dict[str, pa.Array] = {
        "seq": pa.array(np.full(rows, seq, np.int64)),
        "name": pa.array([name], pa.utf8()).take(pa.array(np.zeros(rows, np.int32))),
        "pfn": pa.array(np.concatenate([entries.pfn[differs], seen.extra])),
        "class": pa.array(_CLASSES, pa.utf8()).take(
            pa.array(np.concatenate([kinds[differs], np.full(more, len(CLASSES), np.int8)]))
        ),
        "ts_nsec": pa.array(stamps, mask=~owned | (stamps == ABSENT64)),
    }
    for field_name in _KERNEL:
        column = getattr(entries, field_name)[differs]
        column = np.concatenate([column, np.full(more, _absent(column), column.dtype)])
        columns[f"kernel_{field_name}"] = pa.array(column, mask=column == _absent(column))
    for field_name in _OURS:
        column = np.ascontiguousarray(ours[field_name])
        columns[field_name] = pa.array(column, mask=~owned | (column == _absent(column)))
    return pa.RecordBatch.from_arrays([columns[one] for one in _SCHEMA.names], schema=_SCHEMA)


def _absent(column: NDArray[np.signedinteger]) -> int:
    return int(np.iinfo(column.dtype).min)


def _counted(values: NDArray[np.signedinteger]) -> dict[int, int]:
    """Return how often each value occurs."""
    found, counts = np.unique(values, return_counts=True)
    return dict(zip(found.tolist(), counts.tolist(), strict=True))
