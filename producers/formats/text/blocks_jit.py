"""The jit functions that survey a trace: where another recording, another CPU's events and the records of events begin.

A survey reads only the heads of lines: CPU and time.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from pagetrail.producers.formats.interning_jit import at
from pagetrail.producers.formats.text.ftrace_jit import read_head
from pagetrail.producers.formats.text.perf_jit import read_head as read_sample
from pagetrail.producers.formats.text.text_jit import CPU, MAX_LINE, TS, after_literal, literal
from pagetrail.schemas.jit import inner, jit

# Why a survey returns to Python.
READ: Final = 0  # all whole lines are read
BORDER: Final = 1  # another recording begins where the candidate is

# The state array of a survey, int64.
LINE: Final = 0  # number of the next line, from 1
LEAD_POS: Final = 1  # byte of the file where the lines before the next event begin that belong to it; -1: none
LEAD_LINE: Final = 2
LEAD_HEADER: Final = 3  # 1: a tracer's header is among them
RUN_CPU: Final = 4  # CPU of the last event; -1 before the first
RUNS: Final = 5  # how many runs of events of one CPU there are, up to the first CPU that comes back
MIXED: Final = 6  # 1: a CPU came back, its events are not one run
EVENTS: Final = 7
OPEN: Final = 8  # 1: another recording may have begun; the rest says where
OPEN_POS: Final = 9
OPEN_LINE: Final = 10
OPEN_HEADER: Final = 11
FELL: Final = 12  # events since then whose time is below that of their CPU before
FELL_FROM: Final = 13  # the time before and behind the border
FELL_TO: Final = 14
NOW: Final = 15  # the times of the last events, as a ring
RECENT: Final = 8
CPUS: Final = NOW + RECENT  # one more than the highest CPU
HEADERS: Final = CPUS + 1  # tracers' headers behind the first event
STATE_SIZE: Final = HEADERS + 1

# What is remembered of each CPU: int64, these by CPU.
OF_CPU: Final = 4  # times of its last events
BEFORE: Final = 0  # … as a ring, and how many events there were
COUNT: Final = 4
BEHIND: Final = 5  # the same, since another recording may have begun
COUNT_BEHIND: Final = 9
HAS_RUN: Final = 10
CPU_FIELDS: Final = 11

# A run of events of one CPU: int64, these by run.
R_POS: Final = 0
R_FIRST: Final = 1  # times of its first and last event
R_LAST: Final = 2
RUN_FIELDS: Final = 3

CONFIRMED: Final = 32
"""So many events fell, and none came back to the time before: another recording has begun."""

_TRACER: Final = literal(b"# tracer:")
_OF_CPU: Final = literal(b"CPU:")


@inner
def least(times: NDArray[np.int64], first: int, cpu: int, count: int) -> int:
    """Return the least of the last times of a CPU: one that is too high by error does not raise it."""
    found: int = times[first, cpu]
    for i in range(1, min(count, OF_CPU)):
        found = min(found, times[first + i, cpu])
    return found


@inner
def push(cpus: NDArray[np.int64], first: int, count: int, cpu: int, ts: int) -> None:
    """Remember *ts* as the last time of a CPU."""
    cpus[first + cpus[count, cpu] % OF_CPU, cpu] = ts
    cpus[count, cpu] += 1


@inner
def take_back(state: NDArray[np.int64], cpus: NDArray[np.int64]) -> None:
    """Forget that another recording may have begun: what came since belongs to what was before."""
    for cpu in range(state[CPUS]):
        n = cpus[COUNT_BEHIND, cpu]
        for i in range(max(0, n - OF_CPU), n):
            push(cpus, BEFORE, COUNT, cpu, cpus[BEHIND + i % OF_CPU, cpu])
        cpus[COUNT_BEHIND, cpu] = 0
    state[OPEN] = 0


@inner
def weigh(state: NDArray[np.int64], cpus: NDArray[np.int64], cpu: int, ts: int, pos: int) -> bool:
    """Take an event into the search for another recording; return whether it has begun for sure."""
    state[CPUS] = max(state[CPUS], cpu + 1)
    count = cpus[COUNT, cpu]
    fell = count > 0 and ts < cpus[BEFORE + (count - 1) % OF_CPU, cpu] and ts < least(cpus, BEFORE, cpu, count)
    if state[OPEN] == 0 and fell:
        now = state[NOW]
        for i in range(1, min(state[EVENTS], RECENT)):
            now = min(now, state[NOW + i])
        state[OPEN] = 1
        state[FELL] = 0
        state[FELL_FROM], state[FELL_TO] = now, ts
        lead = state[LEAD_POS] >= 0
        state[OPEN_POS] = state[LEAD_POS] if lead else pos
        state[OPEN_LINE] = state[LEAD_LINE] if lead else state[LINE]
        state[OPEN_HEADER] = state[LEAD_HEADER] if lead else 0
    if state[OPEN] == 1:
        if ts >= state[FELL_FROM]:
            take_back(state, cpus)
        else:
            state[FELL] += fell
            push(cpus, BEHIND, COUNT_BEHIND, cpu, ts)
            return bool(state[FELL] >= CONFIRMED)
    push(cpus, BEFORE, COUNT, cpu, ts)
    state[NOW + state[EVENTS] % RECENT] = ts
    state[EVENTS] += 1
    return False


@inner
def follow(
    state: NDArray[np.int64], cpus: NDArray[np.int64], runs: NDArray[np.int64], cpu: int, ts: int, pos: int
) -> None:
    """Note whether the events of each CPU are one run."""
    if state[MIXED] != 0:
        return
    if cpu != state[RUN_CPU]:
        if cpus[HAS_RUN, cpu] != 0 or state[RUNS] == runs.shape[1]:
            state[MIXED] = 1
            return
        cpus[HAS_RUN, cpu] = 1
        lead = state[LEAD_POS] >= 0
        runs[R_FIRST, state[RUNS]] = ts
        runs[R_POS, state[RUNS]] = state[LEAD_POS] if lead else pos
        state[RUNS] += 1
        state[RUN_CPU] = cpu
    runs[R_LAST, state[RUNS] - 1] = ts


@inner
def note_header(state: NDArray[np.int64], headers: NDArray[np.int64], ts: int) -> None:
    """Note that a tracer's header precedes the event at *ts*, and when the event before it was; the last place takes the rest."""
    if state[LEAD_POS] < 0 or state[LEAD_HEADER] == 0 or state[EVENTS] == 0:
        return
    before = state[NOW + (state[EVENTS] - 1) % RECENT]
    place = min(state[HEADERS], headers.shape[1] - 1)
    if place == state[HEADERS]:
        headers[0, place], headers[1, place] = min(before, ts), ts
    else:
        headers[0, place], headers[1, place] = min(headers[0, place], before, ts), max(headers[1, place], ts)
    state[HEADERS] += 1


@inner
def read_any(data: NDArray[np.uint8], start: int, stop: int, of_perf: bool, head: NDArray[np.int64]) -> bool:
    """Read the head of an event into *head*: of ftrace text, or of perf script's; False when the line has none."""
    if not of_perf:
        return read_head(data, start, stop, head)
    if (
        at(data, start) == 9 or not read_sample(data, start, stop, head) or head[TS] == 0
    ):  # perf's own records may have no time
        return False
    head[CPU] = max(head[CPU], 0)  # without the field, all are taken for one
    return True


@inner
def is_lead(data: NDArray[np.uint8], start: int, stop: int, of_perf: bool) -> bool:
    """Return whether a line belongs to the event behind it: a comment, what ftrace says of a CPU."""
    if of_perf:
        return bool(stop > start and at(data, start) == 35)
    return bool(stop == start or at(data, start) == 35 or after_literal(data, start, stop, _OF_CPU) >= 0)


@jit
def survey(
    data: NDArray[np.uint8],
    newlines: NDArray[np.int64],
    first: int,
    offset: int,
    of_perf: bool,
    head: NDArray[np.int64],
    state: NDArray[np.int64],
    cpus: NDArray[np.int64],
    runs: NDArray[np.int64],
    headers: NDArray[np.int64],
) -> tuple[int, int]:
    """Read the whole lines of *data*, from line *first* of it on; return why it stopped, and the line it stopped at.

    *newlines* are the positions of the newlines in *data*, which begins at byte *offset* of the file; *head* is room for the head
    of a line (``text_jit.STATE_SIZE``). The line it stops at is not read.
    """
    for i in range(first, newlines.size):
        start = newlines[i - 1] + 1 if i > 0 else 0
        stop = newlines[i]
        if is_lead(data, start, stop, of_perf):
            if state[LEAD_POS] < 0:
                state[LEAD_POS], state[LEAD_LINE], state[LEAD_HEADER] = offset + start, state[LINE], 0
            if after_literal(data, start, stop, _TRACER) >= 0:
                state[LEAD_HEADER] = 1
        elif 0 < stop - start <= MAX_LINE and read_any(data, start, stop, of_perf, head) and head[CPU] < cpus.shape[1]:
            cpu, ts = head[CPU], head[TS]
            note_header(state, headers, ts)
            if weigh(state, cpus, cpu, ts, offset + start):
                return BORDER, i
            follow(state, cpus, runs, cpu, ts, offset + start)
            state[LEAD_POS] = -1
        state[LINE] += 1
    return READ, newlines.size


@jit
def find_records(
    data: NDArray[np.uint8],
    newlines: NDArray[np.int64],
    head: NDArray[np.int64],
    starts: NDArray[np.int64],
    times: NDArray[np.int64],
) -> int:
    """Find the events in *data*; return how many there are. n = lines at most.

    Of each: where its line begins, and its time. What is between two of them belongs to the
    first: its stack, what is said of losses behind it.
    """
    found = 0
    for i in range(newlines.size):
        start = newlines[i - 1] + 1 if i > 0 else 0
        stop = newlines[i]
        if stop - start <= MAX_LINE and stop > start and at(data, start) != 35 and read_head(data, start, stop, head):
            starts[found], times[found] = start, head[TS]
            found += 1
    return found
