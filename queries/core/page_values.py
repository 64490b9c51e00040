"""What clients of page_ext other than owner held of a page: poison and guard flags."""

from collections.abc import Sequence
from typing import Any, Final

import pyarrow as pa

from pagetrail.queries.core.instant import Instant
from pagetrail.queries.core.rows import sections_at
from pagetrail.queries.core.stream import Stream, fetched
from pagetrail.schemas.owner import Evidence

PAGE_EXT: Final = pa.list_(
    pa.struct(
        [
            pa.field("client", pa.utf8(), metadata={"doc": "client of page_ext: debug, ..."}),
            pa.field("field", pa.utf8(), metadata={"doc": "what it holds: poison, guard, ..."}),
            pa.field("value", pa.int64(), metadata={"doc": "1 the flag is set, 0 it is not; null: not known"}),
            pa.field("evidence", pa.utf8(), metadata={"doc": "observed, inferred, or none"}),
            pa.field("begin_ts", pa.int64(), metadata={"doc": "ns, trace clock: the last event that told of it"}),
            pa.field("begin_seq", pa.int64(), metadata={"doc": "that event (stream_seq)"}),
            pa.field("certain", pa.bool_(), metadata={"doc": "never: it is advisory"}),
        ]
    )
)
"""What clients held of one page; an empty list if owner was the only client, or the page is absent.

It is advisory, as comm is: schema version 3 has no way to declare that a recording has every such event.
"""


def page_values_at(stream: Stream, pfns: Sequence[int], at: Instant) -> list[list[dict[str, Any]]]:
    """Return what clients held of each of *pfns* at an instant, in their order: rows of ``PAGE_EXT``."""
    fields = [tuple(name.split(".", 1)) for name in stream.facts.fields]
    if not fields:
        return [[] for _ in pfns]
    there = {section_nr for section_nr, _ in sections_at(stream.facts, at)}
    found = {(row["client"], row["field"], row["asked"]): row for row in _rows(stream, pfns, at)}
    pages = stream.facts.pages_per_section
    return [
        [_value(client, field, found.get((client, field, pfn))) for client, field in fields if pfn // pages in there]
        for pfn in pfns
    ]


def _rows(stream: Stream, pfns: Sequence[int], at: Instant) -> list[dict[str, Any]]:
    what, value = ("ts", at.ts) if at.seq is None else ("seq", at.seq)
    query = (
        "SELECT p AS asked, client, field, value, evidence, begin_ts, begin_seq FROM (SELECT unnest($pfns) AS p) "
        f"JOIN page_ext ON p >= pfn AND p < pfn + nr_pages WHERE begin_{what} <= $at AND end_{what} > $at"
    )
    with stream.opened(stream.files[stream.holding(at)]) as db:
        rows: list[dict[str, Any]] = fetched(db, query, {"pfns": sorted(set(pfns)), "at": value}).to_pylist()
    return rows


def _value(client: str, field: str, row: dict[str, Any] | None) -> dict[str, Any]:
    value: dict[str, Any] = {"client": client, "field": field, "evidence": "none", "certain": False}
    if row is not None:
        value |= {name: row[name] for name in ("value", "begin_ts", "begin_seq")}
        value["evidence"] = Evidence(row["evidence"]).name.lower()
    return value
