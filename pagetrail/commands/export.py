"""pagetrail export: a trail's way out."""

import enum
from pathlib import Path
from typing import Annotated

import typer

from pagetrail import api
from pagetrail.commands.options import DEFAULT_TRAIL, CorrectOption, FoldOption, TrailOption, out, say, say_damage


class Exported(enum.StrEnum):
    """What can be exported."""

    SPANS = "spans"


def export(
    what: Annotated[Exported, typer.Argument(help="spans: every ownership and free period, closed and open.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Directory for the Parquet files.")],
    trail: TrailOption = DEFAULT_TRAIL,
    correct: CorrectOption = None,
    fold: FoldOption = None,
) -> None:
    """Write every span of every stream as Parquet."""
    del what  # there are only spans, so far
    opened = api.open(trail, correct=correct, fold=fold)
    written = opened.export_spans(output)
    for path in written:
        out(f"{path}\n")
    say("1 file" if len(written) == 1 else f"{len(written)} files")
    say_damage(opened, None, everywhere=True)
