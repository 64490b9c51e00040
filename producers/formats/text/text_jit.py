"""Jit functions that the parsers of ftrace text and perf script text share: numbers, times, the fields of a page event, rows.

They take the strict common form only. Whatever they refuse goes to the general path in ``payloads.py``, one line at
a time: same results, slower.
"""

import string
from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pagetrail.producers.formats.interning_jit import ACTION, MASK, QUIET, QUIET_FIRST, at, intern
from pagetrail.producers.formats.repeats_jit import repeated
from pagetrail.producers.formats.rows import (
    R_COMM,
    R_CPU,
    R_GFP_MASK,
    R_KIND,
    R_MIGRATETYPE,
    R_ORDER,
    R_PFN,
    R_PID,
    R_STACK,
    R_TGID,
    R_TS,
    SIDE_COLUMNS,
)
from pagetrail.producers.gaps import ORDER_FIELDS
from pagetrail.schemas.columns import Kind, absent
from pagetrail.schemas.jit import inner
from pagetrail.schemas.linux.mmzone import PFN_LIMIT
from pagetrail.schemas.linux.page_owner import TASK_COMM_LEN

MAX_LINE: Final = 1 << 16
"""A longer line is not understood: no kernel prints one."""
MAX_COMM: Final = TASK_COMM_LEN - 1
"""Bytes of a task's name. More is the rest of another line."""
MAX_STACK: Final = 1 << 16
"""Bytes of the lines of one stack; what follows belongs to none."""
MAX_CPUS: Final = 8192  # CONFIG_NR_CPUS of x86_64 at most (arch/x86/Kconfig, Linux 6.1)

# Why a kernel returns to Python.
NEED_DATA: Final = 0  # all is read that the buffer holds whole
FULL: Final = 1  # no room for another row
ODD: Final = 2  # a line that is no event
EVENT: Final = 3  # an event for the general path; its head is in the state
GAP_DUE: Final = 4  # the first event of a CPU after a loss: the gap's row comes first
NEW_NAME: Final = 5  # the first event of its name
NEW_GFP: Final = 6  # the first use of a text of gfp flags
GROW: Final = 7  # the table of texts is full

# What came of an event, where Python is not needed.
NO_ROW_MADE: Final = -1
REPEAT: Final = -2  # an earlier row says the same

# What to do with an event, by the id of its name.
UNKNOWN: Final = 0
IGNORE: Final = 1
ALLOC: Final = 2
FREE: Final = 3
DRAIN: Final = 4
RARE: Final = 5
REFILL: Final = 6
KERNEL_STACK: Final = 7  # an entry whose frames are on the lines after it
USER_STACK: Final = 8

# The state array, int64: where the kernel stands, and what it read of the line it returns with.
POS: Final = 0  # byte of the buffer where the next line begins
LINE: Final = 1  # its number, from 1
ROWS: Final = 2  # rows filled
STOP: Final = 3  # end of the line, at its newline
NEXT: Final = 4  # where the line after it (and after its call chain) begins
LINES: Final = 5  # how many lines are between POS and NEXT
TS: Final = 6
CPU: Final = 7
PID: Final = 8
TGID: Final = 9
COMM_START: Final = 10
COMM_STOP: Final = 11
NAME: Final = 12  # id of the event's name
PAYLOAD: Final = 13  # where the text behind 'name:' begins
STACK: Final = 14  # id of the call chain, -1
PFN: Final = 15
ORDER: Final = 16
MIGRATETYPE: Final = 17
GFP_START: Final = 18
GFP: Final = 19  # id of the text of gfp flags
FIRST_LINE: Final = 20  # number of the line that begins the buffer
TO_PCP: Final = 21  # of a block off the free lists: 1 when it goes to a per-cpu list
ORDER_STATE: Final = 22  # gaps.ORDER_FIELDS of them: the order of all events
STACK_LINES: Final = ORDER_STATE + ORDER_FIELDS  # lines of stacks and call chains
STACK_FIRST: Final = STACK_LINES + 1  # number of the first of them
STACKS: Final = STACK_LINES + 2  # stacks that are entries of their own
EMPTY_LINES: Final = STACK_LINES + 3  # empty lines that end a call chain
EMPTY_FIRST: Final = STACK_LINES + 4
HAS_NUL: Final = STACK_LINES + 5  # 1: the buffer has bytes 0, which no line may hold
HEARD: Final = STACK_LINES + 6  # number of the last line whose CPU Python has heard of
TICKS: Final = STACK_LINES + 7  # 1: times are integers, of a clock that counts
REPEATS: Final = STACK_LINES + 8  # lines that repeat an event
REPEATS_FIRST: Final = STACK_LINES + 9
PAGE_SIZE: Final = STACK_LINES + 10  # how page= follows from pfn=, see page_pointers.py; 0: not known
PAGE_BASE: Final = STACK_LINES + 11  # as int64
HIGHEST: Final = STACK_LINES + 12  # the highest pfn of rows that Python has looked at
SIDE_ROWS: Final = STACK_LINES + 13  # rows that have entries beside them
VMEMMAP_GIVEN: Final = STACK_LINES + 14  # 1: the user said where the struct page of pfn 0 is
VMEMMAP_HIGH: Final = STACK_LINES + 15  # the upper and the lower 32 bits of its address
VMEMMAP_LOW: Final = STACK_LINES + 16
VALUES: Final = STACK_LINES + 17  # of a probe, three of two halves each, then the base and whether there is one
MEANT: Final = VALUES + 9  # what the row of a probe has besides: see rows.SIDE_COLUMNS
STATE_SIZE: Final = MEANT + 1 + len(SIDE_COLUMNS)

# See columns.absent.
ABSENT_CPU: Final = absent("cpu")
ABSENT_PID: Final = absent("pid")
ABSENT_TGID: Final = absent("tgid")
ABSENT_GFP_MASK: Final = absent("gfp_mask")
ABSENT_MIGRATETYPE: Final = absent("migratetype")
UNSEEN_GFP: Final = 0  # the note of a text of gfp flags is its mask plus one
UNKNOWN_GFP: Final = -1

_LOW: Final = (1 << 32) - 1
_KIND_ALLOC: Final = int(Kind.ALLOC)
_KIND_FREE: Final = int(Kind.FREE)
_KIND_DRAIN: Final = int(Kind.DRAIN)
_KIND_REFILL: Final = int(Kind.REFILL)


def literal(text: bytes) -> NDArray[np.uint8]:
    """Return *text* as the constant array that ``after_literal`` takes."""
    return np.frombuffer(text, np.uint8)


def _table(values: Mapping[int, int], other: int) -> NDArray[np.uint8]:
    """Return a number for each byte: a look-up takes as long whatever comes, a chain of comparisons of hex digits does not."""
    return np.array([values.get(byte, other) for byte in range(256)], np.uint8)


_NOT_HEX: Final = 16
_HEX_DIGITS: Final = _table({byte: value for value, byte in enumerate(b"0123456789abcdef")}, _NOT_HEX)
_WORDS: Final = (string.ascii_letters + string.digits + "_").encode()
_IN_NAMES: Final = _table(dict.fromkeys(_WORDS + b":.+/,-=", 1), 0)
"""1: may be in an event's name; ',', '-', '=' in those of perf's own events: cpu-clock, cpu/event=0x3c,umask=0/."""
_IN_PAGES: Final = _table(dict.fromkeys(_WORDS + b"()", 1), 0)
"""1: may be in the field page: a number or a hash, (null) or (____ptrval____)."""

_PAGE: Final = literal(b"page=")
_PFN: Final = literal(b" pfn=")
_ORDER: Final = literal(b" order=")
_MIGRATETYPE: Final = literal(b" migratetype=")
_GFP_FLAGS: Final = literal(b" gfp_flags=")
_PERCPU_REFILL: Final = literal(b" percpu_refill=")


# What is remembered of each CPU from line to line: int64, these by MAX_CPUS.
LAST_TS: Final = 0  # time of the last event read; -1 before the first
GAP_IS_DUE: Final = 1  # 1 between a report of loss and the next event
WAITING: Final = 2  # row of the last event, if it may get a stack yet
INTERRUPTED: Final = 3  # row of the event before it, if that still waits for its own
ENTRIES: Final = 4  # entries of its ring read, whatever they say
CPU_FIELDS: Final = 5


@inner
def skip_spaces(data: NDArray[np.uint8], pos: int, stop: int) -> int:
    """Return the first position from *pos* on that holds no space."""
    while pos < stop and at(data, pos) == 32:
        pos += 1
    return pos


@inner
def after_literal(data: NDArray[np.uint8], pos: int, stop: int, text: NDArray[np.uint8]) -> int:
    """Return the position behind *text* at *pos*; -1 when something else is there."""
    if pos < 0 or pos + text.size > stop:
        return -1
    for i in range(text.size):
        if at(data, pos + i) != text[i]:
            return -1
    return pos + text.size


@inner
def decimal(data: NDArray[np.uint8], pos: int, stop: int, most: int) -> tuple[int, int]:
    """Read 1 to *most* (at most 18) decimal digits: the value, and the position behind; position -1 if not so."""
    value = np.int64(0)
    first = pos
    while pos < stop and 48 <= at(data, pos) <= 57:
        if pos - first == most:
            return np.int64(0), np.int64(-1)
        value = value * 10 + (at(data, pos) - 48)
        pos += 1
    if pos == first:
        return np.int64(0), np.int64(-1)
    return value, np.int64(pos)


@inner
def number(data: NDArray[np.uint8], pos: int, stop: int) -> tuple[int, int]:
    """Read 0x and 1 to 15 hexadecimal digits, or 1 to 18 decimal ones without a zero before them, as ``decimal`` does."""
    if pos < 0:
        return np.int64(0), np.int64(-1)
    if pos + 1 >= stop or at(data, pos) != 48 or at(data, pos + 1) != 120:
        if pos + 1 < stop and at(data, pos) == 48 and 48 <= at(data, pos + 1) <= 57:
            return np.int64(0), np.int64(-1)
        return decimal(data, pos, stop, 18)
    value = np.int64(0)
    pos += 2
    first = pos
    while pos < stop:
        digit = at(_HEX_DIGITS, at(data, pos))
        if digit == _NOT_HEX:
            break
        if pos - first == 15:
            return np.int64(0), np.int64(-1)
        value = value * 16 + digit
        pos += 1
    if pos == first:
        return np.int64(0), np.int64(-1)
    return value, np.int64(pos)


@inner
def timestamp(data: NDArray[np.uint8], pos: int, stop: int) -> tuple[int, int]:
    """Read seconds, '.', and 6 or 9 digits: ns, and the position behind; -1 for the position if not so."""
    seconds, pos = decimal(data, pos, stop, 10)
    if pos < 0 or pos >= stop or at(data, pos) != 46 or seconds > 9_000_000_000:
        return np.int64(0), np.int64(-1)
    fraction, behind = decimal(data, pos + 1, stop, 9)
    if behind == pos + 7:
        return seconds * 1_000_000_000 + fraction * 1000, behind
    if behind == pos + 10:
        return seconds * 1_000_000_000 + fraction, behind
    return np.int64(0), np.int64(-1)


@inner
def address_stop(data: NDArray[np.uint8], pos: int, stop: int) -> int:
    """Return where the ':' behind ``ffffffff81000000>`` at *pos* is; -1 when something else is there."""
    first = pos
    while pos < stop and (48 <= at(data, pos) <= 57 or 97 <= at(data, pos) <= 102):
        pos += 1
    if pos == first or pos + 1 >= stop or at(data, pos) != 62 or at(data, pos + 1) != 58:
        return -1
    return pos + 1 if pos + 2 == stop or at(data, pos + 2) == 32 else -1


@inner
def name_stop(data: NDArray[np.uint8], pos: int, stop: int) -> int:
    """Return where the ':' behind an event's name is; -1 when no name begins at *pos*.

    A marker is named by the function that wrote it, by the options sym-offset and sym-addr as ``f+0x1/0x2 <ffffffff81000000>``.
    """
    first = pos
    while pos < stop:
        c = at(data, pos)
        if c == 58 and pos > first and (pos + 1 == stop or at(data, pos + 1) == 32):
            return pos
        if c == 32 and pos > first and pos + 1 < stop and at(data, pos + 1) == 60:
            return address_stop(data, pos + 2, stop)
        if at(_IN_NAMES, c) == 0:
            return -1
        pos += 1
    return -1


@inner
def event_name(
    data: NDArray[np.uint8], stop: int, state: NDArray[np.int64], slots: NDArray[np.int64], notes: NDArray[np.int64],
    arena: NDArray[np.uint8], fill: NDArray[np.int64],
) -> int:  # fmt: skip
    """Read the event's name, and go behind its colon; return why the line cannot be taken, or -1."""
    colon = name_stop(data, state[PAYLOAD], stop)
    if colon < 0:
        return ODD
    name = intern(slots, notes, arena, fill, data, state[PAYLOAD], colon)
    if name < 0:
        return GROW
    state[NAME] = name
    state[PAYLOAD] = colon + 1
    return NEW_NAME if notes[ACTION, name] == UNKNOWN else -1


@inner
def line_stop(data: NDArray[np.uint8], start: int, newline: int) -> int:
    """Return where the line from *start* to *newline* ends: before the carriage return of a text that passed through Windows."""
    if newline > start and at(data, newline - 1) == 13:
        return newline - 1
    return newline


@inner
def are_printed(data: NDArray[np.uint8], start: int, stop: int) -> bool:
    """Return whether data[start:stop] is not empty, and all of it is printed and no blank; without an early exit: it vectorises."""
    least, most = np.uint8(255), np.uint8(0)
    for i in range(start, stop):
        c = data[np.uint64(i)]
        least = c if c < least else least
        most = c if c > most else most
    return bool(start < stop and least >= 33 and most <= 126)


@inner
def is_page_of(data: NDArray[np.uint8], pos: int, stop: int, pfn: int, state: NDArray[np.int64]) -> bool:
    """Return whether the pointer data[pos:stop] may be that of page *pfn*: see ``page_pointers.PagePointers.related``."""
    if stop - pos > 2 and at(data, pos) == 48 and at(data, pos + 1) == 120:
        pos += 2
    if stop - pos > 16:
        return True
    low, high = np.int64(0), np.int64(0)  # 32 bits each: no sum overflows, with the JIT off too
    while pos < stop:
        c = at(data, pos)
        if 48 <= c <= 57:
            digit = c - 48
        elif 97 <= c <= 102:
            digit = c - 87
        else:
            return True  # hashed or not printed
        high = (high * 16 + (low >> 28)) & _LOW
        low = (low * 16 + digit) & _LOW
        pos += 1
    if high == 0 and state[PAGE_SIZE] > 1:
        return True  # hashed, or null: an allocation that failed
    base = state[PAGE_BASE]
    sum_low = pfn * state[PAGE_SIZE] + (base & _LOW)
    sum_high = (sum_low >> 32) + ((base >> 32) & _LOW)
    same = (sum_low & _LOW) == low and (sum_high & _LOW) == high
    return bool(same or (pfn == 0 and low == 0 and high == 0))


@inner
def note_quiet(notes: NDArray[np.int64], state: NDArray[np.int64]) -> None:
    """Count the event in the state as one that says nothing new."""
    name = state[NAME]
    if notes[QUIET, name] == 0:
        notes[QUIET_FIRST, name] = state[LINE]
    notes[QUIET, name] += 1


@inner
def page_fields(data: NDArray[np.uint8], action: int, state: NDArray[np.int64]) -> bool:
    """Read what follows the name of an alloc, free, drain or refill into the state; False when it has another form.

    Source: include/trace/events/kmem.h (Linux 6.1), mm_page_alloc, mm_page_free, mm_page_pcpu_drain, mm_page_alloc_zone_locked.
    """
    stop = state[STOP]
    pos = after_literal(data, skip_spaces(data, state[PAYLOAD], stop), stop, _PAGE)  # trace-cmd pads the name
    if pos < 0:
        return False
    first = pos
    while pos < stop and at(data, pos) != 32:
        if at(_IN_PAGES, at(data, pos)) == 0:
            return False
        pos += 1
    if pos == first:
        return False
    page_stop = pos
    pfn, pos = number(data, after_literal(data, pos, stop, _PFN), stop)
    if pos < 0 or pfn >= PFN_LIMIT or (state[PAGE_SIZE] != 0 and not is_page_of(data, first, page_stop, pfn, state)):
        return False
    order, pos = number(data, after_literal(data, pos, stop, _ORDER), stop)
    if pos < 0 or order > 63:
        return False
    migratetype = np.int64(0)
    if action != FREE:
        migratetype, pos = number(data, after_literal(data, pos, stop, _MIGRATETYPE), stop)
        if pos < 0 or migratetype > 127:
            return False
    if action == REFILL:
        pos = after_literal(data, pos, stop, _PERCPU_REFILL)
        if pos < 0:
            return False
        state[TO_PCP], pos = number(data, pos, stop)
        if pos < 0 or state[TO_PCP] > 1:
            return False
    if action == ALLOC:
        pos = after_literal(data, pos, stop, _GFP_FLAGS)
        if pos < 0:
            return False
        state[GFP_START] = pos
        if not are_printed(data, pos, stop):
            return False
        pos = stop
    state[PFN], state[ORDER], state[MIGRATETYPE] = pfn, order, migratetype
    return bool(pos == stop)


@inner
def page_event(
    data: NDArray[np.uint8],
    action: int,
    state: NDArray[np.int64],
    slots: NDArray[np.int64],
    notes: NDArray[np.int64],
    arena: NDArray[np.uint8],
    fill: NDArray[np.int64],
    rows: NDArray[np.int64],
) -> int:
    """Make the row of the alloc, free, drain or refill whose fields are in the state.

    Returns NEED_DATA when there is a row, NO_ROW_MADE when there is none because the allocation failed, or as a block off the
    free lists goes straight to an allocation, which has an event of its own, REPEAT when there is one already; otherwise nothing
    has happened, and Python must do something first.
    """
    kind, gfp_mask, migratetype = _KIND_FREE, np.int64(ABSENT_GFP_MASK), np.int64(ABSENT_MIGRATETYPE)
    if action == DRAIN:
        kind, migratetype = _KIND_DRAIN, state[MIGRATETYPE]
    elif action == REFILL:
        kind, migratetype = _KIND_REFILL, state[MIGRATETYPE]
        if state[TO_PCP] == 0:
            note_quiet(notes, state)
            return NO_ROW_MADE
    elif action == ALLOC:
        kind, migratetype = _KIND_ALLOC, state[MIGRATETYPE]
        if state[PFN] == 0:
            note_quiet(notes, state)
            return NO_ROW_MADE
        gfp = intern(slots, notes, arena, fill, data, state[GFP_START], state[STOP])
        if gfp < 0:
            return GROW
        if notes[MASK, gfp] == UNSEEN_GFP:
            state[GFP] = gfp
            return NEW_GFP
        if notes[MASK, gfp] == UNKNOWN_GFP:
            return EVENT
        gfp_mask = notes[MASK, gfp] - 1
    comm = intern(slots, notes, arena, fill, data, state[COMM_START], state[COMM_STOP])
    if comm < 0:
        return GROW
    row = state[ROWS]
    rows[R_TS, row] = state[TS]
    rows[R_KIND, row] = kind
    rows[R_CPU, row] = state[CPU]
    rows[R_PID, row] = state[PID]
    rows[R_TGID, row] = state[TGID]
    rows[R_COMM, row] = comm
    rows[R_PFN, row] = state[PFN]
    rows[R_ORDER, row] = state[ORDER]
    rows[R_GFP_MASK, row] = gfp_mask
    rows[R_MIGRATETYPE, row] = migratetype
    rows[R_STACK, row] = state[STACK]
    if row > 0 and rows[R_TS, row - 1] == state[TS] and repeated(rows, row) >= 0:
        return REPEAT
    state[ROWS] = row + 1
    return NEED_DATA
