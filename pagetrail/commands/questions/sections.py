"""pagetrail sections: memory that comes and goes."""

from typing import Annotated

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
from pagetrail.text.json_text import json_text
from pagetrail.text.sections import sections_text


def sections(
    at: Annotated[
        str | None, typer.Option("--at", metavar="TIME", help="Only those that existed at this instant.")
    ] = None,
    trail: TrailOption = DEFAULT_TRAIL,
    wait: WaitOption = 0.0,
    as_of: AsOfOption = None,
    stream: StreamOption = None,
    correct: CorrectOption = None,
    fold: FoldOption = None,
    as_json: JsonOption = False,
) -> None:
    """List sections and their page_ext extensions through time."""
    opened = api.open(trail, correct=correct, fold=fold, stream=stream, times=[at], wait=wait)
    found = opened.sections(at, stream=stream, as_of=as_of)
    if as_json:
        out(json_text(found))
    else:
        out(sections_text(found.to_pylist(), then=at is not None, time=opened.time_text(stream)))
    say_damage(opened, stream)
