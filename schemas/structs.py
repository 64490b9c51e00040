"""Whole rows of structured arrays, moved as bytes: NumPy moves a struct field by field, which takes ten times as long."""

import numpy as np
from numpy.typing import NDArray


def whole(rows: NDArray[np.void]) -> NDArray[np.void]:
    """Return the same rows, opaque: what is written to them is written to *rows*."""
    return rows.view(np.dtype((np.void, rows.dtype.itemsize)))


def taken(rows: NDArray[np.void], which: NDArray[np.integer] | NDArray[np.bool_]) -> NDArray[np.void]:
    """Return a copy of ``rows[which]``."""
    index = np.flatnonzero(which) if which.dtype == np.bool_ else which
    return whole(rows).take(index).view(rows.dtype)


def copied(rows: NDArray[np.void]) -> NDArray[np.void]:
    """Return a copy of *rows*, which lie one after another."""
    return whole(rows).copy().view(rows.dtype)


def concatenated(parts: list[NDArray[np.void]]) -> NDArray[np.void]:
    """Return the rows of all *parts*, of one dtype, one after another."""
    return np.concatenate([whole(part) for part in parts]).view(parts[0].dtype)
