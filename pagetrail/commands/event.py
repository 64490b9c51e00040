"""pagetrail event: what the log holds, to check an answer by the events that prove it."""

from typing import Annotated, Any

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
from pagetrail.queries.core.instant import as_text
from pagetrail.text.render import json_text


def event(
    offset: Annotated[
        int,
        typer.Argument(
            metavar="OFFSET", help="Offset of the log, as 'owner' says in its proof; with --recording: the first EVENT."
        ),
    ],
    numbers: Annotated[
        list[int] | None, typer.Argument(metavar="[EVENT]…", help="Numbers of events there; none: all of the frame.")
    ] = None,
    recording: Annotated[
        str | None,
        typer.Option(
            "--recording", metavar="ID", help="Find events by their numbers in a recording. A topic is read for it."
        ),
    ] = None,
    trail: TrailOption = DEFAULT_TRAIL,
    log: LogOption = None,
    partition: Annotated[int, typer.Option("--partition", min=0, help="Partition of the topic that OFFSET is of.")] = 0,
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
    for batch in found.to_batches(max_chunksize=4096):
        out("".join(map(_text, batch.to_pylist())))


def _text(row: dict[str, Any]) -> str:
    """One event: a line with its fields, and its stack below."""
    shown = {"gfp_mask": hex, "page_flags": hex}
    said = [
        f"{name}={shown.get(name, str)(value)}"
        for name, value in row.items()
        if value is not None and name not in ("recording", "seq", "trace_ts_nsec", "kind", "stack", "detail")
    ]
    parts = [
        f"event {row['seq']} of {row['recording']}",
        f"at {as_text(row['trace_ts_nsec'])}",
        f"{row['kind']}:",
        *said,
    ]
    lines = [" ".join(parts)]
    if row["detail"] is not None:
        lines.append(f"  detail  {row['detail']}")
    if row["stack"] is not None:
        frames = row["stack"].split("\n")
        lines += [f"  {'stack' if i == 0 else '     '}   {frame}" for i, frame in enumerate(frames)]
    return "\n".join(lines) + "\n"
