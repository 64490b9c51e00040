"""The compiled side of a ring's pages: from record to record of one CPU.

Source: kernel/trace/ring_buffer.c (Linux 6.1, 6.18): struct buffer_data_page, struct ring_buffer_event, rb_event_length,
rb_fix_abs_ts.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from pagetrail.producers.formats.tracepoints.numbers_jit import i64, number, u32
from pagetrail.schemas.jit import inner

# A stream, the pages of one CPU of a buffer, int64 each. Places are in the window, of which only a part of the pages is.
C_BASE: Final = 0  # where its window begins in the arena
C_FILL: Final = 1  # bytes that the window holds
C_AT: Final = 2  # where they begin in the stream
C_PAGE: Final = 3  # where the page after this one begins in the window
C_PAGE_BYTES: Final = 4
C_LAST: Final = 5  # 1: nothing follows what the window holds
C_POS: Final = 6  # where the next record begins in the arena
C_END: Final = 7  # where the records of the page end
C_RAW: Final = 8  # the time of the last record, as the clock gives it
C_LIMIT: Final = 9  # no record of the page has a later one
C_DATA: Final = 10  # of the record at hand: where its data begin in the arena, their bytes, its time in ns
C_BYTES: Final = 11
C_TS: Final = 12
C_MISSED: Final = 13  # how many events were lost before the page; -1: it does not say
C_HARM: Final = 14  # where in the stream it is damaged
STREAM: Final = 15

# How a ring's pages are laid out, int64 each.
P_COMMIT: Final = 0
P_COMMIT_BYTES: Final = 1
P_DATA: Final = 2
P_FACTOR: Final = 3  # of a clock that counts, to nanoseconds; 0: it is in nanoseconds
P_SHIFT: Final = 4
PAGES: Final = 5

# Why a function stops.
RECORD: Final = 0
DONE: Final = 1
NEED_PAGES: Final = 2
LOSS: Final = 3
HARM: Final = 4

MISSED_EVENTS: Final = 1 << 31
MISSED_STORED: Final = 1 << 30
_COMMIT_MASK: Final = (1 << 27) - 1
MOST_MISSED: Final = 1 << 48
"""No ring loses as many events between two pages."""

_PADDING: Final = 29
_TIME_EXTEND: Final = 30
_TIME_STAMP: Final = 31
_TS_SHIFT: Final = 27
_MSB: Final = 31 << 59
"""Bits of a time that an absolute time does not hold."""
_LATEST: Final = (1 << 63) - 1
_MASK32: Final = 0xFFFFFFFF


@inner
def to_nsec(raw: int, pages: NDArray[np.int64]) -> int:
    """Return a time in nanoseconds; a negative number if it is none that fits."""
    if raw < 0 or pages[P_FACTOR] == 0:
        return np.int64(raw)
    # raw * factor >> shift, in parts that fit into 63 bits: the factor has 32
    factor, shift = pages[P_FACTOR], pages[P_SHIFT]
    high, middle = (raw >> 32) * factor, ((raw >> 16) & 0xFFFF) * factor
    low = (raw & 0xFFFF) * factor + ((middle & 0xFFFF) << 16)
    if high >> 62:
        return np.int64(-1)
    high += (middle >> 16) + (low >> 32)
    low &= _MASK32
    if shift >= 32:
        return np.int64(high >> (shift - 32))
    if high >> (31 + shift):
        return np.int64(-1)
    return np.int64((high << (32 - shift)) | (low >> shift))


@inner
def committed(arena: NDArray[np.uint8], page: int, pages: NDArray[np.int64]) -> int:
    """Return what a page says of how much of it is written, with its flags; -1: no kernel writes such a number.

    The flag of missed events is the sign of an int, which the kernel adds to a long.
    """
    found = number(arena, page + pages[P_COMMIT], pages[P_COMMIT_BYTES], 1)
    if found < -MISSED_EVENTS or found > _MASK32:
        return np.int64(-1)
    return found & _MASK32


@inner
def is_page(arena: NDArray[np.uint8], page: int, size: int, pages: NDArray[np.int64]) -> bool:
    """Return whether the head of a page is one that the kernel writes."""
    commit = committed(arena, page, pages)
    return bool(commit >= 0 and i64(arena, page) >= 0 and (commit & _COMMIT_MASK) <= size - pages[P_DATA])


@inner
def cut_at(stream: NDArray[np.int64], place: int) -> int:
    """Tell that the last page of a stream, which is cut at *place*, is none that a ring gives: these are whole."""
    stream[C_HARM] = stream[C_AT] + place
    stream[C_PAGE] = stream[C_FILL]
    return HARM


@inner
def next_page(arena: NDArray[np.uint8], stream: NDArray[np.int64], pages: NDArray[np.int64]) -> int:
    """Begin the next page; return RECORD for that, DONE, NEED_PAGES, LOSS or HARM. The window holds the page behind it, too."""
    size, place = stream[C_PAGE_BYTES], stream[C_PAGE]
    if stream[C_LAST] == 0 and place + 2 * size > stream[C_FILL]:
        return NEED_PAGES
    there = min(size, stream[C_FILL] - place)
    if there <= 0:
        return DONE if there == 0 else cut_at(stream, stream[C_FILL])
    if there < pages[P_DATA]:
        return cut_at(stream, place)
    page = stream[C_BASE] + place
    stream[C_PAGE] = place + size
    stream[C_POS] = stream[C_END] = page + pages[P_DATA]
    before, raw = stream[C_RAW], i64(arena, page)
    if not is_page(arena, page, size, pages):
        stream[C_HARM] = stream[C_AT] + place
        return HARM
    commit = committed(arena, page, pages)
    written = commit & _COMMIT_MASK
    stream[C_LIMIT] = _LATEST
    behind = page + size
    if place + size + pages[P_DATA] <= stream[C_FILL] and is_page(arena, behind, size, pages):
        limit = i64(arena, behind)
        empty = committed(arena, behind, pages) == 0
        if not empty and limit >= raw:
            stream[C_LIMIT] = limit
        elif (
            not empty and limit >= before and before >= 0 and written > 0
        ):  # the page's time is wild, not the next one's
            stream[C_HARM] = stream[C_AT] + place
            return HARM
    if written == 0 and not commit & MISSED_EVENTS:
        return RECORD
    stream[C_RAW] = raw
    stream[C_END] = page + pages[P_DATA] + written
    if stream[C_END] > page + there:
        stream[C_END] = page + there  # the stream is cut within the page
    if not commit & MISSED_EVENTS:
        return RECORD
    stream[C_MISSED] = -1
    stored = pages[P_DATA] + written
    if commit & MISSED_STORED and stored + pages[P_COMMIT_BYTES] <= there:
        missed = number(arena, page + stored, pages[P_COMMIT_BYTES], 0)
        if 0 <= missed < MOST_MISSED:
            stream[C_MISSED] = missed
    return LOSS


@inner
def harm_at(stream: NDArray[np.int64], pos: int) -> int:
    """Give up the page at hand, whose record at *pos* is none."""
    stream[C_HARM] = stream[C_AT] + pos - stream[C_BASE]
    stream[C_POS] = stream[C_END]
    return HARM


@inner
def next_record(arena: NDArray[np.uint8], stream: NDArray[np.int64], pages: NDArray[np.int64]) -> int:
    """Go on to the next record that holds data; return RECORD for that, DONE, NEED_PAGES, LOSS or HARM.

    After LOSS and HARM it goes on behind them when it is called again.
    """
    while True:
        pos, end = stream[C_POS], stream[C_END]
        if pos >= end:
            reason = next_page(arena, stream, pages)
            if reason != RECORD:
                return reason
            continue
        if pos + 4 > end:
            return harm_at(stream, pos)
        head = u32(arena, pos)
        kind, delta = head & 31, head >> 5
        raw = stream[C_RAW]
        if kind == _PADDING and delta == 0:
            stream[C_POS] = end
            continue
        start = pos + 4
        if kind == 0 or kind >= _PADDING:
            if pos + 8 > end:
                return harm_at(stream, pos)
            more = u32(arena, pos + 4)
            start = pos + 8
        size = np.int64(0)
        if kind == _PADDING:
            start, size = pos + 4, more
            if size < 4:
                return harm_at(stream, pos)
            raw += delta
        elif kind == _TIME_EXTEND:
            raw += (more << _TS_SHIFT) + delta
        elif kind == _TIME_STAMP:
            stamp = np.int64((more << _TS_SHIFT) | delta)
            if stamp >> 59:
                return harm_at(stream, pos)
            stamp |= raw & _MSB
            if stamp < raw:
                if raw & _MSB == 0:
                    return harm_at(stream, pos)
                stamp += np.int64(1) << 59
            raw = stamp
        elif kind == 0:
            if more < 4:
                return harm_at(stream, pos)
            size = (more - 4 + 3) & ~3
            raw += delta
        else:
            size = 4 * kind
            raw += delta
        if raw < 0 or raw > stream[C_LIMIT] or start + size > end:
            return harm_at(stream, pos)
        stream[C_RAW], stream[C_POS] = raw, start + size
        if 0 <= kind < _PADDING:
            ts = to_nsec(raw, pages)
            if ts < 0:
                return harm_at(stream, pos)
            stream[C_DATA], stream[C_BYTES], stream[C_TS] = start, size, ts
            return RECORD
