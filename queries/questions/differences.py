"""The page_owner records in which replay and the kernel's own dumps differ."""

import pyarrow as pa

from pagetrail.queries.core.stream import Stream, fetched


def differences(stream: Stream, name: str | None = None) -> pa.Table:
    """Return each record in which a dump (of snapshot *name*, or any) and replay differed: both sides, before any correction."""
    tables = []
    for file in stream.files:
        with stream.opened(file) as db:
            where = "" if name is None else " WHERE name = $name"
            parameters: dict[str, object] | None = None if name is None else {"name": name}
            tables.append(fetched(db, f"SELECT * FROM audit_differences{where} ORDER BY seq, pfn", parameters))
    return pa.concat_tables(tables)
