"""How far replay agrees with the kernel's own dumps: a row a dump."""

from typing import Final

import pyarrow as pa

from pagetrail.queries.core.stream import Stream

AUDITS_SCHEMA: Final = pa.schema(
    [
        ("name", pa.utf8()), ("ts", pa.int64()), ("records", pa.int64()), ("agree", pa.int64()),
        ("share", pa.float64()), ("pages", pa.int64()), ("agree_pages", pa.int64()), ("extra", pa.int64()),
        ("applied", pa.bool_()), ("view", pa.utf8()), ("classes", pa.map_(pa.utf8(), pa.int64())),
        ("sections", pa.map_(pa.utf8(), pa.int64())),
    ]
)  # fmt: skip


def audits(stream: Stream, view: str = "page_owner") -> pa.Table:
    """Return a row a dump: records, how many agree, their share, and how many differ by class and by section.

    With view "kpageflags", a record is a page that the kernel says is free.
    """
    rows = [
        {
            "name": a.name, "ts": a.ts, "records": a.records, "agree": a.agree,
            "share": 100.0 * a.agree / a.records if a.records else None, "pages": a.pages, "agree_pages": a.agree_pages,
            "extra": a.extra, "applied": a.applied, "view": a.view, "classes": list(a.classes.items()),
            "sections": list(a.sections.items()),
        }
        for a in stream.history.audits
        if a.view == view
    ]  # fmt: skip
    return pa.Table.from_pylist(rows, schema=AUDITS_SCHEMA)
