"""pagetrail sections: memory that comes and goes."""

from typing import Annotated, Any

import typer

from pagetrail import api
from pagetrail.commands.options import (
    DEFAULT_TRAIL,
    AsOfOption,
    CorrectOption,
    JsonOption,
    StreamOption,
    TrailOption,
    WaitOption,
    out,
)
from pagetrail.queries.core.instant import as_text
from pagetrail.text.render import json_text, size_text, table_text


def sections(
    at: Annotated[str | None, typer.Option("--at", metavar="TIME", help="Only those that were there then.")] = None,
    trail: TrailOption = DEFAULT_TRAIL,
    wait: WaitOption = 0.0,
    as_of: AsOfOption = None,
    stream: StreamOption = None,
    correct: CorrectOption = None,
    as_json: JsonOption = False,
) -> None:
    """List sections and their page_ext extensions through time."""
    found = api.open(trail, correct=correct, stream=stream, times=[at], wait=wait).sections(
        at, stream=stream, as_of=as_of
    )
    if as_json:
        out(json_text(found))
        return
    columns = ("section", "start_pfn", "stop_pfn", "generation", "from", "to", "came by", "went by", "page_ext bytes")
    rows = [
        (
            r["name"], hex(r["start_pfn"]), hex(r["stop_pfn"]), r["generation"], as_text(r["begin_ts"]),
            "" if r["end_ts"] is None else as_text(r["end_ts"]), r["how"], r["end_how"], r["page_ext_bytes"],
        )
        for r in _joined(found.to_pylist())
    ]  # fmt: skip
    out(
        table_text(
            columns, rows, right=("section", "start_pfn", "stop_pfn", "generation", "from", "to", "page_ext bytes")
        )
    )
    what = "nodes" if found["section_nr"].null_count else "sections"
    there = [r["page_ext_bytes"] for r in found.to_pylist() if r["end_ts"] is None or at is not None]
    if there and None not in there:
        total = sum(there)
        out(
            f"{len(there)} {what} {'then' if at else 'at the horizon'}: {total} bytes of page_ext ({size_text(total)})\n"
        )


def _joined(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return one row for sections next to each other that came and went together, with a ``name`` and the sum of their bytes."""
    joined: list[dict[str, Any]] = []
    for row in rows:
        if row["section_nr"] is None:
            joined.append(row | {"name": f"node {row['node']}"})
        elif joined and _goes_on(joined[-1], row):
            last = joined[-1]
            last |= {"last_nr": row["section_nr"], "stop_pfn": row["stop_pfn"]}
            last["name"] = f"{last['section_nr']}-{row['section_nr']}"
            if last["page_ext_bytes"] is not None:
                last["page_ext_bytes"] += row["page_ext_bytes"]
        else:
            joined.append(row | {"name": str(row["section_nr"]), "last_nr": row["section_nr"]})
    return joined


def _goes_on(last: dict[str, Any], row: dict[str, Any]) -> bool:
    alike = ("generation", "begin_ts", "end_ts", "how", "end_how")
    follows = row["section_nr"] == last.get("last_nr", -2) + 1
    return follows and all(row[name] == last[name] for name in alike)
