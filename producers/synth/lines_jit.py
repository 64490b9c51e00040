"""Events as lines of text, byte by byte: what is the same in many lines is copied from tables of pieces.

Source: kernel/trace/trace_output.c (Linux 6.1), trace_print_context and trace_print_lat_fmt; tools/perf/builtin-script.c,
perf_sample__fprintf_start; include/trace/events/kmem.h, TP_printk of mm_page_alloc and mm_page_free.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from pagetrail.schemas.jit import inner, jit

# rows of the pieces
BEFORE_TIME: Final = 0
ALLOC: Final = 1
FREE: Final = 2
PFN: Final = 3
ORDER: Final = 4
END: Final = 5  # of a free; that of an allocation with mask m is END + 1 + m
PIECES: Final = 6

MAX_NUMBERS: Final = 3 + 10 + 1 + 6 + 16 + 16 + 2
"""Bytes of all numbers of a line at most: CPU, time, page, pfn, order."""

_ZERO: Final = 48
_NINE: Final = 57
_TO_LETTER: Final = 39  # from the character behind '9' to 'a'
_DOT: Final = 46
_BLANK: Final = 32
_HASH: Final = 2_654_435_761
_32_BITS: Final = (1 << 32) - 1


@inner
def put(out: NDArray[np.uint8], pos: int, table: NDArray[np.uint8], sizes: NDArray[np.int64], row: int) -> int:
    """Write a row of a table of texts; return the position behind."""
    size = sizes[row]
    for i in range(size):
        out[np.uint64(pos + i)] = table[np.uint64(row), np.uint64(i)]
    return pos + size


@inner
def put_digits(out: NDArray[np.uint8], pos: int, value: int, digits: int, filler: int) -> int:
    """Write *value* with *digits* decimal digits, or more; in front of it is the *filler*."""
    width = 1
    rest = value // 10
    while rest > 0:
        width += 1
        rest //= 10
    for _ in range(width, digits):
        out[np.uint64(pos)] = filler
        pos += 1
    for i in range(pos + width - 1, pos - 1, -1):
        out[np.uint64(i)] = _ZERO + value % 10
        value //= 10
    return pos + width


@inner
def put_hex(out: NDArray[np.uint8], pos: int, value: int, digits: int) -> int:
    """Write *value* with *digits* hexadecimal digits, or more."""
    width = digits
    while value >> 4 * width > 0:
        width += 1
    for i in range(pos + width - 1, pos - 1, -1):
        digit = _ZERO + (value & 15)
        out[np.uint64(i)] = digit if digit <= _NINE else digit + _TO_LETTER
        value >>= 4
    return pos + width


# n = events, t = tasks, p = PIECES + masks
@jit
def write_lines(
    out: NDArray[np.uint8],  # room for n lines
    heads: NDArray[np.uint8],  # (t, longest)
    head_sizes: NDArray[np.int64],  # (t,)
    pieces: NDArray[np.uint8],  # (p, longest)
    piece_sizes: NDArray[np.int64],  # (p,)
    hashed: bool,  # whether a page's address is hashed, or its pfn stands for it
    ts: NDArray[np.int64],  # (n,) and the following ones: the events
    cpus: NDArray[np.int16],
    task: NDArray[np.int32],
    pfns: NDArray[np.int64],
    order: NDArray[np.int8],
    mask: NDArray[np.int8],
) -> int:
    """Write a line for each event; return the bytes written."""
    pos = 0
    for i in range(ts.size):
        pos = put(out, pos, heads, head_sizes, task[i])
        pos = put_digits(out, pos, int(cpus[i]), 3, _ZERO)
        pos = put(out, pos, pieces, piece_sizes, BEFORE_TIME)
        micros = ts[i] // 1000
        pos = put_digits(out, pos, micros // 1_000_000, 5, _BLANK)
        out[pos] = _DOT
        pos = put_digits(out, pos + 1, micros % 1_000_000, 6, _ZERO)
        pos = put(out, pos, pieces, piece_sizes, ALLOC if mask[i] >= 0 else FREE)
        pfn = pfns[i]
        pos = put_hex(out, pos, (pfn * _HASH) & _32_BITS if hashed else pfn, 8 if hashed else 1)
        pos = put(out, pos, pieces, piece_sizes, PFN)
        pos = put_hex(out, pos, pfn, 1)
        pos = put(out, pos, pieces, piece_sizes, ORDER)
        pos = put_digits(out, pos, int(order[i]), 1, _ZERO)
        pos = put(out, pos, pieces, piece_sizes, END + 1 + mask[i])
    return pos
