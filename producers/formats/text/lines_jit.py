"""Jit functions for what the scanners remember of lines: what was counted, which CPU was heard of, what was damaged."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from pagetrail.producers.formats.interning_jit import COUNT, FIRST, at
from pagetrail.producers.formats.rows import NO_ROW, R_TS
from pagetrail.producers.formats.text.text_jit import (
    CPU,
    ENTRIES,
    GAP_IS_DUE,
    HEARD,
    INTERRUPTED,
    LAST_TS,
    LINE,
    NAME,
    ORDER_STATE,
    REPEATS,
    REPEATS_FIRST,
    STACK_FIRST,
    STACK_LINES,
    TS,
    WAITING,
)
from pagetrail.producers.gaps import DISORDER, LATEST, SOMEWHERE
from pagetrail.schemas.jit import inner, jit

_STEP: Final = 64
"""Bytes that are compared at once: most lines are longer. LLVM makes vectors of 64, not of 32 (measured: 30 ns a line, and 87)."""


@inner
def has_newline(data: NDArray[np.uint8], start: int) -> bool:
    """Return whether there is a newline in the next ``_STEP`` bytes; without an early exit, so that it vectorises."""
    part = data[start : start + _STEP]
    least = np.uint8(255)
    for k in range(_STEP):
        difference = np.uint8(part[np.uint64(k)] ^ np.uint8(10))
        least = difference if difference < least else least
    return bool(least == 0)


@inner
def note_newlines(data: NDArray[np.uint8], start: int, stop: int, found: NDArray[np.int64], count: int) -> int:
    """Write the positions of the newlines in data[start:stop] to *found* behind *count* others; return how many it then holds."""
    for i in range(start, stop):
        if data[np.uint64(i)] == 10:
            found[count] = i
            count += 1
    return count


# n = bytes
@jit
def find_newlines(data: NDArray[np.uint8], size: int, found: NDArray[np.int64]) -> int:
    """Write the positions of the newlines in data[:size] to *found* (n,); return how many there are."""
    count = 0
    start = 0
    while start + _STEP <= size:
        if has_newline(data, start):
            count = note_newlines(data, start, start + _STEP, found, count)
        start += _STEP
    return note_newlines(data, start, size, found, count)


@jit
def wait_for_stack(cpus: NDArray[np.int64], cpu: int, row: int) -> None:
    """Remember *row* (or NO_ROW) as the last event of *cpu*."""
    cpus[INTERRUPTED, cpu] = cpus[WAITING, cpu]
    cpus[WAITING, cpu] = row


@jit
def take_repeat(cpus: NDArray[np.int64], rows: NDArray[np.int64], late_stacks: bool, state: NDArray[np.int64]) -> None:
    """Count the event in the state as the repeat of another; a late stack is dropped, unless that one still waits for its own."""
    cpu = state[CPU]
    if late_stacks and (cpus[WAITING, cpu] < 0 or rows[R_TS, cpus[WAITING, cpu]] != state[TS]):
        wait_for_stack(cpus, cpu, NO_ROW)
    if state[REPEATS] == 0:
        state[REPEATS_FIRST] = state[LINE]
    state[REPEATS] += 1


@inner
def has_nul(data: NDArray[np.uint8], pos: int, stop: int) -> bool:
    """Return whether a byte of data[pos:stop] is 0."""
    for i in range(pos, stop):  # noqa: SIM110 - jit functions have no generators
        if at(data, i) == 0:
            return True
    return False


@inner
def is_cpu(data: NDArray[np.uint8], pos: int, last: int) -> bool:
    """Return whether ``[cpu]`` ends at *last*, in data[pos:]."""
    if at(data, last) != 93:
        return False
    digit = last - 1
    while digit > pos and last - digit <= 5 and 48 <= at(data, digit) <= 57:
        digit -= 1
    return bool(digit < last - 1 and at(data, digit) == 91)


@inner
def has_cpu_before(data: NDArray[np.uint8], pos: int, last: int) -> bool:
    """Return whether ``[cpu] [flags]`` and blanks up to *last*, which is one, are in data[pos:]."""
    while last > pos and at(data, last) == 32:
        last -= 1
    if is_cpu(data, pos, last):
        return True
    while last > pos and at(data, last) != 32:
        last -= 1
    if last == pos or 48 <= at(data, last + 1) <= 57:  # flags never begin with a digit
        return False
    while last > pos and at(data, last) == 32:
        last -= 1
    return is_cpu(data, pos, last)


@inner
def has_head(data: NDArray[np.uint8], pos: int, stop: int) -> bool:
    """Return whether the time of another event's head, its ': ' included, is in data[pos:stop]: two lines were joined."""
    for i in range(pos + 8, stop - 1):
        if at(data, i) != 58 or at(data, i + 1) != 32:
            continue
        first = i - 1
        while first >= pos and i - first <= 18 and 48 <= at(data, first) <= 57:
            first -= 1
        digits = i - 1 - first
        if first > pos and at(data, first) == 46 and (digits == 6 or digits == 9) and 48 <= at(data, first - 1) <= 57:
            return True
        if digits > 0 and first > pos and at(data, first) == 32 and has_cpu_before(data, pos, first):
            return True  # a clock that counts
    return False


@inner
def may_hide_event(data: NDArray[np.uint8], colon: int, stop: int) -> bool:
    """Return whether a line of another event may be one of pages: its name is cut (``kmem:``), or an event was joined to it."""
    return bool(colon + 1 == stop or has_head(data, colon, stop))


@inner
def count_stack_lines(state: NDArray[np.int64], first: int, lines: int) -> None:
    """Count *lines* lines of a stack, the first of which is number *first*."""
    if lines > 0 and state[STACK_LINES] == 0:
        state[STACK_FIRST] = first
    state[STACK_LINES] += lines


@inner
def gap_is_due(cpus: NDArray[np.int64], state: NDArray[np.int64]) -> bool:
    """Return whether the event in the state may end a gap."""
    cpu = state[CPU]
    if state[HEARD] == state[LINE]:
        return False
    return bool(state[ORDER_STATE + SOMEWHERE] != 0 or (cpu >= 0 and cpus[GAP_IS_DUE, cpu] != 0))


@inner
def note_event(cpus: NDArray[np.int64], state: NDArray[np.int64], notes: NDArray[np.int64]) -> None:
    """Count the event in the state, and note that its CPU was heard of."""
    name, ts = state[NAME], state[TS]
    if notes[COUNT, name] == 0:
        notes[FIRST, name] = state[LINE]
    notes[COUNT, name] += 1
    note_time(cpus, state, ts)


@inner
def note_time(cpus: NDArray[np.int64], state: NDArray[np.int64], ts: int) -> None:
    """Note that the CPU in the state was heard of at *ts*; see ``gaps.Gaps.heard``."""
    cpu = state[CPU]
    if cpu >= 0:
        cpus[LAST_TS, cpu] = ts
        cpus[ENTRIES, cpu] += 1
    latest = state[ORDER_STATE + LATEST]
    if ts >= latest:
        state[ORDER_STATE + LATEST] = ts
    elif latest - ts > state[ORDER_STATE + DISORDER]:
        state[ORDER_STATE + DISORDER] = latest - ts
