"""The jit function of the ftrace text parser: bytes of the trace file to rows.

Source: kernel/trace/trace_output.c (Linux 6.1), trace_print_context and trace_stack_print.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from pagetrail.producers.formats.interning_jit import ACTION, at, intern
from pagetrail.producers.formats.rows import CAPACITY, HOLD, NO_ROW, NONE, R_PID, R_STACK
from pagetrail.producers.formats.text.lines_jit import (
    count_stack_lines,
    gap_is_due,
    has_head,
    has_nul,
    may_hide_event,
    note_event,
    note_time,
    take_repeat,
    wait_for_stack,
)
from pagetrail.producers.formats.text.probes_jit import is_probe, probe_event, probe_fields
from pagetrail.producers.formats.text.text_jit import (
    ABSENT_PID,
    ABSENT_TGID,
    COMM_START,
    COMM_STOP,
    CPU,
    EVENT,
    FIRST_LINE,
    FULL,
    GAP_DUE,
    GROW,
    HAS_NUL,
    IGNORE,
    INTERRUPTED,
    KERNEL_STACK,
    LINE,
    LINES,
    MAX_COMM,
    MAX_LINE,
    MAX_STACK,
    NAME,
    NEED_DATA,
    NEXT,
    ODD,
    PAYLOAD,
    PID,
    POS,
    RARE,
    REPEAT,
    ROWS,
    STACK,
    STACKS,
    STOP,
    TGID,
    TICKS,
    TS,
    UNKNOWN,
    USER_STACK,
    WAITING,
    after_literal,
    decimal,
    event_name,
    line_stop,
    literal,
    page_event,
    page_fields,
    skip_spaces,
    timestamp,
)
from pagetrail.schemas.jit import inner, jit

COMM_WIDTH: Final = 16  # trace_print_context: "%16s-%-7d "

_STACK_TRACE: Final = literal(b"<stack trace>")
_USER_STACK_TRACE: Final = literal(b"<user stack trace>")

LONG_FRAME: Final = 64
"""Bytes of a frame. A longer one is looked at: the next line may have been joined to it."""


@inner
def head_at(data: NDArray[np.uint8], dash: int, stop: int, state: NDArray[np.int64]) -> bool:
    """Read ``-pid [(tgid)] [cpu] [flags] time: `` from *dash* on into the state; False when it is something else."""
    pid, pos = decimal(data, dash + 1, stop, 9)
    if pos < 0 and dash + 1 < stop and at(data, dash + 1) == 63:
        pid, pos = np.int64(ABSENT_PID), np.int64(dash + 2)  # '?': as forms.py writes a head that has no pid
    if pos < 0 or pos >= stop or at(data, pos) != 32:
        return False
    pos = skip_spaces(data, pos, stop)
    tgid = np.int64(ABSENT_TGID)
    if pos < stop and at(data, pos) == 40:
        pos = skip_spaces(data, pos + 1, stop)
        if pos < stop and at(data, pos) == 45:
            while pos < stop and at(data, pos) == 45:
                pos += 1
        else:
            tgid, pos = decimal(data, pos, stop, 9)
            if pos < 0:
                return False
        if pos >= stop or at(data, pos) != 41:
            return False
        pos = skip_spaces(data, pos + 1, stop)
    if pos >= stop or at(data, pos) != 91:
        return False
    cpu, pos = decimal(data, pos + 1, stop, 5)
    if pos < 0 or pos + 1 >= stop or at(data, pos) != 93 or at(data, pos + 1) != 32:
        return False
    pos = skip_spaces(data, pos + 1, stop)
    if pos < stop and not 48 <= at(data, pos) <= 57:  # the flags of the irq-info option never begin with a digit
        while pos < stop and 33 <= at(data, pos) <= 126:
            pos += 1
        pos = skip_spaces(data, pos, stop)
    if state[TICKS] != 0:
        ts, pos = decimal(data, pos, stop, 18)
    else:
        ts, pos = timestamp(data, pos, stop)
    if pos < 0 or pos + 1 >= stop or at(data, pos) != 58 or at(data, pos + 1) != 32:
        return False
    state[TS], state[CPU], state[PID], state[TGID] = ts, cpu, pid, tgid
    state[PAYLOAD] = skip_spaces(data, pos + 1, stop)
    return True


@inner
def read_head(data: NDArray[np.uint8], start: int, stop: int, state: NDArray[np.int64]) -> bool:
    """Read the head of an event line into the state; False when the line has none."""
    dash = start + COMM_WIDTH
    if not (dash < stop and at(data, dash) == 45 and head_at(data, dash, stop, state)):
        # Not as the kernel aligns it. A name may hold dashes: the first dash that a head follows.
        dash = start
        while dash < stop and not (at(data, dash) == 45 and head_at(data, dash, stop, state)):
            dash += 1
        if dash == stop:
            return False
    state[COMM_START] = skip_spaces(data, start, dash)
    state[COMM_STOP] = dash
    return bool(dash - state[COMM_START] <= MAX_COMM)


@inner
def frames_stop(
    data: NDArray[np.uint8], newlines: NDArray[np.int64], line: int, start: int, size: int
) -> tuple[int, int, bool]:
    """Find the end of the lines `` => function`` from *start*, line *line* of the buffer, on.

    Returns the end, how many they are, and whether a line that is none follows.
    """
    pos = start
    lines = 0
    while pos < size:
        mark = pos
        while mark < size and (at(data, mark) == 32 or at(data, mark) == 9):
            mark += 1
        if mark + 1 >= size:
            break
        if at(data, mark) != 61 or at(data, mark + 1) != 62:
            return pos, lines, True
        if line + lines == newlines.size:
            return pos, lines, size - start > MAX_STACK
        newline = newlines[line + lines]
        stop = line_stop(data, pos, newline)
        if newline + 1 - start > MAX_STACK or (stop - pos > LONG_FRAME and has_head(data, pos, stop)):
            return pos, lines, True
        pos = newline + 1
        lines += 1
    return pos, lines, False


@inner
def stack_entry(
    data: NDArray[np.uint8],
    newlines: NDArray[np.int64],
    line: int,
    size: int,
    final: bool,
    cut: bool,
    user: bool,
    state: NDArray[np.int64],
    slots: NDArray[np.int64],
    notes: NDArray[np.int64],
    arena: NDArray[np.uint8],
    fill: NDArray[np.int64],
    cpus: NDArray[np.int64],
    rows: NDArray[np.int64],
) -> int:
    """Read the stack whose first line is in the state, and give it, unless *user*, to the event of its CPU that waits for one."""
    cpu = state[CPU]
    block_stop, lines, whole = frames_stop(data, newlines, line + 1, state[NEXT], size)
    if not whole and not final:
        return NEED_DATA
    if gap_is_due(cpus, state):
        return GAP_DUE
    row = cpus[WAITING, cpu]
    if not user:
        fits = row >= 0 and state[ROWS] - row <= HOLD and rows[R_PID, row] == state[PID]
        if fits and lines > 0 and (whole or not cut):
            stack = intern(slots, notes, arena, fill, data, state[NEXT], block_stop)
            if stack < 0:
                return GROW
            rows[R_STACK, row] = stack
        # Where an interrupt came between an event and its stack, the interrupt's event has taken its own by now.
        cpus[WAITING, cpu] = cpus[INTERRUPTED, cpu]
        cpus[INTERRUPTED, cpu] = NONE
    note_time(cpus, state, state[TS])
    state[NEXT] = block_stop
    state[LINES] = 1 + lines
    count_stack_lines(state, state[LINE], 1 + lines)
    state[STACKS] += 1
    return -1


@jit
def scan_ftrace(
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
    side: NDArray[np.int64],
) -> int:
    """Read lines from ``state[POS]`` on until Python is needed; return why.

    *newlines* are the positions of all newlines in data[:size]. *final*: nothing follows the buffer, except, if *cut*,
    the beginning of another line of the last stack. A line that Python is asked about has not been counted yet, and has
    changed nothing.
    """
    while True:
        line = state[LINE] - state[FIRST_LINE]
        if line >= newlines.size:
            return NEED_DATA
        if state[ROWS] + 2 > CAPACITY:  # an event that ends a gap needs two
            return FULL
        start, newline = state[POS], newlines[line]
        stop = line_stop(data, start, newline)
        state[STOP] = stop
        state[NEXT] = newline + 1
        state[LINES] = 1
        state[STACK] = -1
        if stop - start > MAX_LINE or at(data, start) == 35 or not read_head(data, start, stop, state):
            return ODD
        cpu = state[CPU]
        if cpu >= cpus.shape[1] or state[PAYLOAD] >= stop or (state[HAS_NUL] != 0 and has_nul(data, start, stop)):
            return ODD
        action: int = UNKNOWN
        if at(data, state[PAYLOAD]) == 60:
            if after_literal(data, state[PAYLOAD], stop, _USER_STACK_TRACE) == stop:
                action = USER_STACK
            elif after_literal(data, state[PAYLOAD], stop, _STACK_TRACE) == stop:
                action = KERNEL_STACK
            else:
                return ODD
        else:
            reason = event_name(data, stop, state, slots, notes, arena, fill)
            if reason >= 0:
                return reason
            action = notes[ACTION, state[NAME]]
            if action in (KERNEL_STACK, USER_STACK) and has_head(data, state[PAYLOAD] - 1, stop):
                return EVENT
        if action in (KERNEL_STACK, USER_STACK):
            user = action == USER_STACK
            reason = stack_entry(
                data, newlines, line, size, final, cut, user, state, slots, notes, arena, fill, cpus, rows
            )
            if reason >= 0:
                return reason
            state[POS] = state[NEXT]
            state[LINE] += state[LINES]
            continue
        if action == RARE:
            return EVENT
        row = NO_ROW
        if action == IGNORE:
            read = not may_hide_event(data, state[PAYLOAD] - 1, stop)
        else:
            read = probe_fields(data, action, state) if is_probe(action) else page_fields(data, action, state)
        if not read:
            return EVENT
        if gap_is_due(cpus, state):
            return GAP_DUE
        if action != IGNORE:
            if is_probe(action):
                reason = probe_event(data, action, state, slots, notes, arena, fill, rows, side)
            else:
                reason = page_event(data, action, state, slots, notes, arena, fill, rows)
            if reason > 0:
                return reason
            if reason == REPEAT:
                take_repeat(cpus, rows, True, state)
                state[POS] = state[NEXT]
                state[LINE] += 1
                continue
            if reason == NEED_DATA:
                row = state[ROWS] - 1
        wait_for_stack(cpus, cpu, row)
        note_event(cpus, state, notes)
        state[POS] = state[NEXT]
        state[LINE] += 1
