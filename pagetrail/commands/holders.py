"""pagetrail top and leaks: who holds most, and who came to hold it."""

import enum
from typing import Annotated, cast

import typer

from pagetrail import api
from pagetrail.commands.options import (
    DEFAULT_TRAIL,
    AsOfOption,
    CorrectOption,
    JsonOption,
    StreamOption,
    TrailOption,
    WaitOption,
    out,
)
from pagetrail.commands.pages import AtOption
from pagetrail.queries.core.holders import BY, By
from pagetrail.text.render import duration_text, json_text, size_text, stack_text, table_text

ByChoice = enum.StrEnum("ByChoice", {name.upper(): name for name in BY})  # type: ignore[misc]  # one list of names
ByOption = Annotated[ByChoice, typer.Option("--by", help="What to add up by.")]
LimitOption = Annotated[int, typer.Option("--limit", "-n", help="Rows to show; 0: all.")]


def top(
    at: AtOption,
    by: ByOption,
    trail: TrailOption = DEFAULT_TRAIL,
    limit: LimitOption = 20,
    wait: WaitOption = 0.0,
    as_of: AsOfOption = None,
    stream: StreamOption = None,
    correct: CorrectOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say who held most pages then."""
    found = api.open(trail, correct=correct, stream=stream, times=[at], wait=wait).top(
        at, cast(By, by.value), stream=stream, as_of=as_of
    )
    found = found.slice(0, limit or None)
    if as_json:
        out(json_text(found))
        return
    columns = ("pages", "size", "blocks", "certain", by.value)
    rows = [(*_counts(r), _key(r["key"], by.value)) for r in found.to_pylist()]
    out(table_text(columns, rows, right=columns[:4]))


def leaks(
    since: Annotated[str, typer.Option("--from", metavar="TIME", help="The window begins after this.")],
    until: Annotated[str, typer.Option("--to", metavar="TIME", help="The window ends here; still owned then.")],
    by: ByOption,
    trail: TrailOption = DEFAULT_TRAIL,
    limit: LimitOption = 20,
    wait: WaitOption = 0.0,
    as_of: AsOfOption = None,
    stream: StreamOption = None,
    correct: CorrectOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say what was allocated in a window and is alive at its end."""
    found = api.open(trail, correct=correct, stream=stream, times=[since, until], wait=wait).leaks(
        since, until, cast(By, by.value), stream=stream, as_of=as_of
    )
    found = found.slice(0, limit or None)
    if as_json:
        out(json_text(found))
        return
    columns = ("pages", "size", "blocks", "certain", "youngest", "median age", "oldest", by.value)
    rows = [
        (
            *_counts(r), duration_text(r["youngest_ns"]), duration_text(r["median_age_ns"]),
            duration_text(r["oldest_ns"]), _key(r["key"], by.value),
        )
        for r in found.to_pylist()
    ]  # fmt: skip
    out(table_text(columns, rows, right=columns[:7]))


def _counts(row: dict[str, int]) -> tuple[str, str, str, str]:
    share = row["certain_pages"] / row["pages"] if row["pages"] else 0.0
    return f"{row['pages']:,}", size_text(row["bytes"]), f"{row['blocks']:,}", f"{share:.1%}"


def _key(key: object, by: str) -> object:
    if by == "stack":
        return stack_text(cast("str | None", key))
    if by == "gfp" and key is not None:
        return hex(cast(int, key))
    return "?" if key is None else key
