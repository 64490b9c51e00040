"""Every owner of a page, one after another, with the free times between them."""

import numpy as np
import pyarrow as pa

from pagetrail.queries.certainty import Judgement, judge
from pagetrail.queries.rows import ROW_SCHEMA, to_table
from pagetrail.queries.stream import Stream, Texts, fetched
from pagetrail.replay import checkpoint
from pagetrail.replay.checkpoint import arrays
from pagetrail.schemas.owner import DOUBT_DTYPE, OPEN_END, How

HISTORY_SCHEMA = pa.schema(
    [
        *ROW_SCHEMA,
        pa.field(
            "end_ts", pa.int64(), metadata={"doc": "ns, trace clock: when it ended; null: still so at the horizon"}
        ),
        pa.field("end_how", pa.utf8(), metadata={"doc": "what ended it"}),
    ]
)

_VIEWS = " UNION ALL ".join(
    f"SELECT begin_ts, end_ts FROM {table} WHERE pfn <= $pfn AND $pfn < pfn + nr_pages AND kernel_view = 1"
    for table in ("spans", "live")
)
"""When the kernel's own record of a page differs from what is proven."""

_HOW = {int(how): how.name.lower().replace("_", " ") for how in How}


def history(stream: Stream, pfn: int, *, since: int | None = None, until: int | None = None) -> pa.Table:
    """Return the spans of a page in order of time: ``HISTORY_SCHEMA``; certainty is that at each span's end.

    Spans that a dump only confirmed are one. *since* and *until* are ns of the trace clock, both included.
    """
    lo = since if since is not None else -OPEN_END
    hi = until if until is not None else OPEN_END
    parts = [HISTORY_SCHEMA.empty_table()]
    for position, file in enumerate(stream.files):
        if stream.piece(file).last_ts < lo:
            continue
        if stream.piece(file).first_ts > hi and not _open_at_the_end_of(stream, position - 1, pfn, hi):
            break
        tables = ("spans", "live") if position == len(stream.files) - 1 else ("spans",)
        parts.append(_of_file(stream, file.path, tables, pfn, lo, hi))
    return _joined(pa.concat_tables(parts).sort_by("begin_seq"))


def _open_at_the_end_of(stream: Stream, position: int, pfn: int, hi: int) -> bool:
    """Whether a span that had begun by *hi* outlives a file: its row is where it ended, in a later one."""
    if position < 0:
        return False
    where = "pfn <= $pfn AND $pfn < pfn + nr_pages AND kernel_view = 0 AND begin_ts <= $hi"
    with checkpoint.opened(stream.files[position].path) as db:
        found = db.execute(f"SELECT 1 FROM live WHERE {where} LIMIT 1", {"pfn": pfn, "hi": hi}).fetchone()
    return found is not None


def _of_file(stream: Stream, path: object, tables: tuple[str, ...], pfn: int, lo: int, hi: int) -> pa.Table:
    where = "pfn <= $pfn AND $pfn < pfn + nr_pages AND kernel_view = 0 AND begin_ts <= $hi AND end_ts >= $lo"
    query = " UNION ALL ".join(f"SELECT * FROM {table} WHERE {where}" for table in tables)
    with checkpoint.opened(path) as db:  # type: ignore[arg-type]
        found = fetched(db, query, {"pfn": pfn, "lo": lo, "hi": hi})
        views = db.execute(_VIEWS, {"pfn": pfn}).fetchall()
        texts = Texts.read(db)
    runs, records = arrays(found)
    doubts = _doubts(stream, pfn)
    judged = [_judged(stream, runs[i : i + 1], records[i : i + 1], views, doubts) for i in range(runs.size)]
    whole = Judgement(
        certain=np.array([bool(j.certain[0]) for j in judged], np.bool_),
        uncertain=[j.uncertain[0] for j in judged],
        why=[j.why[0] for j in judged],
    )
    nothing = np.full(runs.size, -1, np.int64)
    rows = to_table(runs, records, nothing, records[:0], whole, texts, stream.facts)
    ends = pa.array(runs["end_ts"], mask=runs["end_ts"] == OPEN_END)
    hows = pa.array([_HOW[int(how)] if how else None for how in runs["end_how"]], pa.utf8())
    return pa.table([*rows.columns, ends, hows], schema=HISTORY_SCHEMA)


def _judged(
    stream: Stream, run: np.ndarray, record: np.ndarray, views: list[tuple[int, int]], doubts: np.ndarray
) -> Judgement:
    end = int(run["end_ts"][0])
    until = min(end - 1, stream.horizon) if end != OPEN_END else stream.horizon
    until = max(until, int(record["begin_ts"][0]))
    bearing = doubts[(doubts["from_ts"] <= until) & (doubts["to_ts"] >= until)]
    viewed = any(begin <= until < end for begin, end in views)
    return judge(run, record, np.array([viewed]), until, stream.facts, bearing)


def _doubts(stream: Stream, pfn: int) -> np.ndarray:
    parts = [np.zeros(0, DOUBT_DTYPE)]
    for file in stream.files:
        if int(stream.piece(file).meta["doubts_reach_back_to"]) == OPEN_END:
            continue
        with checkpoint.opened(file.path) as db:
            found = fetched(db, "SELECT * FROM doubts WHERE pfn <= $pfn AND $pfn < pfn + nr_pages", {"pfn": pfn})
        part = np.zeros(found.num_rows, DOUBT_DTYPE)
        for name in DOUBT_DTYPE.names or ():
            part[name] = found[name].to_numpy()
        parts.append(part)
    return np.concatenate(parts)


def _joined(rows: pa.Table) -> pa.Table:
    """Join a span with the one that a dump confirmed it into: one owner, one row, as sure as its last part."""
    said = rows.to_pylist()
    joined: list[dict[str, object]] = []
    for row in said:
        before = joined[-1] if joined else None
        if before is not None and row["how"] == "confirmed" and before["end_how"] == "confirmed":
            kept = {name: before[name] for name in ("begin_ts", "begin_seq", "how", "pfn", "nr_pages")}
            joined[-1] = row | kept
        else:
            joined.append(row)
    return pa.Table.from_pylist(joined, schema=rows.schema)
