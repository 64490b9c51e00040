"""The compiled side of the table of texts: looked up and filled byte by byte.

A hit is compared byte by byte with the first occurrence: two texts never share an id, whatever they hash to.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from pagetrail.schemas.jit import inner, jit

# Rows of the table's notes, by text id.
START: Final = 0  # where the text begins in the arena
BEHIND: Final = 1  # where it ends
ACTION: Final = 2  # of an event's name: what to do with such events
COUNT: Final = 3  # of an event's name: events read
MASK: Final = 4  # of a text of gfp flags: its bits, plus one; 0 before Python has decided
FIRST: Final = 5  # of an event's name: number of the line of its first event
QUIET: Final = 6  # of an event's name: events read that say nothing new, although others of the name do
QUIET_FIRST: Final = 7  # number of the line of the first of those
NOTES: Final = 8

HASH: Final = 0  # columns of the slots
ID: Final = 1

_MASK32: Final = 0xFFFFFFFF
_MULTIPLIER: Final = 0x45D9F3B3  # odd and below 2^31: a product with 32 bits stays below 2^63, with the JIT off too


@inner
def at(data: NDArray[np.uint8], i: int) -> int:
    """Return data[i] as int64, for an i that is not negative: an unsigned index spares the test for that."""
    return np.int64(data[np.uint64(i)])


@inner
def hash_bytes(data: NDArray[np.uint8], start: int, stop: int) -> int:
    """Return 32 bits that depend on every byte of data[start:stop]; four bytes a step, no overflow."""
    h = np.int64(stop - start)
    i = start
    while i + 4 <= stop:
        word = at(data, i) | at(data, i + 1) << 8 | at(data, i + 2) << 16 | at(data, i + 3) << 24
        product = (h ^ word) * _MULTIPLIER
        h = (product ^ (product >> 29)) & _MASK32
        i += 4
    while i < stop:
        product = (h ^ at(data, i)) * _MULTIPLIER
        h = (product ^ (product >> 29)) & _MASK32
        i += 1
    return h


@inner
def same_bytes(left: NDArray[np.uint8], i: int, right: NDArray[np.uint8], j: int, size: int) -> bool:
    """Return whether left[i:i + size] and right[j:j + size] are equal; without an early exit, so that it vectorises."""
    difference = np.uint8(0)
    for k in range(size):
        difference = np.uint8(difference | (left[np.uint64(i + k)] ^ right[np.uint64(j + k)]))
    return difference == 0


# s = slots (a power of two), c = texts at most (s / 2), a = bytes of text at most
@jit
def intern(
    slots: NDArray[np.int64],  # (s, 2)
    notes: NDArray[np.int64],  # (NOTES, c)
    arena: NDArray[np.uint8],  # (a,)
    fill: NDArray[np.int64],  # (1,): texts in the table
    data: NDArray[np.uint8],
    start: int,
    stop: int,
) -> int:
    """Return the id of data[start:stop], a new one on first sight; -1 when the table must grow first."""
    h = hash_bytes(data, start, stop)
    size = stop - start
    mask = slots.shape[0] - 1
    slot = h & mask
    while slots[slot, ID] >= 0:
        k = slots[slot, ID]
        first = notes[START, k]
        if slots[slot, HASH] == h and notes[BEHIND, k] - first == size and same_bytes(arena, first, data, start, size):
            return k
        slot = (slot + 1) & mask
    count = fill[0]
    first = np.int64(0)
    if count > 0:
        first = notes[BEHIND, count - 1]
    if count == notes.shape[1] or first + size > arena.size:
        return np.int64(-1)
    for i in range(size):
        arena[first + i] = data[start + i]
    notes[START, count] = first
    notes[BEHIND, count] = first + size
    slots[slot, HASH] = h
    slots[slot, ID] = count
    fill[0] = count + 1
    return count


@jit
def reinsert(slots: NDArray[np.int64], notes: NDArray[np.int64], arena: NDArray[np.uint8], count: int) -> None:
    """Fill the empty slots of a grown table from its texts."""
    mask = slots.shape[0] - 1
    for k in range(count):
        h = hash_bytes(arena, notes[START, k], notes[BEHIND, k])
        slot = h & mask
        while slots[slot, ID] >= 0:
            slot = (slot + 1) & mask
        slots[slot, HASH] = h
        slots[slot, ID] = k
