"""pagetrail owners: who owned many pages, each at an instant of its own."""

from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pagetrail import api
from pagetrail.commands.options import (
    DEFAULT_TRAIL,
    AsOfOption,
    CorrectOption,
    FoldOption,
    StreamOption,
    TrailOption,
    say,
    say_damage,
)
from pagetrail.commands.writing import SUFFIXES, Form, write_tables
from pagetrail.schemas.errors import BadArgument

if TYPE_CHECKING:
    import pyarrow as pa

_SHOWN = 20
"""Rows with an error that are named on stderr; the others are counted."""


def owners(
    file: Annotated[
        Path, typer.Argument(help="Pairs: NAME.csv or NAME.parquet with the columns pfn and time; - is CSV from stdin.")
    ],
    trail: TrailOption = DEFAULT_TRAIL,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Write a file instead of stdout: .csv, .jsonl, .parquet or .arrow."),
    ] = None,
    form: Annotated[
        Form | None, typer.Option("--format", help="The form, if the name of the file does not say it (default: csv).")
    ] = None,
    columns: Annotated[
        str | None, typer.Option("--columns", metavar="NAME,…", help="Make only these columns of the answer.")
    ] = None,
    as_of: AsOfOption = None,
    stream: StreamOption = None,
    correct: CorrectOption = None,
    fold: FoldOption = None,
) -> None:
    """Answer many (page, time) pairs of a file, a row each; exit code 2 if a row has an error instead of an answer."""
    form = form or _form_of(output)
    if output is not None and output.exists() and file.exists() and output.samefile(file):
        raise BadArgument(f"{output}: expected another file than the one that is read")
    opened = api.open(trail, correct=correct, fold=fold)
    answers = _Answers(opened, file, columns, stream, as_of)
    first = next(answers.parts)  # before there is a file: what cannot be answered leaves none
    write_tables(output, first.schema, chain([first], answers.parts), form)
    if answers.wrong:
        say(f"{answers.wrong:,} of {answers.rows:,} pairs are not answered; the column error says why")
        raise typer.Exit(BadArgument.exit_code)
    if stream is not None:
        say_damage(opened, stream)


def _form_of(output: Path | None) -> Form:
    if output is None:
        return Form.CSV
    if output.suffix.lower() not in SUFFIXES:
        raise BadArgument(f"{output}: expected a name that ends with {', '.join(SUFFIXES)}, or --format")
    return SUFFIXES[output.suffix.lower()]


class _Answers:
    """The answers to the pairs of a file, part by part, and how many of them are errors, which it names on stderr."""

    def __init__(
        self, opened: "api.Trail", file: Path, columns: str | None, stream: str | None, as_of: str | None
    ) -> None:
        self.rows = self.wrong = 0
        names = api.ANSWER_COLUMNS if columns is None else [name.strip() for name in columns.split(",")]
        unknown = [name for name in names if name not in api.ANSWER_COLUMNS]
        if unknown:
            raise BadArgument(f"--columns {unknown[0]}: expected some of {', '.join(api.ANSWER_COLUMNS)}")
        self.parts = self._parts(opened, file, names, stream, as_of)

    def _parts(
        self, opened: "api.Trail", file: Path, names: Sequence[str], stream: str | None, as_of: str | None
    ) -> "Iterator[pa.Table]":
        for read in api.read_pairs(file):
            found = opened.owners_of(read.pairs, columns=names, refused=read.refused, stream=stream, as_of=as_of)
            self.rows += found.num_rows
            errors = found["error"]
            if errors.null_count < len(errors):
                self._name(errors.to_pylist(), read)
            yield found

    def _name(self, errors: list[str | None], read: "api.PairsRead") -> None:
        for row, error in enumerate(errors):
            if error is not None:
                if self.wrong < _SHOWN:
                    say(f"{read.place}{read.numbers[row]}: {error}")
                self.wrong += 1
