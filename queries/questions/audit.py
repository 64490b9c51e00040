"""Replay against the kernel's own dumps: in numbers, by class of difference, and record by record."""

import pyarrow as pa

from pagetrail.queries.core.stream import Stream, fetched

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
        with stream.opened(file) as db:
            where = "" if name is None else " WHERE name = $name"
            parameters: dict[str, object] | None = None if name is None else {"name": name}
            tables.append(fetched(db, f"SELECT * FROM audit_differences{where} ORDER BY seq, pfn", parameters))
    return pa.concat_tables(tables)
