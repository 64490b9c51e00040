"""Which events of a stretch fit together in time: the longest part of them whose times do not fall.

n = events of the stretch.
"""

import numpy as np
from numpy.typing import NDArray

from pagetrail.schemas.jit import jit


@jit
def longest_rising(
    times: NDArray[np.int64],
    floor: int,
    heads: NDArray[np.int64],
    links: NDArray[np.int64],
    kept: NDArray[np.bool_],
) -> int:
    """Mark in *kept* (n,) the most events whose times, in their order, do not fall and are not below *floor*; return their number.

    Of two choices of equal length, the one that keeps earlier events is taken: a late event is late, and not the one before it
    early. *heads* and *links* (n,) are room to work in.

    Notes
    -----
    Patience sorting from the end: ``heads[k]`` begins the chain of k + 1 events whose first time is the highest.
    """
    size = 0
    for i in range(times.size - 1, -1, -1):
        kept[i] = False
        value = times[i]
        if value < floor:
            continue
        low, high = 0, size
        if size > 0 and value <= times[heads[size - 1]]:
            low = size
        while low < high:
            middle = (low + high) // 2
            if times[heads[middle]] >= value:
                low = middle + 1
            else:
                high = middle
        heads[low] = i
        links[i] = heads[low - 1] if low > 0 else -1
        size = max(size, low + 1)
    i = heads[size - 1] if size > 0 else -1
    while i >= 0:
        kept[i] = True
        i = links[i]
    return size
