"""pagetrail topic: the log's topic on Apache Kafka, made and described."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Final

import typer

from pagetrail import api
from pagetrail.commands.options import JsonOption, KafkaConfigOption, LogOption, out, parse_duration, parse_log
from pagetrail.schemas.errors import BadArgument
from pagetrail.schemas.log.address import EXPECTED, KafkaAddress
from pagetrail.text.json_text import json_text
from pagetrail.text.topic import topic_text

topic = typer.Typer(no_args_is_help=True, help="Make and describe the topic of a log on Apache Kafka.")

_DEFAULTS: Final = api.TopicPlan()


@topic.command()
def create(
    log: LogOption = None,
    partitions: Annotated[
        int, typer.Option(min=1, help="Number of partitions; it cannot be changed later.")
    ] = _DEFAULTS.partitions,
    replication: Annotated[
        int | None, typer.Option(min=1, help="Copies of each partition (default: 3, or the number of brokers if less).")
    ] = None,
    retention: Annotated[
        str, typer.Option(metavar="TIME|unlimited", help="How long frames are kept: 90d, 12h, …")
    ] = "unlimited",
    retention_bytes: Annotated[
        int, typer.Option(min=-1, help="How many bytes of a partition are kept; -1: no limit.")
    ] = _DEFAULTS.retention_bytes,
    max_message_bytes: Annotated[
        int, typer.Option(min=4096, help="Size of the largest message; larger frames are sent in parts.")
    ] = _DEFAULTS.message_bytes,
    kafka_config: KafkaConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make the topic with the settings that a log needs, and show the reason for each."""
    plan = api.TopicPlan(
        partitions=partitions, replication=replication, retention_ms=_milliseconds(retention),
        retention_bytes=retention_bytes, message_bytes=max_message_bytes,
    )  # fmt: skip
    _show(api.create_topic(_address(log, kafka_config), plan), as_json=as_json)


@topic.command()
def describe(log: LogOption = None, kafka_config: KafkaConfigOption = None, as_json: JsonOption = False) -> None:
    """Show the topic's partitions and settings, and what they mean for the log."""
    _show(api.describe_topic(_address(log, kafka_config)), as_json=as_json)


def _address(log: str | None, kafka_config: Path | None) -> KafkaAddress:
    address = parse_log(log, kafka_config)
    if address is None:
        raise BadArgument(f"pagetrail topic requires --log {EXPECTED}")
    return address


def _milliseconds(text: str) -> int:
    if text == "unlimited":
        return _DEFAULTS.retention_ms
    return parse_duration("--retention", text, ", or 'unlimited'")


def _show(report: "api.TopicReport", *, as_json: bool) -> None:
    if not as_json:
        out(topic_text(report))
        return
    out(json_text({
        "log": report.log, "topic_id": report.topic_id, "replication": report.replication,
        "settings": report.settings, "partitions": [asdict(partition) for partition in report.partitions],
    }))  # fmt: skip
