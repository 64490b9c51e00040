"""The spans of a segment as rows for other programs: with words, texts, and how sure each was at its last instant."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pagetrail.queries.core.certainty import judge, last_instants
from pagetrail.queries.core.judgement import Attribute, Judgement
from pagetrail.queries.core.row_columns import EVIDENCE_WORDS, HOW_WORDS, STATE_WORDS, words
from pagetrail.queries.core.stream import Stream
from pagetrail.queries.core.texts import Texts
from pagetrail.replay.facts.clock import owner_clock, owner_ts
from pagetrail.replay.facts.facts import Facts
from pagetrail.replay.store.packed.unpack import span_table
from pagetrail.schemas.feed import SPAN_FIELDS
from pagetrail.schemas.owner import ABSENT64, OPEN_END, State
from pagetrail.schemas.store.names import StoreFile
from pagetrail.schemas.store.tables import span_rows

SPAN_SCHEMA: Final = pa.schema([pa.field(name, kind, metadata={"doc": doc}) for name, kind, doc in SPAN_FIELDS])

_BATCH_ROWS: Final = 65_536
"""Rows in memory at once: a segment may have many millions."""

_VIEWED = f"""
WITH s AS (
    SELECT *, unnest(range(pfn >> 6, (pfn + nr_pages - 1 >> 6) + 1)) AS bucket FROM asked
), v AS (
    SELECT pfn, nr_pages, begin_ts, end_ts, unnest(range(pfn >> 6, (pfn + nr_pages - 1 >> 6) + 1)) AS bucket
    FROM ({span_rows("spans")} UNION ALL {span_rows("live")}) WHERE kernel_view = 1 AND state <> $free
)
SELECT DISTINCT s."row" FROM s JOIN v USING (bucket)
WHERE v.pfn < s.pfn + s.nr_pages AND s.pfn < v.pfn + v.nr_pages AND v.begin_ts <= s.until AND s.until < v.end_ts
"""
"""Rows from which the kernel's own record differs on at least one page. Buckets of 64 pages make it a hash join."""


def span_batches(
    stream: Stream, file: StoreFile, doubts: NDArray[np.void], *, table: str = "spans", first_row: int = 0
) -> Iterator[pa.Table]:
    """Yield the rows of ``spans`` or ``live`` in their order in *file*, from *first_row* on: ``SPAN_SCHEMA``.

    They are judged by the facts of *stream* at that time and by *doubts* (DOUBT_DTYPE). A run is as sure as its least sure page.
    """
    facts = stream.facts_since(stream.files.index(file))
    with stream.opened(file) as db:
        texts = Texts.read(db, ("comms", "frames", "stack_ids"))
        while True:
            runs, records = stream.spans_in_order(file, table, first_row, first_row + _BATCH_ROWS)
            if not runs.size:
                return
            yield _batch(stream, facts, db, runs, records, texts, doubts)
            first_row += runs.size


def _batch(
    stream: Stream,
    facts: Facts,
    db: duckdb.DuckDBPyConnection,
    runs: NDArray[np.void],
    records: NDArray[np.void],
    texts: Texts,
    doubts: NDArray[np.void],
) -> pa.Table:
    found = span_table(runs, records)
    until = last_instants(runs, records, stream.horizon)
    viewed = _viewed(db, runs, until)
    judged = judge(runs, records, viewed, until, facts, doubts)
    stamped_otherwise = viewed & (records["state"] == State.OWNED) & (records["ts_nsec"] == ABSENT64)
    columns = _as_stored(found) | _in_words(found, texts) | _judged(runs, judged, stamped_otherwise)
    columns["ts_nsec"] = _ts_nsec(records, facts, stamped_otherwise)
    return pa.table([columns[name] for name in SPAN_SCHEMA.names], schema=SPAN_SCHEMA)


def _viewed(db: duckdb.DuckDBPyConnection, runs: NDArray[np.void], until: NDArray[np.int64]) -> NDArray[np.bool_]:
    proven = np.flatnonzero(runs["kernel_view"] == 0)
    rows = {name: np.ascontiguousarray(runs[name][proven]) for name in ("pfn", "nr_pages")}
    db.register("asked", pa.table(rows | {"row": proven, "until": until[proven]}))
    found = db.execute(_VIEWED, {"free": int(State.FREE)}).fetchnumpy()["row"]
    db.unregister("asked")
    viewed = np.zeros(runs.size, np.bool_)
    viewed[found] = True
    return viewed


def _as_stored(found: pa.Table) -> dict[str, pa.ChunkedArray]:
    columns = {name: found[name] for name in SPAN_SCHEMA.names if name in found.column_names}
    for name in ("end_seq", "end_ts"):
        columns[name] = pc.if_else(pc.equal(found[name], OPEN_END), pa.scalar(None, pa.int64()), found[name])
    columns["unordered"] = pc.equal(found["unordered"], 1)
    columns["kernel_view"] = pc.equal(found["kernel_view"], 1)
    return columns


def _in_words(found: pa.Table, texts: Texts) -> dict[str, pa.Array]:
    def codes(name: str) -> NDArray[np.int8]:
        return np.asarray(found[name].to_numpy())

    def text(of: pa.Array, name: str) -> pa.Array:
        return of.take(found[name].combine_chunks())

    open_ended = pa.array(codes("end_how") == 0)
    ends = words(codes("end_how"), HOW_WORDS)
    return {
        "state": words(codes("state"), STATE_WORDS),
        "evidence": words(codes("evidence"), EVIDENCE_WORDS),
        "how": words(codes("how"), HOW_WORDS),
        "end_how": pc.if_else(open_ended, pa.scalar(None, pa.utf8()), ends),
        "comm": text(texts.comms, "comm"),
        "stack": text(texts.frames, "stack"),
        "stack_id": text(texts.stack_ids, "stack"),
        "free_comm": text(texts.comms, "free_comm"),
        "free_stack": text(texts.frames, "free_stack"),
        "free_stack_id": text(texts.stack_ids, "free_stack"),
    }


def _judged(runs: NDArray[np.void], judged: Judgement, stamped_otherwise: NDArray[np.bool_]) -> dict[str, pa.Array]:
    """Return how sure the proven rows are; a run's ts_nsec is not certain if page_owner stamped one of its pages otherwise."""
    view = runs["kernel_view"] == 1
    ts_nsec = int(Attribute.TS_NSEC)
    why = judged.why().to_pylist()
    for row in np.flatnonzero(stamped_otherwise & (judged.lost & ts_nsec == 0)):
        why[row] = "; ".join(part for part in (why[row], _STAMPED_OTHERWISE) if part)
    judged = replace(judged, lost=np.where(stamped_otherwise, judged.lost | ts_nsec, judged.lost))
    masked = pa.array(view)
    return {
        "certain": pa.array(judged.certain, mask=view),
        "uncertain": pc.if_else(masked, pa.scalar(None, pa.list_(pa.utf8())), judged.uncertain()),
        "why": pa.array(why, pa.utf8(), mask=view),
    }


_STAMPED_OTHERWISE: Final = "page_owner never stamped this allocation: its own record of one of the pages differs"


def _ts_nsec(records: NDArray[np.void], facts: Facts, unknown: NDArray[np.bool_]) -> pa.Array:
    ts = owner_ts(records, owner_clock(facts.clocks))
    return pa.array(ts, mask=unknown | (ts == ABSENT64) | (records["state"] != State.OWNED))
