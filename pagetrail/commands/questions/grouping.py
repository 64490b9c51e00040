"""What top and leaks add up by, and how much they show."""

import enum
from typing import Annotated

import typer

from pagetrail import api

ByChoice = enum.StrEnum("ByChoice", {name.upper(): name for name in api.BY})  # type: ignore[misc]  # one list of names
ByOption = Annotated[ByChoice, typer.Option("--by", help="The attribute to add up by.")]
LimitOption = Annotated[int, typer.Option("--limit", "-n", help="Rows to show; 0: all.")]
