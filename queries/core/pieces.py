"""Which rows of an instant are pieces of the same records: a few columns say so, and no others are read whole."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from pagetrail.schemas.linux.mmzone import PFN_LIMIT
from pagetrail.schemas.owner import How

PIECE_DTYPE: Final = np.dtype(
    [("pfn", "i8"), ("nr_pages", "i8"), ("begin_seq", "i8"), ("block_pfn", "i8"), ("kernel_view", "i1")]
)
"""The columns that say of which record a row is a piece."""


def is_whole(runs: NDArray[np.void], records: NDArray[np.void], *, views: bool) -> NDArray[np.bool_]:
    """Return which runs are whole records, whose pages have no others: one that an event began has a block of 2^order pages.

    *views*: whether there may be records of the kernel's own; those of a run of one page are known with it.
    """
    began = (records["how"] == How.ALLOC) | (records["how"] == How.FREE)
    size = np.int64(1) << np.clip(records["order"], 0, 62).astype(np.int64)
    whole = began & (records["order"] >= 0) & (runs["nr_pages"] == size) & (runs["pfn"] == records["block_pfn"])
    return np.asarray(whole & (size == 1) if views else whole)


def pieces_of(there: NDArray[np.void], pfns: NDArray[np.int64]) -> NDArray[np.void]:
    """Return those of the rows *there* that contain one of the sorted *pfns*, or are pieces of the same records; and the kernel's
    own records of any of their pages.
    """
    next_asked = np.searchsorted(pfns, there["pfn"])
    holds = np.append(pfns, PFN_LIMIT)[next_asked] < there["pfn"] + there["nr_pages"]
    is_piece = np.isin(there["block_pfn"], there["block_pfn"][holds])  # nearly all of them are of those records
    asked = set(map(_record_key, there[holds]))
    is_piece[is_piece] = [_record_key(row) in asked for row in there[is_piece]]
    pieces = np.sort(there[is_piece], order="pfn")
    stops = np.maximum.accumulate(pieces["pfn"] + pieces["nr_pages"])
    first_behind = np.searchsorted(
        stops, there["pfn"], side="right"
    )  # the first piece that ends behind the row's first page
    touches = np.append(pieces["pfn"], PFN_LIMIT)[first_behind] < there["pfn"] + there["nr_pages"]
    return np.asarray(there[is_piece | ((there["kernel_view"] == 1) & touches)])


def _record_key(row: np.void) -> tuple[int, ...]:
    """Return what all pieces of a record have in common."""
    return int(row["kernel_view"]), int(row["begin_seq"]), int(row["block_pfn"])


def run_key(rows: NDArray[np.void]) -> NDArray[np.int64]:
    """Return what tells runs of one instant apart: a page is in one of each view."""
    return np.asarray(rows["pfn"] << 1 | (rows["kernel_view"] == 1))
