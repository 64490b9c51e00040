"""pagetrail verify: whether a trail is whole."""

import typer

from pagetrail import api
from pagetrail.commands.options import DEFAULT_TRAIL, JsonOption, StreamOption, TrailOption, out, say
from pagetrail.text.json_text import json_text


def verify(trail: TrailOption = DEFAULT_TRAIL, stream: StreamOption = None, as_json: JsonOption = False) -> None:
    """Read every row of the store and every frame of the log, and compare them with their digests; change nothing.

    What is damaged is listed, file by file. 'pagetrail replay' makes segments again from the log.
    """
    found = api.verify(trail, stream)
    rows = found.to_pylist()
    wrong = [row for row in rows if row["found"] is not None]
    if as_json:
        out(json_text(found))
    else:
        out("".join(f"{row['path']}: {row['kind']}: {row['found']}\n" for row in wrong))
    frames = sum(row["kind"] == "frame" for row in rows)
    say(f"{len(rows) - frames:,} files and {frames:,} frames read, {len(wrong):,} of them not whole")
    if wrong:
        raise typer.Exit(4)
