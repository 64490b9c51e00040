"""What a recording is: where it comes from, and what reads its events."""

from dataclasses import dataclass, field
from typing import BinaryIO, Self

from pagetrail.producers.parsed import Parser


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingInfo:
    """Where a recording comes from and what names it.

    Attributes
    ----------
    host, boot_id
        Its stream; null where neither the recording nor the caller says.
    recording_id
        ``content_id`` of the trace (or of the dump, where there is no trace); null for stdin.
    format
        ``capture-directory``, or the name of a ``formats.format.Format``.
    trace_format
        Within a capture directory: the format of its trace.
    source
        Name of the file or directory, without folders; ``-`` for stdin.
    trace_clock
        Name of the trace clock, where known.
    trace_file
        Within a capture directory: the file that is read as the trace.
    twins
        Other recordings of the same time in that directory, not read.
    snapshots
        Names of the snapshots whose dumps are there, in their order.
    options
        What was asked for that shaped the events.
    notes
        What the user should know; more come while the events are read.
    """

    host: str | None
    boot_id: str | None
    recording_id: str | None
    format: str
    source: str
    trace_format: str | None = None
    trace_clock: str | None = None
    trace_file: str | None = None
    twins: tuple[str, ...] = ()
    snapshots: tuple[str, ...] = ()
    options: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """A recording, opened: what it is, and the parser of its events. Used as a context, it closes the file it reads."""

    info: RecordingInfo
    parser: Parser
    file: BinaryIO | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.file is not None:
            self.file.close()
