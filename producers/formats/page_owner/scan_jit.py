"""Jit functions that read words and numbers of any text at a position, and give texts their numbers.

Positions are int64 indices into the buffer; -1 says that something did not match. Nothing here raises.
"""

import numpy as np

from pagetrail.producers.formats.page_owner.layout import MINUS, NEWLINE, NINE, ZERO, Bytes, Ints, Number
from pagetrail.schemas.jit import inner

_HEX = np.frombuffer(b"0x", dtype=np.uint8)


@inner
def line_end(buf: Bytes, pos: int, stop: int) -> int:
    """Return where the line at *pos* has its newline, or -1."""
    for i in range(pos, stop):
        if buf[i] == NEWLINE:
            return i
    return -1


@inner
def behind_word(buf: Bytes, pos: int, end: int, word: Bytes) -> int:
    """Return the position behind *word* if it is at *pos*, else -1 (also where *pos* is -1)."""
    if pos < 0 or end - pos < word.size:
        return -1
    for i in range(word.size):
        if buf[pos + i] != word[i]:
            return -1
    return pos + word.size


@inner
def read_decimal(buf: Bytes, pos: int, end: int) -> tuple[Number, int]:
    """Return the signed decimal number at *pos*, and the position behind it; -1 when there is none below 10^18."""
    if pos < 0:
        return np.int64(0), -1
    sign, start = np.int64(1), pos
    if pos < end and buf[pos] == MINUS:
        sign, start = np.int64(-1), pos + 1
    value, i = np.int64(0), start
    while i < end and i - start < 18 and ZERO <= buf[i] <= NINE:
        value = value * 10 + (np.int64(buf[i]) - ZERO)
        i += 1
    if i == start or (i < end and ZERO <= buf[i] <= NINE):
        return np.int64(0), -1
    return sign * value, i


@inner
def read_hexadecimal(buf: Bytes, pos: int, end: int) -> tuple[Number, int]:
    """Return the hexadecimal number at *pos* (64 bits, as they are), and the position behind it; -1 for none."""
    if pos < 0:
        return np.int64(0), -1
    value, i = np.int64(0), pos
    while i < end and i - pos <= 16:
        digit = np.int64(buf[i])
        if ZERO <= digit <= NINE:
            digit -= ZERO
        elif 97 <= digit <= 102:  # a to f
            digit -= 87
        else:
            break
        value = (value << np.int64(4)) | digit
        i += 1
    if i == pos or i - pos > 16:
        return np.int64(0), -1
    return value, i


@inner
def read_number(buf: Bytes, pos: int, end: int) -> tuple[Number, int]:
    """Return the number at *pos*, hexadecimal behind 0x (since Linux 6.6 for PFN), else decimal."""
    hexadecimal = behind_word(buf, pos, end, _HEX)
    if hexadecimal >= 0:
        return read_hexadecimal(buf, hexadecimal, end)
    return read_decimal(buf, pos, end)


@inner
def index_of(buf: Bytes, pos: int, end: int, names: Bytes) -> int:
    """Return which of *names*, each ended by a newline, is exactly [pos, end), or -1."""
    index, i = 0, 0
    while i < names.size:
        j, same = pos, True
        while names[i] != NEWLINE:
            same = same and j < end and buf[j] == names[i]
            i += 1
            j += 1
        if same and j == end:
            return index
        index += 1
        i += 1
    return -1


@inner
def intern(buf: Bytes, start: int, end: int, slots: Ints, spans: Ints) -> Number:
    """Return the number of the text [start, end) in the table (*slots*, *spans*), entering it if it is new.

    ``spans[0, -1]`` counts the table's texts; text t is [spans[0, t], spans[1, t]).
    """
    mask = slots.size - 1
    hashed = np.int64(end - start)
    i = start
    while i + 4 <= end:
        word = np.int64(buf[i]) | np.int64(buf[i + 1]) << 8 | np.int64(buf[i + 2]) << 16 | np.int64(buf[i + 3]) << 24
        hashed = (hashed * 691_319 + word) & 0xFF_FFFF_FFFF  # 40 bits by 20 bits: no overflow in int64
        i += 4
    while i < end:
        hashed = (hashed * 691_319 + np.int64(buf[i])) & 0xFF_FFFF_FFFF
        i += 1
    slot = (hashed ^ (hashed >> 20)) & mask
    while slots[slot] >= 0:
        known = slots[slot]
        first, size = spans[0, known], end - start
        if spans[1, known] - first == size:
            j = 0
            while j < size and buf[first + j] == buf[start + j]:
                j += 1
            if j == size:
                return known
        slot = (slot + 1) & mask
    fresh = spans[0, -1]
    slots[slot] = fresh
    spans[0, fresh], spans[1, fresh] = start, end
    spans[0, -1] = fresh + 1
    return fresh
