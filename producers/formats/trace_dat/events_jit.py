"""The compiled side of a recording: the records of all CPUs in order of time become rows."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from pagetrail.producers.formats.interning_jit import intern
from pagetrail.producers.formats.repeats_jit import repeated
from pagetrail.producers.formats.rows import (
    HOLD,
    NO_ROW,
    NONE,
    R_COMM,
    R_CPU,
    R_GFP_MASK,
    R_KIND,
    R_MIGRATETYPE,
    R_ORDER,
    R_PFN,
    R_PID,
    R_STACK,
    R_TS,
)
from pagetrail.producers.formats.trace_dat.pages_jit import C_BYTES, C_DATA, C_TS, DONE, RECORD, next_record
from pagetrail.producers.formats.tracepoints.numbers_jit import number, u16
from pagetrail.producers.formats.tracepoints.page_events_jit import FAILED, QUIET, REFUSED, hear, judged
from pagetrail.producers.gaps import SOMEWHERE
from pagetrail.schemas.jit import inner, jit

PIDS: Final = (1 << 22) + 1
"""PID_MAX_LIMIT (include/linux/threads.h, Linux 6.1), and one."""
TYPES: Final = 1 << 16

# A layout: how the records of one event are read, int64 each. Places count from where the data of a record begin.
L_ACTION: Final = 0  # a kind of row, or one below
L_PID: Final = 1
L_LEAST: Final = 2  # bytes that a record has at least
L_PFN: Final = 3  # of four fields: where it is, its bytes, and whether it is signed; 0 bytes: there is none
L_ORDER: Final = 6
L_GFP: Final = 9
L_MIGRATETYPE: Final = 12
L_COUNT: Final = 15  # of a stack: the same of how many addresses it has
L_ADDRESSES: Final = 18  # where they begin, and the bytes of each
L_TO_PCP: Final = 20  # of a block off the free lists: the same of whether it goes to a per-cpu list
LAYOUT: Final = 23

IGNORED: Final = -1  # an event that says nothing of pages
RARE: Final = -2  # one of which Python makes a row
KERNEL_STACK: Final = -3
USER_STACK: Final = -4

# What is counted of the records of a layout.
N_READ: Final = 0
N_FAILED: Final = 1
N_QUIET: Final = 2
N_STACKED: Final = 3  # a stack came directly behind it on its CPU
N_BARE: Final = 4  # none came
N_UNSURE: Final = 5  # of the stacks, those that were given to nobody
COUNTS: Final = 6

WAITING: Final = 4
"""Events of a stream that may wait for their stacks at once: of a thread, a softirq, an interrupt and an NMI."""
_ENOUGH: Final = 8
"""So many stacks behind events of a kind show that such events have stacks."""

# The state.
S_STREAM: Final = 0  # the stream with which it stopped
S_BEGUN: Final = 1  # how many streams are at their first record, or have none
S_HEAP: Final = 2  # how many have a record at hand
S_TAKEN: Final = 3  # 1: the record at hand of the first of them was taken
S_ROWS: Final = 4
S_REPEATS: Final = 5
S_UNSURE: Final = 6  # stacks that were given to nobody
STATE: Final = 7

# Why ``merge`` stops, beside NEED_PAGES, LOSS and HARM.
ENDED: Final = 10
FULL: Final = 11
GAP_DUE: Final = 12
PYTHON: Final = 13  # the record at hand is for Python, which takes it
GROW: Final = 14

_FOUR: Final = ((L_PFN, R_PFN), (L_ORDER, R_ORDER), (L_GFP, R_GFP_MASK), (L_MIGRATETYPE, R_MIGRATETYPE))


@inner
def earlier(streams: NDArray[np.int64], left: int, right: int) -> bool:
    """Return whether the record of one stream comes before that of another; at the same time the first stream's does."""
    a, b = streams[left, C_TS], streams[right, C_TS]
    return bool(a < b or (a == b and left < right))


@inner
def sift_down(heap: NDArray[np.int64], size: int, streams: NDArray[np.int64]) -> None:
    """Put the first stream of the heap, whose record has changed, to its place."""
    at, moved = 0, heap[0]
    while True:
        child = 2 * at + 1
        if child >= size:
            break
        if child + 1 < size and earlier(streams, heap[child + 1], heap[child]):
            child += 1
        if not earlier(streams, heap[child], moved):
            break
        heap[at] = heap[child]
        at = child
    heap[at] = moved


@inner
def push(heap: NDArray[np.int64], size: int, stream: int, streams: NDArray[np.int64]) -> None:
    """Put a stream into the heap, which has *size*."""
    at = size
    while at > 0:
        parent = (at - 1) >> 1
        if not earlier(streams, stream, heap[parent]):
            break
        heap[at] = heap[parent]
        at = parent
    heap[at] = stream


# a = bytes of all windows, s = streams, l = layouts, r = rows at most; slots, notes, arena, fill: an Interner's
@jit
def merge(
    data: NDArray[np.uint8],  # (a,)
    streams: NDArray[np.int64],  # (s, STREAM)
    heap: NDArray[np.int64],  # (s,)
    pages: NDArray[np.int64],  # (PAGES,)
    state: NDArray[np.int64],
    layout_of: NDArray[np.int32],  # (TYPES,): which layout an event has, by its number; -1: none
    layouts: NDArray[np.int64],  # (l, LAYOUT)
    cpu_of: NDArray[np.int64],  # (s,)
    comm_of: NDArray[np.int32],  # (PIDS,)
    counts: NDArray[np.int64],  # (l + 1, COUNTS): records of each layout; the last are those of none
    rows: NDArray[np.int64],  # (len(ROW_COLUMNS), r)
    most: int,
    nothing: NDArray[np.int64],  # (len(ROW_COLUMNS),): a row of which nothing is known
    waiting: NDArray[np.int64],  # (2 * WAITING, s): see ``RowBuilder``; then their layouts
    last_ts: NDArray[np.int64],  # (s,)
    is_due: NDArray[np.int64],  # (s,)
    entries: NDArray[np.int64],  # (s,)
    order: NDArray[np.int64],  # (ORDER_FIELDS,)
    slots: NDArray[np.int64],
    notes: NDArray[np.int64],
    arena: NDArray[np.uint8],
    fill: NDArray[np.int64],
) -> int:
    """Make rows of records, in order of time, until Python is needed; return why. The state says of which stream it is."""
    while True:
        if state[S_TAKEN]:
            first = heap[0]
            state[S_STREAM] = first
            reason = next_record(data, streams[first], pages)
            if reason == DONE:
                state[S_HEAP] -= 1
                heap[0] = heap[state[S_HEAP]]
            elif reason != RECORD:
                return reason
            state[S_TAKEN] = 0
            sift_down(heap, state[S_HEAP], streams)
        elif state[S_BEGUN] < streams.shape[0]:
            first = state[S_BEGUN]
            state[S_STREAM] = first
            reason = next_record(data, streams[first], pages)
            if reason == RECORD:
                push(heap, state[S_HEAP], first, streams)
                state[S_HEAP] += 1
            elif reason != DONE:
                return reason
            state[S_BEGUN] = first + 1
        elif state[S_HEAP] == 0:
            return ENDED
        else:
            stream = heap[0]
            state[S_STREAM] = stream
            if order[SOMEWHERE] or is_due[stream]:
                return GAP_DUE
            reason = take(
                data, streams[stream], stream, state, layout_of, layouts, cpu_of[stream], comm_of, counts, rows, most, nothing,
                waiting, slots, notes, arena, fill,
            )  # fmt: skip
            if reason != RECORD:
                return reason
            hear(stream, streams[stream, C_TS], last_ts, entries, order)
            state[S_TAKEN] = 1


@inner
def take(
    data: NDArray[np.uint8],
    record: NDArray[np.int64],
    stream: int,
    state: NDArray[np.int64],
    layout_of: NDArray[np.int32],
    layouts: NDArray[np.int64],
    cpu: int,
    comm_of: NDArray[np.int32],
    counts: NDArray[np.int64],
    rows: NDArray[np.int64],
    most: int,
    nothing: NDArray[np.int64],
    waiting: NDArray[np.int64],
    slots: NDArray[np.int64],
    notes: NDArray[np.int64],
    arena: NDArray[np.uint8],
    fill: NDArray[np.int64],
) -> int:
    """Take the record at hand; return RECORD for that, FULL, GROW, or PYTHON."""
    start, size = record[C_DATA], record[C_BYTES]
    if size < 2:
        return PYTHON
    of = np.int64(layout_of[u16(data, start)])
    if of < 0 or size < layouts[of, L_LEAST]:
        return PYTHON
    layout = layouts[of]
    action = layout[L_ACTION]
    if action == RARE:
        return PYTHON
    pid = number(data, start + layout[L_PID], 4, 1)
    if action == KERNEL_STACK:
        reason = take_stack(
            data, start, size, layout, stream, pid, state, counts, rows, waiting, slots, notes, arena, fill
        )
        if reason != RECORD:
            return reason
    elif action == IGNORED:
        wait(waiting, stream, NO_ROW, of, counts)
    elif action >= 0:
        row = state[S_ROWS]
        if row >= most:
            return FULL
        for column in range(rows.shape[0]):
            rows[column, row] = nothing[column]
        rows[R_TS, row], rows[R_CPU, row], rows[R_PID, row] = record[C_TS], cpu, pid
        if 0 <= pid < PIDS:
            rows[R_COMM, row] = comm_of[pid]
        for place, column in _FOUR:
            if layout[place + 1] > 0:
                rows[column, row] = number(data, start + layout[place], layout[place + 1], layout[place + 2])
        to_pcp = int(rows[R_ORDER, row] == 0)
        if layout[L_TO_PCP + 1] > 0:
            to_pcp = number(data, start + layout[L_TO_PCP], layout[L_TO_PCP + 1], layout[L_TO_PCP + 2])
        kind = judged(
            action, rows[R_PFN, row], layout[L_PFN + 1], rows[R_ORDER, row], rows[R_GFP_MASK, row], layout[L_GFP + 1],
            rows[R_MIGRATETYPE, row], layout[L_MIGRATETYPE + 1], to_pcp,
        )  # fmt: skip
        if kind == REFUSED:
            return PYTHON
        rows[R_KIND, row] = kind
        if kind in (FAILED, QUIET):
            counts[of, N_FAILED if kind == FAILED else N_QUIET] += 1
            wait(waiting, stream, NO_ROW, of, counts)
        else:
            other = repeated(rows, row)
            if other >= 0:
                state[S_REPEATS] += 1
                if waiting[0, stream] != other:
                    wait(waiting, stream, NO_ROW, of, counts)
                return RECORD
            wait(waiting, stream, row, of, counts)
            state[S_ROWS] = row + 1
    counts[of, N_READ] += 1
    return RECORD


@inner
def wait(waiting: NDArray[np.int64], stream: int, row: int, of: np.int64, counts: NDArray[np.int64]) -> None:
    """Remember *row* (or NO_ROW), whose layout is *of*, as the last event of a stream: its stack may follow."""
    if waiting[WAITING - 1, stream] != NONE:
        counts[waiting[2 * WAITING - 1, stream], N_BARE] += 1
    for at in range(WAITING - 1, 0, -1):
        waiting[at, stream] = waiting[at - 1, stream]
        waiting[WAITING + at, stream] = waiting[WAITING + at - 1, stream]
    waiting[0, stream] = row
    waiting[WAITING, stream] = of


@jit
def wait_for_stack(waiting: NDArray[np.int64], stream: int, row: int, of: np.int64, counts: NDArray[np.int64]) -> None:
    """Do what ``wait`` does, for an event that Python took."""
    wait(waiting, stream, row, of, counts)


@inner
def is_its_own(
    waiting: NDArray[np.int64],
    stream: int,
    pid: int,
    state: NDArray[np.int64],
    counts: NDArray[np.int64],
    rows: NDArray[np.int64],
) -> bool:
    """Return whether a stack can only be that of the last event: no other one waits, or all of its kind have stacks.

    One of another thread than *pid* does not wait for it.

    Where only some events have stacks, an interrupt's event without one may stand between a thread's event and its stack. An event
    that waited in vain may have had one of the stacks that were given to nobody, if these came behind events of other kinds.
    """
    of = waiting[WAITING, stream]
    if counts[of, N_BARE] > state[S_UNSURE] - counts[of, N_UNSURE]:
        return False
    if counts[of, N_STACKED] >= _ENOUGH:
        return True
    for at in range(1, WAITING):
        row = waiting[at, stream]
        if row == NO_ROW or (row >= 0 and rows[R_PID, row] == pid):
            return False
    return True


@inner
def take_stack(
    data: NDArray[np.uint8],
    start: int,
    size: int,
    layout: NDArray[np.int64],
    stream: int,
    pid: int,
    state: NDArray[np.int64],
    counts: NDArray[np.int64],
    rows: NDArray[np.int64],
    waiting: NDArray[np.int64],
    slots: NDArray[np.int64],
    notes: NDArray[np.int64],
    arena: NDArray[np.uint8],
    fill: NDArray[np.int64],
) -> int:
    """Give a stack to the event of its stream that waits for one; return RECORD for that, or GROW.

    The kernel writes it behind its event; where an interrupt came between, behind the interrupt's event and its stack.
    """
    row, of = waiting[0, stream], waiting[WAITING, stream]
    if row == NONE:
        return RECORD
    is_sure = is_its_own(waiting, stream, pid, state, counts, rows)
    begin, step = start + layout[L_ADDRESSES], layout[L_ADDRESSES + 1]
    count = (start + size - begin) // step
    if layout[L_COUNT + 1] > 0:
        said = number(data, start + layout[L_COUNT], layout[L_COUNT + 1], layout[L_COUNT + 2])
        if 0 <= said < count:
            count = said
    known = 0
    while known < count and not is_end(data, begin + known * step, step):
        known += 1
    if is_sure and row >= 0 and state[S_ROWS] - row <= HOLD and rows[R_PID, row] == pid and known > 0:
        stack = intern(slots, notes, arena, fill, data, begin, begin + known * step)
        if stack < 0:
            return GROW
        rows[R_STACK, row] = stack
    counts[of, N_STACKED] += 1
    if not is_sure:  # it may be that of any event that waits
        state[S_UNSURE] += 1
        counts[of, N_UNSURE] += 1
        waiting[:WAITING, stream] = NONE
        return RECORD
    for at in range(WAITING - 1):
        waiting[at, stream] = waiting[at + 1, stream]
        waiting[WAITING + at, stream] = waiting[WAITING + at + 1, stream]
    waiting[WAITING - 1, stream] = NONE
    return RECORD


@inner
def is_end(data: NDArray[np.uint8], place: int, size: int) -> bool:
    """Return whether an address ends a stack: all of its bits are set, or none is."""
    found = number(data, place, size, 1)
    return bool(found == -1 or found == 0)


@jit
def count(
    data: NDArray[np.uint8],
    stream: NDArray[np.int64],
    pages: NDArray[np.int64],
    layout_of: NDArray[np.int32],
    counts: NDArray[np.int64],  # (l,)
) -> int:
    """Count the records of a stream by their layouts; return why it stopped, as ``next_record`` does."""
    while True:
        reason = next_record(data, stream, pages)
        if reason != RECORD:
            return reason
        if stream[C_BYTES] >= 2:
            of = layout_of[u16(data, stream[C_DATA])]
            if of >= 0:
                counts[of] += 1
