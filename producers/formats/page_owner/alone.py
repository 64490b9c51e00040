"""A page_owner dump alone, as a recording of its own: one baseline, or several where dumps were joined into one file."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from pagetrail.producers.detail_rows import baseline_begin, baseline_end, baseline_entries, clock_row
from pagetrail.producers.dump_given import Given, Times, times_of
from pagetrail.producers.formats.format import Format
from pagetrail.producers.formats.page_owner.disguises import HEADER, HTML_PAGE, undisguised
from pagetrail.producers.formats.page_owner.dump import PageOwnerDump
from pagetrail.producers.formats.page_owner.handles import NamedStacks
from pagetrail.producers.formats.page_owner.lines import PAGE_OWNER_DIALECT, TRACKING_DIALECT, Dialect
from pagetrail.producers.formats.page_owner.tally import Tally
from pagetrail.schemas.batch import EventBatch, from_arrow, to_arrow
from pagetrail.schemas.details import BaselineBegin
from pagetrail.schemas.errors import InputError
from pagetrail.schemas.linux.trace_clock import DUMP_ORDER
from pagetrail.schemas.store.kept_rows import packed, unpacked

LEAST_RECORDS_A_PART: Final = 3
"""Joined dumps have more records on average; fewer show that the records are in another order than the kernel's."""

LEAST_UNPREFIXED: Final = 2
"""One pfn with a letter in it may be damage."""

FEW_PARTS: Final = 8
"""So many parts are dumps that were joined, however small they are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """Records [start, stop) of the file, whose pfns rise; *newest* is the latest time printed in them, 0 for none."""

    start: int
    stop: int
    newest: int


class _Kept:
    """The entries of a dump, packed: all must be read before the first can be given, since the newest of them has the time."""

    def __init__(self) -> None:
        self.rows = 0
        self._packed: list[tuple[int, bytes]] = []
        self._pfns: list[NDArray[np.int64]] = []
        self._times: list[NDArray[np.int64]] = []

    def add(self, batch: EventBatch) -> None:
        """Keep a batch."""
        columns = {**batch.columns}
        for name in ("seq", "trace_ts_nsec"):
            columns[name] = np.zeros(len(batch), dtype=np.int64)
        self._packed.append((self.rows, packed(to_arrow(EventBatch(columns=columns, texts=batch.texts)))))
        self._pfns.append(np.asarray(batch.column("pfn"), np.int64))
        self._times.append(np.asarray(batch.column("ts_nsec"), np.int64))
        self.rows += len(batch)

    def parts(self) -> list[_Part]:
        """Return the stretches in which pfns rise."""
        pfns, times = np.concatenate(self._pfns), np.concatenate(self._times)
        bounds = [0, *(np.flatnonzero(np.diff(pfns) <= 0) + 1).tolist(), pfns.size]
        newest = np.maximum(np.maximum.reduceat(times, bounds[:-1]), 0).tolist()  # absent is the smallest
        return [
            _Part(start=start, stop=stop, newest=latest)
            for start, stop, latest in zip(bounds[:-1], bounds[1:], newest, strict=True)
        ]

    def repeated(self) -> int | None:
        """Return a pfn that several records name; null: there is none."""
        pfns = np.sort(np.concatenate(self._pfns))
        same = np.flatnonzero(np.diff(pfns) == 0)
        return int(pfns[same[0]]) if same.size else None

    def batches(self, part: _Part) -> Iterator[EventBatch]:
        """Yield the entries of *part*."""
        ends = [first for first, _ in self._packed[1:]] + [self.rows]
        for (first, rows), end in zip(self._packed, ends, strict=True):
            if first >= part.stop:
                return
            if end <= part.start:
                continue
            batch = from_arrow(unpacked(rows))
            start, stop = max(part.start - first, 0), min(part.stop - first, len(batch))
            if start < stop:
                kept = {name: column for name, column in batch.columns.items() if name not in ("seq", "trace_ts_nsec")}
                yield EventBatch(columns=kept, texts=batch.texts).slice(start, stop)


class PageOwnerFile:
    """A dump alone as a recording: its clock is the dump's own, and all of it is at the latest time printed in it.

    That is the nearest to when it was made that it says; without times (before Linux 5.11) it is a place in an order. Where pfns
    fall, another dump begins: each is a baseline of its own, in the order of their times, or as they stand in the file.

    Attributes
    ----------
    given
        What the user says of it.
    """

    def __init__(self, stream: BinaryIO, *, source: str, dialect: Dialect = PAGE_OWNER_DIALECT) -> None:
        self._dump = PageOwnerDump(stream, source=source, dialect=dialect)
        self._source, self._dialect = source, dialect
        self.given = Given()
        self.account = self._dump.account

    @property
    def tally(self) -> Tally:
        """What was read of it, and what was not."""
        return self._dump.tally

    def newest(self) -> int:
        """Read all of it, and return the latest time that is printed in it; 0: none is."""
        newest = 0
        for batch in self._dump.batches():
            if len(batch):
                newest = max(newest, int(np.asarray(batch.column("ts_nsec")).max()))
        return newest

    def batches(self) -> Iterator[EventBatch]:
        """Yield a CLOCK row, where its clock is known, and the dump as one baseline, or as one for each dump that was joined.

        Raises
        ------
        InputError
            No record could be read, or the records are no dump's.
        """
        self._dump.named = NamedStacks(self.given.stacks)
        kept = _Kept()
        for batch in self._dump.batches():
            kept.add(batch)
        self._check(kept)
        parts = self._parts(kept)
        times = times_of([part.newest for part in parts], self.given, self._source)
        self.account.trace_clock = times.trace_clock
        because = self.tally.partial_because(unfiltered=self.given.unfiltered)
        self._tell(parts, times, because)
        name = self._source.split(".")[0]
        if times.clock is not None:
            yield clock_row(times.ats[0], times.clock)
        for number, (part, at) in enumerate(zip(parts, times.ats, strict=True), 1):
            begin = BaselineBegin(
                name=name if len(parts) == 1 else f"{name}-{number}",
                window_begin=at,
                window_end=at,
                entries=part.stop - part.start,
                skipped=self.tally.missing,
                source=self._source,
                extent="joined" if len(parts) > 1 else "partial" if because else "whole",
                partial_because=because,
            )
            yield baseline_begin(at, begin)
            for batch in kept.batches(part):
                yield baseline_entries(batch, at)
            yield baseline_end(at, begin)

    def _parts(self, kept: _Kept) -> list[_Part]:
        """Return the joined dumps in the order in which they were made."""
        parts = kept.parts()
        if len(parts) == 1:
            return parts
        few_each = kept.rows < LEAST_RECORDS_A_PART * len(parts)
        if few_each or len(parts) > FEW_PARTS:
            repeated = kept.repeated()
            if repeated is None:
                self.tally.is_partial("its records are not in the kernel's order", 1)
                return [_Part(start=0, stop=kept.rows, newest=max(part.newest for part in parts))]
            if few_each and len(parts) > FEW_PARTS:
                raise InputError(
                    f"{self._source}: expected the records of a dump, which rise by pfn; found them in another order, and several "
                    f"of page {repeated:#x}: which of them is the latest cannot be known; give each dump as a file of its own"
                )
        timed = all(part.newest for part in parts)
        return sorted(parts, key=lambda part: part.newest) if timed else parts

    def _tell(self, parts: list[_Part], times: Times, because: str | None) -> None:
        """Note what of the dump the user should know."""
        if len(parts) > 1:
            order = (
                "by their newest records" if all(part.newest for part in parts) else "as they stand, having no times"
            )
            self.account.notes.append(
                f"these are {len(parts)} dumps joined into one; they are taken one after the other, {order}"
            )
        if because and because != self.account.truncated:
            remedy = (
                "; if nothing was filtered from it, ingest --whole"
                if self.tally.filtered and not self.tally.partial
                else ""
            )
            self.account.notes.append(f"the dump is not taken as whole: {because}{remedy}")
        if said := self._dump.named.said("give that file in the same command"):
            self.account.notes.append(said)
        if times.trace_clock == DUMP_ORDER:
            self.account.notes.append(
                f"its records have no times: {times.ats[-1]} is its place in the order of the dumps, and when it was made is "
                "unknown; ingest --at TIME gives it a time"
            )

    def _check(self, kept: _Kept) -> None:
        tally, account = self.tally, self.account
        if tally.sorted_line is not None:
            raise InputError(
                f"{self._source}: expected a page_owner dump; found output of page_owner_sort (line {tally.sorted_line}): it holds "
                "one page of each group of records; give the file that page_owner_sort was given"
            )
        if self._dialect.names_page and "freed" in self._source:
            raise InputError(
                f"{self._source}: found pages that were free when the memory was dumped, each with its last owner; give "
                "page_tracking.txt, which lists the owners"
            )
        if tally.unprefixed >= max(LEAST_UNPREFIXED, kept.rows // 4):
            raise InputError(
                f"{self._source}: expected page frame numbers that are decimal, or hexadecimal with 0x; found {tally.unprefixed} "
                "that are hexadecimal without it, so that others of this dump only look like decimal ones; nothing was stored: "
                "put 0x before the number of each PFN line, and give it again"
            )
        if kept.rows:
            return
        first = f"; the first: line {note.line}: {note.text}" if (note := next(iter(account.examples), None)) else ""
        if account.unread and tally.without_page == account.unread:
            raise InputError(
                f"{self._source}: expected a PFN line behind each header of a page_owner record; found {account.unread} headers "
                f"and no PFN line{first}; give the dump as the kernel printed it, with the lines that begin with PFN"
            )
        raise InputError(
            f"{self._source}: expected page_owner records; found {account.unread}, and none of them could be read; nothing "
            f"was stored{first}"
        )


def _opened(stream: BinaryIO, source: str) -> PageOwnerFile:
    """Return the parser of a dump, whatever another program made of it."""
    plain, changed = undisguised(stream)
    found = PageOwnerFile(plain, source=source)
    if changed is not None:
        found.tally.may_be_filtered(changed)
    return found


PAGE_OWNER: Final = Format(
    name="page_owner",
    phrase="a page_owner dump",
    begins=HTML_PAGE,
    line=re.compile(rb".*" + HEADER),
    within=True,
    opens=lambda stream, kernel: _opened(stream, stream.source),
)
PAGE_TRACKING: Final = Format(
    name="page_tracking",
    phrase="Qualcomm's page_tracking.txt",
    line=re.compile(rb".*PFN : 0x[0-9a-f]+-0x[0-9a-f]+ Page : 0x[0-9a-f]+ Order : \d+ "),
    within=True,
    opens=lambda stream, kernel: PageOwnerFile(stream, source=stream.source, dialect=TRACKING_DIALECT),
)

DUMPS: Final = frozenset({PAGE_OWNER.name, PAGE_TRACKING.name})
"""The formats of dumps alone."""
