"""pagetrail history: every owner of a page, or the way of its contents."""

from typing import Annotated

import typer

from pagetrail import api
from pagetrail.commands.options import (
    DEFAULT_TRAIL,
    AsOfOption,
    CorrectOption,
    FoldOption,
    JsonOption,
    PaddrOption,
    StreamOption,
    TrailOption,
    WaitOption,
    out,
    parse_pfn,
    say_damage,
)
from pagetrail.schemas.errors import BadArgument
from pagetrail.text.history import history_text, lineage_text
from pagetrail.text.json_text import json_text


def history(
    pfn: Annotated[str, typer.Argument(metavar="PFN", help="Page frame number: decimal or 0x hex.")],
    trail: TrailOption = DEFAULT_TRAIL,
    since: Annotated[str | None, typer.Option("--from", metavar="TIME", help="Begin here.")] = None,
    until: Annotated[str | None, typer.Option("--to", metavar="TIME", help="End here.")] = None,
    follow: Annotated[
        bool, typer.Option("--follow", help="Follow the page's contents through splits and from page to page.")
    ] = False,
    at: Annotated[
        str | None,
        typer.Option("--at", metavar="TIME", help="With --follow: the contents at this instant (default: the last)."),
    ] = None,
    wait: WaitOption = 0.0,
    as_of: AsOfOption = None,
    stream: StreamOption = None,
    paddr: PaddrOption = False,
    correct: CorrectOption = None,
    fold: FoldOption = None,
    as_json: JsonOption = False,
) -> None:
    """List every owner of a page in order of time, or follow the page's contents."""
    if follow and not (since is None and until is None):
        raise BadArgument("--from/--to cannot be used with --follow; use --at TIME")
    if at is not None and not follow:
        raise BadArgument("--at requires --follow; use --from/--to for a history, 'pagetrail owner' for one instant")
    opened = api.open(trail, correct=correct, fold=fold, stream=stream, times=[since, until, at], wait=wait)
    page = parse_pfn(pfn, page_shift=opened.page_shift(stream) if paddr else None)
    if follow:
        found = opened.lineage(page, at or "-0s", stream=stream, as_of=as_of)
    else:
        found = opened.history(page, since=since, until=until, stream=stream, as_of=as_of)
    if as_json:
        out(json_text(found))
    else:
        rows, time = found.to_pylist(), opened.time_text(stream)
        out(lineage_text(rows, time) if follow else history_text(rows, time))
    say_damage(opened, stream)
