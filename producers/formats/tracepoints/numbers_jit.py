"""Jit functions that read little-endian numbers at any place."""

import numpy as np
from numpy.typing import NDArray

from pagetrail.producers.formats.interning_jit import at
from pagetrail.schemas.jit import inner


@inner
def u16(data: NDArray[np.uint8], i: int) -> int:
    """Return 16 bits."""
    return at(data, i) | at(data, i + 1) << 8


@inner
def u32(data: NDArray[np.uint8], i: int) -> int:
    """Return 32 bits."""
    return u16(data, i) | u16(data, i + 2) << 16


@inner
def i64(data: NDArray[np.uint8], i: int) -> int:
    """Return 64 bits as int64: a number from 2^63 on is negative."""
    return np.int64(u32(data, i) | u32(data, i + 4) << 32)


@inner
def number(data: NDArray[np.uint8], i: int, size: int, signed: int) -> int:
    """Return a number of 1, 2, 4 or 8 bytes."""
    if size == 8:
        return i64(data, i)
    value = np.int64(u32(data, i)) if size == 4 else np.int64(u16(data, i)) if size == 2 else at(data, i)
    if signed and (value >> (8 * size - 1)) & 1:
        value -= np.int64(1) << (8 * size)
    return value
