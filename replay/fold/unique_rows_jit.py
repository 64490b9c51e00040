"""Rows of numbers without repetition, found by a hash table: the compiled part.

Dimensions: r = room for rows, w = numbers of a row.
"""

from typing import Final

import numpy as np

from pagetrail.schemas.jit import apart, inner, jit

_MASK32: Final = 0xFFFFFFFF
_MULTIPLIER: Final = 0x45D9F3B3  # odd and below 2^31: a product with 32 bits stays below 2^63, with the JIT off too
_STEP: Final = 0x1E3779B9


@inner
def _part(value, i):
    """Return the part of number *i* of a row in its hash: the parts do not depend on each other, so that they are found at once."""
    multiplier = ((_MULTIPLIER + i * _STEP) & 0x7FFFFFFF) | 1
    return ((value & _MASK32) * multiplier) ^ (((value >> 32) & _MASK32) * (multiplier ^ 0x2AAAAAAA))


@inner
def _hashed(parts):
    """Return the hash of a row, 32 bits: *parts* are those of its numbers, joined by exclusive or."""
    product = ((parts ^ (parts >> 29)) & _MASK32) * _MULTIPLIER
    return (product ^ (product >> 29)) & _MASK32


@apart
def row_of(rows, table, key, width, counts, which):
    """Return the row of *rows* (r, w) that equals the first *width* values of *key*, which is added if there is none.

    *table* (power of 2,) int32 has their numbers, -1 where it is empty; it is never full. ``counts[which]`` is how many there are.
    """
    parts = np.int64(0)
    for i in range(width):
        parts ^= _part(key[i], i)
    mask = table.size - 1
    place = _hashed(parts) & mask
    while table[place] >= 0:
        row = table[place]
        same = True
        for i in range(width):
            if rows[row, i] != key[i]:
                same = False
                break
        if same:
            return row
        place = (place + 1) & mask
    row = np.int32(counts[which])
    for i in range(width):
        rows[row, i] = key[i]
    table[place] = row
    counts[which] = row + 1
    return row


@jit
def rehash(rows, size, table):
    """Fill an empty hash *table* with the first *size* of *rows*."""
    mask = table.size - 1
    for row in range(size):
        parts = np.int64(0)
        for i in range(rows.shape[1]):
            parts ^= _part(rows[row, i], i)
        place = _hashed(parts) & mask
        while table[place] >= 0:
            place = (place + 1) & mask
        table[place] = row
