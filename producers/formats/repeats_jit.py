"""The jit function that finds a row which an earlier one has said already."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from pagetrail.producers.formats.rows import R_KIND, R_ORDER, R_PFN, R_STACK, R_TS
from pagetrail.schemas.columns import Kind
from pagetrail.schemas.jit import inner, jit

MOST_ROWS: Final = 128
"""So many rows of one time are compared. Where a clock stands still, a repeat that is further away is not seen."""

LARGEST_ORDER: Final = 40
"""No machine has as many pages."""

_GAP: Final = int(Kind.GAP)


@inner
def same_row(rows: NDArray[np.int64], left: int, right: int) -> bool:
    """Return whether two rows are equal in every column but the stack, which may not have come yet."""
    for column in range(rows.shape[0]):  # noqa: SIM110 - jit functions have no generators
        if column != R_STACK and rows[column, left] != rows[column, right]:
            return False
    return True


@inner
def pages(order: int) -> int:
    """Return how many pages a row of *order* names at least; absent: one."""
    return int(np.int64(1) << np.int64(min(max(order, 0), LARGEST_ORDER)))


@inner
def touches(rows: NDArray[np.int64], left: int, right: int) -> bool:
    """Return whether two rows name a page in common."""
    start, other = rows[R_PFN, left], rows[R_PFN, right]
    if start < 0 or other < 0:
        return bool(start < 0 and other < 0 and rows[R_KIND, left] == rows[R_KIND, right])
    return bool(start < other + pages(rows[R_ORDER, right]) and other < start + pages(rows[R_ORDER, left]))


@jit
def repeated(rows: NDArray[np.int64], row: int) -> int:
    """Return the row that says the same of the same CPU at the same time as *row*, the last one; -1: there is none.

    Between the two, no other row names any of its pages, and nothing was lost: a page that is freed is not freed once more by the
    same CPU before it was allocated, nor is one that is allocated.
    """
    for other in range(row - 1, max(row - 1 - MOST_ROWS, -1), -1):
        if rows[R_TS, other] != rows[R_TS, row] or rows[R_KIND, other] == _GAP:
            return -1
        if touches(rows, row, other):
            return other if same_row(rows, row, other) else -1
    return -1
