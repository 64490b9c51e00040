"""What was read of a dump, and what was not: its records, and its lines by kind."""

import re
from dataclasses import dataclass, field
from typing import Final

from pagetrail.producers.parsed import ReadAccount, noted

RECORD: Final = "page_owner record"
"""The name under which an account counts records."""

MOST_KINDS: Final = 100
OTHER_KINDS: Final = "other lines"
_KIND_CHARACTERS: Final = 60
_VALUE: Final = re.compile(r"0x[0-9a-f]+|\d+")


@dataclass(slots=True, kw_only=True)
class LineKind:
    """Lines that were not understood and look alike.

    Attributes
    ----------
    first_line, text
        Number and beginning of the first of them.
    """

    first_line: int
    text: str
    lines: int = 0


@dataclass(slots=True, kw_only=True)
class Tally:
    """What became of a dump's records and lines: filled while its batches are drawn, whole when they end.

    Attributes
    ----------
    account
        The same as every reader counts it.
    without_page
        Records that were not read since no PFN line follows their header.
    lines, empty_lines
        Lines of the dump in all; those of them that are empty.
    kinds
        The lines that were not understood, by what is the same in them.
    partial
        Why records may be missing, and the number of the first line that shows it.
    sorted_line
        Number of the first line that only page_owner_sort writes.
    joined
        How many dumps were joined into one.
    """

    account: ReadAccount = field(default_factory=ReadAccount)
    without_page: int = 0
    lines: int = 0
    empty_lines: int = 0
    kinds: dict[str, LineKind] = field(default_factory=dict)
    partial: dict[str, int] = field(default_factory=dict)
    sorted_line: int | None = None
    joined: int = 1

    @property
    def missing(self) -> int:
        """How many records are known to be missing, at least."""
        return self.account.unread + (self.account.truncated is not None)

    def read(self, records: int) -> None:
        """Count records that were read."""
        self.account.events[RECORD] += records
        self.account.records += records

    def note(self, line: int, text: bytes) -> None:
        """Count a line that was not understood, and keep the first ones."""
        self.account.note_line(line, noted(text))
        self._count(line, text)

    def count(self, line: int, text: bytes) -> None:
        """Count a line that was not understood because another one was not."""
        self.account.not_understood += 1
        self._count(line, text)

    def skip(self, lines: int) -> None:
        """Count lines that were passed over without a look."""
        self.account.not_understood += lines
        if lines:
            self._of(OTHER_KINDS, 0, "").lines += lines

    def is_partial(self, reason: str, line: int) -> None:
        """Note why records may be missing, as *line* shows."""
        self.partial.setdefault(reason, line)

    @property
    def partial_because(self) -> str | None:
        """Why records may be missing, in words; null: nothing says so."""
        found = [f"{reason} (line {line})" for reason, line in self.partial.items()]
        found += [self.account.truncated] if self.account.truncated else []
        return "; ".join(found) or None

    def _count(self, line: int, text: bytes) -> None:
        shown = noted(text)
        kind = _VALUE.sub("N", shown.strip())[:_KIND_CHARACTERS]
        self._of(kind if kind in self.kinds or len(self.kinds) < MOST_KINDS else OTHER_KINDS, line, shown).lines += 1

    def _of(self, kind: str, line: int, text: str) -> LineKind:
        return self.kinds.setdefault(kind, LineKind(first_line=line, text=text))
