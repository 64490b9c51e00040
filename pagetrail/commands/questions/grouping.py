"""What top and leaks add up by, and how much they show."""

import enum
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from pagetrail import api
from pagetrail.commands.options import say
from pagetrail.schemas.errors import BadArgument

if TYPE_CHECKING:
    import pyarrow as pa

ByChoice = enum.StrEnum("ByChoice", {name.upper(): name for name in (*api.BY, "host")})  # type: ignore[misc]  # one list of names
ByOption = Annotated[ByChoice, typer.Option("--by", help="The attribute to add up by.")]
AllOption = Annotated[
    bool,
    typer.Option("--all", help="Add up over all streams of the trail. Without --stream, several hosts are added up."),
]
LimitOption = Annotated[int, typer.Option("--limit", "-n", help="Rows to show; 0: all.")]


def check_all(everywhere: bool, stream: str | None, wait: float) -> None:
    """Refuse what cannot be used with --all.

    Raises
    ------
    BadArgument
        A stream is chosen, or replay of one is to be waited for.
    """
    if everywhere and (stream is not None or wait):
        raise BadArgument("--all cannot be used with --stream or --wait: it adds up over all streams, as they are now")


def added_up(
    opened: "api.Trail",
    stream: str | None,
    *,
    everywhere: bool,
    of_all: "Callable[[], api.SumsOfAll]",
    of_one: "Callable[[], pa.Table]",
) -> "tuple[pa.Table, Sequence[str | None]]":
    """Return the sums, and their streams: all if that is asked for, or if several hosts are there and none is chosen."""
    if not everywhere and (stream is not None or not opened.are_hosts()):
        return of_one(), [stream]
    found = of_all()
    _note_streams(found)
    return found.rows, found.streams


def _note_streams(found: "api.SumsOfAll") -> None:
    """Note of which streams something is the sum, and why others are left out."""
    say(f"the sum of {len(found.streams)} streams: {', '.join(found.streams)}")
    for name, why in found.left_out.items():
        say(f"left out: {name}: {why}")


def gfp_texts(opened: "api.Trail", streams: Sequence[str | None]) -> Callable[[int], str]:
    """Return what makes names of gfp masks of some streams: all of them, where their kernels differ."""
    texts = [opened.gfp_text(stream) for stream in streams]
    return lambda mask: " or ".join(dict.fromkeys(text(mask) for text in texts))


def note_page_size(opened: "api.Trail", streams: Sequence[str | None]) -> None:
    """Note that sizes in bytes rest on a guess, where they do."""
    guessed = [stream for stream in streams if not opened.page_size_is_known(stream)]
    for size in sorted({opened.page_bytes(stream) >> 10 for stream in guessed}):
        say(
            f"note: sizes are those of pages of {size} KiB, which no recording says; see 'pagetrail ingest --page-size'"
        )
