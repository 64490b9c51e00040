"""Ingesting: recordings into the log of a trail, or into a topic."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from pagetrail.producers.log.sink_kafka import KafkaLogWriter
from pagetrail.producers.log.sink_sqlite import SqliteLogWriter
from pagetrail.replay.log.embedded import SqliteLogReader
from pagetrail.schemas.details import Covered
from pagetrail.schemas.errors import InputError
from pagetrail.schemas.frames import Frame
from pagetrail.schemas.log.address import KafkaAddress
from pagetrail.version import __version__

if TYPE_CHECKING:
    from pagetrail.producers.log.ingest import IngestReport


def ingest(
    trail: str | Path,
    path: str | Path,
    *,
    host: str | None = None,
    boot_id: str | None = None,
    covers: tuple[Covered, ...] = (),
    probes: bool = True,
    vmemmap_base: int | None = None,
    log: KafkaAddress | None = None,
    clock_skew: int = 0,
    on_progress: Callable[[int], None] = lambda events: None,
) -> "IngestReport":
    """Store one recording (a file, a capture directory, or ``-`` for stdin) in a trail's log; see ``open_recording``.

    With *log*, store it in that topic; the trail is not touched.

    Raises
    ------
    InputError
        It is not a recording, or it overlaps another one of the same boot; nothing was stored. (A topic takes a recording that
        overlaps; replay refuses it.)
    StorageFull
        No space is left; the same call continues from there.
    LogError
        The brokers do not answer or refuse us, or the topic does not exist; what was acknowledged stays.
    """
    # imported here: jit functions take half a second to import, and questions do not need them
    from pagetrail.producers.log.ingest import ingest as ingest_recording
    from pagetrail.producers.log.ingest import origin_of
    from pagetrail.producers.recordings import open_recording

    recording = open_recording(
        path, host=host, boot_id=boot_id, covers=covers, probes=probes, vmemmap_base=vmemmap_base, clock_skew=clock_skew
    )
    with recording:
        origin = origin_of(recording, producer_version=__version__)
        if log is not None:
            with KafkaLogWriter(log) as topic:
                return ingest_recording(recording, origin, topic, on_progress=on_progress)
        with SqliteLogWriter(Path(trail)) as embedded:

            def accept(first: Frame) -> None:
                _check_no_overlap(Path(trail), recording.info.source, first)

            return ingest_recording(recording, origin, embedded, accept=accept, on_progress=on_progress)


def _check_no_overlap(trail: Path, source: str, first: Frame) -> None:
    """Raise if the log of *trail* holds a recording of the same boot that ends after the *first* frame begins."""
    with SqliteLogReader(trail) as reader:
        other = reader.later_recording(first.header)
    if other is not None:
        raise InputError(
            f"{source}: it begins at {first.header.first_ts} ns (trace clock), before recording {other.recording} of the "
            f"same boot ({other.host} {other.boot_id}) ends ({other.last_ts} ns); recordings that overlap are not merged: "
            "ingest it into another trail"
        )
