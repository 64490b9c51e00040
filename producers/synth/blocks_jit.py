"""The generator of a synthetic load: random allocations and frees of blocks, event by event.

All numbers are int64: a random state of 64 bits is shifted without a sign, and wraps, with the JIT and without it.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from pagetrail.schemas.jit import inner, jit

CPUS: Final = 8
"""Of each host; a power of two."""
NO_MASK: Final = -1
"""The mask of a free."""

# state (int64): what changes from event to event
RANDOM: Final = 0  # never 0
CLOCK: Final = 1  # ns
LIVE_PAGES: Final = 2
LIVE_BLOCKS: Final = 3
STATE: Final = 4

# settings (int64)
FLOOR: Final = 0  # fewer live pages: allocate
CEILING: Final = 1  # as many: free
STEP_SPAN: Final = 2  # ns between two events: LEAST_STEP, and less than this more
MAX_BLOCK_ORDER: Final = 3
SETTINGS: Final = 4

LEAST_STEP: Final = 1_000  # ns: text has microseconds
_63_BITS: Final = (1 << 63) - 1
_57_BITS: Final = (1 << 57) - 1
_31_BITS: Final = (1 << 31) - 1
_20_BITS: Final = (1 << 20) - 1


@inner
def draw(state: NDArray[np.int64]) -> int:
    """Return the next 63 random bits.

    Source: G. Marsaglia, Xorshift RNGs (2003), 13-7-17.
    """
    bits = state[RANDOM]
    bits ^= bits << 13
    bits ^= (bits >> 7) & _57_BITS
    bits ^= bits << 17
    state[RANDOM] = bits
    return bits & _63_BITS


@inner
def below(bits: int, limit: int) -> int:
    """Return a number below *limit*, at most 2^31, from 31 of the *bits*."""
    return ((bits >> 20) & _31_BITS) * limit >> 31


@inner
def free_order(bits: int, state: NDArray[np.int64], settings: NDArray[np.int64], free_count: NDArray[np.int64]) -> int:
    """Return the order to allocate: each has an eighth of the chance of the one below; 0 where such a block is not to be had."""
    order = 0
    while order < settings[MAX_BLOCK_ORDER] and bits & 7 == 0:
        order += 1
        bits >>= 3
    if free_count[order] == 0 or state[LIVE_PAGES] + (1 << order) > settings[CEILING]:
        return 0
    return order


# o = orders, b = blocks, l = most live blocks, c = CPUS, r = RANKS, d = MASKS_DRAWN, n = events wanted
@jit
def generate(
    state: NDArray[np.int64],
    settings: NDArray[np.int64],
    free: NDArray[np.int32],  # (b,) free blocks by order, each a page's number from the first
    free_start: NDArray[np.int64],  # (o,) where those of an order begin
    free_count: NDArray[np.int64],  # (o,) how many there are
    live: NDArray[np.int32],  # (l,)
    live_order: NDArray[np.int8],  # (l,)
    running: NDArray[np.int32],  # (c,) the task that runs on each CPU
    task_by_rank: NDArray[np.int32],  # (r,)
    mask_by_draw: NDArray[np.int8],  # (2, d)
    ts: NDArray[np.int64],  # (n,) and the following ones: the events
    cpus: NDArray[np.int16],
    task: NDArray[np.int32],
    page: NDArray[np.int32],
    order: NDArray[np.int8],
    mask: NDArray[np.int8],
) -> int:
    """Make the next n events; return how many: all."""
    for i in range(ts.size):
        bits = draw(state)
        cpu = bits & (CPUS - 1)
        if (bits >> 3) & 31 == 0:
            running[cpu] = task_by_rank[(bits >> 50) & (task_by_rank.size - 1)]
        more = draw(state)
        state[CLOCK] += LEAST_STEP + ((more & _20_BITS) * settings[STEP_SPAN] >> 20)
        ts[i] = state[CLOCK] // LEAST_STEP * LEAST_STEP
        cpus[i], task[i] = cpu, running[cpu]
        count = state[LIVE_PAGES]
        if count < settings[FLOOR] or state[LIVE_BLOCKS] == 0 or (count < settings[CEILING] and (bits >> 8) & 1 == 0):
            of = free_order(bits >> 15, state, settings, free_count)
            last = free_start[of] + free_count[of] - 1
            at = free_start[of] + below(more, free_count[of])
            block = free[at]
            free[at] = free[last]
            free_count[of] -= 1
            slot = state[LIVE_BLOCKS]
            live[slot], live_order[slot] = block, of
            state[LIVE_BLOCKS] += 1
            state[LIVE_PAGES] += np.int64(1) << of
            mask[i] = mask_by_draw[min(of, 1), (bits >> 9) & (mask_by_draw.shape[1] - 1)]
        else:
            slot = below(more, state[LIVE_BLOCKS])
            last = state[LIVE_BLOCKS] - 1
            block, of = live[slot], np.int64(live_order[slot])
            live[slot], live_order[slot] = live[last], live_order[last]
            free[free_start[of] + free_count[of]] = block
            free_count[of] += 1
            state[LIVE_BLOCKS] -= 1
            state[LIVE_PAGES] -= np.int64(1) << of
            mask[i] = NO_MASK
        page[i], order[i] = block, of
    return ts.size
