"""What packed rows say, row by row: the spans that ended, and the open ones, as the views of a segment have them."""

from typing import Any

import pyarrow as pa

OPEN_END = (1 << 63) - 1
Row = dict[str, Any]


def spans_of(tables: dict[str, pa.Table]) -> tuple[list[Row], list[Row]]:
    """Return the rows of ``spans`` and of ``live``, from the tables of a segment."""
    rows = {
        name: tables[name].to_pylist() for name in ("ended_runs", "open_runs", "events", "acts", "owners", "details")
    }
    return [_span(run, rows) for run in rows["ended_runs"]], [_span(run, rows) for run in rows["open_runs"]]


def _span(run: Row, rows: dict[str, list[Row]]) -> Row:
    event = rows["events"][run["begin_event"]]
    act = {name: value for name, value in rows["acts"][event["act"]].items() if name != "id"}
    owner = {name: value for name, value in rows["owners"][event["owner"]].items() if name != "id"}
    detail = {} if event["detail"] is None else rows["details"][event["detail"]]
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
