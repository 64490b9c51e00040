"""pagetrail owner and history: questions about single pages."""

import re
from typing import Annotated, Any, Final

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
    parse_pfn,
    parse_pfns,
)
from pagetrail.queries.instant import as_text
from pagetrail.queries.render import json_text, owner_text, table_text

AtOption = Annotated[str, typer.Option("--at", metavar="TIME", help="ns, seconds (19.5), @MARKER, RFC 3339, or -5s.")]
_SINCE: Final = re.compile(r" since \d+\.\d+")  # a span's own begin: its line says it
PaddrOption = Annotated[bool, typer.Option("--paddr", help="Physical addresses instead of page frame numbers.")]


def owner(
    pfns: Annotated[list[str], typer.Argument(metavar="PFN…", help="Page frame numbers: decimal or 0x hex.")],
    at: AtOption,
    trail: TrailOption = DEFAULT_TRAIL,
    as_of: AsOfOption = None,
    stream: StreamOption = None,
    paddr: PaddrOption = False,
    correct: CorrectOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say who owned these pages then, how that is known, and how sure it is."""
    opened = api.open(trail, correct=correct)
    answers = opened.owner(parse_pfns(pfns, paddr=paddr), at, stream=stream, as_of=as_of)
    if as_json:
        out(json_text(answers))
    else:
        facts = opened.stream(stream).as_of(as_of).facts
        out("\n".join(owner_text(row, facts) for row in answers.to_pylist()))


def history(
    pfn: Annotated[str, typer.Argument(metavar="PFN", help="Page frame number: decimal or 0x hex.")],
    trail: TrailOption = DEFAULT_TRAIL,
    since: Annotated[str | None, typer.Option("--from", metavar="TIME", help="Begin here.")] = None,
    until: Annotated[str | None, typer.Option("--to", metavar="TIME", help="End here.")] = None,
    as_of: AsOfOption = None,
    stream: StreamOption = None,
    paddr: PaddrOption = False,
    correct: CorrectOption = None,
    as_json: JsonOption = False,
) -> None:
    """List every owner of a page, one after another."""
    opened = api.open(trail, correct=correct)
    found = opened.history(parse_pfn(pfn, paddr=paddr), since=since, until=until, stream=stream, as_of=as_of)
    if as_json:
        out(json_text(found))
        return
    out(_history_text(found.to_pylist()))


def _history_text(found: list[dict[str, Any]]) -> str:
    """One line a span; why something is not certain stands below, once."""
    columns = ("from", "to", "state", "order", "pid", "comm", "gfp_mask", "began by", "ended by", "evidence", "certain")
    notes: dict[str, int] = {}
    rows = []
    for r in found:
        why = _SINCE.sub("", r["why"])
        sure = "yes" if r["certain"] else f"no: {', '.join(r['uncertain'])} [{notes.setdefault(why, len(notes) + 1)}]"
        moved = "" if r["src_pfn"] is None else f" from pfn {r['src_pfn']}"
        gfp = None if r["gfp_mask"] is None else hex(r["gfp_mask"])
        until = "" if r["end_ts"] is None else as_text(r["end_ts"])
        row = (as_text(r["begin_ts"]), until, r["state"], r["order"], r["pid"], r["comm"], gfp, r["how"] + moved)
        rows.append((*row, r["end_how"], r["evidence"], sure))
    text = table_text(columns, rows, right=("from", "to", "order", "pid"))
    return text + "".join(f"[{number}] {why}\n" for why, number in notes.items())
