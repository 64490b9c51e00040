"""Sorting by whole numbers in a few passes over them, 11 bits at a time."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from pagetrail.schemas.jit import READ_AHEAD, jit, prefetch

_BITS: Final = 11
_BUCKETS: Final = 1 << _BITS
_NARROW: Final = 1 << 31
"""Keys with a smaller span, and so many or fewer, are moved in half the memory."""


@jit
def _pass(keys, order, to_keys, to_order, counts, shift):
    """Move *keys* and *order* to *to_keys* and *to_order*, stably, by the 11 bits of the keys from *shift* on.

    *counts* (2048,) is room. Keys move along: looking them up by *order* would read all over the memory.
    """
    counts[:] = 0
    n = order.size
    for i in range(n):
        counts[(keys[i] >> shift) & (_BUCKETS - 1)] += 1
    total = np.int64(0)
    for bucket in range(_BUCKETS):
        here = counts[bucket]
        counts[bucket] = total
        total += here
    for i in range(n):
        bucket = (keys[i] >> shift) & (_BUCKETS - 1)
        to_keys[counts[bucket]] = keys[i]
        to_order[counts[bucket]] = order[i]
        counts[bucket] += 1


@jit
def runs_by_page(runs, order, columns):
    """Write runs (ENDED_RUN_DTYPE) into *columns*, an array for each field by its name, in the order of *order* (n,)."""
    n = order.size
    for i in range(n):
        if i + READ_AHEAD < n:
            prefetch(runs, order[i + READ_AHEAD])
        run = runs[order[i]]
        columns.pfn[i] = run["pfn"]
        columns.nr_pages[i] = run["nr_pages"]
        columns.begin_event[i] = run["begin_event"]
        columns.end_event[i] = run["end_event"]
        columns.generation[i] = run["generation"]
        columns.kernel_view[i] = run["kernel_view"]


def order_of(keys: NDArray[np.int64]) -> NDArray[np.signedinteger]:
    """Return the indexes that sort (n,) *keys*; equal keys stay in their order."""
    if keys.size < 2:
        return np.arange(keys.size, dtype=np.int32)
    low = int(keys.min())
    span, shift = int(keys.max()) - low, 0
    if span >= 1 << 62:  # differences of such keys do not fit
        return np.argsort(keys, kind="stable")
    kind = np.int32 if span < _NARROW and keys.size < _NARROW else np.int64
    order = np.arange(keys.size, dtype=kind)
    keys = np.subtract(keys, low, out=np.empty(keys.size, kind), casting="unsafe")
    room = [(np.empty_like(keys), np.empty_like(order)) for _ in range(2 if span >> _BITS else 1)]
    counts = np.zeros(_BUCKETS, np.int64)
    while span >> shift:
        target = room[(shift // _BITS) % len(room)]
        _pass(keys, order, *target, counts, shift)
        keys, order = target
        shift += _BITS
    return order
