"""Every owner of a page in order of time, with free times, times without an extension, and where contents went."""

from itertools import zip_longest
from typing import Any, Final

import numpy as np
import pyarrow as pa

from pagetrail.queries.core.certainty import judge, last_instants
from pagetrail.queries.core.doubts import Bearing, casting, doubts_in
from pagetrail.queries.core.filters import check_pfns
from pagetrail.queries.core.row_columns import HOW_WORDS, ROW_SCHEMA, JudgedRows, texts_of, to_table
from pagetrail.queries.core.rows import ABSENT_WHY
from pagetrail.queries.core.runs import Rows
from pagetrail.queries.core.said import heads_of_runs, said_in, said_of, said_texts_in
from pagetrail.queries.core.stream import Stream
from pagetrail.queries.core.texts import Texts
from pagetrail.replay.facts.facts import Facts
from pagetrail.schemas.owner import OPEN_END, How, State
from pagetrail.schemas.store.names import StoreFile
from pagetrail.schemas.store.tables import span_rows
from pagetrail.schemas.structs import taken

HISTORY_FIELDS: Final = (
    ("end_ts", pa.int64(), "ns, trace clock: when it ended; null: still so at the horizon"),
    ("end_seq", pa.int64(), "event (stream_seq) that ended it; null: still so"),
    ("end_how", pa.utf8(), "what ended it"),
    ("dst_pfn", pa.int64(), "page frame number that the contents were migrated to; the page itself is freed later"),
    ("dst_ts", pa.int64(), "ns, trace clock: when they were"),
    ("dst_seq", pa.int64(), "event (stream_seq) of that migration"),
)
"""The columns that a row of an instant does not have."""

HISTORY_SCHEMA: Final = pa.schema(
    [*ROW_SCHEMA, *(pa.field(name, kind, metadata={"doc": doc}) for name, kind, doc in HISTORY_FIELDS)]
)

Row = dict[str, Any]


def history(stream: Stream, pfn: int, *, since: int | None = None, until: int | None = None) -> pa.Table:
    """Return the spans of a page in order of time: ``HISTORY_SCHEMA``. A row is as certain as its span was at its end.

    A span that a dump confirmed is one row with the span before. Between two generations of its section the page is absent.
    *since* and *until* are ns of the trace clock, both included.
    """
    check_pfns([pfn])
    lo = since if since is not None else -OPEN_END
    hi = until if until is not None else OPEN_END
    parts = [HISTORY_SCHEMA.empty_table()]
    doubts = doubts_in(stream, casting(stream), Bearing(pages=(pfn, pfn + 1)), into=stream.files[0])
    first = next((i for i, file in enumerate(stream.files) if stream.piece(file).last_ts >= lo), len(stream.files))
    facts = stream.facts_since(min(first, len(stream.files) - 1))
    for position, file in enumerate(stream.files[first:], first):
        if stream.piece(file).first_ts > hi and not _open_at_the_end_of(stream, position - 1, pfn, hi):
            break
        tables = ("spans", "live") if position == len(stream.files) - 1 else ("spans",)
        parts.append(_of_file(stream, file, tables, pfn, (lo, hi), facts, doubts))
    rows = pa.concat_tables(parts).sort_by([("begin_seq", "ascending"), ("end_ts", "ascending")]).to_pylist()
    rows = _joined(rows)
    _add_destinations(stream, pfn, rows)
    rows = sorted(rows + _absent_times(facts, pfn, lo, hi), key=lambda row: int(row["begin_seq"]))
    return pa.Table.from_pylist(rows, schema=HISTORY_SCHEMA)


def _open_at_the_end_of(stream: Stream, position: int, pfn: int, hi: int) -> bool:
    """Return whether a span that began by *hi* ends after a file: its row is in a later file."""
    if position < 0:
        return False
    where = f"{stream.holding_page(pfn)} AND kernel_view = 0"
    _, records = stream.spans(stream.files[position], where, tables=("live",))
    return bool((records["begin_ts"] <= hi).any())


def _of_file(
    stream: Stream,
    file: StoreFile,
    tables: tuple[str, ...],
    pfn: int,
    window: tuple[int, int],
    facts: Facts,
    doubts: np.ndarray,
) -> pa.Table:
    runs, records = stream.spans(file, stream.holding_page(pfn))
    differs = (runs["kernel_view"] == 1) & (records["state"] != State.FREE)  # a free one is a stamp that no dump lists
    views = zip(records["begin_ts"][differs].tolist(), runs["end_ts"][differs].tolist(), strict=True)
    shown = (runs["kernel_view"] == 0) & (records["begin_seq"] < runs["end_seq"]) & (records["begin_ts"] <= window[1])
    shown &= (runs["end_ts"] >= window[0]) & ((runs["end_seq"] != OPEN_END) | ("live" in tables))
    with stream.opened(file) as db:
        texts = Texts.read(db, texts_of(ROW_SCHEMA.names))
    runs, records = _as_known(stream, taken(runs, shown), taken(records, shown))
    runs["pfn"], runs["nr_pages"] = (
        pfn,
        1,
    )  # the length of a run is that of pages that ended together, and means nothing for one page
    until = last_instants(runs, records, stream.horizon)
    viewed = np.zeros(runs.size, np.bool_)
    for begin, end in views:
        viewed |= (begin <= until) & (until < end)
    judged = judge(runs, records, viewed, until, facts, doubts)
    proven = Rows(runs=runs, records=records, kernel_row=np.full(runs.size, -1))
    said = said_in(stream, file, stream.believed, runs, records, said_texts_in(stream, file))
    said = said_of(said, heads_of_runs(runs, records), records, runs["end_seq"])
    rows = to_table(
        JudgedRows(rows=proven, kernel_records=records[:0], judged=judged, texts=texts, facts=facts, said=said)
    )
    still = runs["end_ts"] == OPEN_END
    hows = pa.array([HOW_WORDS[int(how)] if how else None for how in runs["end_how"]], pa.utf8())
    ends = (pa.array(runs["end_ts"], mask=still), pa.array(runs["end_seq"], mask=still), hows)
    return pa.table([*rows.columns, *ends, *[pa.nulls(runs.size, pa.int64())] * 3], schema=HISTORY_SCHEMA)


def _as_known(stream: Stream, runs: np.ndarray, records: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Leave out spans that began after the time of ``as_of``; spans that ended after it are still open."""
    began = np.array([stream.knows(int(r["begin_ts"]), int(r["begin_seq"])) for r in records], np.bool_)
    runs, records = taken(runs, began), taken(records, began)
    later = np.array([not stream.knows(int(r["end_ts"]), int(r["end_seq"])) for r in runs], np.bool_)
    runs["end_ts"][later], runs["end_seq"][later], runs["end_how"][later] = OPEN_END, OPEN_END, How.OPEN
    return runs, records


def _joined(rows: list[Row]) -> list[Row]:
    """Join a span with the span before if a dump only confirmed it: one owner, one row, as sure as its last part."""
    joined: list[Row] = []
    for row in rows:
        before = joined[-1] if joined else None
        if before is not None and row["how"] == "confirmed" and before["end_how"] == "confirmed":
            joined[-1] = row | {name: before[name] for name in ("begin_ts", "begin_seq", "how")}
        else:
            joined.append(row)
    return joined


# -- generations -------------------------------------------------------------------------------------------------------------


def _absent_times(facts: Facts, pfn: int, lo: int, hi: int) -> list[Row]:
    """Return a row for each time in which the page's section had no extension, between two extensions and after the last."""
    mine = [e for e in facts.sections if e.section_nr == pfn // facts.pages_per_section]
    mine.sort(key=lambda e: e.generation)
    rows = []
    for gone, back in zip_longest(mine, mine[1:]):
        end = OPEN_END if back is None else back.begin_ts
        if gone.end_ts == OPEN_END or (back is not None and back.begin_seq <= gone.end_seq):
            continue
        if gone.end_ts > hi or end < lo:
            continue
        row: Row = dict.fromkeys(HISTORY_SCHEMA.names)
        row |= {
            "pfn": pfn, "nr_pages": 1, "state": "absent", "evidence": "none", "certain": False, "uncertain": ["state"],
            "why": ABSENT_WHY, "begin_ts": gone.end_ts, "begin_seq": gone.end_seq, "how": gone.end_how,
        }  # fmt: skip
        if back is not None:
            row |= {"end_ts": back.begin_ts, "end_seq": back.begin_seq, "end_how": back.how}
        rows.append(row)
    return rows


# -- migration ---------------------------------------------------------------------------------------------------------------


def head_of(row: Row) -> int:
    """Return the head of the block of an owned *row*: the page migrates with it."""
    pfn, block, order = int(row["pfn"]), row["block_pfn"], row["order"]
    whole = order and block is not None and block <= pfn < block + (1 << order)
    return int(block) if whole else pfn


def _add_destinations(stream: Stream, pfn: int, rows: list[Row]) -> None:
    """Add where the contents went to each row whose page, or whose block's head, was migrated away."""
    owned = [row for row in rows if row["state"] == "owned"]
    heads = sorted({head_of(row) for row in owned})
    if not owned:
        return
    first = int(owned[0]["begin_seq"])
    moves = sorted(move for file in stream.files if file.last_seq >= first for move in _moves(stream, file, heads))
    for row in owned:
        end = OPEN_END if row["end_seq"] is None else row["end_seq"]
        head = head_of(row)
        for seq, ts, source, target in moves:
            if source == head and row["begin_seq"] < seq < end:
                row |= {"dst_pfn": target + pfn - head, "dst_ts": ts, "dst_seq": seq}
                break


def _moves(stream: Stream, file: StoreFile, sources: list[int]) -> set[tuple[int, int, int, int]]:
    """Return the migrations from *sources* that a file has: (stream_seq, trace clock ns, from, to)."""
    query = " UNION ".join(
        f"SELECT begin_seq, begin_ts, src_pfn, pfn FROM ({span_rows(table)}) "
        f"WHERE list_contains($sources, src_pfn) AND how = {int(How.MIGRATE)} AND kernel_view = 0"
        for table in ("spans", "live")
    )
    with stream.opened(file) as db:
        found = db.execute(query, {"sources": sources}).fetchall()
    return {(seq, ts, source, target) for seq, ts, source, target in found if stream.knows(ts, seq)}
