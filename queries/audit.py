"""Replay against the kernel's own dumps: in numbers, by class of difference, and record by record."""

from pathlib import Path

import numpy as np
import pyarrow as pa

from pagetrail.producers.inputs import open_input
from pagetrail.producers.page_owner import PageOwnerDump
from pagetrail.queries.instant import Instant
from pagetrail.queries.page_owner_text import heads
from pagetrail.queries.stream import Stream, fetched
from pagetrail.replay import checkpoint
from pagetrail.replay.baseline import owner_ts
from pagetrail.replay.checkpoint import arrays
from pagetrail.replay.clock import owner_clock
from pagetrail.replay.facts import Audit
from pagetrail.schemas.batch import concat
from pagetrail.schemas.columns import absent
from pagetrail.schemas.errors import InputError
from pagetrail.schemas.owner import ABSENT64, SAME_TS_NSEC

AUDITS_SCHEMA = pa.schema(
    [
        ("name", pa.utf8()), ("ts", pa.int64()), ("records", pa.int64()), ("agree", pa.int64()),
        ("share", pa.float64()), ("pages", pa.int64()), ("agree_pages", pa.int64()), ("extra", pa.int64()),
        ("applied", pa.bool_()), ("view", pa.utf8()), ("classes", pa.map_(pa.utf8(), pa.int64())),
        ("sections", pa.map_(pa.utf8(), pa.int64())),
    ]
)  # fmt: skip


def audits_table(stream: Stream, view: str = "page_owner") -> pa.Table:
    """Return a row a dump: records, those that agree, their share, and how many differ in each class, and in each section.

    With view "kpageflags", records are pages that the kernel says are free.
    """
    rows = [
        {
            "name": a.name, "ts": a.ts, "records": a.records, "agree": a.agree,
            "share": 100.0 * a.agree / a.records if a.records else None, "pages": a.pages, "agree_pages": a.agree_pages,
            "extra": a.extra, "applied": a.applied, "view": a.view, "classes": list(a.classes.items()),
            "sections": list(a.sections.items()),
        }
        for a in stream.facts.audits
        if a.view == view
    ]  # fmt: skip
    return pa.Table.from_pylist(rows, schema=AUDITS_SCHEMA)


def differences(stream: Stream, name: str | None = None) -> pa.Table:
    """Return each record in which a dump (of snapshot *name*, or any) and replay differed: both sides, before correction."""
    tables = []
    for file in stream.files:
        with checkpoint.opened(file.path) as db:
            where = "" if name is None else " WHERE name = $name"
            parameters: dict[str, object] | None = None if name is None else {"name": name}
            tables.append(fetched(db, f"SELECT * FROM audit_differences{where} ORDER BY seq, pfn", parameters))
    return pa.concat_tables(tables)


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
    ours = records[row[np.where(there, np.minimum(where, max(pfn.size - 1, 0)), 0)]] if pfn.size else records[:0]
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
