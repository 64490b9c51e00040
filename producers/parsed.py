"""The output of a parser: batches of events in the order read, and at the end an account of what was read."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, Protocol

from pagetrail.schemas.batch import EventBatch
from pagetrail.schemas.details import NotUnderstood

EXAMPLES_KEPT: Final = 20
NOTED: Final = 200
"""How many bytes of a line that was not understood are kept, and how many characters a note of it has at most."""


def noted(line: bytes) -> str:
    """Return the beginning of a line, as an account keeps it: cut by bytes, then made readable."""
    return line[:NOTED].decode("utf-8", "backslashreplace")


@dataclass(slots=True)
class ReadAccount:
    """What was read from one source: filled while its batches are drawn, whole when they end."""

    events: Counter[str] = field(default_factory=Counter)
    ignored: Counter[str] = field(default_factory=Counter)
    not_understood: int = 0
    examples: list[NotUnderstood] = field(default_factory=list)
    failed_allocs: int = 0
    clamped: int = 0
    lost_events: int = 0
    truncated: str | None = None

    def note_line(self, line: int, text: str) -> None:
        """Count a line that no rule matched, and keep the first ones."""
        self.not_understood += 1
        if len(self.examples) < EXAMPLES_KEPT:
            self.examples.append(NotUnderstood(line=line, text=text[:NOTED]))


class Parser(Protocol):
    """One source, opened.

    ``batches`` yields events in the order of the source: no ``seq`` yet, ``trace_ts_nsec`` as it was read.
    """

    account: ReadAccount

    def batches(self) -> Iterator[EventBatch]:
        """Yield the events of the source, once."""
        ...
