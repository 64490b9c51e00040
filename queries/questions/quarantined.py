"""The events that replay could not fold."""

import pyarrow as pa

from pagetrail.queries.core.stream import Stream, fetched


def quarantined(stream: Stream) -> pa.Table:
    """Return the events that could not be folded: seq, pfn, order, kind."""
    tables = []
    for file in stream.files:
        with stream.opened(file) as db:
            tables.append(fetched(db, "SELECT * FROM quarantined ORDER BY seq"))
    return pa.concat_tables(tables)
