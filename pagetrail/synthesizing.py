"""Making a synthetic load: into the log of a trail, into a topic, or as text that ``ingest`` reads."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pagetrail.producers.log.sink_kafka import KafkaLogWriter
from pagetrail.producers.log.sink_sqlite import SqliteLogWriter
from pagetrail.producers.synth.load import Load, LoadHost
from pagetrail.replay.log.embedded import SqliteLogReader
from pagetrail.schemas.errors import InputError
from pagetrail.schemas.frames import Frame
from pagetrail.schemas.log.address import KafkaAddress
from pagetrail.version import __version__

if TYPE_CHECKING:
    from pagetrail.producers.log.ingest import IngestReport
    from pagetrail.producers.synth.text import TextFormat


def synth(
    trail: str | Path,
    load: Load,
    *,
    log: KafkaAddress | None = None,
    on_report: "Callable[[IngestReport], None]" = lambda report: None,
    on_progress: Callable[[str, int], None] = lambda host, events: None,
) -> "tuple[IngestReport, ...]":
    """Store a synthetic load in a trail's log, or in the topic *log*: a whole recording for each host. It is not replayed.

    Storing the same load again adds nothing; what was interrupted goes on. *on_report* is called with each report as soon as its
    recording is stored, *on_progress* with a host and how many of its events were made.

    Raises
    ------
    InputError
        The log holds events of such a boot that were not made here: its text was ingested.
    StorageFull, LogError
        As ``ingest``; the same call continues from there.
    """
    # imported here: jit functions take half a second to import, and questions do not need them
    from pagetrail.producers.log.ingest import ingest, origin_of
    from pagetrail.producers.synth.recording import open_load

    reports: list[IngestReport] = []
    with SqliteLogWriter(Path(trail)) if log is None else KafkaLogWriter(log) as writer:
        for number in range(1, load.hosts + 1):
            recording = open_load(load.host(number))
            origin = origin_of(recording, producer_version=__version__)

            def progress(events: int, host: str = origin.host) -> None:
                on_progress(host, events)

            reports.append(
                ingest(recording, origin, writer, on_progress=progress)
                if log is not None
                else ingest(
                    recording, origin, writer, on_progress=progress, accept=lambda one: _check_alone(trail, one)
                )
            )
            on_report(reports[-1])
    return tuple(reports)


def synth_text(host: LoadHost, text_format: "TextFormat") -> Iterator[memoryview]:
    """Yield the text of a host, as tracefs ("ftrace") or perf script ("perf") prints it; a block is valid until the next."""
    from pagetrail.producers.synth.text import text_blocks

    return text_blocks(host, text_format)


def ingest_arguments(host: LoadHost, text_format: "TextFormat") -> list[str]:
    """Return the options with which ``pagetrail ingest`` stores that text as ``synth`` does: the same host, boot and events."""
    from pagetrail.producers.synth.recording import COVERS
    from pagetrail.producers.synth.tasks import RELEASE

    said_by_ftrace = ["--host", host.name, "--kernel-release", RELEASE] if text_format == "ftrace" else []
    return [*said_by_ftrace, "--boot-id", host.boot_id, "--covers", ",".join(COVERS)]


def _check_alone(trail: str | Path, first: Frame) -> None:
    """Raise if the log of *trail* holds another recording of the boot of the *first* frame."""
    with SqliteLogReader(Path(trail)) as reader:
        other = reader.later_recording(first.header, None)
    if other is not None:
        raise InputError(
            f"{first.header.host}: recording {other.recording} of the same boot ({other.boot_id}) is in the log already: its text "
            "was ingested; use another trail, or another --seed"
        )
