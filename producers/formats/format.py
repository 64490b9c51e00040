"""What a format of recordings is: how a file of it is recognised, what reads it, and how a capture directory names it."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from pagetrail.producers.formats.tracer import Tracer
from pagetrail.producers.inputs import Input, Source
from pagetrail.producers.meaning import RecordedKernel
from pagetrail.producers.parsed import Parser

Opener = Callable[[Input, RecordedKernel], Parser]
"""Returns the parser of a stream of uncompressed bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """What a file says of the machine that was recorded; null where it does not.

    Attributes
    ----------
    host
        Its name.
    release
        Its ``uname -r``.
    trace_clock
        Name of the trace clock.
    """

    host: str | None = None
    release: str | None = None
    trace_clock: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Bytes [start, stop) of a text in which time does not fall; stop is null for the end of the file."""

    start: int
    stop: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Bytes [start, stop) of a file that are one recording; stop is null for the end of the file.

    Attributes
    ----------
    line
        The number of its first line.
    t_from, t_to
        The times before it and at its beginning, ns; null for the first part.
    blocks
        What has to be merged by time, one CPU each; empty: it is in order.
    anew
        Where the trace begins anew and time goes on: the times before and behind, ns.
    """

    start: int
    stop: int | None = None
    line: int = 1
    t_from: int | None = None
    t_to: int | None = None
    blocks: tuple[Block, ...] = ()
    anew: tuple[tuple[int, int], ...] = ()


class Surveys(Protocol):
    """Reads a file before it is parsed, to find its parts."""

    def feed(self, block: memoryview) -> None:
        """Take the next bytes, which may change afterwards."""
        ...

    def parts(self) -> tuple[Part, ...]:
        """Return the parts of the file, in their order."""
        ...

    def merged(self, file: BinaryIO, blocks: Sequence[Block]) -> BinaryIO:
        """Return *blocks* of a seekable file as one, in order of time; it closes the file."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """A format of files, one entry of ``table.FORMATS``.

    Attributes
    ----------
    name
        As the recordings of it have it in the log.
    phrase
        As messages say what is expected.
    magics
        Beginnings that only files of it have.
    begins
        Pattern of such a beginning, where it is longer than what is always the same.
    line
        Pattern that only lines of it match: a text is of the format with the most such lines among its first.
    within
        Such a line decides wherever it stands in a text that is no trace: the others may be those of a console or a tool.
    opens
        Returns the parser of a file; null where such files are recognised and not read.
    origin
        Returns what the beginning of a file says of the machine; null where such files say nothing of it.
    about
        Returns the same by the whole file, where it does not say it at its beginning.
    survey
        Returns what finds the parts of a file, by its beginning; null where a file is always one recording in order.
    instead
        What to do with a file that is not read.
    declares
        Returns a parser of such a file that gives what the file declares of its coverage, too; null where none declares anything.
    raw
        Whether its events are as the kernel holds them: gfp masks are numbers, and stacks addresses, which symbols name.
    from_start
        Whether its times count from an unknown start, so that nothing else can be compared with them.
    tracer
        Of a trace: what recorded it; null for what is no trace.
    trace_names
        Of a trace: what a capture directory calls it, uncompressed; the best first.
    losses
        Returns by CPU how many events a trace says were lost, null where it gives no number; null where it is read as text.
    elsewhere
        Returns the names of events that a trace holds of other rings than those that statistics beside it speak of; null: of none.
    """

    name: str
    phrase: str = ""
    magics: tuple[bytes, ...] = ()
    begins: re.Pattern[bytes] | None = None
    line: re.Pattern[bytes] | None = None
    within: bool = False
    opens: Opener | None = None
    origin: Callable[[bytes], Origin] | None = None
    about: Callable[[Source], Origin] | None = None
    survey: Callable[[bytes], Surveys] | None = None
    instead: str = ""
    declares: Callable[[Parser], Parser] | None = None
    raw: bool = False
    from_start: bool = False
    tracer: Tracer | None = None
    trace_names: tuple[str, ...] = ()
    losses: Callable[[Source], Mapping[int, int | None]] | None = None
    elsewhere: Callable[[Source], frozenset[str]] | None = None

    def origin_of(self, source: Source, head: bytes) -> Origin:
        """Return what *source*, which begins with *head*, says of the machine."""
        if self.about is not None:
            return self.about(source)
        return self.origin(head) if self.origin is not None else Origin()
