"""What the kernel's messages say of single pages: dump_page() with page_owner's lines, in dmesg, an oops or a KASAN report.

Each report is a partial baseline of one page at the time of its message. The reports of several CPUs may be mixed: one that another
report's lines may have got into is not read.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO, Final

from pagetrail.producers.detail_rows import baseline, clock_row
from pagetrail.producers.formats.format import Format, Origin
from pagetrail.producers.formats.page_owner.lines import (
    Fields,
    frame_text,
    is_uneven,
    migratetype_number,
    other_fields,
    owner_fields,
    readable,
)
from pagetrail.producers.formats.page_owner.prefixes import Strip, stripper
from pagetrail.producers.parsed import RECORD, ReadAccount, noted
from pagetrail.schemas.batch import EventBatch
from pagetrail.schemas.columns import Kind
from pagetrail.schemas.details import BaselineBegin, Clock
from pagetrail.schemas.errors import InputError
from pagetrail.schemas.events import Row, rows_to_batch
from pagetrail.schemas.linux.page_flags import KPF_BUDDY
from pagetrail.schemas.stacks import CUT_OFF

REPORT: Final = "report of a page"
OTHER: Final = "other message of the kernel"
PARTIAL: Final = "it is the report of one page"

_LONGEST_LINE: Final = 1 << 14
_LONGEST_REPORT: Final = 256
"""So many lines after its first one, a report is over."""

_FALLS_NSEC: Final = 1_000_000_000
"""Messages of several CPUs may be in another order than their times; what falls further is another boot."""

# mm/debug.c, __dump_page (Linux 5.10 to 6.12); before 5.10 the line has no pfn
_PAGE: Final = re.compile(
    rb"page:[^ ]*(?: [^ ]*)? (?:ref)?count:-?\d+ mapcount:-?\d+ mapping:[^ ]*(?: index:[^ ]*)?"
    rb"(?: pfn:0x([0-9a-f]{1,13})\b)?"
)
_FLAGS: Final = re.compile(rb"(?:anon |ksm )?flags: 0x")
_OF_THE_PAGE: Final = re.compile(rb"(?:head|flags|page_type|raw|memcg|aops|anon|ksm|page dumped because)\b")
# mm/page_owner.c, __dump_page_owner (Linux 5.4 to 7.2)
_TRACKS: Final = re.compile(rb"page_owner tracks the page as (allocated|freed)\s*$")
_NOT_THERE: Final = re.compile(rb"page_owner info is not (?:present|active)|There is not page extension available")
_LAST: Final = re.compile(
    rb"page last allocated via order (?P<order>\d{1,2}), migratetype (?P<migratetype>[^ ,]+), gfp_mask 0x(?P<gfp>[0-9a-f]{1,16})"
    rb"\([^)]*\)(?:, pid (?P<pid>-?\d{1,10})(?:, tgid (?P<tgid>-?\d{1,10}) \((?P<comm>.{0,15})\))?"
    rb", ts (?P<ts>\d{1,18})(?:, free_ts (?P<free_ts>\d{1,18}))?)?\s*$",
    re.DOTALL,
)
_FREED: Final = re.compile(
    rb"page last free (?:pid -?\d+ tgid -?\d+ )?stack trace:|page_owner free stack trace missing"
)
_NO_STACK: Final = re.compile(rb"page_owner allocation stack trace missing")
_TIME: Final = re.compile(rb"\[ *(\d{1,9})\.(\d{6})\]")
_PLACE: Final = re.compile(rb"\s+[\w./-]+:\d+(?P<inline> \[inline\])?\s*$")
"""Where a function is in the source: decode_stacktrace.sh and syzbot add it, and frames of inline functions."""
_RELEASE: Final = re.compile(
    rb"Linux version (\S+)|CPU: \d+ (?:UID: \d+ )?PID: \d+ Comm: .{1,15} (?:Not tainted|Tainted:[ A-Z]*) ?(\d[\w.+~-]*) #"
)


@dataclass(slots=True, kw_only=True)
class _Report:
    """A report that is being read.

    Attributes
    ----------
    at
        Time of its first line, ns; null: the lines have none.
    doubtful
        Another one had begun and was not over, so that lines of either may be the other's; or its owner's line is damaged.
    flags
        How many lines there were with the flags of a page: a whole report has one.
    allocated
        Whether the page was; null: not said yet.
    fields
        What its owner's line says; null: not read yet.
    behind
        The stack of the allocation is over.
    whole
        And nothing of it is missing.
    """

    line: int
    pfn: int | None
    at: int | None
    strip: Strip
    doubtful: bool = False
    flags: int = 0
    allocated: bool | None = None
    fields: Fields | None = None
    frames: list[str] = field(default_factory=list)
    behind: bool = False
    whole: bool = False
    lines: int = 1


class PageReports:
    """The reports of pages in messages of the kernel, as a recording of their own: its clock is that of the messages.

    Messages without times are at the latest time that the report names, as a dump alone is.
    """

    def __init__(self, stream: BinaryIO, *, source: str) -> None:
        self._stream, self._source = stream, source
        self.account = ReadAccount(lines=0)
        self._open: _Report | None = None
        self._at, self._said_at = -1, -1

    def batches(self) -> Iterator[EventBatch]:
        """Yield a CLOCK row, and a baseline for each report.

        Raises
        ------
        InputError
            No report could be read, or the messages are those of several boots.
        """
        number = 0
        while line := self._stream.readline(_LONGEST_LINE):
            number += 1
            rest = line
            while not rest.endswith(b"\n") and (rest := self._stream.readline(_LONGEST_LINE)):
                pass
            before = self._open.fields if self._open else None
            yield from self._take(number, line.rstrip())
            if self._open and self._open.fields is not before:  # a number at the cut end of the text is not read
                self._open.doubtful |= not (line + rest).endswith(b"\n")
        yield from self._close()
        self.account.lines = number
        cut = getattr(self._stream, "truncated", None)
        if cut is not None:
            self.account.truncated = str(cut)
        if not self.account.records:
            raise InputError(
                f"{self._source}: expected reports of pages with page_owner's lines; found {self.account.unread}, and none of them "
                "could be read; nothing was stored. From Linux 5.10 on they name the page (pfn:0x...)"
            )

    def _take(self, number: int, line: bytes) -> Iterator[EventBatch]:
        """Take a line; yield the report that it ends."""
        if b"Linux version " in line and (self._open or self.account.records):
            raise self._another_boot(number)
        found = _PAGE.search(line) if b"mapcount:" in line else None
        if found:
            before = self._open
            yield from self._close()
            prefix = line[: found.start()]
            self._open = _Report(
                line=number, pfn=None if found[1] is None else int(found[1], 16), at=_time_of(prefix),
                strip=stripper(prefix), doubtful=before is not None and not before.behind,
            )  # fmt: skip
            return
        report = self._open
        if report is not None and self._continues(report, report.strip(line)):
            report.lines += 1
            return
        if _TRACKS.search(line):
            self.account.unread += 1
            self.account.note_line(number, noted(line))
            self.account.count_lines("not_understood", "report of a page that is not named", number, text=noted(line))
        else:
            self.account.count_lines("bookkeeping", OTHER, number)
        if report is not None and (report.behind or number - report.line > _LONGEST_REPORT):
            yield from self._close()

    def _continues(self, report: _Report, text: bytes) -> bool:
        """Take a line into a report, if it is one of its lines."""
        bare = text.strip()
        if report.allocated is None:
            if found := _TRACKS.match(bare):
                report.allocated = found[1] == b"allocated"
            elif _NOT_THERE.match(bare):
                report.fields, report.behind = {}, True
                return True
            report.flags += _FLAGS.match(bare) is not None
            return bool(found) or _OF_THE_PAGE.match(bare) is not None
        if report.fields is None:
            report.fields = _owner(bare)
            report.doubtful |= report.fields == {} or bool(
                _OF_THE_PAGE.match(bare) or _FLAGS.match(bare) or _TRACKS.match(bare)
            )
            return report.fields is not None
        return self._goes_on(report, text, bare)

    def _goes_on(self, report: _Report, text: bytes, bare: bytes) -> bool:
        """Take a line behind the owner's."""
        if report.fields is not None and (more := other_fields(bare)) is not None:
            report.fields |= more
            return True
        if _FREED.match(bare) or _NO_STACK.match(bare):
            report.whole, report.behind = True, True
            return True
        place = _PLACE.search(bare)
        frame = frame_text(bare[: place.start()] if place else bare, indented=text[:1].isspace())
        if frame is None:
            report.behind = True
            return False
        if not report.behind and not (place and place["inline"]):
            report.frames.append(frame)
        return True

    # -- reports that are over -----------------------------------------------------------------------------------------------

    def _close(self) -> Iterator[EventBatch]:
        """Yield the open report as a baseline, if it can be read and says something."""
        report, self._open = self._open, None
        if report is None:
            return
        if report.allocated is None and report.fields is not None:
            self.account.count_lines(
                "nothing_new", "report of a page without an owner", report.line, lines=report.lines
            )
            return
        if (
            report.allocated is None
            or report.fields is None
            or report.pfn is None
            or report.doubtful
            or report.flags != 1
        ):
            self.account.unread += 1
            why = "report of a page that is cut, mixed with another, or without a pfn"
            self.account.note_line(report.line, why)
            self.account.not_understood += report.lines - 1
            self.account.count_lines("not_understood", why, report.line, lines=report.lines)
            return
        self.account.events[RECORD] += 1
        self.account.count_lines("event", REPORT, report.line, lines=report.lines)
        yield from self._baseline(report, report.pfn, report.fields)

    def _baseline(self, report: _Report, pfn: int, fields: Fields) -> Iterator[EventBatch]:
        begun, at = self._at >= 0, self._time(report, fields)
        if not begun:
            yield clock_row(at, Clock(ts_nsec=at, source=f"{self._source}: the messages' own clock"))
        row = _owned(report, pfn, fields) if report.allocated else _free(pfn)
        begin = BaselineBegin(
            name=f"{self._source.split('.')[0]}-{self.account.records}",
            view="page_owner" if report.allocated else "kpageflags",
            window_begin=at, window_end=at, entries=1, source=f"{self._source}: line {report.line}",
            extent="partial", partial_because=PARTIAL,
        )  # fmt: skip
        yield from baseline([rows_to_batch([row])], at, begin)

    def _time(self, report: _Report, fields: Fields) -> int:
        """Return the time of a report, not before that of the last one.

        Raises
        ------
        InputError
            The messages begin anew.
        """
        if report.at is not None:
            if report.at < self._said_at - _FALLS_NSEC:
                raise self._another_boot(report.line)
            self._said_at = report.at
        named = (report.at, fields.get("ts_nsec"), fields.get("free_ts_nsec"))
        self._at = max(self._at, 0, *(int(value) for value in named if value is not None))
        return self._at

    def _another_boot(self, line: int) -> InputError:
        return InputError(
            f"{self._source}: expected the messages of one boot; found that another one begins before line {line}, or there: give "
            "each boot's as a file of its own"
        )


def _owner(bare: bytes) -> Fields | None:
    """Return what the line of a page's owner says, nothing where a number is impossible; null: it is no such line."""
    found = _LAST.match(bare)
    if found is None:
        return None
    fields = owner_fields(found.groupdict())
    if fields is None:
        return {}
    number = migratetype_number(found["migratetype"])
    return fields if number is None else fields | {"migratetype": number}


def _owned(report: _Report, pfn: int, fields: Fields) -> Row:
    """Return the entry of an owned page: of its block, which begins at a multiple of its size."""
    last = [] if report.whole and not is_uneven(report.frames) else [CUT_OFF]
    stack = {"stack": "\n".join(report.frames + last)} if report.frames else {}
    head = pfn >> int(fields["order"]) << int(fields["order"])
    return {"kind": int(Kind.BASELINE_ENTRY), "pfn": head, **fields, **stack}


def _free(pfn: int) -> Row:
    return {"kind": int(Kind.BASELINE_ENTRY), "pfn": pfn, "nr_pages": 1, "page_flags": KPF_BUDDY}


def _time_of(prefix: bytes) -> int | None:
    """Return the time that printk put before a line, ns of local_clock(); null: it did not."""
    found = _TIME.search(prefix)
    return int(found[1]) * 1_000_000_000 + int(found[2]) * 1000 if found else None


def _origin(head: bytes) -> Origin:
    found = _RELEASE.search(head)
    return Origin(release=readable(found[1] or found[2]) if found else None)


PAGE_REPORTS: Final = Format(
    name="page_reports",
    phrase="messages of the kernel with page_owner's reports of pages",
    line=re.compile(rb".{0,200}page_owner tracks the page as (?:allocated|freed)"),
    within=True,
    opens=lambda stream, kernel: PageReports(stream, source=stream.source),
    origin=_origin,
)
