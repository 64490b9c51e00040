"""The compiled side of perf.data: records become pending rows, and pending rows, in order of time, rows.

The kernel writes each CPU's records in order, and perf takes them ring by ring: the records of a file are in order of time only
within a ring. So rows wait until no earlier one can come.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from pagetrail.producers.formats.interning_jit import intern
from pagetrail.producers.formats.perf_data import perf_event as pe
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
    ROW_COLUMNS,
)
from pagetrail.producers.formats.tracepoints.numbers_jit import i64, number, u16, u32
from pagetrail.producers.formats.tracepoints.page_events_jit import FAILED, QUIET, REFUSED, hear, judged
from pagetrail.producers.gaps import SOMEWHERE
from pagetrail.schemas.jit import inner, jit

MAX_CPUS: Final = 8192
PIDS: Final = (1 << 22) + 1
"""PID_MAX_LIMIT (include/linux/threads.h, Linux 6.1), and one."""

# A layout: how the records of one attribute are read, int64 each. Places count from a record's begin, or from its end; -1: none.
L_TID: Final = 0
L_TIME: Final = 1
L_CPU: Final = 2
L_FIXED: Final = 3  # where what has no fixed place begins
L_READ: Final = 4  # read_format plus one; 0: samples have no counts
L_CHAIN: Final = 5
L_RAW: Final = 6
L_END: Final = 7  # bytes of the trailer of other records
L_END_TIME: Final = 8  # where its time is, from the record's end
L_END_CPU: Final = 9
L_ACTION: Final = 10  # what is done with its samples: a kind of row, or one below
L_PFN: Final = (
    11  # of five fields: where it is in the raw data, its bytes, and whether it is signed; 0 bytes: there is none
)
L_ORDER: Final = 14
L_GFP: Final = 17
L_MIGRATETYPE: Final = 20
L_TO_PCP: Final = 23  # whether a block goes to a per-cpu list; 0 bytes: one of order 0 does
L_EXACT: Final = 26  # whether nothing follows the raw data, or, without, the chain
LAYOUT: Final = 27

IGNORED: Final = -6  # what a layout does with samples beside a kind of row: it counts them,
RARE: Final = -4  # or gives them to Python

# A pending row: the columns of a row, and where its record is. Its kind is one of a row, or:
_COLUMNS: Final = len(ROW_COLUMNS)
P_PLACE: Final = _COLUMNS
P_LAYOUT: Final = P_PLACE + 1
PENDING: Final = P_LAYOUT + 1
NAMED: Final = -1  # a thread has a name from now on
FORKED: Final = -2  # a thread has the name of another from now on
LOST: Final = -5  # R_PFN records were lost; -1: it is not known how many
HARMED: Final = -8  # records that could not be read have their gap here: number R_PFN

# The state.
S_POS: Final = 0  # where the next record begins in the data
S_PENDING: Final = 1  # how many rows wait
S_LATEST: Final = 2  # the latest time of any record
S_BASE: Final = 3  # where the data begins in the file
S_ROWS: Final = 4  # how many rows are ready
S_DONE: Final = 5  # how many of the pending rows are
S_REPEATS: Final = 6  # how many of them repeated another one
S_RAW: Final = 7  # where the raw data of a rare sample begins, and its bytes
S_RAW_BYTES: Final = 8
S_SINCE: Final = 9  # names without a time count from then on: from the end of the file before
STATE: Final = 10


# Why a function stops.
NEED_DATA: Final = 0
FULL: Final = 1
ROUND: Final = 2
PYTHON: Final = 3  # a record, or a pending row, that Python takes
GROW: Final = 4
BAD: Final = 5
GAP_DUE: Final = 6
SAMPLE_TAKEN: Final = 7  # a rare sample waits, and its raw data is for Python


@inner
def behind_counts(data: NDArray[np.uint8], start: int, stop: int, read_format: int) -> int:
    """Return where what follows the counts (PERF_SAMPLE_READ) begins; *stop* or more where they do not fit."""
    values = 1 + (1 if read_format & pe.FORMAT_ID else 0) + (1 if read_format & pe.FORMAT_LOST else 0)
    times = (1 if read_format & pe.TOTAL_TIME_ENABLED else 0) + (1 if read_format & pe.TOTAL_TIME_RUNNING else 0)
    if not read_format & pe.FORMAT_GROUP:
        return start + 8 * (values + times)
    if start + 8 > stop:
        return stop + 8
    count = i64(data, start)
    if count < 0 or count > stop - start:
        return stop + 8
    return start + 8 * (1 + times + count * values)


@inner
def layout_of(data: NDArray[np.uint8], place: int, ids: NDArray[np.int64], owners: NDArray[np.int64]) -> int:
    """Return which layout the record has whose id is at *place*, by *ids* in order; -1: it is of none."""
    wanted = i64(data, place)
    low, high = 0, ids.size
    while low < high:
        middle = (low + high) >> 1
        if ids[middle] < wanted:
            low = middle + 1
        else:
            high = middle
    if low < ids.size and ids[low] == wanted:
        return owners[low]
    return np.int64(-1)


@inner
def is_sound(kind: int, misc: int, length: int) -> bool:
    """Return whether a record may have such a head: what it says otherwise may have been a sample."""
    if length < pe.RECORD_HEAD or kind == 0 or pe.KERNEL_STOP <= kind < pe.USER_FIRST or kind >= pe.USER_STOP:
        return False
    if length % 8 != 0 and kind != pe.COMPRESSED:
        return False
    if kind == pe.FINISHED_ROUND:
        return length == pe.RECORD_HEAD
    return kind < pe.USER_FIRST or misc == 0 or kind == pe.BUILD_ID


@inner
def has_trailer(
    data: NDArray[np.uint8], pos: int, stop: int, layout: NDArray[np.int64], id_from_end: int, ids: NDArray[np.int64]
) -> bool:
    """Return whether a record of the kernel ends as they do: with an id of the file, or with nothing but zeros, as perf's own."""
    end = stop - layout[L_END]
    if end < pos + pe.RECORD_HEAD:
        return False
    if id_from_end > 0 and layout_of(data, stop - id_from_end, ids, ids) != -1:
        return True
    zeros = True
    for place in range(end, stop):
        zeros = zeros and data[place] == 0
    return zeros or id_from_end <= 0


# b = bytes, i = ids, l = layouts, p = pending rows at most; slots, notes, arena, fill: an Interner's
@jit
def scan(
    data: NDArray[np.uint8],  # (b,)
    size: int,
    id_place: int,  # of a sample's id; 0: all have layout 0
    id_from_end: int,  # of other records' id; 0: all have layout 0
    ids: NDArray[np.int64],  # (i,), in order
    owners: NDArray[np.int64],  # (i,): the layout of each
    layouts: NDArray[np.int64],  # (l, LAYOUT)
    state: NDArray[np.int64],
    pending: NDArray[np.int64],  # (p, PENDING)
    nothing: NDArray[np.int64],  # (PENDING,): a row of which nothing is known
    comm_of: NDArray[np.int32],  # (PIDS,): the name of each thread, plus one; 0: it is not known
    ring_ts: NDArray[
        np.int64
    ],  # (MAX_CPUS,): the latest time of a sample so far of each CPU's ring, as it is in the file
    slots: NDArray[np.int64],
    notes: NDArray[np.int64],
    arena: NDArray[np.uint8],
    fill: NDArray[np.int64],
) -> int:
    """Take whole records from *data* from the state's position on; return why it stopped there."""
    while True:
        pos = state[S_POS]
        if pos + pe.RECORD_HEAD > size:
            return NEED_DATA
        kind, length = u32(data, pos), u16(data, pos + 6)
        if not is_sound(kind, u16(data, pos + 4), length):
            return BAD
        stop = pos + length
        if (
            kind < pe.USER_FIRST
            and kind != pe.SAMPLE
            and stop <= size
            and not has_trailer(data, pos, stop, layouts[0], id_from_end, ids)
        ):
            return BAD
        if kind == pe.SAMPLE or kind in (pe.COMM, pe.FORK, pe.LOST):
            if stop > size:
                return NEED_DATA
            n = state[S_PENDING]
            if n >= pending.shape[0]:
                return FULL
            layout = np.int64(0)
            if kind == pe.SAMPLE:
                if id_place > 0:
                    layout = np.int64(-1)
                    if pos + id_place + 8 <= stop:
                        layout = layout_of(data, pos + id_place, ids, owners)
            elif id_from_end > 0:
                layout = np.int64(-1)
                if pos + pe.RECORD_HEAD + id_from_end <= stop:
                    # What perf made itself has the id 0: tools/perf/util/evlist.c, evlist__event2evsel (Linux 6.1)
                    layout = (
                        np.int64(0)
                        if i64(data, stop - id_from_end) == 0
                        else layout_of(data, stop - id_from_end, ids, owners)
                    )
            if layout < 0:
                return BAD
            for column in range(PENDING):
                pending[n, column] = nothing[column]
            pending[n, P_PLACE], pending[n, P_LAYOUT] = state[S_BASE] + pos, layout
            taken = (
                take_sample(data, pos, stop, layouts[layout], state, pending, n, slots, notes, arena, fill)
                if kind == pe.SAMPLE
                else take_other(
                    data, pos, stop, kind, layouts[layout], state, pending, n, comm_of, slots, notes, arena, fill
                )
            )
            if taken != NEED_DATA:  # another reason, or a row less
                if taken != FULL:
                    return taken
            else:
                if pending[n, R_TS] > state[S_LATEST]:
                    state[S_LATEST] = pending[n, R_TS]
                place_in_ring(pending, n, kind, ring_ts)
                state[S_PENDING] = n + 1
                if pending[n, R_KIND] == RARE:
                    state[S_POS] = stop
                    return SAMPLE_TAKEN
        elif kind == pe.FINISHED_ROUND:
            state[S_POS] = stop
            return ROUND
        elif kind >= pe.USER_FIRST or kind == pe.LOST_SAMPLES or kind == pe.THROTTLE:
            return PYTHON
        else:
            if stop > size:
                return NEED_DATA
            if (kind in (pe.MMAP, pe.MMAP2)) and length >= 16 and u32(data, pos + 8) == 0xFFFFFFFF:
                return PYTHON
        state[S_POS] = stop


@inner
def place_in_ring(pending: NDArray[np.int64], n: int, kind: int, ring_ts: NDArray[np.int64]) -> None:
    """Note the time of pending row *n*; a loss comes behind what its ring held before it, whatever time it says.

    Before 5.11 that is when it was written: later than the time of the sample behind it. Source: kernel/events/ring_buffer.c,
    __perf_output_begin (Linux 5.10).
    """
    cpu = pending[n, R_CPU]
    if cpu < 0:
        return
    if kind == pe.LOST:
        pending[n, R_TS] = ring_ts[cpu]
    elif kind == pe.SAMPLE and pending[n, R_TS] > ring_ts[cpu]:
        ring_ts[cpu] = pending[n, R_TS]


@inner
def take_sample(
    data: NDArray[np.uint8],
    pos: int,
    stop: int,
    layout: NDArray[np.int64],
    state: NDArray[np.int64],
    pending: NDArray[np.int64],
    n: int,
    slots: NDArray[np.int64],
    notes: NDArray[np.int64],
    arena: NDArray[np.uint8],
    fill: NDArray[np.int64],
) -> int:
    """Make a sample pending row *n*; return NEED_DATA for that, GROW, or BAD. The raw data of a rare one is in the state."""
    fixed = pos + layout[L_FIXED]
    if fixed > stop:
        return BAD
    pending[n, R_TS] = i64(data, pos + layout[L_TIME])
    if layout[L_CPU] >= 0:
        pending[n, R_CPU] = u32(data, pos + layout[L_CPU])
    if layout[L_TID] >= 0:
        tgid, tid = number(data, pos + layout[L_TID], 4, 1), number(data, pos + layout[L_TID] + 4, 4, 1)
        if tid >= 0:  # a thread that has ended has none any more
            pending[n, R_TGID], pending[n, R_PID] = tgid, tid
    if pending[n, R_TS] < 0 or pending[n, R_CPU] >= MAX_CPUS:
        return BAD
    if layout[L_READ] > 0:
        fixed = behind_counts(data, fixed, stop, layout[L_READ] - 1)
    if layout[L_CHAIN] > 0:
        if fixed + 8 > stop:
            return BAD
        count = i64(data, fixed)
        fixed += 8
        if count < 0 or count > (stop - fixed) >> 3:
            return BAD
        begin, end = kernel_part(data, fixed, count)
        if end > begin and layout[L_ACTION] != IGNORED:
            stack = intern(slots, notes, arena, fill, data, begin, end)
            if stack < 0:
                return GROW
            pending[n, R_STACK] = stack
        fixed += 8 * count
    action = layout[L_ACTION]
    pending[n, R_KIND] = action
    raw_bytes, raw = np.int64(0), fixed
    if layout[L_RAW] > 0:
        if fixed + 4 > stop:
            return BAD
        raw_bytes, raw = np.int64(u32(data, fixed)), fixed + 4
    if raw_bytes > stop - raw or (layout[L_EXACT] > 0 and raw + raw_bytes != stop):
        return BAD
    if action == IGNORED:
        return NEED_DATA
    if layout[L_RAW] == 0:
        return BAD
    if action == RARE:
        state[S_RAW], state[S_RAW_BYTES] = raw, raw_bytes
        return NEED_DATA
    for place, column in ((L_PFN, R_PFN), (L_ORDER, R_ORDER), (L_GFP, R_GFP_MASK), (L_MIGRATETYPE, R_MIGRATETYPE)):
        width = layout[place + 1]
        if width > 0:
            if layout[place] + width > raw_bytes:
                return BAD
            pending[n, column] = number(data, raw + layout[place], width, layout[place + 2])
    to_pcp = int(pending[n, R_ORDER] == 0)
    if layout[L_TO_PCP + 1] > 0:
        if layout[L_TO_PCP] + layout[L_TO_PCP + 1] > raw_bytes:
            return BAD
        to_pcp = number(data, raw + layout[L_TO_PCP], layout[L_TO_PCP + 1], layout[L_TO_PCP + 2])
    pending[n, R_KIND] = judged(
        layout[L_ACTION], pending[n, R_PFN], layout[L_PFN + 1], pending[n, R_ORDER], pending[n, R_GFP_MASK], layout[L_GFP + 1],
        pending[n, R_MIGRATETYPE], layout[L_MIGRATETYPE + 1], to_pcp,
    )  # fmt: skip
    return NEED_DATA


@inner
def kernel_part(data: NDArray[np.uint8], start: int, count: int) -> tuple[int, int]:
    """Return where the kernel's addresses of a call chain begin and end."""
    begin = end = start
    within = False
    for k in range(count):
        place = start + 8 * k
        address = i64(data, place)
        if pe.CONTEXT_MAX <= address < 0:
            if within:
                return begin, end
            within = address == pe.CONTEXT_KERNEL
            begin = end = place + 8
        elif within:
            end = place + 8
    return begin, end if within else begin


@inner
def take_other(
    data: NDArray[np.uint8],
    pos: int,
    stop: int,
    kind: int,
    layout: NDArray[np.int64],
    state: NDArray[np.int64],
    pending: NDArray[np.int64],
    n: int,
    comm_of: NDArray[np.int32],
    slots: NDArray[np.int64],
    notes: NDArray[np.int64],
    arena: NDArray[np.uint8],
    fill: NDArray[np.int64],
) -> int:
    """Make a record of the kernel pending row *n*; return NEED_DATA for that, FULL where it needs none, GROW, or BAD."""
    end = stop - layout[L_END]
    ts = np.int64(0)
    if layout[L_END_TIME] > 0 and end >= pos + pe.RECORD_HEAD:
        ts = i64(data, stop - layout[L_END_TIME])
    pending[n, R_TS] = ts
    if kind == pe.LOST:
        if pos + 24 > end:
            return BAD
        pending[n, R_KIND], pending[n, R_PFN] = LOST, i64(data, pos + 16)
        if layout[L_END_CPU] > 0:
            pending[n, R_CPU] = u32(data, stop - layout[L_END_CPU])
        known = 0 <= pending[n, R_CPU] < MAX_CPUS or layout[L_END_CPU] <= 0
        return NEED_DATA if ts >= 0 and 0 <= pending[n, R_PFN] < pe.MOST_COUNTED and known else BAD
    if kind == pe.COMM:
        if pos + 17 > end:
            return BAD
        tid = number(data, pos + 12, 4, 1)
        last = pos + 16
        while last < end and data[last] != 0:
            last += 1
        name = intern(slots, notes, arena, fill, data, pos + 16, last)
        if name < 0:
            return GROW
        pending[n, R_KIND], pending[n, R_PID], pending[n, R_COMM] = NAMED, tid, name
    else:
        if pos + 24 > end:
            return BAD
        pending[n, R_KIND], pending[n, R_PID] = FORKED, number(data, pos + 16, 4, 1)
        pending[n, R_PFN] = number(data, pos + 20, 4, 1)
    if ts > 0:
        return NEED_DATA
    if state[S_SINCE] > 0:
        pending[n, R_TS] = state[S_SINCE]
        return NEED_DATA
    name_thread(pending, n, comm_of)  # it was so before the first sample, or has no time: perf takes it at once
    return FULL


@inner
def name_thread(pending: NDArray[np.int64], n: int, comm_of: NDArray[np.int32]) -> None:
    """Take pending row *n*, which names a thread."""
    tid = pending[n, R_PID]
    if tid < 0 or tid >= PIDS:
        return
    if pending[n, R_KIND] == NAMED:
        comm_of[tid] = pending[n, R_COMM] + 1
    else:
        parent = pending[n, R_PFN]
        comm_of[tid] = comm_of[parent] if 0 <= parent < PIDS else 0


# p = pending rows; r = rows at most; c = CPUs
@jit
def emit(
    pending: NDArray[np.int64],  # (p, PENDING)
    turns: NDArray[np.int64],  # (p,): the pending rows in order of time
    stop: int,
    state: NDArray[np.int64],
    rows: NDArray[np.int64],  # (len(ROW_COLUMNS), r)
    most: int,
    comm_of: NDArray[np.int32],
    counts: NDArray[
        np.int64
    ],  # (l, 3): samples read of each layout, how many of them got no page, and how many said nothing new
    last_ts: NDArray[np.int64],  # (c,)
    is_due: NDArray[np.int64],  # (c,)
    entries: NDArray[np.int64],  # (c,)
    order: NDArray[np.int64],  # (ORDER_FIELDS,)
) -> int:
    """Make rows of the pending ones from the state's S_DONE to *stop*; return NEED_DATA, FULL, GAP_DUE, or PYTHON for the next."""
    while state[S_DONE] < stop:
        n = turns[state[S_DONE]]
        kind = pending[n, R_KIND]
        if kind in (NAMED, FORKED):
            name_thread(pending, n, comm_of)
            state[S_DONE] += 1
            continue
        if kind in (RARE, LOST, HARMED, REFUSED):
            return PYTHON
        cpu, ts = pending[n, R_CPU], pending[n, R_TS]
        if order[SOMEWHERE] or (cpu >= 0 and is_due[cpu]):
            return GAP_DUE
        if kind >= 0:
            row = state[S_ROWS]
            if row >= most:
                return FULL
            for column in range(_COLUMNS):
                rows[column, row] = pending[n, column]
            tid = pending[n, R_PID]
            rows[R_COMM, row] = comm_of[tid] - 1 if 0 <= tid < PIDS else -1
            if repeated(rows, row) >= 0:
                state[S_REPEATS] += 1
                state[S_DONE] += 1
                continue
            state[S_ROWS] = row + 1
        layout = pending[n, P_LAYOUT]
        counts[layout, 0] += 1
        counts[layout, 1] += kind == FAILED
        counts[layout, 2] += kind == QUIET
        hear(cpu, ts, last_ts, entries, order)
        state[S_DONE] += 1
    return NEED_DATA
