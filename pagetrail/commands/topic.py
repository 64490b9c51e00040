"""pagetrail topic: the log's topic on Apache Kafka, made and described."""

import re
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from pagetrail.commands.options import JsonOption, KafkaConfigOption, LogOption, out, parse_log
from pagetrail.producers.log.topic import (
    DEFAULT_PARTITIONS,
    FOREVER,
    MESSAGE_BYTES,
    PARTITIONS_WHY,
    REPLICATION_WHY,
    WHY,
    TopicPlan,
    TopicReport,
    create_topic,
    describe_topic,
)
from pagetrail.schemas.errors import BadArgument
from pagetrail.schemas.log.address import EXPECTED, KafkaAddress
from pagetrail.text.render import json_text

topic_app = typer.Typer(no_args_is_help=True, help="Make and describe the topic of a log on Apache Kafka.")

_UNITS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


@topic_app.command()
def create(
    log: LogOption = None,
    partitions: Annotated[int, typer.Option(min=1, help="Partitions, for good.")] = DEFAULT_PARTITIONS,
    replication: Annotated[
        int | None, typer.Option(min=1, help="Copies of each (default: 3, or as many brokers as there are).")
    ] = None,
    retention: Annotated[
        str, typer.Option(metavar="TIME|unlimited", help="How long frames are kept: 90d, 12h, …")
    ] = "unlimited",
    retention_bytes: Annotated[
        int, typer.Option(min=-1, help="How many bytes of a partition are kept; -1: no limit.")
    ] = FOREVER,
    max_message_bytes: Annotated[
        int, typer.Option(min=4096, help="Largest message; frames above it are cut.")
    ] = MESSAGE_BYTES,
    kafka_config: KafkaConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make the topic with the settings that a log needs, and say why they are so."""
    plan = TopicPlan(
        partitions=partitions, replication=replication, retention_ms=_milliseconds(retention),
        retention_bytes=retention_bytes, message_bytes=max_message_bytes,
    )  # fmt: skip
    _show(create_topic(_address(log, kafka_config), plan), as_json=as_json)


@topic_app.command()
def describe(log: LogOption = None, kafka_config: KafkaConfigOption = None, as_json: JsonOption = False) -> None:
    """Show the topic's partitions and settings, and what they mean for the log."""
    _show(describe_topic(_address(log, kafka_config)), as_json=as_json)


def _address(log: str | None, kafka_config: Path | None) -> KafkaAddress:
    address = parse_log(log, kafka_config)
    if address is None:
        raise BadArgument(f"--log: expected {EXPECTED}, found none")
    return address


def _milliseconds(text: str) -> int:
    if text == "unlimited":
        return FOREVER
    found = re.fullmatch(r"(\d+)(ms|s|m|h|d)", text)
    if found is None:
        raise BadArgument(f"--retention {text}: expected a time such as 90d, 12h or 30m, or 'unlimited'")
    return int(found[1]) * _UNITS[found[2]]


def _show(report: TopicReport, *, as_json: bool) -> None:
    if as_json:
        out(json_text({
            "log": report.log, "topic_id": report.topic_id, "replication": report.replication,
            "settings": report.settings, "partitions": [asdict(part) for part in report.partitions],
        }))  # fmt: skip
        return
    rows = [
        ("partitions", str(len(report.partitions)), PARTITIONS_WHY),
        ("replication", str(report.replication), REPLICATION_WHY),
        *((name, report.settings[name], WHY[name]) for name in WHY if name in report.settings),
    ]
    out(f"{report.log}\n")
    for name, value, why in rows:
        out(f"  {name} = {value}\n      {why}\n")
    out("  partition  leader  in sync  first offset  next offset\n")
    for part in report.partitions:
        leader = "none" if part.leader is None else part.leader
        copies = f"{part.in_sync}/{part.replicas}"
        out(f"  {part.partition:>9}  {leader:>6}  {copies:>7}  {part.low:>12}  {part.high:>11}\n")
