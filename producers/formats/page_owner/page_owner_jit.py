"""Jit functions of the page_owner parser: plain arrays in, plain arrays out.

A record is what ``print_page_owner`` of mm/page_owner.c prints, in any of its forms since Linux 3.19: a header line, a
PFN line, a stack (lines that begin with a space) or its handle, maybe lines on migration and memory cgroup, and an empty line.

A *region* reaches from a line with the marker (the beginning of a header, anywhere in the line) to the next such line. A region
that is exactly one record is read here. Any other is listed as odd, and ``tolerant`` reads it.

Positions are int64 indices into the buffer; -1 says that something did not match. Nothing here raises.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pagetrail.schemas.jit import inner, jit
from pagetrail.schemas.linux.migrate import MIGRATE_REASON_NAMES, MR_CONTIG_RANGE, MR_CONTIG_RANGE_BEFORE_5_10
from pagetrail.schemas.linux.mmzone import MIGRATETYPE_NAMES
from pagetrail.schemas.linux.page_owner import MEMCG_OBJCG, MEMCG_OFFLINE, MEMCG_SLAB, TASK_COMM_LEN

Bytes = NDArray[np.uint8]
Ints = NDArray[np.int64]
Number = Any
"""An int64; without the JIT it may be a plain int."""


def _word(text: bytes) -> Bytes:
    return np.frombuffer(text, dtype=np.uint8)


def _lines(names: tuple[str, ...]) -> Bytes:
    return _word("".join(f"{name}\n" for name in names).encode())


ABSENT: Final = np.iinfo(np.int64).min

# Rows of the field matrix, and of the tables of distinct texts (COMM, STACK, CGROUP, FLAG_NAMES minus COMM).
PFN, ORDER, GFP, PID, TGID, TS, FREE_TS, MIGRATETYPE, BLOCK_MIGRATETYPE, REASON, FLAGS, MEMCG = range(12)
COMM, STACK, CGROUP, FLAG_NAMES = range(12, 16)
HANDLE: Final = 16
FIELDS: Final = 17
TEXTS: Final = 4

# What the parser is doing, and the slots of its state.
READING, SKIPPING_LINES, SKIPPING_LINE = range(3)
POSITION, LINE, MODE, ROWS, ODD, EMPTY, SKIPPED, AT_END, FIRST = range(9)
STATE: Final = 9

# The columns of an odd region: number of its first line, begin and end in the buffer, rows before it, whether it is cut.
ODD_LINE, ODD_BEGIN, ODD_END, ODD_ROW, ODD_CUT = range(5)
ODD_FIELDS: Final = 5

# Outcomes of one record.
WHOLE, INCOMPLETE, MALFORMED = range(3)

MAX_RECORD: Final = 1 << 17
"""Longer is no record: the kernel prints at most one page of text each (64 KiB on some machines)."""

_HEADER: Final = _word(b"Page allocated via order ")
_MASK: Final = _word(b", mask 0x")
_PID: Final = _word(b", pid ")
_TGID: Final = _word(b", tgid ")
_COMM_BYTES: Final = TASK_COMM_LEN - 1
_COMM_END: Final = _word(b"), ts ")
_TS: Final = _word(b", ts ")
_FREE_TS: Final = _word(b", free_ts ")
_NS: Final = _word(b" ns")
_PFN: Final = _word(b"PFN ")
_HEX: Final = _word(b"0x")
_TYPE: Final = _word(b" type ")
_BLOCK: Final = _word(b" Block ")
_FLAGS: Final = _word(b" Flags ")
_MIGRATED: Final = _word(b"Page has been migrated, last migrate reason: ")
_STACK_HANDLE: Final = _word(b"handle: ")
_SLAB: Final = _word(b"Slab cache page")
_CHARGED: Final = _word(b"Charged ")
_OBJCG: Final = _word(b"(via objcg) ")
_TO: Final = _word(b"to ")
_OFFLINE: Final = _word(b"offline ")
_MEMCG: Final = _word(b"memcg ")

_TYPES: Final = _lines(MIGRATETYPE_NAMES)
_REASONS: Final = _lines(MIGRATE_REASON_NAMES)
_CMA: Final = _word(MR_CONTIG_RANGE_BEFORE_5_10.encode())

_NEWLINE, _SPACE, _OPEN, _CLOSE, _MINUS, _ZERO, _NINE = 10, 32, 40, 41, 45, 48, 57
_OPEN_SQUARE, _CLOSE_SQUARE, _PLUS, _SLASH, _X, _LAST_PRINTED = 91, 93, 43, 47, 120, 126


@inner
def _line_end(buf: Bytes, pos: int, stop: int) -> int:
    """Return where the line at *pos* has its newline, or -1."""
    for i in range(pos, stop):
        if buf[i] == _NEWLINE:
            return i
    return -1


@inner
def _at(buf: Bytes, pos: int, end: int, word: Bytes) -> int:
    """Return the position behind *word* if it is at *pos*, else -1 (also where *pos* is -1)."""
    if pos < 0 or end - pos < word.size:
        return -1
    for i in range(word.size):
        if buf[pos + i] != word[i]:
            return -1
    return pos + word.size


@inner
def _decimal(buf: Bytes, pos: int, end: int) -> tuple[Number, int]:
    """Return the signed decimal number at *pos*, and the position behind it; -1 when there is none below 10^18."""
    if pos < 0:
        return np.int64(0), -1
    sign, start = np.int64(1), pos
    if pos < end and buf[pos] == _MINUS:
        sign, start = np.int64(-1), pos + 1
    value, i = np.int64(0), start
    while i < end and i - start < 18 and _ZERO <= buf[i] <= _NINE:
        value = value * 10 + (np.int64(buf[i]) - _ZERO)
        i += 1
    if i == start or (i < end and _ZERO <= buf[i] <= _NINE):
        return np.int64(0), -1
    return sign * value, i


@inner
def _hexadecimal(buf: Bytes, pos: int, end: int) -> tuple[Number, int]:
    """Return the hexadecimal number at *pos* (64 bits, as they are), and the position behind it; -1 for none."""
    if pos < 0:
        return np.int64(0), -1
    value, i = np.int64(0), pos
    while i < end and i - pos <= 16:
        digit = np.int64(buf[i])
        if _ZERO <= digit <= _NINE:
            digit -= _ZERO
        elif 97 <= digit <= 102:  # a to f
            digit -= 87
        else:
            break
        value = (value << np.int64(4)) | digit
        i += 1
    if i == pos or i - pos > 16:
        return np.int64(0), -1
    return value, i


@inner
def _number(buf: Bytes, pos: int, end: int) -> tuple[Number, int]:
    """Return the number at *pos*, hexadecimal behind 0x (since Linux 6.6 for PFN), else decimal."""
    hexadecimal = _at(buf, pos, end, _HEX)
    if hexadecimal >= 0:
        return _hexadecimal(buf, hexadecimal, end)
    return _decimal(buf, pos, end)


@inner
def _index_of(buf: Bytes, pos: int, end: int, names: Bytes) -> int:
    """Return which of *names*, each ended by a newline, is exactly [pos, end), or -1."""
    index, i = 0, 0
    while i < names.size:
        j, same = pos, True
        while names[i] != _NEWLINE:
            same = same and j < end and buf[j] == names[i]
            i += 1
            j += 1
        if same and j == end:
            return index
        index += 1
        i += 1
    return -1


@inner
def _intern(buf: Bytes, start: int, end: int, slots: Ints, spans: Ints) -> Number:
    """Return the number of the text [start, end) in the table (*slots*, *spans*), entering it if it is new.

    ``spans[0, -1]`` counts the table's texts; text t is [spans[0, t], spans[1, t]).
    """
    mask = slots.size - 1
    hashed = np.int64(end - start)
    i = start
    while i + 4 <= end:
        word = np.int64(buf[i]) | np.int64(buf[i + 1]) << 8 | np.int64(buf[i + 2]) << 16 | np.int64(buf[i + 3]) << 24
        hashed = (hashed * 691_319 + word) & 0xFF_FFFF_FFFF  # 40 bits by 20 bits: no overflow in int64
        i += 4
    while i < end:
        hashed = (hashed * 691_319 + np.int64(buf[i])) & 0xFF_FFFF_FFFF
        i += 1
    slot = (hashed ^ (hashed >> 20)) & mask
    while slots[slot] >= 0:
        known = slots[slot]
        first, size = spans[0, known], end - start
        if spans[1, known] - first == size:
            j = 0
            while j < size and buf[first + j] == buf[start + j]:
                j += 1
            if j == size:
                return known
        slot = (slot + 1) & mask
    fresh = spans[0, -1]
    slots[slot] = fresh
    spans[0, fresh], spans[1, fresh] = start, end
    spans[0, -1] = fresh + 1
    return fresh


@inner
def _times(buf: Bytes, pos: int, end: int, row: int, out: Ints) -> bool:
    """Read "TS ns" and maybe ", free_ts TS ns" up to *end*."""
    value, pos = _decimal(buf, pos, end)
    pos = _at(buf, pos, end, _NS)
    if pos < 0:
        return False
    out[TS, row] = value
    if pos == end:
        return True
    value, pos = _decimal(buf, _at(buf, pos, end, _FREE_TS), end)
    out[FREE_TS, row] = value
    return _at(buf, pos, end, _NS) == end


@inner
def _header(buf: Bytes, pos: int, end: int, row: int, out: Ints, slots: Ints, spans: Ints) -> bool:
    """Read the first line of a record: order and mask; since 5.11 pid and times, since 5.18 tgid and comm."""
    value, pos = _decimal(buf, _at(buf, pos, end, _HEADER), end)
    if pos < 0 or value < 0 or value > 63:
        return False
    out[ORDER, row] = value
    value, pos = _hexadecimal(buf, _at(buf, pos, end, _MASK), end)
    if pos < 0 or value < 0:
        return False
    out[GFP, row] = value
    if pos < end and buf[pos] == _OPEN:
        while pos < end and buf[pos] != _CLOSE:
            pos += 1
        pos += 1
    if pos == end:
        return True
    value, pos = _decimal(buf, _at(buf, pos, end, _PID), end)
    if pos < 0 or abs(value) > 0x7FFF_FFFF:
        return False
    out[PID, row] = value
    tgid = _at(buf, pos, end, _TGID)
    if tgid < 0:
        return _times(buf, _at(buf, pos, end, _TS), end, row, out)
    value, pos = _decimal(buf, tgid, end)
    if pos < 0 or abs(value) > 0x7FFF_FFFF or end - pos < 2 or buf[pos] != _SPACE or buf[pos + 1] != _OPEN:
        return False
    out[TGID, row] = value
    return _comm_and_times(buf, pos + 2, end, row, out, slots, spans)


@inner
def _comm_and_times(buf: Bytes, pos: int, end: int, row: int, out: Ints, slots: Ints, spans: Ints) -> bool:
    """Read "COMM), ts ...": a comm may hold any bytes, so its end is the last place where the times follow."""
    for close in range(end - _COMM_END.size, pos - 1, -1):
        if buf[close] == _CLOSE and _at(buf, close, end, _COMM_END) >= 0:
            if close - pos > _COMM_BYTES:
                return False
            out[COMM, row] = _intern(buf, pos, close, slots[0], spans[0])
            return _times(buf, close + _COMM_END.size, end, row, out)
    return False


@inner
def _migratetype(buf: Bytes, pos: int, end: int) -> tuple[Number, int]:
    """Return the migratetype named (or, before 4.6, numbered) at *pos*, and the position behind the word.

    A name that 6.1 does not know is absent.
    """
    stop = pos
    while 0 <= stop < end and buf[stop] != _SPACE:
        stop += 1
    if pos < 0 or stop == pos:
        return ABSENT, -1
    index = _index_of(buf, pos, stop, _TYPES)
    if index >= 0:
        return index, stop
    value, behind = _decimal(buf, pos, stop)
    if behind == stop and 0 <= value < 64:
        return value, stop
    return ABSENT, stop


@inner
def _pfn_line(buf: Bytes, pos: int, end: int, row: int, out: Ints, slots: Ints, spans: Ints) -> bool:
    """Read "PFN N type T Block N type T Flags 0x...(...)"; before 4.6 "PFN N Block N type N Fallback Flags ..."."""
    value, pos = _number(buf, _at(buf, pos, end, _PFN), end)
    if pos < 0 or value < 0:
        return False
    out[PFN, row] = value
    typed = _at(buf, pos, end, _TYPE)
    if typed >= 0:
        out[MIGRATETYPE, row], pos = _migratetype(buf, typed, end)
    value, pos = _number(buf, _at(buf, pos, end, _BLOCK), end)
    out[BLOCK_MIGRATETYPE, row], pos = _migratetype(buf, _at(buf, pos, end, _TYPE), end)
    if pos < 0:
        return False
    if typed < 0:  # the old form: "Fallback" or blanks, then flags as letters
        flags = -1
        while pos < end and (buf[pos] == _SPACE or 65 <= buf[pos] <= 90 or 97 <= buf[pos] <= 122):
            flags = max(flags, _at(buf, pos, end, _FLAGS))
            pos += 1
        return pos == end and flags >= 0
    value, pos = _hexadecimal(buf, _at(buf, _at(buf, pos, end, _FLAGS), end, _HEX), end)
    if pos < 0:
        return False
    out[FLAGS, row] = value
    if pos < end and (buf[pos] != _OPEN or buf[end - 1] != _CLOSE):
        return False
    first = pos + 1
    while pos < end and buf[pos] != _SPACE:
        pos += 1
    if pos == end and first < end:
        out[FLAG_NAMES, row] = _intern(buf, first, end - 1, slots[3], spans[3])
    return pos == end


@inner
def _has_header(buf: Bytes, pos: int, end: int) -> bool:
    """Whether another record begins within [pos, end)."""
    while pos < end and (buf[pos] != _HEADER[0] or _at(buf, pos, end, _HEADER) < 0):
        pos += 1
    return pos < end


@inner
def _other_line(buf: Bytes, pos: int, end: int, row: int, out: Ints, slots: Ints, spans: Ints) -> bool:
    """Read a line behind the stack: the migrate reason, or what print_page_owner_memcg prints (since 5.18); each is said once."""
    reason = _at(buf, pos, end, _MIGRATED)
    if reason >= 0:
        if out[REASON, row] != ABSENT:
            return False
        index = _index_of(buf, reason, end, _REASONS)
        if _at(buf, reason, end, _CMA) == end:
            index = MR_CONTIG_RANGE
        if index >= 0:
            out[REASON, row] = index
        return reason < end and not _has_header(buf, reason, end)
    flags = max(out[MEMCG, row], 0)
    if _at(buf, pos, end, _SLAB) == end:
        out[MEMCG, row] = flags | MEMCG_SLAB
        return True
    pos = _at(buf, pos, end, _CHARGED)
    via = _at(buf, pos, end, _OBJCG)
    pos = _at(buf, max(pos, via), end, _TO)
    offline = _at(buf, pos, end, _OFFLINE)
    pos = _at(buf, max(pos, offline), end, _MEMCG)
    out[MEMCG, row] = flags | (MEMCG_OBJCG if via >= 0 else 0) | (MEMCG_OFFLINE if offline >= 0 else 0)
    if pos < 0 or _has_header(buf, pos, end) or out[CGROUP, row] != ABSENT:
        return False
    out[CGROUP, row] = _intern(buf, pos, end, slots[2], spans[2])
    return True


@inner
def _handle_line(buf: Bytes, pos: int, end: int, row: int, out: Ints) -> bool:
    """Read the handle of a stack, which is said once.

    Source: mm/page_owner.c, print_page_owner (a series of May 2026, "add print_mode filter": mode=handle, mode=stack_handle).
    """
    value, behind = _decimal(buf, _at(buf, pos, end, _STACK_HANDLE), end)
    if behind != end or out[HANDLE, row] != ABSENT:
        return False
    out[HANDLE, row] = value
    return True


@inner
def _hexadecimal_begin(buf: Bytes, pos: int, end: int) -> int:
    """Return where the 0x is of the hexadecimal number that ends [pos, end), or -1."""
    i = end - 1
    while i > pos and (_ZERO <= buf[i] <= _NINE or 97 <= buf[i] <= 102):  # a to f
        i -= 1
    return i - 1 if pos < i < end - 1 and buf[i] == _X and buf[i - 1] == _ZERO else -1


@inner
def _is_sized(buf: Bytes, pos: int, end: int) -> bool:
    """Whether [pos, end), without a module in brackets, ends with +OFFSET/SIZE, or is an address."""
    if end > pos and buf[end - 1] == _CLOSE_SQUARE:
        while end > pos and buf[end - 1] != _OPEN_SQUARE:
            end -= 1
        end -= 1
        while end > pos and buf[end - 1] == _SPACE:
            end -= 1
    size = _hexadecimal_begin(buf, pos, end)
    if size <= pos:
        return size == pos
    if buf[size - 1] != _SLASH:
        return False
    offset = _hexadecimal_begin(buf, pos, size - 1)
    return offset > pos and buf[offset - 1] == _PLUS


@inner
def _stack_line(buf: Bytes, pos: int, stop: int) -> tuple[int, bool]:
    """Return where the line at *pos*, which begins with a blank, has its newline, or -1; and whether it is a frame.

    A frame is one word of printable characters with offset and size, maybe with an address before it or a module behind it; or
    an address alone.
    """
    while pos < stop and buf[pos] == _SPACE:
        pos += 1
    good, i = True, pos
    while i < stop:
        if buf[i] <= _SPACE:
            if buf[i] == _NEWLINE:
                return i, good and _is_sized(buf, pos, i)
            if buf[i] != _SPACE or (buf[i - 1] != _CLOSE_SQUARE and (i + 1 == stop or buf[i + 1] != _OPEN_SQUARE)):
                good = False
        elif buf[i] > _LAST_PRINTED:
            good = False
        i += 1
    return -1, False


@inner
def _record(buf: Bytes, pos: int, stop: int, row: int, out: Ints, slots: Ints, spans: Ints) -> tuple[int, int, int]:
    """Read the record at *pos* into column *row* of *out*.

    Returns the outcome, the position behind the record, and how many lines it has.
    """
    line, number, stack, stack_end = pos, 0, -1, -1
    others = False
    for field in range(FIELDS):
        out[field, row] = ABSENT
    while True:
        good = False
        if number >= 2 and not others and line < stop and buf[line] == _SPACE:
            end, good = _stack_line(buf, line, stop)
        else:
            end = _line_end(buf, line, stop)
        if end < 0:
            return INCOMPLETE, pos, 0
        if end == line and number >= 2:
            break
        if number == 0:
            good = _header(buf, line, end, row, out, slots, spans)
        elif number == 1:
            good = _pfn_line(buf, line, end, row, out, slots, spans)
        elif buf[line] == _SPACE and not others:
            stack = line if stack < 0 else stack
            stack_end = end
        elif buf[line] == _STACK_HANDLE[0]:
            good = _handle_line(buf, line, end, row, out)
        else:
            others = True
            good = _other_line(buf, line, end, row, out, slots, spans)
        if not good:
            return MALFORMED, line, number
        line, number = end + 1, number + 1
    if stack >= 0:
        out[STACK, row] = _intern(buf, stack, stack_end, slots[1], spans[1])
    return WHOLE, end + 1, number + 1


@inner
def _region_end(buf: Bytes, pos: int, stop: int, marker: Bytes) -> tuple[int, int]:
    """Return where the next line with *marker* behind the line at *pos* begins, and how many lines lie before it; -1: nowhere."""
    begin, lines = pos, 0
    for i in range(pos, stop):
        if buf[i] == _NEWLINE:
            begin, lines = i + 1, lines + 1
        elif lines > 0 and buf[i] == marker[0] and _at(buf, i, stop, marker) >= 0:
            return begin, lines
    return -1, lines


@inner
def _skip(buf: Bytes, stop: int, state: Ints, marker: Bytes) -> bool:
    """Skip a line of what is too long for a record; stop at the next line with *marker*. False: more bytes are needed."""
    pos = state[POSITION]
    end = _line_end(buf, pos, stop)
    if state[MODE] == SKIPPING_LINES:
        limit = min(stop if end < 0 else end, pos + MAX_RECORD)
        for i in range(pos, limit):
            if buf[i] == marker[0] and _at(buf, i, limit, marker) >= 0:
                state[MODE] = READING
                return True
        if end < 0 and stop - pos <= MAX_RECORD and state[AT_END] == 0:
            return False
        state[SKIPPED] += 1 if end != pos else 0
        state[EMPTY] += 1 if end == pos else 0
    state[POSITION] = stop if end < 0 else end + 1
    state[MODE] = SKIPPING_LINE if end < 0 else SKIPPING_LINES
    state[LINE] += 0 if end < 0 else 1
    return end >= 0


@inner
def _odd_region(buf: Bytes, stop: int, state: Ints, odd: Ints, marker: Bytes) -> bool:
    """List the region at the state's position as odd, and go behind it. False: more bytes are needed to see its end.

    One that is longer than a record is cut, and what is left of it is skipped.
    """
    pos = state[POSITION]
    limit = min(stop, pos + MAX_RECORD)
    end, lines = _region_end(buf, pos, limit, marker)
    cut = end < 0 and stop - pos > MAX_RECORD
    if end < 0 and not cut and state[AT_END] == 0:
        return False
    if end < 0:
        end = limit
        while cut and lines > 0 and buf[end - 1] != _NEWLINE:  # whole lines, if it has any
            end -= 1
    place = state[ODD]
    odd[ODD_LINE, place], odd[ODD_BEGIN, place], odd[ODD_END, place] = state[LINE], pos, end
    odd[ODD_ROW, place], odd[ODD_CUT, place] = state[ROWS], 1 if cut else 0
    state[ODD] += 1
    state[LINE] += lines
    state[POSITION] = end
    if cut:
        state[MODE] = SKIPPING_LINES if lines > 0 else SKIPPING_LINE
    return True


# b = bytes of the buffer, r = rows it may give, t = distinct texts, s = slots (a power of two, more than t)
@jit
def parse(buf: Bytes, stop: int, state: Ints, out: Ints, slots: Ints, spans: Ints, odd: Ints, marker: Bytes) -> None:
    """Read whole records of ``buf[:stop]`` until it holds no more of them, or a table is full.

    Parameters
    ----------
    buf
        Shape (b,).
    state
        Shape (STATE,): where to begin and, afterwards, where it ended; rows read and odd regions met; empty and skipped lines in
        all, and the line of the first row of all.
    out
        Shape (FIELDS, r), int64: a column a record; text fields index into their table.
    slots, spans
        Shapes (TEXTS, s) and (TEXTS, 2, t + 1): the tables of distinct texts; slots are -1 where free.
    odd
        Shape (ODD_FIELDS, m): the regions that are not exactly one record, in their order.
    marker
        What only the first line of a record has.
    """
    while state[POSITION] < stop and state[ROWS] < out.shape[1] and state[ODD] < odd.shape[1]:
        if state[MODE] != READING:
            if not _skip(buf, stop, state, marker):
                return
            continue
        pos = state[POSITION]
        if buf[pos] == _NEWLINE:
            state[POSITION] += 1
            state[LINE] += 1
            state[EMPTY] += 1
            continue
        outcome, behind, lines = _record(buf, pos, min(stop, pos + MAX_RECORD), state[ROWS], out, slots, spans)
        empty = 1
        if outcome == WHOLE:
            while behind < min(stop, pos + MAX_RECORD) and buf[behind] == _NEWLINE:
                behind, lines, empty = behind + 1, lines + 1, empty + 1
            if stop - behind < marker.size and state[AT_END] == 0:
                return
            if behind < stop and _at(buf, behind, stop, marker) < 0:  # its stack may go on there
                outcome = MALFORMED
        if outcome == WHOLE:
            state[FIRST] = state[LINE] if state[FIRST] == 0 else state[FIRST]
            state[ROWS] += 1
            state[LINE] += lines
            state[EMPTY] += empty
            state[POSITION] = behind
        elif not _odd_region(buf, stop, state, odd, marker):
            return
