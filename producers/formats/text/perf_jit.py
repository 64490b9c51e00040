"""The jit function of the perf script parser: bytes of the text to rows, each event together with its call chain.

Source: tools/perf/builtin-script.c (Linux 6.1), perf_sample__fprintf_start; tools/perf/util/evsel_fprintf.c,
sample__fprintf_callchain.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from pagetrail.producers.formats.interning_jit import ACTION, at, intern
from pagetrail.producers.formats.text.lines_jit import (
    count_stack_lines,
    gap_is_due,
    has_head,
    has_nul,
    note_event,
)
from pagetrail.producers.formats.text.text_jit import (
    ABSENT_CPU,
    ABSENT_PID,
    ABSENT_TGID,
    COMM_START,
    COMM_STOP,
    CPU,
    EMPTY_FIRST,
    EMPTY_LINES,
    EVENT,
    FIRST_LINE,
    FULL,
    GAP_DUE,
    GROW,
    HAS_NUL,
    IGNORE,
    LINE,
    LINES,
    MAX_COMM,
    MAX_LINE,
    MAX_STACK,
    NAME,
    NEED_DATA,
    NEW_NAME,
    NEXT,
    ODD,
    PAYLOAD,
    PID,
    POS,
    RARE,
    ROWS,
    STACK,
    STOP,
    TGID,
    TS,
    UNKNOWN,
    decimal,
    name_stop,
    page_event,
    page_fields,
    skip_spaces,
    timestamp,
)
from pagetrail.schemas.jit import inner, jit

LONG_FRAME: Final = 128
"""Bytes of a frame. A longer one is looked at: the next line may have been joined to it."""


@inner
def token_start(data: NDArray[np.uint8], start: int, stop: int) -> int:
    """Return where the text without spaces that ends at *stop* begins."""
    while stop > start and at(data, stop - 1) != 32:
        stop -= 1
    return stop


@inner
def skip_spaces_back(data: NDArray[np.uint8], start: int, stop: int) -> int:
    """Return the end of what is before the spaces that end at *stop*."""
    while stop > start and at(data, stop - 1) == 32:
        stop -= 1
    return stop


@inner
def thread_id(data: NDArray[np.uint8], pos: int, stop: int, absent: int) -> tuple[int, int]:
    """Read a decimal id, or the -1 that perf prints for a thread that is gone: *absent*; and the position behind."""
    if pos + 1 < stop and at(data, pos) == 45 and at(data, pos + 1) == 49:
        return absent, pos + 2
    return decimal(data, pos, stop, 9)


@inner
def head_before(data: NDArray[np.uint8], start: int, colon: int, state: NDArray[np.int64]) -> bool:
    """Read ``comm [pid/]tid [[cpu]] time`` from *start* to *colon* into the state; False when it is something else."""
    first = token_start(data, start, colon)
    ts, behind = timestamp(data, first, colon)
    if behind != colon or first == start:
        return False
    last = skip_spaces_back(data, start, first)
    first = token_start(data, start, last)
    cpu = ABSENT_CPU
    if first < last and at(data, first) == 91:
        cpu, behind = decimal(data, first + 1, last, 5)
        if behind != last - 1 or at(data, behind) != 93:
            return False
        last = skip_spaces_back(data, start, first)
        first = token_start(data, start, last)
    tgid = ABSENT_TGID
    pid, behind = thread_id(data, first, last, ABSENT_PID)
    if behind > 0 and behind < last and at(data, behind) == 47:
        tgid = pid
        pid, behind = thread_id(data, behind + 1, last, ABSENT_PID)
    if behind != last or first == start:
        return False
    state[TS], state[CPU], state[PID], state[TGID] = ts, cpu, pid, tgid
    state[COMM_START] = skip_spaces(data, start, first)
    state[COMM_STOP] = max(state[COMM_START], skip_spaces_back(data, start, first))
    return True


@inner
def read_head(data: NDArray[np.uint8], start: int, stop: int, state: NDArray[np.int64]) -> bool:
    """Read the head of a sample's line into the state: it ends at the first ``: `` that makes sense."""
    for colon in range(start + 1, stop - 1):
        if at(data, colon) == 58 and at(data, colon + 1) == 32 and head_before(data, start, colon, state):
            state[PAYLOAD] = skip_spaces(data, colon + 1, stop)
            return True
    return False


@inner
def is_kernel_frame(data: NDArray[np.uint8], start: int, stop: int) -> bool:
    """Return whether the frame's address has 16 digits and the top bit."""
    first = start + 1
    while first < stop and at(data, first) == 32:
        first += 1
    pos = first
    while pos < stop and (48 <= at(data, pos) <= 57 or 97 <= at(data, pos) <= 102):
        pos += 1
    return pos - first == 16 and pos < stop and at(data, pos) == 32 and at(data, first) >= 56


@inner
def chain(
    data: NDArray[np.uint8], newlines: NDArray[np.int64], line: int, size: int, final: bool, state: NDArray[np.int64]
) -> int:
    """Find the call chain behind the line in the state: the end of its kernel frames; -1 when more data is needed."""
    pos = state[NEXT]
    kernel_stop = pos
    in_kernel = True
    while True:
        if pos >= size:
            if not final:
                return -1
            break
        if at(data, pos) != 9:
            break
        if line >= newlines.size:
            if size - state[NEXT] > MAX_STACK:
                break
            return -1
        stop = newlines[line]
        if stop - state[STOP] > MAX_STACK or (stop - pos > LONG_FRAME and has_head(data, pos, stop)):
            break
        in_kernel = in_kernel and is_kernel_frame(data, pos, stop)
        pos = stop + 1
        if in_kernel:
            kernel_stop = pos
        line += 1
        state[LINES] += 1
    state[NEXT] = pos
    return int(kernel_stop)


@jit
def scan_perf(
    data: NDArray[np.uint8],
    newlines: NDArray[np.int64],
    size: int,
    final: bool,
    cut: bool,
    state: NDArray[np.int64],
    slots: NDArray[np.int64],
    notes: NDArray[np.int64],
    arena: NDArray[np.uint8],
    fill: NDArray[np.int64],
    cpus: NDArray[np.int64],
    rows: NDArray[np.int64],
) -> int:
    """Read lines from ``state[POS]`` on until Python is needed; return why. See ``scan_ftrace``."""
    while True:
        line = state[LINE] - state[FIRST_LINE]
        if line >= newlines.size:
            return NEED_DATA
        if state[ROWS] + 2 > rows.shape[1]:
            return FULL
        start, stop = state[POS], newlines[line]
        state[STOP] = stop
        state[NEXT] = stop + 1
        state[LINES] = 1
        state[STACK] = -1
        if start == stop:  # the empty line that ends a chain
            if state[EMPTY_LINES] == 0:
                state[EMPTY_FIRST] = state[LINE]
            state[EMPTY_LINES] += 1
            state[POS] = state[NEXT]
            state[LINE] += 1
            continue
        if stop - start > MAX_LINE or at(data, start) == 9 or at(data, start) == 35:
            return ODD
        if not read_head(data, start, stop, state) or state[CPU] >= cpus.shape[1]:
            return ODD
        if state[COMM_STOP] - state[COMM_START] > MAX_COMM or (state[HAS_NUL] != 0 and has_nul(data, start, stop)):
            return ODD
        colon = name_stop(data, state[PAYLOAD], stop)
        if colon < 0:
            return ODD
        name = intern(slots, notes, arena, fill, data, state[PAYLOAD], colon)
        if name < 0:
            return GROW
        state[NAME] = name
        state[PAYLOAD] = colon + 1
        action = notes[ACTION, name]
        if action == UNKNOWN:
            return NEW_NAME
        chain_start = state[NEXT]
        chain_stop = chain(data, newlines, line + 1, size, final, state)
        if chain_stop < 0:
            return NEED_DATA
        cut_here = final and cut and state[NEXT] >= size
        if action != IGNORE and chain_stop > chain_start and not cut_here:
            state[STACK] = intern(slots, notes, arena, fill, data, chain_start, chain_stop)
            if state[STACK] < 0:
                return GROW
        if action == RARE:
            return EVENT
        if has_head(data, colon, stop) if action == IGNORE else not page_fields(data, action, state):
            return EVENT
        if gap_is_due(cpus, state):
            return GAP_DUE
        if action != IGNORE:
            reason = page_event(data, action, state, slots, notes, arena, fill, rows)
            if reason > 0:
                return reason
        note_event(cpus, state, notes)
        count_stack_lines(state, state[LINE] + 1, state[LINES] - 1)
        state[POS] = state[NEXT]
        state[LINE] += state[LINES]
