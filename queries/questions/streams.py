"""What is in a trail."""

from collections.abc import Callable

import pyarrow as pa

from pagetrail.queries.core.instant import snapshot_end, wall_text
from pagetrail.queries.core.stream import Stream
from pagetrail.replay.run.lag import PartitionLag

STREAMS_SCHEMA = pa.schema(
    [
        ("host", pa.utf8()),
        ("boot_id", pa.utf8()),
        ("release", pa.utf8()),
        ("fold", pa.utf8()),
        ("recordings", pa.int64()),
        ("complete", pa.bool_()),
        ("events", pa.int64()),
        ("first_ts", pa.int64()),
        ("horizon", pa.int64()),
        ("horizon_wall", pa.utf8()),
        ("segments", pa.int64()),
        ("tip", pa.bool_()),
        ("digest", pa.utf8()),
        ("state_digest", pa.utf8()),
        ("snapshots", pa.list_(pa.utf8())),
        ("partition", pa.int64()),
        ("lag", pa.int64()),
        ("rate", pa.float64()),
        ("held", pa.utf8()),
    ]
)

MARKERS_SCHEMA = pa.schema([("ts", pa.int64()), ("seq", pa.int64()), ("text", pa.utf8())])


Lags = Callable[[Stream], PartitionLag]


def streams_table(streams: list[Stream], lags: Lags | None = None) -> pa.Table:
    """Return a row a stream: its recordings, how far it was replayed (ns, trace clock), the digest of its state.

    With *lags* of its log: the frames of its partition that are not replayed yet, events a second, and why it is held.
    """
    rows = [_row(stream) | ({} if lags is None else _lag(stream, lags(stream))) for stream in streams]
    return pa.Table.from_pylist(rows, schema=STREAMS_SCHEMA)


def _lag(stream: Stream, lag: PartitionLag) -> dict[str, object]:
    key = (stream.host, stream.boot_id)
    held = lag.held.get(key)
    return {
        "partition": lag.partition, "lag": lag.frames_behind(key), "rate": lag.rates.get(key, 0.0),
        "held": None if held is None else held[1],
    }  # fmt: skip


def _row(stream: Stream) -> dict[str, object]:
    facts = stream.facts
    first = [part.first_ts for part in facts.recordings if part.first_ts is not None]
    return {
        "host": stream.host, "boot_id": stream.boot_id, "fold": stream.fold,
        "release": facts.boot.release if facts.boot else None, "recordings": len(facts.recordings),
        "complete": all(part.complete for part in facts.recordings), "events": stream.newest.file.last_seq + 1,
        "first_ts": min(first, default=None), "horizon": stream.horizon,
        "horizon_wall": wall_text(stream.horizon, facts), "segments": sum(not file.tip for file in stream.files),
        "tip": stream.files[-1].tip, "digest": stream.newest.meta["digest"],
        "state_digest": stream.newest.meta["state_digest"],
        "snapshots": [name for _, _, text in facts.markers if (name := snapshot_end(text))],
    }  # fmt: skip


def markers_table(stream: Stream) -> pa.Table:
    """Return the markers of a stream: ns of the trace clock, event (stream_seq), text."""
    rows = [{"ts": ts, "seq": seq, "text": text} for seq, ts, text in stream.facts.markers]
    return pa.Table.from_pylist(rows, schema=MARKERS_SCHEMA)
