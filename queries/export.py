"""Spans as Parquet, for engines other than DuckDB: one folder a stream, one file a segment."""

from pathlib import Path

import duckdb

from pagetrail.queries.stream import Stream
from pagetrail.schemas.store import path_part

_SPANS = """
SELECT '{host}' AS host, '{boot}' AS boot_id, s.* EXCLUDE
           (record, comm, stack, free_comm, free_stack, state, evidence, how, end_how,
           end_seq, end_ts, kernel_view),
       st.word AS state, ev.word AS evidence, hb.word AS how,
       CASE WHEN s.end_how = 0 THEN NULL ELSE he.word END AS end_how,
       CASE WHEN s.end_seq = 9223372036854775807 THEN NULL ELSE s.end_seq END AS end_seq,
       CASE WHEN s.end_ts = 9223372036854775807 THEN NULL ELSE s.end_ts END AS end_ts,
       s.kernel_view = 1 AS kernel_view,
       c.comm AS comm, fc.comm AS free_comm, k.frames AS stack, k.stack_id AS stack_id,
       fk.frames AS free_stack, fk.stack_id AS free_stack_id
FROM ({source}) s
LEFT JOIN seg.comms c ON c.id = s.comm
LEFT JOIN seg.comms fc ON fc.id = s.free_comm
LEFT JOIN seg.stacks k ON k.id = s.stack
LEFT JOIN seg.stacks fk ON fk.id = s.free_stack
LEFT JOIN seg.words st ON st.field = 'state' AND st.code = s.state
LEFT JOIN seg.words ev ON ev.field = 'evidence' AND ev.code = s.evidence
LEFT JOIN seg.words hb ON hb.field = 'how' AND hb.code = s.how
LEFT JOIN seg.words he ON he.field = 'end_how' AND he.code = s.end_how
ORDER BY s.pfn, s.begin_seq
"""


def export_spans(streams: list[Stream], directory: Path) -> list[Path]:
    """Write every closed span, and those open at the horizon, as Parquet; return the files.

    Times are ns of the trace clock (``ts_nsec``: page_owner's clock); ``end_ts`` is null for spans that are open.
    Files are written aside and renamed: a reader never sees half of one.
    """
    written = []
    for stream in streams:
        folder = directory / f"host={path_part(stream.host)}" / f"boot_id={path_part(stream.boot_id)}"
        folder.mkdir(parents=True, exist_ok=True)
        for position, file in enumerate(stream.files):
            last = position == len(stream.files) - 1
            source = "SELECT * FROM seg.spans" + (" UNION ALL SELECT * FROM seg.live" if last else "")
            target = folder / f"{file.path.stem}.parquet"
            _write(stream, file.path, source, target)
            written.append(target)
    return written


def _write(stream: Stream, segment: Path, source: str, target: Path) -> None:
    aside = target.with_suffix(".writing")
    query = _SPANS.format(host=_quoted(stream.host), boot=_quoted(stream.boot_id), source=source)
    with duckdb.connect(":memory:") as db:
        # else a column without a null in this segment is "required" in its file, and the files of a stream differ
        db.execute("SET disabled_optimizers = 'statistics_propagation'")
        db.execute(f"ATTACH '{_quoted(str(segment))}' AS seg (READ_ONLY)")
        db.execute(f"COPY ({query}) TO '{_quoted(str(aside))}' (FORMAT parquet, COMPRESSION zstd)")
    aside.replace(target)


def _quoted(text: str) -> str:
    return text.replace("'", "''")
