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
    say_damage,
)
from pagetrail.commands.questions.filtering import filtered, warn_of_pages_left_out
from pagetrail.commands.questions.grouping import (
    AllOption,
    ByOption,
    LimitOption,
    added_up,
    check_all,
    gfp_texts,
    note_page_size,
)
from pagetrail.text.holders import leaks_text
from pagetrail.text.json_text import json_text


@filtered
def leaks(
    since: Annotated[str, typer.Option("--from", metavar="TIME", help="The window begins after this instant.")],
    until: Annotated[str, typer.Option("--to", metavar="TIME", help="The window ends here; pages are owned then.")],
    by: ByOption,
    filters: "api.Filters",
    trail: TrailOption = DEFAULT_TRAIL,
    limit: LimitOption = 20,
    everywhere: AllOption = False,
    wait: WaitOption = 0.0,
    as_of: AsOfOption = None,
    stream: StreamOption = None,
    correct: CorrectOption = None,
    fold: FoldOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what was allocated in a window and is still owned at its end, on one host or over all."""
    check_all(everywhere, stream, wait)
    opened = api.open(trail, correct=correct, fold=fold, stream=stream, times=[since, until], wait=wait)
    rows, streams = added_up(
        opened, stream, everywhere=everywhere,
        of_all=lambda: opened.leaks_of_all(since, until, cast(api.ByOfAll, by.value), filters=filters, as_of=as_of),
        of_one=lambda: opened.leaks(since, until, cast(api.By, by.value), filters=filters, stream=stream, as_of=as_of),
    )  # fmt: skip
    for name in streams:
        warn_of_pages_left_out(opened, filters, until, name, as_of)
    rows = rows.slice(0, limit or None)
    note_page_size(opened, streams)
    if as_json:
        out(json_text(rows))
    else:
        counts = len(streams) == 1 and opened.counting_clock(streams[0]) is not None
        out(leaks_text(rows.to_pylist(), by.value, gfp_texts(opened, streams), counts=counts))
    say_damage(opened, stream, everywhere=streams != [stream])
