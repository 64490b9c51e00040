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
            _name(r), hex(r["start_pfn"]), hex(r["stop_pfn"]), r["generation"], as_text(r["begin_ts"]),
            "" if r["end_ts"] is None else as_text(r["end_ts"]), r["how"], r["end_how"], r["page_ext_bytes"],
        )
        for r in found.to_pylist()
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


def _name(row: dict[str, Any]) -> str:
    return f"node {row['node']}" if row["section_nr"] is None else str(row["section_nr"])
