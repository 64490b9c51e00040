"""pagetrail owner: who owned a page."""

from typing import Annotated

import typer

from pagetrail import api
from pagetrail.commands.options import (
    DEFAULT_TRAIL,
    AsOfOption,
    AtOption,
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
from pagetrail.text.json_text import json_text
from pagetrail.text.owner import owner_text


def owner(
    pfns: Annotated[list[str], typer.Argument(metavar="PFN…", help="Page frame numbers: decimal or 0x hex.")],
    at: AtOption,
    trail: TrailOption = DEFAULT_TRAIL,
    wait: WaitOption = 0.0,
    as_of: AsOfOption = None,
    stream: StreamOption = None,
    paddr: PaddrOption = False,
    correct: CorrectOption = None,
    fold: FoldOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show who owned pages at an instant, how that is known, and how sure it is."""
    opened = api.open(trail, correct=correct, fold=fold, stream=stream, times=[at], wait=wait)
    page_shift = opened.page_shift(stream) if paddr else None
    pages = [parse_pfn(pfn, page_shift=page_shift) for pfn in pfns]
    answers = opened.owner(pages, at, stream=stream, as_of=as_of)
    if as_json:
        out(json_text(answers))
    else:
        wall_time = opened.wall_time(at, stream=stream, as_of=as_of)
        time = opened.time_text(stream)
        out("\n".join(owner_text(row, wall_time, time) for row in answers.to_pylist()))
    say_damage(opened, stream)
