"""pagetrail streams: what is in a trail."""

from typing import Annotated

import typer

from pagetrail import api
from pagetrail.commands.options import (
    DEFAULT_TRAIL,
    CorrectOption,
    FoldOption,
    JsonOption,
    KafkaConfigOption,
    LogOption,
    StreamOption,
    TrailOption,
    out,
    parse_log,
    say_damage,
)
from pagetrail.text.json_text import json_text
from pagetrail.text.streams import markers_text, streams_text


def streams(
    trail: TrailOption = DEFAULT_TRAIL,
    markers: Annotated[bool, typer.Option("--markers", help="List the markers of a stream instead.")] = False,
    stream: StreamOption = None,
    log: LogOption = None,
    kafka_config: KafkaConfigOption = None,
    correct: CorrectOption = None,
    fold: FoldOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the streams of the trail, how far each was replayed, and the digest of its state."""
    opened = api.open(trail, correct=correct, fold=fold)
    address = parse_log(log, kafka_config)
    found = opened.markers(stream) if markers else opened.streams(address)
    if as_json:
        out(json_text(found))
    elif markers:
        out(markers_text(found.to_pylist(), opened.time_text(stream)))
    else:
        rows = found.to_pylist()
        times = [opened.time_text(f"{r['host']}/{r['boot_id']}") if r["events"] else str for r in rows]
        out(streams_text(rows, times, lag=address is not None))
    say_damage(opened, stream, everywhere=not markers)
