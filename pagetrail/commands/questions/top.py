"""pagetrail top: who holds most pages."""

from typing import cast

from pagetrail import api
from pagetrail.commands.options import (
    DEFAULT_TRAIL,
    AsOfOption,
    AtOption,
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
from pagetrail.text.holders import top_text
from pagetrail.text.json_text import json_text


@filtered
def top(
    at: AtOption,
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
    """Show who held most pages at an instant, on one host or over all."""
    check_all(everywhere, stream, wait)
    opened = api.open(trail, correct=correct, fold=fold, stream=stream, times=[at], wait=wait)
    rows, streams = added_up(
        opened, stream, everywhere=everywhere,
        of_all=lambda: opened.top_of_all(at, cast(api.ByOfAll, by.value), filters=filters, as_of=as_of),
        of_one=lambda: opened.top(at, cast(api.By, by.value), filters=filters, stream=stream, as_of=as_of),
    )  # fmt: skip
    for name in streams:
        warn_of_pages_left_out(opened, filters, at, name, as_of)
    rows = rows.slice(0, limit or None)
    note_page_size(opened, streams)
    out(json_text(rows) if as_json else top_text(rows.to_pylist(), by.value, gfp_texts(opened, streams)))
    say_damage(opened, stream, everywhere=streams != [stream])
