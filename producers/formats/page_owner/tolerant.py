"""Read a region of a dump that is not exactly one record as the kernel prints it: one with odd lines, or what is left of it.

A record is a header and a PFN line that follow each other, with only unknown lines between them and no other header. What stands
in its other lines decides about its stack alone: a stack that may be cut or mixed ends with ``CUT_OFF``, or has it where lines
may be missing. A record whose own fields are damaged is not read: nothing is guessed, and no page gets another record's owner.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from pagetrail.producers.formats.page_owner.lines import (
    Dialect,
    Fields,
    frame_text,
    has_unprefixed_pfn,
    is_left_out_line,
    is_pfn_line,
    is_shell_line,
    is_sorted_line,
    is_stopped_line,
    is_uneven,
    other_fields,
)
from pagetrail.producers.formats.page_owner.prefixes import Strip, plain, stripper, without_suffix
from pagetrail.producers.formats.page_owner.split_lines import whole_header, whole_pfn_line
from pagetrail.producers.formats.page_owner.tally import Tally
from pagetrail.schemas.stacks import CUT_OFF

MOST_LINES_BETWEEN: Final = 16
"""So many unknown lines may stand between a header and its PFN line."""

_BLANK: Final = b" \t"


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """From a line with the marker up to the next one; the first region of a dump may have none.

    Attributes
    ----------
    lines
        Without newlines.
    first_line
        Number of the first one.
    source
        Name of the dump, for messages.
    is_cut
        It is longer than a record: this is its beginning.
    at_end
        The dump ends behind it.
    within_line
        And it ends without a newline.
    """

    lines: Sequence[bytes]
    first_line: int
    source: str
    is_cut: bool = False
    at_end: bool = False
    within_line: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Head:
    """What names a page and its owner: header and PFN line."""

    fields: Fields
    behind: int
    odd: tuple[int, ...]
    joined: bool = False
    """The first frame of its stack was joined with the PFN line."""


@dataclass(slots=True, kw_only=True)
class _Rest:
    """What was read behind the head of a record."""

    fields: Fields = field(default_factory=dict)
    frames: list[str] = field(default_factory=list)
    others: bool = False
    broken: bool = False
    """An unknown line came after a frame: frames may be missing there."""
    cut: bool = False
    ended: bool = False
    foreign: bool = False
    """Another record has begun, whose header is lost."""


class TolerantReader:
    """Reads odd regions, in their order.

    Attributes
    ----------
    empty_lines_end
        An empty line was seen to end a record: one without it has lost lines.
    """

    def __init__(self, dialect: Dialect, tally: Tally) -> None:
        self._dialect, self._tally = dialect, tally
        self.empty_lines_end = False

    def read(self, region: Region) -> Fields | None:
        """Return the record of *region*; null: it has none that can be read. What is not understood is counted."""
        at = region.lines[0].find(self._dialect.marker)
        prefix = region.lines[0][: max(at, 0)]
        if at < 0:
            self._strays(region)
            return None
        wrong = 0
        for strip in _strippers(prefix):
            bare = [plain(region.lines[0][at:]), *map(strip, region.lines[1:])]
            lines = without_suffix(bare)
            suffixed = lines is not bare
            numbers, lines = _single_spaced(range(region.first_line, region.first_line + len(lines)), lines)
            head = self._head(lines)
            if isinstance(head, _Head):
                if prefix.strip():
                    self._tally.may_be_filtered("a console or a tool wrote before its lines", region.first_line)
                elif suffixed:
                    self._tally.may_be_filtered("a tool wrote behind its lines", region.first_line)
                return self._whole(region, numbers, lines, head)
            wrong = wrong or head
        self._leave(region, region.first_line + wrong)
        return None

    # -- header and PFN line -------------------------------------------------------------------------------------------------

    def _head(self, lines: Sequence[bytes]) -> _Head | int:
        """Return the head of a record, or which line is wrong."""
        header = whole_header(self._dialect.header, lines)
        if header is None:
            return 0
        fields, odd = dict(header.fields), [*header.odd]
        odd = [0, *odd] if fields.pop("more", None) is not None else odd
        if self._dialect.names_page:
            return _Head(fields=fields, behind=header.stop, odd=tuple(odd))
        for place in range(header.stop, min(len(lines), header.stop + MOST_LINES_BETWEEN)):
            line = lines[place].strip()
            if is_pfn_line(line):
                page = whole_pfn_line(lines, place)
                if page is None:
                    self._tally.unprefixed += has_unprefixed_pfn(line)
                    return place
                odd += page.odd if page.understood else [place]
                if "pid" not in fields and any(map(_is_of_header, map(lines.__getitem__, odd))):
                    fields.pop("gfp_mask", None)  # the header's line was cut, maybe within this number
                joined = not page.understood and b"+0x" in line
                return _Head(fields=fields | page.fields, behind=page.stop, odd=tuple(odd), joined=joined)
            if not line or b"PFN" in line or is_left_out_line(line) or _is_known(line, lines[place]):
                return place
            odd.append(place)
        return min(header.stop, len(lines) - 1)

    # -- what follows --------------------------------------------------------------------------------------------------------

    def _whole(self, region: Region, numbers: Sequence[int], lines: Sequence[bytes], head: _Head) -> Fields | None:
        """Return a record whose head was read; null: too much of it is missing."""
        first, ends = region.first_line, any(map(_ends_record, lines[head.behind :]))
        if region.is_cut and not ends:
            self._leave(region, first)
            return None
        if region.within_line and not ends and not _ends_with_frame(lines, head.behind):
            self._leave(region, numbers[-1])
            self._tally.account.truncated = (
                f"{region.source}: cut short in the record of line {first}, which is left out"
            )
            return None
        self._tally.empty_lines += len(region.lines) - len(lines)  # those between the lines of a double-spaced text
        rest = self._rest(numbers, lines, head)
        if region.at_end and not rest.ended:
            rest.cut = True
            self._tally.account.truncated = (
                f"{region.source}: no empty line ends the record of line {first}: its stack may be cut"
            )
        elif region.within_line and lines[-1].strip():
            self._cut_line(region, numbers[-1], lines[-1].strip())
        elif not rest.ended and self.empty_lines_end:
            rest.cut = True
            self._tally.is_partial("no empty line ends a record", first)
        self.empty_lines_end |= rest.ended
        for place in head.odd:
            self._tally.note(numbers[place], lines[place])
        return head.fields | rest.fields | _stack(rest)

    def _rest(self, numbers: Sequence[int], lines: Sequence[bytes], head: _Head) -> _Rest:
        rest = _Rest(broken=head.joined)
        for number, line in list(zip(numbers, lines, strict=True))[head.behind :]:
            bare = line.strip()
            if not bare:
                rest.ended = True
                self._tally.empty_lines += 1
            elif not (rest.ended or self._takes(rest, line, bare)):
                self._unknown(rest, number, bare)
            elif rest.ended:
                self._behind(rest, number, line, bare)
        return rest

    def _takes(self, rest: _Rest, line: bytes, bare: bytes) -> bool:
        """Take a line of the record, if it is one."""
        frame = frame_text(bare, indented=line[0] in _BLANK)
        if frame is not None:
            if rest.broken or rest.others:
                rest.frames.append(CUT_OFF)
                rest.broken = rest.others = False
            rest.frames.append(frame)
            return True
        fields = other_fields(bare)
        if fields is not None and not fields.keys() & (rest.fields.keys() - {"memcg_flags"}):  # the kernel says it once
            flags = int(rest.fields.get("memcg_flags", 0)) | int(fields.get("memcg_flags", 0))
            rest.fields |= fields | ({"memcg_flags": flags} if "memcg_flags" in fields else {})
            rest.others |= "handle" not in fields  # a stack may follow its handle
            return True
        return False

    def _unknown(self, rest: _Rest, number: int, bare: bytes) -> None:
        """Count an unknown line within a record."""
        if is_left_out_line(bare):
            rest.cut = rest.ended = True
            self._tally.is_partial("lines are left out", number)
            self._tally.empty_lines += 1
            return
        if is_pfn_line(bare):
            rest.cut = rest.ended = True
            self._lost_header(rest, number)
        rest.broken = bool(rest.frames) or rest.broken
        rest.cut |= b"+0x" in bare  # a frame that is damaged, or was joined with another line
        self._other(number, bare)

    def _behind(self, rest: _Rest, number: int, line: bytes, bare: bytes) -> None:
        """Count a line behind the end of a record: maybe its stack goes on, or another record has lost its header."""
        if is_left_out_line(bare):
            self._tally.is_partial("lines are left out", number)
            self._tally.empty_lines += 1
            return
        if is_pfn_line(bare):
            self._lost_header(rest, number)
        elif not rest.foreign and frame_text(bare, indented=line[0] in _BLANK) is not None:
            rest.cut = True
            self._tally.is_partial("a line belongs to no record", number)
        self._other(number, bare, outside=True)

    def _cut_line(self, region: Region, number: int, bare: bytes) -> None:
        """Note that the dump ends within a line behind a record."""
        self._tally.account.unread += self._dialect.marker.startswith(bare)
        self._tally.account.truncated = f"{region.source}: cut short in line {number}, which is left out"

    def _lost_header(self, rest: _Rest, number: int) -> None:
        rest.foreign = True
        self._tally.account.unread += 1
        self._tally.is_partial("a header is missing", number)

    # -- what is not read ----------------------------------------------------------------------------------------------------

    def _strays(self, region: Region) -> None:
        """Count the lines before the first record."""
        for number, line in enumerate(region.lines, region.first_line):
            bare = line.strip()
            if not bare:
                self._tally.empty_lines += 1
                continue
            self._tally.account.unread += is_pfn_line(bare)
            if is_pfn_line(bare) or _is_known(bare, line):
                self._tally.is_partial("it begins within a record", number)
            if is_left_out_line(bare):
                self._tally.is_partial("lines are left out", number)
            self._other(number, bare, outside=True)

    def _leave(self, region: Region, wrong: int) -> None:
        """Count a record that cannot be read, and all of its lines; *wrong* is the number of the one that says why."""
        self._tally.account.unread += 1
        self._tally.is_partial("a record was not read", wrong)
        self._tally.without_page += not any(b"PFN" in line for line in region.lines)
        self._tally.note(wrong, region.lines[wrong - region.first_line])
        for number, line in enumerate(region.lines, region.first_line):
            if not line.strip():
                self._tally.empty_lines += 1
            elif number != wrong:
                self._tally.count(number, line)

    def _other(self, number: int, bare: bytes, *, outside: bool = False) -> None:
        """Count a line that is of no record; *outside*: it stands before, between or behind them."""
        if self._tally.sorted_line is None and is_sorted_line(bare):
            self._tally.sorted_line = number
        if is_stopped_line(bare):
            self._tally.is_partial("reading it was stopped", number)
        elif outside and not is_shell_line(bare):
            self._tally.may_be_filtered("other text stands outside of its records", number)
        self._tally.note(number, bare)


def _strippers(prefix: bytes) -> Iterator[Strip]:
    """Yield how the prefixes of a record's lines may be taken away: in the form of its first line's, or not at all."""
    yield stripper(prefix)
    if prefix.strip():
        yield stripper(b"")


def _single_spaced(numbers: Sequence[int], lines: list[bytes]) -> tuple[Sequence[int], list[bytes]]:
    """Drop the empty lines of a text in which one follows every line."""
    doubled = len(lines) >= 4 and bool(lines[2].strip()) and not any(line.strip() for line in lines[1::2])
    return (numbers[::2], lines[::2]) if doubled else (numbers, lines)


def _is_known(bare: bytes, line: bytes) -> bool:
    return frame_text(bare, indented=line[0] in _BLANK) is not None or other_fields(bare) is not None


def _is_of_header(line: bytes) -> bool:
    """Whether a line may be a piece of a header whose beginning was cut off: it has the names of a mask, or what follows it."""
    return b"GFP_" in line or b", pid " in line


def _ends_record(line: bytes) -> bool:
    bare = line.strip()
    return not bare or is_left_out_line(bare) or is_pfn_line(bare)


def _ends_with_frame(lines: Sequence[bytes], behind: int) -> bool:
    """Whether the last line, which has no newline, is a frame up to the size of its function at least."""
    last = lines[-1].strip()
    return len(lines) > behind and b"/0x" in last and frame_text(last, indented=False) is not None


def _stack(rest: _Rest) -> Fields:
    """Return the stack as one text, a frame a line; nothing where no frame was read."""
    if not rest.frames:
        return {}
    last = [CUT_OFF] if (rest.cut or is_uneven(rest.frames)) and rest.frames[-1] != CUT_OFF else []
    return {"stack": "\n".join(rest.frames + last)}
