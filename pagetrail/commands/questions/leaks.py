"""pagetrail leaks: what came in a window and stayed."""

from typing import Annotated, cast

import typer

from pagetrail import api
from pagetrail.commands.options import (
    DEFAULT_TRAIL,
    AsOfOption,
    CorrectOption,
    FoldOption,
    JsonOption,
    StreamOption,
    TrailOption,
    WaitOption,
    out,
)
from pagetrail.commands.questions.filtering import filtered, warn_of_pages_left_out
from pagetrail.commands.questions.grouping import ByOption, LimitOption, note_page_size
from pagetrail.text.holders import leaks_text
from pagetrail.text.json_text import json_text


@filtered
def leaks(
    since: Annotated[str, typer.Option("--from", metavar="TIME", help="The window begins after this instant.")],
    until: Annotated[str, typer.Option("--to", metavar="TIME", help="The window ends here; pages are owned then.")],
    by: ByOption,
    filters: api.Filters,
    trail: TrailOption = DEFAULT_TRAIL,
    limit: LimitOption = 20,
    wait: WaitOption = 0.0,
    as_of: AsOfOption = None,
    stream: StreamOption = None,
    correct: CorrectOption = None,
    fold: FoldOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what was allocated in a window and is still owned at its end."""
    opened = api.open(trail, correct=correct, fold=fold, stream=stream, times=[since, until], wait=wait)
    warn_of_pages_left_out(opened, filters, until, stream, as_of)
    found = opened.leaks(since, until, cast(api.By, by.value), filters=filters, stream=stream, as_of=as_of)
    found = found.slice(0, limit or None)
    note_page_size(opened, stream)
    if as_json:
        out(json_text(found))
        return
    counts = opened.counting_clock(stream) is not None
    out(leaks_text(found.to_pylist(), by.value, opened.gfp_text(stream), counts=counts))
