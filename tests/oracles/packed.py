"""What packed rows say, row by row: the spans that ended, and the open ones, as the views of a segment have them."""

from typing import Any

import pyarrow as pa

OPEN_END = (1 << 63) - 1
Row = dict[str, Any]


def spans_of(tables: dict[str, pa.Table]) -> tuple[list[Row], list[Row]]:
    """Return the rows of ``spans`` and of ``live``, from the tables of a segment."""
    rows = {name: tables[name].to_pylist() for name in ("events", "acts", "owners")}
    details = {row["event"]: row for row in tables["details"].to_pylist()}
    ended, live = (
        [_span(run, rows, details.get(run["begin_event"], {})) for run in runs_of(tables, kind)]
        for kind in ("ended", "open")
    )
    return ended, live


def runs_of(tables: dict[str, pa.Table], kind: str) -> list[Row]:
    """Return the runs that "ended", or the "open" ones, in their order: a single page is in any place that no other run has."""
    placed = {row["place"]: row for row in tables[f"{kind}_runs"].to_pylist()}
    pages = iter(tables[f"{kind}_pages"].to_pylist())
    single = {"nr_pages": 1, "generation": 1, "kernel_view": 0}
    size = len(placed) + tables[f"{kind}_pages"].num_rows
    return [placed[place] if place in placed else next(pages) | single for place in range(size)]


def _span(run: Row, rows: dict[str, list[Row]], detail: Row) -> Row:
    event = rows["events"][run["begin_event"]]
    act = {name: value for name, value in rows["acts"][event["act"]].items() if name != "id"}
    owner = {name: value for name, value in rows["owners"][event["owner"]].items() if name != "id"}
    span = act | owner | {name: run[name] for name in ("pfn", "nr_pages", "generation", "kernel_view")}
    span |= {name: detail.get(name) for name in ("ts_nsec", "free_ts_nsec", "src_pfn")}
    span["begin_seq"], span["begin_ts"] = event["seq"], event["ts"]
    span["alloc_ts"] = None if event["age"] is None else event["ts"] - event["age"]
    span["evidence_ts"] = event["ts"] if detail.get("evidence_ts") is None else detail["evidence_ts"]
    span["block_pfn"] = detail.get("block_pfn")
    if span["block_pfn"] is None:
        size = 1 << max(act["order"] or 0, 0)
        span["block_pfn"] = run["pfn"] // size * size
    if "end_event" not in run:
        return span | {"end_seq": OPEN_END, "end_ts": OPEN_END, "end_how": 0, "record": run["begin_event"]}
    end = rows["events"][run["end_event"]]
    return span | {
        "end_seq": end["seq"],
        "end_ts": end["ts"],
        "end_how": rows["acts"][end["act"]]["how"],
        "record": None,
    }
