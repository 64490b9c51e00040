"""pagetrail replay: the log into segments."""

from typing import Annotated

import typer

from pagetrail import api
from pagetrail.commands.options import (
    DEFAULT_TRAIL,
    JsonOption,
    KafkaConfigOption,
    LogOption,
    ModeOption,
    TrailOption,
    out,
    parse_log,
    parse_size,
    progress,
    say,
    share,
)
from pagetrail.commands.stopping import signals_noted
from pagetrail.text.json_text import json_text


def replay(
    trail: TrailOption = DEFAULT_TRAIL,
    follow: Annotated[bool, typer.Option("--follow", help="Continue as the log grows, until stopped.")] = False,
    no_correct: Annotated[
        bool,
        typer.Option(
            "--no-correct", help="Let only the first dump of a stream set its state; the others only audit it."
        ),
    ] = False,
    rules: Annotated[
        str | None,
        typer.Option(
            "--rules",
            metavar="RELEASE",
            help="Fold by the rules of this kernel release (linux-5.10, linux-6.1, linux-6.12, linux-7.2), whatever was recorded, "
            "into a fold of its own beside the automatic one; questions choose it with --fold.",
        ),
    ] = None,
    memory: Annotated[
        str | None,
        typer.Option(
            "--memory",
            metavar="SIZE",
            help="How much memory the states of streams may take together, as 1.5G or 800M; the process takes about 250M more. "
            "Without it: 2G, and what a single stream needs.",
        ),
    ] = None,
    log: LogOption = None,
    group: Annotated[
        str | None,
        typer.Option(
            "--group",
            metavar="NAME",
            help="With --log: share the partitions of the topic with the other replays of this consumer group and trail.",
        ),
    ] = None,
    kafka_config: KafkaConfigOption = None,
    mode: ModeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Fold the log into segments, continuing where the last replay stopped.

    Records of a large dump wait in a temporary file, in $TMPDIR: up to 150 bytes a record.
    """
    address, most = parse_log(log, kafka_config), None if memory is None else parse_size("--memory", memory)
    share(trail, mode, None if address is None else "segments")
    with signals_noted() as stopped, progress("replay") as bar:
        task = bar.add_task("", total=None, note="")
        report = api.replay(
            trail, correct=not no_correct, rules=rules, follow=follow, log=address, group=group, memory=most,
            stop=lambda: bool(stopped),
            on_progress=lambda done, total: bar.update(task, completed=done, total=max(total, done), note=f"{done} frames"),
            on_trouble=lambda message: say(f"waiting: {message}"), on_notice=say,
        )  # fmt: skip
    for path, reason in report.remade.items():
        say(f"made again: {path}: found {reason}")
    if report.unwritten:
        say(f"not written: {report.unwritten}")
    for why in report.halted.values():
        say(f"halted: {why}")
    for why in report.refused.values():
        say(f"refused: {why}")
    for why in report.superseded.values():
        say(f"superseded: {why}")
    for (host, boot_id), why in report.waiting.items():
        say(f"waiting: {host}/{boot_id}: {why}")
    for what in report.losses:
        say(f"lost by the log: {what}")
    if report.foreign:
        say(
            f"skipped: {report.foreign} messages that are not frames, the last at {report.last_foreign}",
        )
    if as_json:
        out(json_text({
            "events": report.events, "frames": report.frames, "segments": report.segments, "stopped": bool(stopped),
            "halted": {"/".join(key): why for key, why in report.halted.items()},
            "refused": {"/".join(key): why for key, why in report.refused.items()},
            "superseded": {"/".join(key): why for key, why in report.superseded.items()},
            "waiting": {"/".join(key): why for key, why in report.waiting.items()}, "lost": report.losses,
            "foreign": report.foreign, "made_again": report.remade,
        }))  # fmt: skip
    else:
        say(f"{report.events:,} events of {report.frames} frames folded, {_segments(report.segments)} sealed")
    if report.halted:
        raise typer.Exit(4)
    if stopped and not follow:
        raise typer.Exit(130)


def _segments(count: int) -> str:
    return "1 segment" if count == 1 else f"{count} segments"
