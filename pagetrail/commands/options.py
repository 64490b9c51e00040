"""Options that several commands share, and what they mean."""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from pagetrail.schemas.errors import BadArgument
from pagetrail.schemas.linux.mmzone import PFN_LIMIT
from pagetrail.schemas.log.address import KafkaAddress, parse_log_address

TRAIL_VARIABLE: Final = "PAGETRAIL"
"""Names the trail where no option does."""

TrailOption = Annotated[
    Path,
    typer.Option(
        "--trail", envvar=TRAIL_VARIABLE, help="Directory of the trail: its log and its segments.", show_default=True
    ),
]
StreamOption = Annotated[
    str | None, typer.Option("--stream", metavar="HOST[/BOOT_ID]", help="Which stream, where the trail has several.")
]
LogOption = Annotated[
    str | None,
    typer.Option(
        "--log", envvar="PAGETRAIL_LOG", metavar="kafka://HOST:PORT[,…]/TOPIC",
        help="The log, where it is a topic of Apache Kafka and not in the trail.",
    ),
]  # fmt: skip
KafkaConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--kafka-config", metavar="FILE",
        help="Settings of librdkafka, NAME=VALUE a line: TLS and SASL. They are never shown.",
    ),
]  # fmt: skip
JsonOption = Annotated[bool, typer.Option("--json", help="Write JSON for programs.")]
CorrectOption = Annotated[
    bool | None,
    typer.Option(
        "--correct/--no-correct",
        help="Ask the fold that the kernel's dumps corrected, or the one they did not (default: the first there is).",
    ),
]
AsOfOption = Annotated[
    str | None,
    typer.Option(
        "--as-of", metavar="TIME", help="Answer as it was believed then: from evidence up to this time, doubts too."
    ),
]
WaitOption = Annotated[
    float,
    typer.Option(
        "--wait",
        metavar="SECONDS",
        min=0,
        help="Wait so long, at most, until replay has come to the instant asked for.",
    ),
]
DEFAULT_TRAIL = Path("trail")

_NUMBER: Final = re.compile(r"\d+|0[xX][0-9a-fA-F]+", re.ASCII)

say = Console(stderr=True, highlight=False, soft_wrap=True, emoji=False)
"""Diagnostics: stderr."""


def out(text: str) -> None:
    """Write data to stdout."""
    sys.stdout.write(text)


def parse_pfn(text: str, *, page_shift: int | None = None) -> int:
    """Return a page frame number: *text* is one, decimal or 0x hex; with *page_shift* it is a physical address.

    Raises
    ------
    BadArgument
        It is neither.
    """
    value = -1
    if _NUMBER.fullmatch(text):
        value = int(text, 16 if text[:2] in ("0x", "0X") else 10) >> (page_shift or 0)
    if not 0 <= value < PFN_LIMIT:
        what = "a page frame number" if page_shift is None else "a physical address"
        raise BadArgument(f"{text!r}: expected {what} of 64-bit memory, decimal or 0x hex; found something else")
    return value


def parse_log(log: str | None, kafka_config: Path | None) -> KafkaAddress | None:
    """Return the address of a log on Kafka; null: the log is the trail's own.

    Raises
    ------
    BadArgument
        It is no address, or its settings are none.
    """
    if log is None:
        if kafka_config is not None:
            raise BadArgument("--kafka-config: expected --log kafka://HOST:PORT/TOPIC beside it, found none")
        return None
    return parse_log_address(log, kafka_config)


@contextmanager
def progress(title: str) -> Iterator[Progress]:
    """Show a progress bar on stderr while work goes on, if stderr is a terminal."""
    columns = (
        TextColumn(title),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=say, transient=True, disable=not say.is_terminal) as bar:
        yield bar
