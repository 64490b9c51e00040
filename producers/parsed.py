"""The output of a parser: batches of events in the order read, and at the end an account of what was read."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from pagetrail.schemas.batch import EventBatch
from pagetrail.schemas.details import LineKind, NotUnderstood

RECORD: Final = "page_owner record"
"""The name under which an account counts records of page_owner."""

EXAMPLES_KEPT: Final = 20
NOTED: Final = 200
"""How many bytes of a line that was not understood are kept, and how many characters a note of it has at most."""


def noted(line: bytes) -> str:
    """Return the beginning of a line, as an account keeps it: cut by bytes, then made readable."""
    return line[:NOTED].decode("utf-8", "backslashreplace")


KINDS_KEPT: Final = 256
"""How many kinds of lines an account keeps apart; a damaged text has no end of them."""
OTHER_KINDS: Final = "other kinds"


@dataclass(slots=True, kw_only=True)
class Lines:
    """The lines of one kind.

    Attributes
    ----------
    first_line
        Number of the first one in the uncompressed file, from 1.
    text
        What the first one says, where it was not understood.
    """

    lines: int
    first_line: int
    text: str = ""


@dataclass(slots=True)
class ReadAccount:
    """What was read from one source: filled while its batches are drawn, whole when they end.

    Attributes
    ----------
    lines
        Whole lines read; null where the source has no lines. Each of them is in exactly one of ``kinds``.
    kinds
        By what a line is, and its kind in words.
    notes
        What the user should know.
    entries
        By CPU: how many entries of its ring were read, whatever they say.
    further_entries
        How many more the lines were: calls of functions, and what was not understood.
    unread_entries
        By CPU: how many of these were lines of it that were not understood.
    """

    events: Counter[str] = field(default_factory=Counter)
    ignored: Counter[str] = field(default_factory=Counter)
    not_understood: int = 0
    examples: list[NotUnderstood] = field(default_factory=list)
    failed_allocs: int = 0
    clamped: int = 0
    lost_events: int = 0
    truncated: str | None = None
    lines: int | None = None
    kinds: dict[tuple[LineKind, str], Lines] = field(default_factory=dict)
    entries: dict[int, int] = field(default_factory=dict)
    further_entries: int = 0
    unread_entries: Counter[int] = field(default_factory=Counter)
    unread: int = 0
    """Records of page_owner that were seen and could not be read."""
    notes: list[str] = field(default_factory=list)
    """What the user should know of the source."""
    trace_clock: str | None = None
    """The clock of its times, where reading showed it: known when its first event is."""

    @property
    def records(self) -> int:
        """Records of page_owner that were read."""
        return self.events[RECORD]

    def note_line(self, line: int, text: str) -> None:
        """Count a line that no rule matched, and keep the first ones."""
        self.not_understood += 1
        if len(self.examples) < EXAMPLES_KEPT:
            self.examples.append(NotUnderstood(line=line, text=text[:NOTED]))

    def missing_of(self, counted: Mapping[int, int]) -> int:
        """Return how many entries were not read of those that are *counted* by CPU.

        A line that was not understood has a gap of its own, and is none of the missing ones: of its CPU, or of any.
        """
        read = self.unread_entries + Counter(self.entries)
        missing: int = sum(max(0, count - read[cpu]) for cpu, count in counted.items())
        return max(0, missing - self.further_entries + self.unread_entries.total())

    def count_lines(self, what: LineKind, kind: str, line: int, *, lines: int = 1, text: str = "") -> None:
        """Count *lines* lines of a kind, the first of which is number *line*."""
        found = self.kinds.get((what, kind))
        if found is None and len(self.kinds) >= KINDS_KEPT:
            kind = OTHER_KINDS
            found = self.kinds.get((what, kind))
        if found is None:
            self.kinds[what, kind] = Lines(lines=lines, first_line=line, text=text[:NOTED])
        else:
            found.lines += lines


class Parser(Protocol):
    """One source, opened.

    ``batches`` yields events in the order of the source: no ``seq`` yet, ``trace_ts_nsec`` as it was read.
    """

    account: ReadAccount

    def batches(self) -> Iterator[EventBatch]:
        """Yield the events of the source, once."""
        ...
