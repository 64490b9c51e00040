"""What top and leaks add up by, and how much they show."""

import enum
from typing import Annotated

import typer

from pagetrail import api
from pagetrail.commands.options import say

ByChoice = enum.StrEnum("ByChoice", {name.upper(): name for name in api.BY})  # type: ignore[misc]  # one list of names
ByOption = Annotated[ByChoice, typer.Option("--by", help="The attribute to add up by.")]
LimitOption = Annotated[int, typer.Option("--limit", "-n", help="Rows to show; 0: all.")]


def note_page_size(opened: api.Trail, stream: str | None) -> None:
    """Note that sizes in bytes rest on a guess, where they do."""
    if not opened.page_size_is_known(stream):
        size = opened.page_bytes(stream) >> 10
        say.print(
            f"note: sizes are those of pages of {size} KiB, which no recording says; see 'pagetrail ingest --page-size'"
        )
