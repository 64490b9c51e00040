"""The jit function of the perf script parser: bytes of the text to rows, each event together with its call chain.

Source: tools/perf/builtin-script.c (Linux 6.1), perf_sample__fprintf_start; tools/perf/util/evsel_fprintf.c,
sample__fprintf_callchain.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from pagetrail.producers.formats.interning_jit import ACTION, at, intern
from pagetrail.producers.formats.rows import CAPACITY
from pagetrail.producers.formats.text.lines_jit import (
    count_stack_lines,
    gap_is_due,
    has_head,
    has_nul,
    may_hide_event,
    note_event,
    take_repeat,
)
from pagetrail.producers.formats.text.probes_jit import is_probe, probe_event, probe_fields
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
    NEXT,
    ODD,
    PAYLOAD,
    PID,
    POS,
    RARE,
    REPEAT,
    ROWS,
    STACK,
    STOP,
    TGID,
    TS,
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

_MODULE_FILE: Final = literal(b".ko")
_KERNEL_FILE: Final = literal(b"/vmlinux")
_INLINED: Final = literal(b"inlined)")
# tools/perf/util/map.c and dso.c (Linux 6.1): what is in brackets and belongs to a process, and is no module
_VDSO: Final = literal(b"[vdso")
_VSYSCALL: Final = literal(b"[vsyscall]")
_VECTORS: Final = literal(b"[vectors]")
_SIGPAGE: Final = literal(b"[sigpage]")
_HEAP: Final = literal(b"[heap]")
_STACK: Final = literal(b"[stack")
_UPROBES: Final = literal(b"[uprobes]")
_ANON: Final = literal(b"[anon")
_UNKNOWN_DSO: Final = literal(b"[unknown]")

LONG_FRAME: Final = 80
"""Bytes of a frame. A longer one is looked at: the next line may have been joined to it."""
LEAST_DIGITS: Final = 5
"""Fewer are no address: a function may be called ``add``."""

# Whose a frame is.
_USERS: Final = 0
_KERNELS: Final = 1
_INLINE: Final = 2  # the same as that of the frame before it


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
    if behind != last:
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
def after_period(data: NDArray[np.uint8], pos: int, stop: int) -> int:
    """Return where the event's name begins: behind the period that -F +period puts before it."""
    first = pos
    while pos < stop and 48 <= at(data, pos) <= 57:
        pos += 1
    if pos in (first, stop) or at(data, pos) != 32:
        return first
    return skip_spaces(data, pos, stop)


@inner
def dso_start(data: NDArray[np.uint8], start: int, stop: int) -> int:
    """Return where the text in the parentheses that end the frame begins; -1 where none do."""
    if stop - start < 3 or at(data, stop - 1) != 41:
        return -1
    pos = stop - 1
    while pos > start:
        if at(data, pos) == 40 and at(data, pos - 1) == 32:
            return pos + 1
        pos -= 1
    return -1


@inner
def is_users_dso(data: NDArray[np.uint8], pos: int, stop: int) -> bool:
    """Return whether the name in brackets at *pos* is that of a part of a process."""
    return (
        after_literal(data, pos, stop, _UNKNOWN_DSO) > 0
        or after_literal(data, pos, stop, _VDSO) > 0
        or after_literal(data, pos, stop, _VSYSCALL) > 0
        or after_literal(data, pos, stop, _HEAP) > 0
        or after_literal(data, pos, stop, _STACK) > 0
        or after_literal(data, pos, stop, _ANON) > 0
        or after_literal(data, pos, stop, _UPROBES) > 0
        or after_literal(data, pos, stop, _VECTORS) > 0
        or after_literal(data, pos, stop, _SIGPAGE) > 0
    )


@inner
def owner_of_dso(data: NDArray[np.uint8], pos: int, stop: int) -> int:
    """Return whose the frame is whose dso begins at *pos*."""
    if after_literal(data, pos, stop, _INLINED) == stop:
        return _INLINE
    if at(data, pos) == 91:
        return _USERS if is_users_dso(data, pos, stop) else _KERNELS
    for k in range(pos, stop):
        if after_literal(data, k, stop, _MODULE_FILE) > 0 or after_literal(data, k, stop, _KERNEL_FILE) > 0:
            return _KERNELS
    return _USERS


@inner
def owner_of_frame(data: NDArray[np.uint8], start: int, stop: int) -> int:
    """Return whose the frame is: by the top bit of an address of 16 digits, else by its dso, else by what address there is."""
    first = start + 1
    while first < stop and at(data, first) == 32:
        first += 1
    pos = first
    while pos < stop and (48 <= at(data, pos) <= 57 or 97 <= at(data, pos) <= 102):
        pos += 1
    digits = pos - first
    if digits < LEAST_DIGITS or (pos < stop and at(data, pos) != 32):
        digits = 0
    if digits == 16 and at(data, first) >= 56:
        return _KERNELS
    dso = dso_start(data, pos, stop)
    if dso > 0:
        return owner_of_dso(data, dso, stop)
    # A name alone does not tell; of 32-bit addresses, the kernel has the upper half.
    return _KERNELS if digits == 0 or (digits == 8 and at(data, first) >= 56) else _USERS


@inner
def is_source_line(data: NDArray[np.uint8], start: int, stop: int) -> bool:
    """Return whether the line is what ``-F +srcline`` puts behind a frame: two spaces, and ``file:line``.

    Source: tools/perf/util/evsel_fprintf.c, sample__fprintf_callchain (Linux 6.1).
    """
    if stop - start < 3 or at(data, start) != 32 or at(data, start + 1) != 32:
        return False
    pos = start + 2
    while pos < stop and at(data, pos) != 32:
        pos += 1
    # no sample's head is so short; "(inlined)" or "(discriminator 1)" may follow
    return pos > start + 2 and (pos == stop or (pos + 1 < stop and at(data, pos + 1) == 40))


@inner
def chain(
    data: NDArray[np.uint8], newlines: NDArray[np.int64], line: int, size: int, final: bool, state: NDArray[np.int64]
) -> int:
    """Find the call chain behind the line in the state: the end of its kernel frames; -1 when more data is needed.

    Where no frame is known to be the kernel's, that is the end of the chain.
    """
    pos = state[NEXT]
    kernel_stop = pos
    in_kernel = True
    while True:
        if pos >= size:
            if not final:
                return -1
            break
        source = False
        if at(data, pos) != 9:
            if state[LINES] == 1 or at(data, pos) != 32:
                break
            source = True
        if line >= newlines.size:
            if size - state[NEXT] > MAX_STACK:
                break
            return -1
        newline = newlines[line]
        stop = line_stop(data, pos, newline)
        if stop - pos > LONG_FRAME and has_head(data, pos, stop):
            break
        if newline - state[STOP] > MAX_STACK or (source and not is_source_line(data, pos, stop)):
            break
        if in_kernel and not source:
            in_kernel = owner_of_frame(data, pos, stop) != _USERS
        pos = newline + 1
        if in_kernel:
            kernel_stop = pos
        line += 1
        state[LINES] += 1
    if kernel_stop == state[NEXT]:
        kernel_stop = pos
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
    side: NDArray[np.int64],
) -> int:
    """Read lines from ``state[POS]`` on until Python is needed; return why. See ``scan_ftrace``."""
    while True:
        line = state[LINE] - state[FIRST_LINE]
        if line >= newlines.size:
            return NEED_DATA
        if state[ROWS] + 2 > CAPACITY:
            return FULL
        start, newline = state[POS], newlines[line]
        stop = line_stop(data, start, newline)
        state[STOP] = stop
        state[NEXT] = newline + 1
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
        state[PAYLOAD] = after_period(data, state[PAYLOAD], stop)
        reason = event_name(data, stop, state, slots, notes, arena, fill)
        if reason >= 0:
            return reason
        action = notes[ACTION, state[NAME]]
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
            take_repeat(cpus, rows, False, state)
        else:
            note_event(cpus, state, notes)
        count_stack_lines(state, state[LINE] + 1, state[LINES] - 1)
        state[POS] = state[NEXT]
        state[LINE] += state[LINES]
