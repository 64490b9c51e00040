"""Runs joined page by page, by what their judgements say in words."""

import numpy as np
from numpy.typing import NDArray

from pagetrail.queries.core.runs import Rows


def joined_by_words(
    rows: Rows,
    kernel_records: NDArray[np.void],
    uncertain: list[list[str]],
    why: list[str],
    pages_per_section: int,
    borders: set[int],
) -> list[tuple[int, int, int]]:
    """Return (first page, pages, row of its first run) of the longest runs of which the same is said, and that cross no border."""
    found: list[tuple[int, int, int]] = []
    for i in range(rows.runs.size):
        pfn, size = int(rows.runs["pfn"][i]), int(rows.runs["nr_pages"][i])
        if i and found[-1][0] + found[-1][1] == pfn and pfn % pages_per_section and pfn not in borders:
            alike = (
                rows.runs["generation"][i] == rows.runs["generation"][i - 1]
                and rows.records[i].tobytes() == rows.records[i - 1].tobytes()
                and _kernel_says(rows, kernel_records, i) == _kernel_says(rows, kernel_records, i - 1)
                and (uncertain[i], why[i]) == (uncertain[i - 1], why[i - 1])
            )
            if alike:
                first, pages, row = found[-1]
                found[-1] = (first, pages + size, row)
                continue
        found.append((pfn, size, i))
    return found


def _kernel_says(rows: Rows, kernel_records: NDArray[np.void], i: int) -> bytes | None:
    row = int(rows.kernel_row[i])
    return None if row < 0 else kernel_records[row].tobytes()
