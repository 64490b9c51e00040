"""Rows of structured arrays, moved as bytes: NumPy moves a struct field by field, which takes ten times as long."""

import numpy as np
from numpy.typing import NDArray


def whole(rows: NDArray[np.void]) -> NDArray[np.void]:
    """Return an opaque NumPy view of *rows*: a write to it is a write to *rows*."""
    return rows.view(np.dtype((np.void, rows.dtype.itemsize)))


def taken(rows: NDArray[np.void], which: NDArray[np.integer] | NDArray[np.bool_]) -> NDArray[np.void]:
    """Return a copy of ``rows[which]``."""
    index = np.flatnonzero(which) if which.dtype == np.bool_ else which
    return whole(rows).take(index).view(rows.dtype)


def copied(rows: NDArray[np.void]) -> NDArray[np.void]:
    """Return a copy of *rows*, which must be contiguous."""
    return whole(rows).copy().view(rows.dtype)


def concatenated(arrays: list[NDArray[np.void]]) -> NDArray[np.void]:
    """Return the rows of all *arrays*, which have one dtype, one after another."""
    return np.concatenate([whole(array) for array in arrays]).view(arrays[0].dtype)
