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
    WaitOption,
    out,
    parse_pfn,
)
from pagetrail.queries.core.instant import as_text
from pagetrail.schemas.errors import BadArgument
from pagetrail.text.render import json_text, owner_text, table_text

AtOption = Annotated[str, typer.Option("--at", metavar="TIME", help="ns, seconds (19.5), @MARKER, RFC 3339, or -5s.")]
_SINCE: Final = re.compile(r" since \d+\.\d+")  # a span's own begin: its line says it
PaddrOption = Annotated[bool, typer.Option("--paddr", help="Physical addresses instead of page frame numbers.")]


def owner(
    pfns: Annotated[list[str], typer.Argument(metavar="PFN…", help="Page frame numbers: decimal or 0x hex.")],
    at: AtOption,
    trail: TrailOption = DEFAULT_TRAIL,
    wait: WaitOption = 0.0,
    as_of: AsOfOption = None,
    stream: StreamOption = None,
    paddr: PaddrOption = False,
    correct: CorrectOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say who owned these pages then, how that is known, and how sure it is."""
    opened = api.open(trail, correct=correct, stream=stream, times=[at], wait=wait)
    page_shift = opened.stream(stream).facts.page_shift if paddr else None
    pages = [parse_pfn(pfn, page_shift=page_shift) for pfn in pfns]
    answers = opened.owner(pages, at, stream=stream, as_of=as_of)
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
    follow: Annotated[
        bool, typer.Option("--follow", help="Follow the page's contents instead: through splits, from page to page.")
    ] = False,
    at: Annotated[
        str | None,
        typer.Option("--at", metavar="TIME", help="With --follow: the contents it had then (default: last)."),
    ] = None,
    wait: WaitOption = 0.0,
    as_of: AsOfOption = None,
    stream: StreamOption = None,
    paddr: PaddrOption = False,
    correct: CorrectOption = None,
    as_json: JsonOption = False,
) -> None:
    """List every owner of a page, one after another; or follow what one of them had there."""
    if follow and not (since is None and until is None):
        raise BadArgument("--from and --to: expected without --follow, which begins with the allocation; say --at TIME")
    if at is not None and not follow:
        raise BadArgument("--at: expected with --follow; a history has --from and --to, 'pagetrail owner' one instant")
    opened = api.open(trail, correct=correct, stream=stream, times=[since, until, at], wait=wait)
    page = parse_pfn(pfn, page_shift=opened.stream(stream).facts.page_shift if paddr else None)
    if follow:
        found = opened.lineage(page, at or "-0s", stream=stream, as_of=as_of)
    else:
        found = opened.history(page, since=since, until=until, stream=stream, as_of=as_of)
    if as_json:
        out(json_text(found))
        return
    rows = found.to_pylist()
    out(_lineage_text(rows) if follow else _history_text(rows))


class _Notes:
    """Why things are not certain: below a table, each once, by number."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def sure(self, row: dict[str, Any]) -> str:
        """Return what a row is not certain of, and the number of why."""
        if row["certain"]:
            return "yes"
        why = _SINCE.sub("", row["why"])
        return f"no: {', '.join(row['uncertain'])} [{self._numbers.setdefault(why, len(self._numbers) + 1)}]"

    def text(self) -> str:
        """Return the notes."""
        return "".join(f"[{number}] {why}\n" for why, number in self._numbers.items())


def _history_text(found: list[dict[str, Any]]) -> str:
    """One line a span; why something is not certain stands below, once."""
    columns = (
        "from",
        "to",
        "gen",
        "state",
        "order",
        "pid",
        "comm",
        "gfp_mask",
        "began by",
        "ended by",
        "evidence",
        "certain",
    )
    notes = _Notes()
    rows = []
    for r in found:
        came = "" if r["src_pfn"] is None else f" from pfn {r['src_pfn']}"
        went = "" if r["dst_pfn"] is None else f"migrated to pfn {r['dst_pfn']} at {as_text(r['dst_ts'])}; "
        ended = f"{went}{r['end_how'] or ''}".removesuffix("; ")
        who = (r["state"], r["order"], r["pid"], r["comm"], _hex(r["gfp_mask"]))
        rows.append((*_times(r), r["generation"], *who, r["how"] + came, ended, r["evidence"], notes.sure(r)))
    return table_text(columns, rows, right=("from", "to", "gen", "order", "pid")) + notes.text()


def _lineage_text(found: list[dict[str, Any]]) -> str:
    """One line a stay."""
    columns = ("from", "to", "pfn", "order", "pid", "comm", "gfp_mask", "came by", "ended by", "evidence", "certain")
    notes = _Notes()
    rows = []
    for r in found:
        ended = r["end_how"] if r["dst_pfn"] is None else f"migrated to pfn {r['dst_pfn']}"
        who = (r["pfn"], r["order"], r["pid"], r["comm"], _hex(r["gfp_mask"]))
        rows.append((*_times(r), *who, r["link"], ended, r["evidence"], notes.sure(r)))
    return table_text(columns, rows, right=("from", "to", "pfn", "order", "pid")) + notes.text()


def _times(row: dict[str, Any]) -> tuple[str, str]:
    return as_text(row["begin_ts"]), "" if row["end_ts"] is None else as_text(row["end_ts"])


def _hex(value: int | None) -> str | None:
    return None if value is None else hex(value)
