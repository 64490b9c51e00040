"""pagetrail synth: a load to measure with, into the log or as text."""

import enum
import re
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO, Final

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
    progress,
    say,
)
from pagetrail.schemas.errors import BadArgument
from pagetrail.text.json_text import json_text

if TYPE_CHECKING:
    from pagetrail.api import IngestReport, LoadHost


class Format(enum.StrEnum):
    """Forms of the text."""

    FTRACE = "ftrace"
    PERF = "perf"


STDOUT: Final = Path("-")
_COUNT: Final = re.compile(r"(\d[\d_,]{0,20})([kKMG]?)", re.ASCII)
_TIMES: Final = {"": 1, "k": 1_000, "K": 1_000, "M": 1_000_000, "G": 1_000_000_000}


def synth(
    context: typer.Context,
    events: Annotated[
        str,
        typer.Option(metavar="N", help="Allocations and frees of each host; k, M and G are thousands and more: 20M."),
    ] = "1M",
    pages: Annotated[str, typer.Option(metavar="N", help="Page frames of each host.")] = "1M",
    live: Annotated[
        str | None,
        typer.Option(
            metavar="N", help="Pages that are allocated once the load is steady (default: two fifths of --pages)."
        ),
    ] = None,
    hosts: Annotated[str, typer.Option(metavar="N", help="Hosts, each a recording of its own.")] = "1",
    seed: Annotated[str, typer.Option(metavar="N", help="Another one gives other events and boots.")] = "1",
    max_order: Annotated[
        str,
        typer.Option(metavar="N", help="Allocate blocks of orders 0 to N, each eight times rarer than the one below."),
    ] = "0",
    rate: Annotated[str, typer.Option(metavar="N", help="Events a second of trace time, on average.")] = "200k",
    form: Annotated[
        Format | None,
        typer.Option(
            "--format", help="Write text as tracefs or perf script prints it, instead of storing events in the log."
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="File of the text; with several --hosts one for each, with its name before the suffix (default: stdout).",
        ),
    ] = None,
    trail: TrailOption = DEFAULT_TRAIL,
    log: LogOption = None,
    kafka_config: KafkaConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a load to measure with: pages allocated and freed at random, the same for the same numbers.

    Nothing else happens, so every answer about it is certain.
    """
    frames = _count("pages", pages)
    load = api.Load(
        events=_count("events", events), pages=frames, hosts=_count("hosts", hosts), seed=_count("seed", seed),
        live=max(1, frames * 2 // 5) if live is None else _count("live", live),
        max_order=_count("max-order", max_order), rate=_count("rate", rate),
    )  # fmt: skip
    if form is None and output is None:
        _store(trail, load, log, kafka_config, as_json=as_json)
        return
    _only_text(context)
    _write(load, form or Format.FTRACE, output or STDOUT, as_json=as_json)


def _store(trail: Path, load: "api.Load", log: str | None, kafka_config: Path | None, *, as_json: bool) -> None:
    address = parse_log(log, kafka_config)
    reports: list[IngestReport] = []

    def on_report(report: "IngestReport") -> None:
        reports.append(report)
        stored = "nothing was added: all were stored before" if report.duplicates == report.frames else "stored"
        say(
            f"{report.origin.host}: {load.events:,} allocations and frees in {report.frames:,} frames, {stored}; "
            f"stream {report.origin.host}/{report.origin.boot_id}"
        )

    with progress("synth") as bar:
        task = bar.add_task("", total=load.events, note="")
        api.synth(
            trail, load, log=address, on_report=on_report,
            on_progress=lambda host, done: bar.update(task, completed=min(done, load.events), note=f"{host}: {done:,} events"),
        )  # fmt: skip
    if as_json:
        rows = [
            {"host": one.origin.host, "boot_id": one.origin.boot_id, "events": one.events, "frames": one.frames,
             "duplicates": one.duplicates, "last_ts": one.last_ts}
            for one in reports
        ]  # fmt: skip
        out(json_text(rows))


def _write(load: "api.Load", form: Format, output: Path, *, as_json: bool) -> None:
    if output == STDOUT and load.hosts > 1:
        raise BadArgument(f"-o: expected a FILE for --hosts {load.hosts}, which are a file each; found none")
    if output == STDOUT and as_json:
        raise BadArgument("--json: expected -o FILE, as the text goes to stdout; found none")
    rows = []
    for number in range(1, load.hosts + 1):
        host = load.host(number)
        file = _file_of(output, host)
        with _opened(file) as to, progress(f"synth {host.name}") as bar:
            task = bar.add_task("", total=None, note="")
            size = 0
            for block in api.synth_text(host, form.value):
                to.write(block)
                size += block.nbytes
                bar.update(task, note=f"{size:,} bytes")
        arguments = api.ingest_arguments(host, form.value)
        rows.append({"host": host.name, "boot_id": host.boot_id, "events": load.events, "file": str(file), "bytes": size,
                     "ingest": arguments})  # fmt: skip
        say(f"{file}: {load.events:,} events of {host.name}, {size:,} bytes")
        if number == 1:
            say(f"  to store it: pagetrail ingest {shlex.join([str(file), *arguments])}")
    if as_json:
        out(json_text(rows))


def _only_text(context: typer.Context) -> None:
    """Refuse what says where a log is, where text is to be written."""
    for name, option in (("trail", "--trail"), ("log", "--log"), ("kafka_config", "--kafka-config")):
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            raise BadArgument(f"{option} cannot be used with --format or -o: text is written, and nothing is stored")


def _count(name: str, text: str) -> int:
    """Return a count: digits, which may be grouped, and k, M or G.

    Raises
    ------
    BadArgument
        It is none.
    """
    found = _COUNT.fullmatch(text.strip())
    if found is None:
        raise BadArgument(f"--{name}: expected a count such as 400000, 400k or 20M, found {text!r}")
    return int(re.sub("[_,]", "", found[1])) * _TIMES[found[2]]


def _file_of(output: Path, host: "LoadHost") -> Path:
    """Return the file of a host: *output*, if there is one host."""
    return output if host.load.hosts == 1 else output.with_name(f"{output.stem}.{host.name}{output.suffix}")


@contextmanager
def _opened(file: Path) -> Iterator[BinaryIO]:
    if file == STDOUT:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    with file.open("wb") as to:
        yield to
