"""A dump that was not replayed, compared with what replay says of that instant."""

from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pagetrail.producers.inputs import open_input
from pagetrail.queries.core.instant import Instant
from pagetrail.queries.core.runs import heads
from pagetrail.queries.core.stream import Stream
from pagetrail.replay.facts.clock import owner_clock, owner_ts
from pagetrail.schemas.batch import concat
from pagetrail.schemas.columns import absent
from pagetrail.schemas.errors import InputError
from pagetrail.schemas.owner import ABSENT64, SAME_TS_NSEC
from pagetrail.schemas.structs import taken

DUMP_AUDIT_SCHEMA: Final = pa.schema(
    [
        ("seq", pa.int64()), ("ts", pa.int64()), ("name", pa.utf8()), ("records", pa.int64()), ("agree", pa.int64()),
        ("pages", pa.int64()), ("agree_pages", pa.int64()), ("extra", pa.int64()), ("applied", pa.bool_()),
        ("view", pa.utf8()), ("classes", pa.map_(pa.utf8(), pa.int64())), ("sections", pa.map_(pa.utf8(), pa.int64())),
        ("share", pa.float64()),
    ]
)  # fmt: skip
"""One dump in numbers, as in ``audits.AUDITS_SCHEMA``; seq is that of the instant, -1 if a time was given."""

_KERNEL: Final = ("order", "pid", "tgid", "gfp_mask", "ts_nsec")
_OURS: Final = _KERNEL[:-1]
"""What replay has as it is; ts_nsec is derived."""

_COMPARED: Final = ("order", "pid", "gfp_mask")

_Theirs = dict[str, NDArray[np.generic]]
"""Columns of the dump, one value a record."""


def audit_dump(stream: Stream, dump: Path, at: Instant) -> tuple[pa.Table, pa.Table]:
    """Compare a dump that was not replayed with the state at an instant; return numbers, and the records that differ.

    Raises
    ------
    InputError
        The file holds no page_owner record.
    """
    theirs = _read(dump)
    runs, records, _ = stream.rows_at(at)
    pfn, row = heads(runs, records)
    where = np.searchsorted(pfn, theirs["pfn"])
    there = np.isin(theirs["pfn"], pfn)
    ours = taken(records, row[np.where(there, np.minimum(where, max(pfn.size - 1, 0)), 0)]) if pfn.size else records[:0]
    stamps = owner_ts(ours, owner_clock(stream.facts.clocks))
    known = (stamps != ABSENT64) & (theirs["ts_nsec"] != absent("ts_nsec"))
    near = ~known | (np.abs(np.where(known, stamps, 0) - np.where(known, theirs["ts_nsec"], 0)) <= SAME_TS_NSEC)
    agree = there & near
    for name in _COMPARED:
        agree &= ours[name] == theirs[name]
    extra = int((~np.isin(pfn, theirs["pfn"])).sum())
    numbers = _numbers(dump.name, at, theirs, agree, extra)
    return numbers, _differences(theirs, ours, stamps, there, np.flatnonzero(~agree))


def _read(dump: Path) -> _Theirs:
    # imported here: jit functions take half a second to import, and other questions do not need them
    from pagetrail.producers.formats.page_owner.dump import PageOwnerDump

    with open_input(dump, text=True) as source:
        parts = list(PageOwnerDump(source, source=dump.name).batches())
    if not parts:
        raise InputError(f"{dump}: expected a page_owner dump, found no page_owner record in it")
    batch = concat(parts)
    return {name: batch.column(name) for name in ("pfn", *_KERNEL)}


def _numbers(name: str, at: Instant, theirs: _Theirs, agree: NDArray[np.bool_], extra: int) -> pa.Table:
    pages = np.int64(1) << np.maximum(theirs["order"].astype(np.int64), 0)
    row = {
        "seq": -1 if at.seq is None else at.seq, "ts": at.ts, "name": name, "records": agree.size,
        "agree": int(agree.sum()), "pages": int(pages.sum()), "agree_pages": int(pages[agree].sum()), "extra": extra,
        "applied": False, "view": "page_owner", "classes": [], "sections": [], "share": 100.0 * agree.sum() / agree.size,
    }  # fmt: skip
    return pa.Table.from_pylist([row], schema=DUMP_AUDIT_SCHEMA)


def _differences(
    theirs: _Theirs,
    ours: NDArray[np.void],
    stamps: NDArray[np.int64],
    there: NDArray[np.bool_],
    differs: NDArray[np.int64],
) -> pa.Table:
    """Return both sides of the records that differ; null where replay has no record."""
    nothing = ~there[differs]
    columns = {"pfn": pa.array(theirs["pfn"][differs])}
    for name in _KERNEL:
        column = theirs[name][differs]
        columns[f"kernel_{name}"] = pa.array(column, mask=column == absent(name))
    for name in _OURS:
        columns[name] = pa.array(ours[name][differs], mask=nothing)
    columns["ts_nsec"] = pa.array(stamps[differs], mask=nothing | (stamps[differs] == ABSENT64))
    return pa.table(columns)
