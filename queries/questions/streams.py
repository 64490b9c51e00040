"""The streams of a trail, and how far each was replayed."""

import json
from collections.abc import Sequence, Set
from typing import Final

import numpy as np
import pyarrow as pa

from pagetrail.queries.core.instant import snapshot_end, wall_text
from pagetrail.queries.core.opening import Damaged
from pagetrail.queries.core.stream import Stream
from pagetrail.replay.facts.digest import facts_digest
from pagetrail.replay.fold.tables import ANOMALY_ROWS
from pagetrail.replay.run.lag import PartitionLag, lag_of
from pagetrail.replay.store.cut import cuts, held_of, refused_of
from pagetrail.replay.store.state_digest import EndedSums, state_digest
from pagetrail.schemas.log.contract import LogReader

STREAMS_SCHEMA: Final = pa.schema(
    [
        ("host", pa.utf8()),
        ("boot_id", pa.utf8()),
        ("release", pa.utf8()),
        ("rules", pa.utf8()),
        ("fold", pa.utf8()),
        ("folds", pa.list_(pa.utf8())),
        ("recordings", pa.int64()),
        ("superseded", pa.list_(pa.utf8())),
        ("refused", pa.list_(pa.utf8())),
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
        ("damaged", pa.list_(pa.utf8())),
    ]
)


def streams(opened: list[Stream], log: LogReader | None = None, *, damaged: Sequence[Damaged] = ()) -> pa.Table:
    """Return a row a stream: its recordings and those refused, how far it was replayed (ns, trace clock), its digests.

    A stream that was halted before it had a file has a row without times, and of a *damaged* one, whose files cannot be read, there
    is only why. With the *log* that it is replayed from, also: how many frames of its partition are not replayed yet, and events a
    second. This does not disturb a replay.
    """
    lags = None if log is None else _Lags(log)
    rows = [_row(stream) | ({} if lags is None else lags.of(stream)) for stream in opened]
    rows += _without_files(opened, {(one.host, one.boot_id) for one in damaged})
    rows += [{"host": one.host, "boot_id": one.boot_id, "damaged": [str(one.error)]} for one in damaged]
    return pa.Table.from_pylist(rows, schema=STREAMS_SCHEMA)


def _without_files(opened: list[Stream], damaged: Set[tuple[str, str]]) -> list[dict[str, object]]:
    """Return a row for each stream that replay could not begin: nothing is known of it but why."""
    known = {(stream.fold, stream.host, stream.boot_id) for stream in opened}
    stores = {(stream.place.store.where(), stream.fold): stream.place.store for stream in opened}
    return [
        {
            "host": host, "boot_id": boot_id, "fold": fold, "held": why, "folds": [], "superseded": [], "refused": [],
            "snapshots": [], "recordings": 0, "complete": False, "events": 0, "segments": 0, "tip": False,
        }
        for (_, fold), store in stores.items()
        for cut in cuts(store, fold)
        for (host, boot_id), (_, why) in cut.held.items()
        if (fold, host, boot_id) not in known and (host, boot_id) not in damaged
    ]  # fmt: skip


class _Lags:
    """How far replay is behind in the partitions of a log; each partition is read once."""

    def __init__(self, log: LogReader) -> None:
        self._log, self._partitions = log, len(log.partitions())
        self._found: dict[tuple[str, int], PartitionLag] = {}

    def of(self, stream: Stream) -> dict[str, object]:
        """Return the columns of a stream that are about its lag."""
        from pagetrail.schemas.log.kafka import partition_of  # here: it needs a client of Kafka, and few ask for a lag

        fold, partition = where = stream.fold, partition_of(stream.host, self._partitions)
        if where not in self._found:
            self._found[where] = lag_of(stream.place.store, fold, self._log, partition)
        lag, key = self._found[where], (stream.host, stream.boot_id)
        return {"partition": lag.partition, "lag": lag.frames_behind(key), "rate": lag.rates.get(key, 0.0)}


def _state_digest(stream: Stream) -> str | None:
    """Return the state digest; null: the store no longer has all facts since the stream began."""
    if stream.since_seq:
        return None
    meta, counts = stream.newest.meta, np.zeros((ANOMALY_ROWS, 3), np.int64)
    with stream.opened(stream.newest.file) as db:
        for kind, *values in db.execute("SELECT kind, events, pages, first_seq FROM anomalies").fetchall():
            counts[kind] = values
    ended = EndedSums.from_plain(json.loads(meta["ended_sums"]))
    return state_digest(ended, meta["live_sums"], counts, facts_digest(stream.history))


def _row(stream: Stream) -> dict[str, object]:
    stream.check()
    facts = stream.facts
    first = [part.first_ts for part in facts.recordings if part.first_ts is not None]
    there = cuts(stream.place.store, stream.fold)
    held = held_of(there, stream.host, stream.boot_id)
    return {
        "host": stream.host, "boot_id": stream.boot_id, "fold": stream.fold, "folds": stream.place.folds(),
        "release": facts.boot.release if facts.boot else None, "rules": facts.rules.name, "recordings": len(facts.recordings),
        "superseded": [part.supersedes for part in facts.recordings if part.supersedes is not None],
        "refused": refused_of(there, stream.host, stream.boot_id), "held": None if held is None else held[1],
        "complete": all(part.complete for part in facts.recordings), "events": stream.newest.file.last_seq + 1,
        "first_ts": min(first, default=None), "horizon": stream.horizon,
        "horizon_wall": wall_text(stream.horizon, facts), "segments": sum(not file.tip for file in stream.files),
        "tip": stream.files[-1].tip, "digest": stream.newest.meta["digest"],
        "state_digest": _state_digest(stream),
        "damaged": [str(error) for error in stream.damage()],
        "snapshots": [name for _, _, text in stream.history.markers if (name := snapshot_end(text))],
    }  # fmt: skip
