"""Rows that belong together: the quick way finds what a look at each pair of rows finds."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pagetrail.queries.core.pieces import PIECE_DTYPE, pieces_of, run_key

PAGES = 24

Row = tuple[int, ...]


@st.composite
def instants(draw: st.DrawFn) -> NDArray[np.void]:
    """Draw the rows of one instant: in each view, a page is in at most one of them."""
    rows: list[Row] = []
    for view in (0, 1):
        start = 0
        while start < PAGES:
            size = draw(st.integers(1, 6))
            if draw(st.booleans()):
                rows.append((start, min(size, PAGES - start), draw(st.integers(0, 3)), draw(st.integers(0, 3)), view))
            start += size
    return np.array(draw(st.permutations(rows)), PIECE_DTYPE)


def slowly(rows: list[Row], pfns: list[int]) -> set[Row]:
    """Return the pieces, and the kernel's own records of their pages."""

    def pages(row: Row) -> set[int]:
        return set(range(row[0], row[0] + row[1]))

    asked = {row[2:] for row in rows if pages(row) & set(pfns)}
    pieces = [row for row in rows if row[2:] in asked]
    theirs = set().union(*map(pages, pieces))
    return {*pieces, *(row for row in rows if row[-1] == 1 and pages(row) & theirs)}


@given(instants(), st.sets(st.integers(0, PAGES + 2)).map(sorted))
def test_pieces_are_those_of_the_records_that_have_an_asked_page(there: NDArray[np.void], pfns: list[int]) -> None:
    found = [tuple(row) for row in pieces_of(there, np.array(pfns, np.int64)).tolist()]
    assert len(found) == len(set(found))
    assert set(found) == slowly([tuple(row) for row in there.tolist()], pfns)


@given(instants())
def test_runs_of_an_instant_have_keys_of_their_own(there: NDArray[np.void]) -> None:
    assert np.unique(run_key(there)).size == there.size
