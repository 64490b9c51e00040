"""A dump that was not replayed, against what replay says of that instant."""

from pathlib import Path

import numpy as np
import pyarrow as pa

from pagetrail.producers.formats.page_owner.dump import PageOwnerDump
from pagetrail.producers.inputs import open_input
from pagetrail.queries.core.instant import Instant
from pagetrail.queries.core.stream import Stream
from pagetrail.queries.export.page_owner_text import heads
from pagetrail.replay.facts.clock import owner_clock, owner_ts
from pagetrail.replay.facts.facts import Audit
from pagetrail.replay.store.read import arrays
from pagetrail.schemas.batch import concat
from pagetrail.schemas.columns import absent
from pagetrail.schemas.errors import InputError
from pagetrail.schemas.owner import ABSENT64, SAME_TS_NSEC
from pagetrail.schemas.structs import taken


def audit_dump(stream: Stream, dump: Path, at: Instant) -> tuple[Audit, pa.Table]:
    """Return a dump that was not replayed, against the state at an instant: in numbers, and the records that differ.

    Raises
    ------
    InputError
        The file holds no page_owner record.
    """
    with open_input(dump) as source:
        parser = PageOwnerDump(source, source=dump.name)
        parts = list(parser.batches())
    if not parts:
        raise InputError(f"{dump}: expected a page_owner dump, found no record of it")
    batch = concat(parts)
    theirs = {name: batch.column(name) for name in ("pfn", "order", "pid", "tgid", "gfp_mask", "ts_nsec")}
    found, _ = stream.rows_at(at)
    runs, records = arrays(found)
    pfn, row = heads(runs, records)
    where = np.searchsorted(pfn, theirs["pfn"])
    there = np.isin(theirs["pfn"], pfn)
    ours = taken(records, row[np.where(there, np.minimum(where, max(pfn.size - 1, 0)), 0)]) if pfn.size else records[:0]
    stamps = owner_ts(ours, owner_clock(stream.facts.clocks))
    known = (stamps != ABSENT64) & (theirs["ts_nsec"] != absent("ts_nsec"))
    near = ~known | (np.abs(np.where(known, stamps, 0) - np.where(known, theirs["ts_nsec"], 0)) <= SAME_TS_NSEC)
    agree = there & near
    for name in ("order", "pid", "gfp_mask"):
        agree &= ours[name] == theirs[name]
    extra = pfn[~np.isin(pfn, theirs["pfn"])]
    pages = np.int64(1) << np.maximum(theirs["order"].astype(np.int64), 0)
    audit = Audit(
        seq=-1 if at.seq is None else at.seq, ts=at.ts, name=dump.name, records=int(theirs["pfn"].size),
        agree=int(agree.sum()), pages=int(pages.sum()), agree_pages=int(pages[agree].sum()), extra=int(extra.size),
        applied=False,
    )  # fmt: skip
    differs = np.flatnonzero(~agree)
    mask = ~there[differs]
    columns = {"pfn": pa.array(theirs["pfn"][differs])}
    for name in ("order", "pid", "tgid", "gfp_mask", "ts_nsec"):
        column = theirs[name][differs]
        columns[f"kernel_{name}"] = pa.array(column, mask=column == absent(name))
    for name in ("order", "pid", "tgid", "gfp_mask"):
        columns[name] = pa.array(ours[name][differs], mask=mask)
    columns["ts_nsec"] = pa.array(stamps[differs], mask=mask | (stamps[differs] == ABSENT64))
    return audit, pa.table(columns)
