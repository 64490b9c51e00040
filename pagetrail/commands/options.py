"""Options that several commands share, and what they mean."""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

import typer

from pagetrail import api
from pagetrail.schemas.errors import BadArgument
from pagetrail.schemas.linux.mmzone import parse_pfn as parse_pfn
from pagetrail.schemas.log.address import EXPECTED, KafkaAddress, parse_log_address
from pagetrail.text.printable import printable, printable_lines

_SIZE: Final = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,9})?)([KMGTkmgt]?)(?:i?[Bb])?", re.ASCII)
_UNITS: Final = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}

if TYPE_CHECKING:
    from rich.progress import Progress

    from pagetrail.api import Trail


def chosen_trail(context: typer.Context, value: Path | None) -> Path | None:
    """Return the trail that a command is to use.

    ``--trail`` after the command comes first, then ``--trail`` before it, then $PAGETRAIL and the default.
    """
    source = context.get_parameter_source("trail")
    if source is not None and source.name == "COMMANDLINE":
        return value
    before: Path | None = context.find_root().params.get("trail")
    return value if before is None else before


TrailOption = Annotated[
    Path,
    typer.Option(
        "--trail",
        envvar="PAGETRAIL",
        help="Directory of the trail: its log and its segments.",
        show_default=True,
        callback=chosen_trail,
    ),
]
StreamOption = Annotated[
    str | None, typer.Option("--stream", metavar="HOST[/BOOT_ID]", help="The stream to ask, if the trail has several.")
]
AtOption = Annotated[
    str, typer.Option("--at", metavar="TIME", help="The instant: ns, seconds (19.5), @MARKER, RFC 3339, or -5s.")
]
PaddrOption = Annotated[bool, typer.Option("--paddr", help="Read physical addresses instead of page frame numbers.")]
LogOption = Annotated[
    str | None,
    typer.Option(
        "--log", envvar="PAGETRAIL_LOG", metavar="kafka://HOST:PORT[,…]/TOPIC",
        help="The log, if it is a topic of Apache Kafka and not in the trail.",
    ),
]  # fmt: skip
KafkaConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--kafka-config", metavar="FILE",
        help="Settings of librdkafka for TLS and SASL, one NAME=VALUE a line. They are never shown.",
    ),
]  # fmt: skip
JsonOption = Annotated[bool, typer.Option("--json", help="Write JSON for programs.")]
CorrectOption = Annotated[
    bool | None,
    typer.Option(
        "--correct/--no-correct",
        help="Ask the fold that the kernel's dumps corrected, or the one that they did not (default: the first that exists).",
    ),
]
FoldOption = Annotated[
    str | None,
    typer.Option(
        "--fold", metavar="NAME", help="Ask the fold of this name; 'pagetrail streams' lists those that there are."
    ),
]
AsOfOption = Annotated[
    str | None,
    typer.Option(
        "--as-of",
        metavar="TIME",
        help="Answer as it was believed at this time, from evidence and doubts known by then.",
    ),
]
WaitOption = Annotated[
    float,
    typer.Option(
        "--wait", metavar="SECONDS", min=0, help="Wait at most this long until replay has reached the instant asked for."
    ),
]  # fmt: skip
ModeOption = Annotated[
    str | None,
    typer.Option(
        "--mode",
        metavar="OCTAL",
        help="Let others read the trail: the mode of its files, such as 640, now and later (default: 600 in a new trail).",
    ),
]
DEFAULT_TRAIL = Path("trail")


def say(text: str) -> None:
    """Write a line of diagnostics to stderr, whatever is in it."""
    sys.stderr.write(f"{printable(text)}\n")


def out(text: str) -> None:
    """Write text for people to stdout."""
    sys.stdout.write(printable_lines(text))


def data(text: str) -> None:
    """Write text for programs to stdout as it is; to a terminal as text for people."""
    sys.stdout.write(printable_lines(text) if sys.stdout.isatty() else text)


def say_damage(opened: "Trail", stream: str | None, *, everywhere: bool = False) -> None:
    """Say which files of the store of a stream, or of all, are damaged, and end with 4: what they hold was not answered."""
    found = opened.damage(stream, everywhere=everywhere)
    for what in found:
        say(f"damaged: {what}")
    if found:
        raise typer.Exit(4)


def parse_log(log: str | None, kafka_config: Path | None) -> KafkaAddress | None:
    """Return the address of a log on Kafka; null: the log is the trail's own.

    Raises
    ------
    BadArgument
        It is not an address, its settings are not settings, or there are settings and no address.
    """
    if log is None:
        if kafka_config is not None:
            raise BadArgument(f"--kafka-config requires --log {EXPECTED}")
        return None
    return parse_log_address(log, kafka_config)


def parse_size(option: str, text: str) -> int:
    """Return the bytes of a size, as 1.5G or 800M: units are powers of 1024.

    Raises
    ------
    BadArgument
        It is not a size, or not at least a MiB.
    """
    found = _SIZE.fullmatch(text.strip())
    size = int(float(found[1]) * 1024 ** " KMGT".index(found[2].upper() or " ")) if found else 0
    if size < 1 << 20:
        raise BadArgument(f"{option}: expected a size from 1M on, as 1.5G or 800M, found {text!r}")
    return size


def share(trail: Path, mode: str | None, make: Literal["log", "segments"] | None) -> None:
    """Give a trail the mode of ``--mode``, if it is given; *make*: see ``api.share``."""
    if mode is not None:
        api.share(trail, api.parse_mode(mode), make=make)


@contextmanager
def progress(title: str) -> "Iterator[Progress]":
    """Show a progress bar on stderr while work goes on, if stderr is a terminal."""
    from rich.console import Console  # here: it takes longer to load than most commands run
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    terminal = Console(stderr=True)
    columns = (
        TextColumn(printable(title).replace("{", "{{").replace("}", "}}"), markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=terminal, transient=True, disable=not terminal.is_terminal) as bar:
        yield bar


def parse_duration(option: str, text: str, more: str = "") -> int:
    """Return the milliseconds of a duration; *more* is what the option means besides."""
    found = re.fullmatch(r"(\d{1,9})(ms|s|m|h|d)", text, re.ASCII)
    if found is None:
        raise BadArgument(f"{option} {text}: expected a time such as 90d, 12h or 30m{more}")
    return int(found[1]) * _UNITS[found[2]]
