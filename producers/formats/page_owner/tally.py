"""What was read of a dump, and what was not: its records, and its lines by kind."""

import re
from dataclasses import dataclass, field
from typing import Final

from pagetrail.producers.parsed import RECORD, ReadAccount, noted

_KIND_CHARACTERS: Final = 60
_VALUE: Final = re.compile(r"0x[0-9a-f]+|\d+")


BEHIND: Final = "line behind a record"


@dataclass(slots=True, kw_only=True)
class Tally:
    """What became of a dump's records and lines: filled while its batches are drawn, whole when they end.

    Attributes
    ----------
    account
        The same as every reader counts it.
    without_page
        Records that were not read since no PFN line follows their header.
    first_line
        Number of the first line of the first record that was read; 0: none was.
    empty_lines
        Lines between records: empty ones, and those that say that lines are left out.
    partial
        Why records may be missing, and the number of the first line that shows it.
    filtered
        What may come from a filter, and then records are missing; the number of the first line that shows it, 0 for none.
    sorted_line
        Number of the first line that only page_owner_sort writes.
    unprefixed
        How many pfns are hexadecimal without ``0x``: of those, some look like decimal ones.
    """

    account: ReadAccount = field(default_factory=ReadAccount)
    without_page: int = 0
    first_line: int = 0
    empty_lines: int = 0
    partial: dict[str, int] = field(default_factory=dict)
    filtered: dict[str, int] = field(default_factory=dict)
    sorted_line: int | None = None
    unprefixed: int = 0

    @property
    def missing(self) -> int:
        """How many records are known to be missing, at least."""
        return self.account.unread + (self.account.truncated is not None)

    def read(self, records: int, first_line: int) -> None:
        """Count records that were read, the first of which begins at *first_line*."""
        self.first_line = self.first_line or first_line
        self.account.events[RECORD] += records

    def note(self, line: int, text: bytes) -> None:
        """Count a line that was not understood, and keep the first ones."""
        self.account.note_line(line, noted(text))
        self._count(line, text)

    def count(self, line: int, text: bytes) -> None:
        """Count a line that was not understood because another one was not."""
        self.account.not_understood += 1
        self._count(line, text)

    def skip(self, lines: int, line: int) -> None:
        """Count lines, the last of which is before *line*, that were passed over without a look."""
        if lines:
            self.account.not_understood += lines
            self.account.count_lines("not_understood", BEHIND, line - lines, lines=lines)
            self.is_partial("lines were passed over", line - lines)

    def finish(self, lines: int) -> None:
        """Count the lines of the dump, *lines* in all: what is not empty and was understood is a record's."""
        account = self.account
        account.lines = lines
        unread = sum(found.lines for (what, _), found in account.kinds.items() if what == "not_understood")
        records = lines - self.empty_lines - unread
        if records:
            account.count_lines("event", RECORD, self.first_line, lines=records)
        if self.empty_lines:
            account.count_lines("bookkeeping", "empty line", 0, lines=self.empty_lines)

    def is_partial(self, reason: str, line: int) -> None:
        """Note why records may be missing, as *line* shows."""
        self.partial.setdefault(reason, line)

    def may_be_filtered(self, reason: str, line: int = 0) -> None:
        """Note what may come from a filter, as *line* shows."""
        self.filtered.setdefault(reason, line)

    def partial_because(self, *, unfiltered: bool = False) -> str | None:
        """Return why records may be missing, in words; null: nothing says so. *unfiltered*: the user knows of no filter."""
        reasons = self.partial if unfiltered else self.partial | self.filtered
        found = [f"{reason} (line {line})" if line else reason for reason, line in reasons.items()]
        found += [self.account.truncated] if self.account.truncated else []
        return "; ".join(found) or None

    def _count(self, line: int, text: bytes) -> None:
        shown = noted(text)
        self.account.count_lines("not_understood", _VALUE.sub("N", shown.strip())[:_KIND_CHARACTERS], line, text=shown)
