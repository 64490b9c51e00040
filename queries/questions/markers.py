"""The markers of a stream."""

from typing import Final

import pyarrow as pa

from pagetrail.queries.core.stream import Stream

MARKERS_SCHEMA: Final = pa.schema([("ts", pa.int64()), ("seq", pa.int64()), ("text", pa.utf8())])


def markers(stream: Stream) -> pa.Table:
    """Return the markers of a stream: ns of the trace clock, event (stream_seq), text."""
    rows = [{"ts": ts, "seq": seq, "text": text} for seq, ts, text in stream.history.markers]
    return pa.Table.from_pylist(rows, schema=MARKERS_SCHEMA)
