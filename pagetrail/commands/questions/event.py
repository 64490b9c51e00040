"""pagetrail event: what the log holds, to check an answer by the events that prove it."""

from typing import Annotated

import typer

from pagetrail import api
from pagetrail.commands.options import (
    DEFAULT_TRAIL,
    JsonOption,
    KafkaConfigOption,
    LogOption,
    TrailOption,
    out,
    parse_log,
)
from pagetrail.text.events import event_text
from pagetrail.text.json_text import json_text


def event(
    offset: Annotated[
        int,
        typer.Argument(
            metavar="OFFSET", help="Offset in the log, as 'owner' shows it as proof; with --recording: the first EVENT."
        ),
    ],
    numbers: Annotated[
        list[int] | None,
        typer.Argument(metavar="[EVENT]…", help="Numbers of events in that frame; none: all of the frame."),
    ] = None,
    recording: Annotated[
        str | None,
        typer.Option(
            "--recording",
            metavar="ID",
            help="Find events by their numbers in a recording. A topic is read from its start.",
        ),
    ] = None,
    trail: TrailOption = DEFAULT_TRAIL,
    log: LogOption = None,
    partition: Annotated[
        int, typer.Option("--partition", min=0, help="Partition of the topic in which OFFSET is.")
    ] = 0,
    kafka_config: KafkaConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show events as the log holds them, with every field that they have."""
    address = parse_log(log, kafka_config)
    if recording is not None:
        found = api.events_of(trail, recording, [offset, *(numbers or ())], log=address)
    else:
        found = api.events(trail, offset, numbers or (), log=address, partition=partition)
    if as_json:
        out(json_text(found))
        return
    if not found.num_rows:
        return
    time = api.time_text_of(trail, found, log=address)
    for batch in found.to_batches(max_chunksize=4096):
        out("".join(event_text(row, time) for row in batch.to_pylist()))
