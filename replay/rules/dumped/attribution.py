"""Whose page a dump speaks of: what it said stays true of a page as long as the allocation lasts that the dump saw."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pagetrail.schemas.owner import ABSENT64, How, State

ATTRIBUTED_BY: Final = ("state", "how", "src_pfn", "evidence_ts", "begin_seq")
"""The fields of RECORD_DTYPE that tell whose page a dump speaks of."""

_SPLIT: Final = (int(How.SPLIT), int(How.SPLIT_IMPLIED), int(How.SPLIT_BY_PAGE_EXT))


def is_of_the_same_allocation(
    records: Mapping[str, NDArray[Any]] | NDArray[np.void], seq: NDArray[np.int64], window_begin: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Return whether each owner is the one whom a dump saw, which ended at *seq* and was read from *window_begin* on.

    *records* have the fields ``ATTRIBUTED_BY``. A span that had begun when the dump ended is the one that the dump
    saw. Of those that began later, only a split goes on with the same allocation of the same page: it passes on the time of its
    evidence. A migration does too, but from another page.
    """
    owned = records["state"] == State.OWNED
    split = np.isin(records["how"], _SPLIT) & (records["src_pfn"] == ABSENT64)
    split &= records["evidence_ts"] <= window_begin
    return np.asarray(owned & ((records["begin_seq"] <= seq) | split))


def head_of(pfn: NDArray[np.int64], order: NDArray[np.int8]) -> NDArray[np.int64]:
    """Return the page for which a dump has the record of each page: the one whose pfn is aligned to the order of the block.

    Source: mm/page_owner.c, read_page_owner (Linux 6.1).
    """
    size = np.int64(1) << np.clip(order, 0, 62).astype(np.int64)
    return np.asarray(pfn & -size)
