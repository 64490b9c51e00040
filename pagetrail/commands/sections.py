"""pagetrail sections: memory that comes and goes."""

from typing import Annotated

import typer

from pagetrail import api
from pagetrail.commands.options import (
    DEFAULT_TRAIL,
    AsOfOption,
    CorrectOption,
    JsonOption,
    StreamOption,
    TrailOption,
    out,
)
from pagetrail.queries.instant import as_text
from pagetrail.queries.render import json_text, size_text, table_text


def sections(
    at: Annotated[str | None, typer.Option("--at", metavar="TIME", help="Only those that were there then.")] = None,
    trail: TrailOption = DEFAULT_TRAIL,
    as_of: AsOfOption = None,
    stream: StreamOption = None,
    correct: CorrectOption = None,
    as_json: JsonOption = False,
) -> None:
    """List sections and their page_ext extensions through time."""
    found = api.open(trail, correct=correct).sections(at, stream=stream, as_of=as_of)
    if as_json:
        out(json_text(found))
        return
    columns = ("section", "start_pfn", "stop_pfn", "generation", "from", "to", "came by", "went by", "page_ext bytes")
    rows = [
        (
            r["section_nr"], hex(r["start_pfn"]), hex(r["stop_pfn"]), r["generation"], as_text(r["begin_ts"]),
            "" if r["end_ts"] is None else as_text(r["end_ts"]), r["how"], r["end_how"], r["page_ext_bytes"],
        )
        for r in found.to_pylist()
    ]  # fmt: skip
    out(
        table_text(
            columns, rows, right=("section", "start_pfn", "stop_pfn", "generation", "from", "to", "page_ext bytes")
        )
    )
    there = [r["page_ext_bytes"] for r in found.to_pylist() if r["end_ts"] is None or at is not None]
    if there and None not in there:
        total = sum(there)
        out(
            f"{len(there)} sections {'then' if at else 'at the horizon'}: {total} bytes of page_ext ({size_text(total)})\n"
        )
