"""Jit functions that judge events of pages by their fields, for every format that holds them as the kernel does."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from pagetrail.producers.gaps import DISORDER, LATEST
from pagetrail.schemas.columns import Kind
from pagetrail.schemas.jit import inner
from pagetrail.schemas.linux.mmzone import PFN_LIMIT

# What comes of an event that is no row. Formats have numbers of their own above these.
FAILED: Final = -21  # an allocation that got no page
REFUSED: Final = -22  # fields that no kernel writes so
QUIET: Final = -23  # it says nothing new

_REFILL: Final = int(Kind.REFILL)


@inner
def judged(
    kind: int,
    pfn: int,
    pfn_bytes: int,
    order: int,
    gfp_mask: int,
    gfp_bytes: int,
    migratetype: int,
    migratetype_bytes: int,
    to_pcp: int,
) -> int:
    """Return *kind*, FAILED, QUIET, or REFUSED. A field of 0 bytes is not there.

    *to_pcp* counts of a block off the free lists: 0 if it goes to an allocation, which has an event of its own.
    """
    if order < 0 or order >= 64 or (migratetype_bytes > 0 and (migratetype < -1 or migratetype >= 128)):
        return REFUSED
    if gfp_bytes > 0:  # an allocation: without a page, its pfn is 0 or -1
        no_page = (np.int64(1) << np.int64(min(8 * pfn_bytes, 62))) - 1
        if pfn == 0 or pfn == -1 or (pfn_bytes < 8 and pfn == no_page):
            return FAILED
        if gfp_mask < 0 or gfp_mask >= PFN_LIMIT:
            return REFUSED
    if pfn < 0 or pfn >= PFN_LIMIT:
        return REFUSED
    if kind == _REFILL and to_pcp != 1:
        return QUIET if to_pcp == 0 else REFUSED
    return kind


@inner
def hear(ring: int, ts: int, last_ts: NDArray[np.int64], entries: NDArray[np.int64], order: NDArray[np.int64]) -> None:
    """Note that a ring was heard of, or an unknown one (-1); see ``Gaps``."""
    if order[LATEST] - ts > order[DISORDER]:
        order[DISORDER] = order[LATEST] - ts
    if ts > order[LATEST]:
        order[LATEST] = ts
    if ring >= 0:
        last_ts[ring] = ts
        entries[ring] += 1
