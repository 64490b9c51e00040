"""Jit functions that read the lines of a page_owner record, each into the record's column of the field matrix.

The forms are those of ``print_page_owner`` of mm/page_owner.c since Linux 3.19.
"""

from typing import Final

import numpy as np

from pagetrail.producers.formats.page_owner.layout import (
    ABSENT,
    BLOCK_MIGRATETYPE,
    CGROUP,
    COMM,
    FLAG_NAMES,
    FLAGS,
    FREE_TS,
    GFP,
    HANDLE,
    MEMCG,
    MIGRATETYPE,
    NEWLINE,
    NINE,
    ORDER,
    PFN,
    PID,
    REASON,
    SPACE,
    TGID,
    TS,
    ZERO,
    Bytes,
    Ints,
    Number,
)
from pagetrail.producers.formats.page_owner.scan_jit import (
    behind_word,
    index_of,
    intern,
    read_decimal,
    read_hexadecimal,
    read_number,
)
from pagetrail.schemas.jit import inner
from pagetrail.schemas.linux.migrate import MIGRATE_REASON_NAMES, MR_CONTIG_RANGE, MR_CONTIG_RANGE_BEFORE_5_10
from pagetrail.schemas.linux.mmzone import MIGRATETYPE_NAMES
from pagetrail.schemas.linux.page_owner import MEMCG_OBJCG, MEMCG_OFFLINE, MEMCG_SLAB, TASK_COMM_LEN


def _word(text: bytes) -> Bytes:
    return np.frombuffer(text, dtype=np.uint8)


def _lines(names: tuple[str, ...]) -> Bytes:
    return _word("".join(f"{name}\n" for name in names).encode())


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
STACK_HANDLE: Final = _word(b"handle: ")
_SLAB: Final = _word(b"Slab cache page")
_CHARGED: Final = _word(b"Charged ")
_OBJCG: Final = _word(b"(via objcg) ")
_TO: Final = _word(b"to ")
_OFFLINE: Final = _word(b"offline ")
_MEMCG: Final = _word(b"memcg ")

_TYPES: Final = _lines(MIGRATETYPE_NAMES)
_REASONS: Final = _lines(MIGRATE_REASON_NAMES)
_CMA: Final = _word(MR_CONTIG_RANGE_BEFORE_5_10.encode())

_OPEN, _CLOSE = 40, 41
_OPEN_SQUARE, _CLOSE_SQUARE, _PLUS, _SLASH, _X, _LAST_PRINTED = 91, 93, 43, 47, 120, 126


@inner
def _times(buf: Bytes, pos: int, end: int, row: int, out: Ints) -> bool:
    """Read "TS ns" and maybe ", free_ts TS ns" up to *end*."""
    value, pos = read_decimal(buf, pos, end)
    pos = behind_word(buf, pos, end, _NS)
    if pos < 0:
        return False
    out[TS, row] = value
    if pos == end:
        return True
    value, pos = read_decimal(buf, behind_word(buf, pos, end, _FREE_TS), end)
    out[FREE_TS, row] = value
    return behind_word(buf, pos, end, _NS) == end


@inner
def header_line(buf: Bytes, pos: int, end: int, row: int, out: Ints, slots: Ints, spans: Ints) -> bool:
    """Read the first line of a record: order and mask; since 5.11 pid and times, since 5.18 tgid and comm."""
    value, pos = read_decimal(buf, behind_word(buf, pos, end, _HEADER), end)
    if pos < 0 or value < 0 or value > 63:
        return False
    out[ORDER, row] = value
    value, pos = read_hexadecimal(buf, behind_word(buf, pos, end, _MASK), end)
    if pos < 0 or value < 0:
        return False
    out[GFP, row] = value
    if pos < end and buf[pos] == _OPEN:
        while pos < end and buf[pos] != _CLOSE and buf[pos] > SPACE:
            pos += 1
        if pos == end or buf[pos] != _CLOSE:
            return False
        pos += 1
    if pos == end:
        return True
    value, pos = read_decimal(buf, behind_word(buf, pos, end, _PID), end)
    if pos < 0 or abs(value) > 0x7FFF_FFFF:
        return False
    out[PID, row] = value
    tgid = behind_word(buf, pos, end, _TGID)
    if tgid < 0:
        return _times(buf, behind_word(buf, pos, end, _TS), end, row, out)
    value, pos = read_decimal(buf, tgid, end)
    if pos < 0 or abs(value) > 0x7FFF_FFFF or end - pos < 2 or buf[pos] != SPACE or buf[pos + 1] != _OPEN:
        return False
    out[TGID, row] = value
    return _comm_and_times(buf, pos + 2, end, row, out, slots, spans)


@inner
def _comm_and_times(buf: Bytes, pos: int, end: int, row: int, out: Ints, slots: Ints, spans: Ints) -> bool:
    """Read "COMM), ts ...": a comm may hold any bytes, so its end is the last place where the times follow."""
    for close in range(end - _COMM_END.size, pos - 1, -1):
        if buf[close] == _CLOSE and behind_word(buf, close, end, _COMM_END) >= 0:
            if close - pos > _COMM_BYTES:
                return False
            out[COMM, row] = intern(buf, pos, close, slots[0], spans[0])
            return _times(buf, close + _COMM_END.size, end, row, out)
    return False


@inner
def _migratetype(buf: Bytes, pos: int, end: int) -> tuple[Number, int]:
    """Return the migratetype named (or, before 4.6, numbered) at *pos*, and the position behind the word.

    A name that 6.1 does not know is absent.
    """
    stop = pos
    while 0 <= stop < end and buf[stop] != SPACE:
        stop += 1
    if pos < 0 or stop == pos:
        return ABSENT, -1
    index = index_of(buf, pos, stop, _TYPES)
    if index >= 0:
        return index, stop
    value, behind = read_decimal(buf, pos, stop)
    if behind == stop and 0 <= value < 64:
        return value, stop
    return ABSENT, stop


@inner
def pfn_line(buf: Bytes, pos: int, end: int, row: int, out: Ints, slots: Ints, spans: Ints) -> bool:
    """Read "PFN N type T Block N type T Flags 0x...(...)"; before 4.6 "PFN N Block N type N Fallback Flags ..."."""
    value, pos = read_number(buf, behind_word(buf, pos, end, _PFN), end)
    if pos < 0 or value < 0:
        return False
    out[PFN, row] = value
    typed = behind_word(buf, pos, end, _TYPE)
    if typed >= 0:
        out[MIGRATETYPE, row], pos = _migratetype(buf, typed, end)
    value, pos = read_number(buf, behind_word(buf, pos, end, _BLOCK), end)
    out[BLOCK_MIGRATETYPE, row], pos = _migratetype(buf, behind_word(buf, pos, end, _TYPE), end)
    if pos < 0:
        return False
    if typed < 0:  # the old form: "Fallback" or blanks, then flags as letters
        flags = -1
        while pos < end and (buf[pos] == SPACE or 65 <= buf[pos] <= 90 or 97 <= buf[pos] <= 122):
            flags = max(flags, behind_word(buf, pos, end, _FLAGS))
            pos += 1
        return pos == end and flags >= 0
    value, pos = read_hexadecimal(buf, behind_word(buf, behind_word(buf, pos, end, _FLAGS), end, _HEX), end)
    if pos < 0:
        return False
    out[FLAGS, row] = value
    if pos >= end or buf[pos] != _OPEN or buf[end - 1] != _CLOSE:  # without names the number may be cut
        return False
    first = pos + 1
    while pos < end and buf[pos] != SPACE:
        pos += 1
    if pos == end and first < end:
        out[FLAG_NAMES, row] = intern(buf, first, end - 1, slots[3], spans[3])
    return pos == end


@inner
def _has_header(buf: Bytes, pos: int, end: int) -> bool:
    """Whether another record begins within [pos, end)."""
    while pos < end and (buf[pos] != _HEADER[0] or behind_word(buf, pos, end, _HEADER) < 0):
        pos += 1
    return pos < end


@inner
def other_line(buf: Bytes, pos: int, end: int, row: int, out: Ints, slots: Ints, spans: Ints) -> bool:
    """Read a line behind the stack: the migrate reason, or what print_page_owner_memcg prints (since 5.18); each is said once."""
    reason = behind_word(buf, pos, end, _MIGRATED)
    if reason >= 0:
        if out[REASON, row] != ABSENT:
            return False
        index = index_of(buf, reason, end, _REASONS)
        if behind_word(buf, reason, end, _CMA) == end:
            index = MR_CONTIG_RANGE
        if index >= 0:
            out[REASON, row] = index
        return reason < end and not _has_header(buf, reason, end)
    flags = max(out[MEMCG, row], 0)
    if behind_word(buf, pos, end, _SLAB) == end:
        out[MEMCG, row] = flags | MEMCG_SLAB
        return True
    pos = behind_word(buf, pos, end, _CHARGED)
    via = behind_word(buf, pos, end, _OBJCG)
    pos = behind_word(buf, max(pos, via), end, _TO)
    offline = behind_word(buf, pos, end, _OFFLINE)
    pos = behind_word(buf, max(pos, offline), end, _MEMCG)
    out[MEMCG, row] = flags | (MEMCG_OBJCG if via >= 0 else 0) | (MEMCG_OFFLINE if offline >= 0 else 0)
    if pos < 0 or _has_header(buf, pos, end) or out[CGROUP, row] != ABSENT:
        return False
    out[CGROUP, row] = intern(buf, pos, end, slots[2], spans[2])
    return True


@inner
def handle_line(buf: Bytes, pos: int, end: int, row: int, out: Ints) -> bool:
    """Read the handle of a stack, which is said once.

    Source: mm/page_owner.c, print_page_owner (a series of May 2026, "add print_mode filter": mode=handle, mode=stack_handle).
    """
    value, behind = read_decimal(buf, behind_word(buf, pos, end, STACK_HANDLE), end)
    if behind != end or out[HANDLE, row] != ABSENT:
        return False
    out[HANDLE, row] = value
    return True


@inner
def _hexadecimal_begin(buf: Bytes, pos: int, end: int) -> int:
    """Return where the 0x is of the hexadecimal number that ends [pos, end), or -1."""
    i = end - 1
    while i > pos and (ZERO <= buf[i] <= NINE or 97 <= buf[i] <= 102):  # a to f
        i -= 1
    return i - 1 if pos < i < end - 1 and buf[i] == _X and buf[i - 1] == ZERO else -1


@inner
def _is_sized(buf: Bytes, pos: int, end: int) -> bool:
    """Whether [pos, end), without a module in brackets, ends with +OFFSET/SIZE, or is an address."""
    if end > pos and buf[end - 1] == _CLOSE_SQUARE:
        while end > pos and buf[end - 1] != _OPEN_SQUARE:
            end -= 1
        end -= 1
        while end > pos and buf[end - 1] == SPACE:
            end -= 1
    size = _hexadecimal_begin(buf, pos, end)
    if size <= pos:
        return size == pos
    if buf[size - 1] != _SLASH:
        return False
    offset = _hexadecimal_begin(buf, pos, size - 1)
    return offset > pos and buf[offset - 1] == _PLUS


@inner
def stack_line(buf: Bytes, pos: int, stop: int) -> tuple[int, bool]:
    """Return where the line at *pos*, which begins with a blank, has its newline, or -1; and whether it is a frame.

    A frame is one word of printable characters with offset and size, maybe with an address before it or a module behind it; or
    an address alone.
    """
    while pos < stop and buf[pos] == SPACE:
        pos += 1
    good, i = True, pos
    while i < stop:
        if buf[i] <= SPACE:
            if buf[i] == NEWLINE:
                return i, good and _is_sized(buf, pos, i)
            if buf[i] != SPACE or (buf[i - 1] != _CLOSE_SQUARE and (i + 1 == stop or buf[i + 1] != _OPEN_SQUARE)):
                good = False
        elif buf[i] > _LAST_PRINTED:
            good = False
        i += 1
    return -1, False
