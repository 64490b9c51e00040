"""Jit functions for the probes whose fields alone say what happened: copies of owners, splits, isolations.

They take what a kernel prints of the probes as the guide defines them: the place, the fields in their order, and maybe the base of
the vmemmap behind them. Everything else goes to ``payloads.py`` and ``meaning.Meaning``, which say the same of what is taken here.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from pagetrail.producers.formats.interning_jit import at, intern
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
    S_MIGRATE_REASON,
    S_NR_PAGES,
    S_OLD_ORDER,
    S_ROW,
    S_SRC_PFN,
)
from pagetrail.producers.formats.text.text_jit import (
    ABSENT_GFP_MASK,
    ABSENT_MIGRATETYPE,
    COMM_START,
    COMM_STOP,
    CPU,
    EVENT,
    GFP,
    GROW,
    HIGHEST,
    MEANT,
    NEED_DATA,
    ORDER,
    PAYLOAD,
    PFN,
    PID,
    ROWS,
    SIDE_ROWS,
    STACK,
    STOP,
    TGID,
    TS,
    VALUES,
    VMEMMAP_GIVEN,
    VMEMMAP_HIGH,
    VMEMMAP_LOW,
)
from pagetrail.schemas.columns import Kind, absent
from pagetrail.schemas.jit import inner
from pagetrail.schemas.linux import probes
from pagetrail.schemas.linux.mmzone import MAX_FOLIO_ORDER, PFN_LIMIT
from pagetrail.schemas.linux.vmemmap import (
    KASLR_STEP_BYTES,
    STRUCT_PAGE_BYTES,
    VMEMMAP_BASE_L4,
    VMEMMAP_BASE_L5,
    VMEMMAP_BYTES,
    VMEMMAP_LOWEST,
)

# What to do with an event, beside the actions of text_jit.
COPY_OWNER: Final = 9
MIGRATE_REASON: Final = 10
SPLIT_OWNER: Final = 11
SPLIT_ORDERS: Final = 12
SPLIT_PAGE: Final = 13
ISO_OWNER: Final = 14

PROBE_ACTIONS: Final = {
    probes.COPY_OWNER.name: COPY_OWNER,
    probes.MIGRATE_REASON.name: MIGRATE_REASON,
    probes.SPLIT_OWNER.name: SPLIT_OWNER,
    probes.SPLIT_ORDERS.name: SPLIT_ORDERS,
    probes.SPLIT_PAGE.name: SPLIT_PAGE,
    probes.ISO_OWNER.name: ISO_OWNER,
}
"""What to do with these probes' events."""

_MOST_FIELDS: Final = 3
# The fields of each action, in their order, and behind them the base; of what an action does not have, the size is 0.
_FIELDS: Final[dict[int, tuple[bytes, ...]]] = {
    COPY_OWNER: (b" new=", b" old="),
    MIGRATE_REASON: (b" page=", b" reason="),
    SPLIT_OWNER: (b" page=", b" nr="),
    SPLIT_ORDERS: (b" page=", b" old_order=", b" new_order="),
    SPLIT_PAGE: (b" page=", b" order="),
    ISO_OWNER: (b" page=", b" order=", b" gfp="),
}
_ACTIONS: Final = max(_FIELDS) + 1
_SIZES: Final = np.zeros((_ACTIONS, _MOST_FIELDS), np.int64)
_NAMES: Final = np.zeros((_ACTIONS, _MOST_FIELDS, 16), np.uint8)
for _action, _names in _FIELDS.items():
    for _k, _name in enumerate(_names):
        _SIZES[_action, _k] = len(_name)
        _NAMES[_action, _k, : len(_name)] = np.frombuffer(_name, np.uint8)
_MOST_OF_REASON: Final = 10  # characters: a number of 32 bits
_BASE: Final = np.frombuffer(b" base=", np.uint8)

_LOW: Final = (1 << 32) - 1
_KINDS: Final = np.full(_ACTIONS, int(Kind.SPLIT), np.int64)
_KINDS[[COPY_OWNER, MIGRATE_REASON]], _KINDS[ISO_OWNER] = int(Kind.MIGRATE), int(Kind.ISOLATE)
_ABSENT_ORDER: Final = absent("order")
_ABSENT: Final = np.array([0, *(absent(name) for name in ("src_pfn", "nr_pages", "migrate_reason", "old_order"))])

# Addresses are halves of 32 bits: no sum overflows, with the JIT off too.
_L5_HIGH: Final = VMEMMAP_BASE_L5 >> 32
_L4_HIGH: Final = VMEMMAP_BASE_L4 >> 32
_L5_SIZE: Final = VMEMMAP_BYTES[VMEMMAP_BASE_L5] >> 32
_L4_SIZE: Final = VMEMMAP_BYTES[VMEMMAP_BASE_L4] >> 32
_LOWEST_HIGH: Final = VMEMMAP_LOWEST >> 32
_HIGH_LIMIT: Final = PFN_LIMIT * STRUCT_PAGE_BYTES >> 32
_KASLR_STEP: Final = KASLR_STEP_BYTES // STRUCT_PAGE_BYTES


@inner
def is_probe(action: int) -> bool:
    """Return whether *action* is one of a probe that is read here."""
    return bool(action >= COPY_OWNER)


@inner
def after_place(data: NDArray[np.uint8], pos: int, stop: int) -> int:
    """Return the position behind the place of a probe, a word in parentheses; -1 when there is none."""
    while pos < stop and at(data, pos) == 32:
        pos += 1
    if pos == stop or at(data, pos) != 40:
        return -1
    pos += 1
    while pos < stop and 33 <= at(data, pos) <= 126 and at(data, pos) != 40 and at(data, pos) != 41:
        pos += 1
    return pos + 1 if pos < stop and at(data, pos) == 41 else -1


@inner
def halves(data: NDArray[np.uint8], pos: int, stop: int) -> tuple[int, int, int]:
    """Read 0x and 1 to 16 hexadecimal digits, or 1 to 15 decimal ones without a zero before them.

    Returns the upper and the lower 32 bits, and the position behind; -1 for that if there is no such number.
    """
    high, low = np.int64(0), np.int64(0)
    first = pos
    if pos + 1 < stop and at(data, pos) == 48 and at(data, pos + 1) == 120:
        pos += 2
        first = pos
        while pos < stop:
            c = at(data, pos)
            if 48 <= c <= 57:
                digit = c - 48
            elif 97 <= c <= 102:
                digit = c - 87
            else:
                break
            high = (high * 16 + (low >> 28)) & _LOW
            low = (low * 16 + digit) & _LOW
            pos += 1
        if pos == first or pos - first > 16:
            pos = np.int64(-1)
        return high, low, np.int64(pos)
    value = np.int64(0)
    while pos < stop and pos - first < 15 and 48 <= at(data, pos) <= 57:
        value = value * 10 + (at(data, pos) - 48)
        pos += 1
    if pos == first or (pos - first > 1 and at(data, first) == 48):
        pos = np.int64(-1)
    return value >> 32, value & _LOW, np.int64(pos)


@inner
def read_values(data: NDArray[np.uint8], action: int, state: NDArray[np.int64]) -> bool:
    """Read the fields of a probe, and the base if it is behind them, into the state; False when the line has another form."""
    stop = state[STOP]
    pos = after_place(data, state[PAYLOAD], stop)
    for k in range(_MOST_FIELDS):
        size = _SIZES[action, k]
        if pos < 0 or pos + size > stop:
            return False
        if size == 0:
            break
        for i in range(size):
            if at(data, pos + i) != _NAMES[action, k, i]:
                return False
        first = pos + size
        state[VALUES + 2 * k], state[VALUES + 2 * k + 1], pos = halves(data, first, stop)
        if action == MIGRATE_REASON and k == 1 and pos - first > _MOST_OF_REASON:
            return False
    state[VALUES + 2 * _MOST_FIELDS], state[VALUES + 2 * _MOST_FIELDS + 1] = state[VMEMMAP_HIGH], state[VMEMMAP_LOW]
    state[VALUES + 2 * _MOST_FIELDS + 2] = state[VMEMMAP_GIVEN]
    if pos < 0 or pos == stop:
        return bool(pos == stop)
    if pos + _BASE.size > stop:
        return False
    for i in range(_BASE.size):
        if at(data, pos + i) != _BASE[i]:
            return False
    high, low, pos = halves(data, pos + _BASE.size, stop)
    state[VALUES + 2 * _MOST_FIELDS], state[VALUES + 2 * _MOST_FIELDS + 1] = high, low
    state[VALUES + 2 * _MOST_FIELDS + 2] = 1
    return bool(pos == stop and high >= _LOWEST_HIGH and low % KASLR_STEP_BYTES == 0)


@inner
def page_to_pfn(state: NDArray[np.int64], k: int) -> int:
    """Return the pfn of the struct page at value *k*; -1 when ``meaning.Meaning`` has to look. See ``Meaning._page_to_pfn``."""
    high, low = state[VALUES + 2 * k], state[VALUES + 2 * k + 1]
    base_high, base_low = state[VALUES + 2 * _MOST_FIELDS], state[VALUES + 2 * _MOST_FIELDS + 1]
    given = state[VALUES + 2 * _MOST_FIELDS + 2] != 0
    if not given:
        base_low = np.int64(0)
        if _L5_HIGH <= high < _L5_HIGH + _L5_SIZE:
            base_high = np.int64(_L5_HIGH)
        elif _L4_HIGH <= high < _L4_HIGH + _L4_SIZE:
            base_high = np.int64(_L4_HIGH)
        else:
            return -1
    if high < base_high or high - base_high >= _HIGH_LIMIT:
        return -1
    offset = (high - base_high) * (1 << 32) + (low - base_low)
    if offset < 0 or offset % STRUCT_PAGE_BYTES != 0:
        return -1
    pfn = offset // STRUCT_PAGE_BYTES
    return int(pfn) if given or pfn <= 2 * state[HIGHEST] + _KASLR_STEP else -1


@inner
def small(state: NDArray[np.int64], k: int, stop: int) -> int:
    """Return value *k* of the state if it is below *stop*, at most 2^32; else -1."""
    value = state[VALUES + 2 * k + 1]
    return int(value) if state[VALUES + 2 * k] == 0 and value < stop else -1


@inner
def probe_fields(data: NDArray[np.uint8], action: int, state: NDArray[np.int64]) -> bool:
    """Read what follows the name of a probe into the state, and what it means; False when Python has to look at the line."""
    for k in range(_ABSENT.size):
        state[MEANT + k] = _ABSENT[k]
    state[ORDER] = _ABSENT_ORDER
    if not read_values(data, action, state):
        return False
    pfn = page_to_pfn(state, 0)
    state[PFN] = pfn
    if action == COPY_OWNER:
        state[MEANT + S_SRC_PFN] = page_to_pfn(state, 1)
        return bool(pfn >= 0 and state[MEANT + S_SRC_PFN] >= 0)
    if action == MIGRATE_REASON:
        state[MEANT + S_SRC_PFN], state[MEANT + S_MIGRATE_REASON] = pfn, small(state, 1, 128)
        return bool(pfn >= 0 and state[MEANT + S_MIGRATE_REASON] >= 0)
    if action == ISO_OWNER:
        state[ORDER], state[GFP] = small(state, 1, 64), small(state, 2, 1 << 32)
        return bool(pfn >= 0 and state[ORDER] >= 0 and state[GFP] >= 0)
    if action == SPLIT_OWNER:
        state[ORDER], state[MEANT + S_NR_PAGES] = 0, small(state, 1, 1 << 32)
        return bool(pfn >= 0 and state[MEANT + S_NR_PAGES] >= 0)
    old = small(state, 1, MAX_FOLIO_ORDER + 1)
    state[ORDER] = small(state, 2, 64) if action == SPLIT_ORDERS else 0
    if pfn < 0 or not 0 <= state[ORDER] <= old:
        return False
    state[MEANT + S_NR_PAGES], state[MEANT + S_OLD_ORDER] = np.int64(1) << np.int64(old), old
    return True


@inner
def probe_event(
    data: NDArray[np.uint8],
    action: int,
    state: NDArray[np.int64],
    slots: NDArray[np.int64],
    notes: NDArray[np.int64],
    arena: NDArray[np.uint8],
    fill: NDArray[np.int64],
    rows: NDArray[np.int64],
    side: NDArray[np.int64],
) -> int:
    """Make the row of the probe in the state.

    Returns NEED_DATA when there is a row; otherwise nothing has happened, and Python must do something first.
    """
    comm = intern(slots, notes, arena, fill, data, state[COMM_START], state[COMM_STOP])
    if comm < 0:
        return GROW
    row, place = state[ROWS], state[SIDE_ROWS]
    rows[R_TS, row] = state[TS]
    rows[R_KIND, row] = _KINDS[action]
    rows[R_CPU, row] = state[CPU]
    rows[R_PID, row] = state[PID]
    rows[R_TGID, row] = state[TGID]
    rows[R_COMM, row] = comm
    rows[R_PFN, row] = state[PFN]
    rows[R_ORDER, row] = state[ORDER]
    rows[R_GFP_MASK, row] = state[GFP] if action == ISO_OWNER else ABSENT_GFP_MASK
    rows[R_MIGRATETYPE, row] = ABSENT_MIGRATETYPE
    rows[R_STACK, row] = state[STACK]
    if repeated(rows, row) >= 0:
        return EVENT  # whether the other one says the same besides, Python knows
    if action != ISO_OWNER:
        side[S_ROW, place] = row
        for k in range(1, side.shape[0]):
            side[k, place] = state[MEANT + k]
        state[SIDE_ROWS] = place + 1
    state[ROWS] = row + 1
    return NEED_DATA
