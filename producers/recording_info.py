"""What a recording is: where it comes from, and what reads its events."""

import hashlib
from dataclasses import dataclass, field
from typing import BinaryIO, Final, Protocol, Self

from pagetrail.producers.dump_given import Given
from pagetrail.producers.parsed import Parser

READER: Final = 7
"""Version of the meaning of all formats: it rises when a reader gives other events for bytes that were read before.

2: a line that was not understood is a loss (1, which recordings do not name, counted it).
3: a capture declares the probes of the kernel's command line from the start of init on; a probe's place that no kernel prints is a
loss; reports of pages are read wherever they first stand.
4: gfp flags of kernels before 5.10 have the bits of their own release; what stands before each line of a trace is taken away; what
was written to trace_marker_raw is no loss, and what is left of a count of entries is one; the probe split_page is a split. A line
whose page and pfn contradict each other is a loss, and so are an event with a field of another one and what trace-cmd counts of its
rings and its report does not have; an event that is there twice is stored once.
5: the probe migrate_reason is read, and so is what a probe says of the base of struct pages; a handle names the stack of a record.
6: the last number before the time of perf script -L is a CPU, not a thread; perf's own events (page-faults, cpu-clock) are no loss;
lines of a dump's record that were split are put together, and a number at the cut end of one is not read.
7: in the files beside a trace, what no kernel prints is no number (a block of memory that is no power of two, a node above 1,023, a
clock that has counted for 31 years), memory that the machine says it does not have is not present, and links that lead out of a
capture are not read.
"""


def again_id(content: str, reader: int) -> str:
    """Return the id of a recording that *reader* made of content (``content_id``) that an older reader had read before."""
    return hashlib.blake2b(f"{content} read by {reader}".encode(), digest_size=16).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingInfo:
    """Where a recording comes from and what names it.

    Attributes
    ----------
    host, boot_id
        Its stream; null where neither the recording nor the caller says.
    recording_id
        ``content_id`` of the trace (or of the dump, where there is no trace), or what ``again_id`` makes of it.
    format
        ``capture-directory``, or the name of a ``formats.format.Format``.
    reader
        Version of the meaning of that format: recordings that readers of two versions made are never mixed.
    supersedes
        Id of the recording whose place this one takes: an older reader made it of the same bytes.
    trace_format
        Within a capture directory: the format of its trace.
    source
        Name of the file or directory, without folders; ``-`` for stdin.
    trace_clock
        Name of the trace clock, where known.
    trace_file
        Within a capture directory: the file that is read as the trace.
    gfp_read_for, gfp_known
        What gave symbolic gfp flags their bits, and whether that is the recorded kernel's; null where there are none.
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
    reader: int = READER
    supersedes: str | None = None
    trace_format: str | None = None
    trace_clock: str | None = None
    trace_file: str | None = None
    gfp_read_for: str | None = None
    gfp_known: bool | None = None
    twins: tuple[str, ...] = ()
    snapshots: tuple[str, ...] = ()
    options: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


class DumpAlone(Protocol):
    """What reads a dump alone: it takes what the user says of it, before its events are drawn."""

    given: Given


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """A recording, opened: what it is, and the parser of its events. Used as a context, it closes the file it reads.

    ``dump`` is what reads a dump alone; null for another recording.
    """

    info: RecordingInfo
    parser: Parser
    file: BinaryIO | None = None
    dump: DumpAlone | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.file is not None:
            self.file.close()
