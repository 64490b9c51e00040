"""pagetrail snapshot: all pages at an instant."""

import enum
from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from typing import Annotated

import typer

from pagetrail import api
from pagetrail.commands.options import (
    DEFAULT_TRAIL,
    AsOfOption,
    AtOption,
    CorrectOption,
    FoldOption,
    StreamOption,
    TrailOption,
    WaitOption,
    data,
    say_damage,
)
from pagetrail.commands.questions.filtering import filtered, warn_of_pages_left_out
from pagetrail.commands.writing import Form, write_tables
from pagetrail.text.json_text import json_rows
from pagetrail.text.snapshot import SHOWN, snapshot_text


class Format(enum.StrEnum):
    """Forms of a snapshot."""

    TABLE = "table"
    PAGE_OWNER = "page_owner"
    JSON = "json"
    PARQUET = "parquet"
    ARROW = "arrow"


@filtered
def snapshot(
    at: AtOption,
    filters: "api.Filters",
    trail: TrailOption = DEFAULT_TRAIL,
    form: Annotated[Format, typer.Option("--format", help="page_owner is the kernel's own text.")] = Format.TABLE,
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write a file instead of stdout.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Include free and unknown pages.")] = False,
    wait: WaitOption = 0.0,
    as_of: AsOfOption = None,
    stream: StreamOption = None,
    correct: CorrectOption = None,
    fold: FoldOption = None,
) -> None:
    """Write all pages at an instant: a row for each run of pages with one owner and one certainty."""
    opened = api.open(trail, correct=correct, fold=fold, stream=stream, times=[at], wait=wait)
    warn_of_pages_left_out(opened, filters, at, stream, as_of)
    form = Format.JSON if as_json else form
    if form is Format.PAGE_OWNER:
        _text(output, opened.page_owner_records(at, filters=filters, stream=stream, as_of=as_of))
    elif form is Format.TABLE:
        rows = opened.snapshot_parts(
            at, everything=everything, columns=SHOWN, filters=filters, stream=stream, as_of=as_of
        )
        lines = snapshot_text(rows, opened.time_text(stream))
        _text(output, chain([next(lines)], lines))  # what cannot be answered leaves no file
    else:
        found = opened.snapshot_parts(at, everything=everything, filters=filters, stream=stream, as_of=as_of)
        first = next(found)  # before there is a file: what cannot be answered leaves none
        parts = chain([first], found)
        if form is Format.JSON:
            _text(output, json_rows(parts))
        else:
            write_tables(output, first.schema, parts, Form(form))
    say_damage(opened, stream)


def _text(output: Path | None, parts: Iterable[str]) -> None:
    if output is None:
        for part in parts:
            data(part)
        return
    with output.open("w") as file:
        file.writelines(parts)
