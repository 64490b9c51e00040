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
)
from pagetrail.commands.questions.filtering import filtered, warn_of_pages_left_out
from pagetrail.commands.questions.grouping import ByOption, LimitOption, note_page_size
from pagetrail.text.holders import top_text
from pagetrail.text.json_text import json_text


@filtered
def top(
    at: AtOption,
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
    """Show who held most pages at an instant."""
    opened = api.open(trail, correct=correct, fold=fold, stream=stream, times=[at], wait=wait)
    warn_of_pages_left_out(opened, filters, at, stream, as_of)
    found = opened.top(at, cast(api.By, by.value), filters=filters, stream=stream, as_of=as_of).slice(0, limit or None)
    note_page_size(opened, stream)
    out(json_text(found) if as_json else top_text(found.to_pylist(), by.value, opened.gfp_text(stream)))
