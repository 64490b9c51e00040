"""pagetrail streams, doctor and export: what is in a trail, what it suffers from, and its way out."""

import enum
from pathlib import Path
from typing import Annotated

import typer

from pagetrail import api
from pagetrail.commands.options import (
    DEFAULT_TRAIL,
    CorrectOption,
    JsonOption,
    KafkaConfigOption,
    LogOption,
    StreamOption,
    TrailOption,
    out,
    parse_log,
    say,
)
from pagetrail.queries.core.instant import as_text
from pagetrail.queries.questions.doctor import findings, quarantined
from pagetrail.replay.facts.facts import plain
from pagetrail.text.render import json_text, table_text


def streams(
    trail: TrailOption = DEFAULT_TRAIL,
    markers: Annotated[bool, typer.Option("--markers", help="List the markers of a stream instead.")] = False,
    stream: StreamOption = None,
    log: LogOption = None,
    kafka_config: KafkaConfigOption = None,
    correct: CorrectOption = None,
    as_json: JsonOption = False,
) -> None:
    """List what is in the trail, how far it was replayed, and the digest of each stream's state."""
    opened = api.open(trail, correct=correct)
    address = parse_log(log, kafka_config)
    found = opened.markers(stream) if markers else opened.streams(address)
    if as_json:
        out(json_text(found))
    elif markers:
        rows = [(as_text(r["ts"]), r["seq"], r["text"]) for r in found.to_pylist()]
        out(table_text(("at", "event", "marker"), rows, right=("at", "event")))
    else:
        columns = (
            "stream",
            "kernel",
            "fold",
            "recordings",
            "events",
            "first",
            "horizon",
            "wall time",
            "segments",
            "digest",
        ) + (() if address is None else ("partition", "lag", "events/s", "held"))
        table = [
            (
                f"{r['host']}/{r['boot_id']}", r["release"], r["fold"], r["recordings"], f"{r['events']:,}",
                "" if r["first_ts"] is None else as_text(r["first_ts"]), as_text(r["horizon"]), r["horizon_wall"],
                f"{r['segments']}{' + tip' if r['tip'] else ''}", r["digest"],
                *(() if address is None else (r["partition"], f"{r['lag']:,}", f"{r['rate']:,.0f}", r["held"] or "")),
            )
            for r in found.to_pylist()
        ]  # fmt: skip
        out(
            table_text(
                columns, table, right=("recordings", "events", "first", "horizon", "partition", "lag", "events/s")
            )
        )
        for r in found.to_pylist():
            if r["snapshots"]:
                out(f"{r['host']}: snapshots {' '.join('@' + name for name in r['snapshots'])}\n")


def doctor(
    trail: TrailOption = DEFAULT_TRAIL,
    stream: StreamOption = None,
    correct: CorrectOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what was lost, quarantined, inferred, not recorded, not understood."""
    opened = api.open(trail, correct=correct)
    names = [stream] if stream else [f"{r['host']}/{r['boot_id']}" for r in opened.streams().to_pylist()]
    found = {name: findings(opened.stream(name)) for name in names}
    if as_json:
        out(json_text({
            name: {"findings": plain(list(rows)), "quarantined": quarantined(opened.stream(name)).to_pylist()}
            for name, rows in found.items()
        }))  # fmt: skip
        return
    for name, rows in found.items():
        out(f"{name}\n")
        out(
            table_text(
                ("", "what", "count", ""),
                [("  " + f.level, f.what, f"{f.count:,}", f.detail) for f in rows],
                right=("count",),
            )
        )


class Exported(enum.StrEnum):
    """What can be exported."""

    SPANS = "spans"


def export(
    what: Annotated[Exported, typer.Argument(help="spans: every ownership, closed and open.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Directory of the Parquet files.")],
    trail: TrailOption = DEFAULT_TRAIL,
    correct: CorrectOption = None,
) -> None:
    """Write every span of every stream as Parquet, for pipelines."""
    del what  # spans, so far
    written = api.open(trail, correct=correct).export_spans(output)
    for path in written:
        out(f"{path}\n")
    say.print(f"{len(written)} files")
