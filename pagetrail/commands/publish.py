"""pagetrail publish: what replay found, as messages for other programs."""

import enum
from typing import Annotated

import typer

from pagetrail import api
from pagetrail.commands.options import (
    DEFAULT_TRAIL,
    CorrectOption,
    FoldOption,
    JsonOption,
    KafkaConfigOption,
    TrailOption,
    out,
    say,
)
from pagetrail.commands.stopping import signals_noted
from pagetrail.schemas.log.address import parse_log_address
from pagetrail.text.json_text import json_text


class Feed(enum.StrEnum):
    """What can be published."""

    SPANS = "spans"
    ANOMALIES = "anomalies"


def publish(
    what: Annotated[
        Feed,
        typer.Argument(
            help="spans: every span that ended, and what was doubted later; anomalies: what replay noticed."
        ),
    ],
    to: Annotated[
        str,
        typer.Option(
            "--to", metavar="kafka://HOST:PORT[,…]/TOPIC", help="The topic; spans and anomalies each need their own."
        ),
    ],
    trail: TrailOption = DEFAULT_TRAIL,
    stream: Annotated[
        str | None, typer.Option("--stream", metavar="HOST[/BOOT_ID]", help="Only this host, or this boot of a host.")
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", help="Continue with segments as they are sealed, until stopped.")
    ] = False,
    kafka_config: KafkaConfigOption = None,
    correct: CorrectOption = None,
    fold: FoldOption = None,
    as_json: JsonOption = False,
) -> None:
    """Send what sealed segments hold to a topic, at least once, continuing where the topic ends."""
    address = parse_log_address(to, kafka_config)
    with signals_noted() as stopped:
        report = api.publish(
            trail, what, address, correct=correct, fold=fold, stream=stream, follow=follow, stop=lambda: bool(stopped)
        )
    for line in report.dropped:
        say(line)
    if as_json:
        out(json_text({
            "to": str(address), "messages": report.messages, "rows": report.rows, "stopped": bool(stopped),
            "not_there": report.dropped,
        }))  # fmt: skip
    else:
        say(f"{report.rows:,} rows in {report.messages:,} messages of {what} published to {address}")
    if stopped and not follow:
        raise typer.Exit(130)
