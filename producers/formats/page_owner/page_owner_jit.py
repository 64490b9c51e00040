"""Jit functions of the page_owner parser: plain arrays in, plain arrays out.

A record is what ``print_page_owner`` of mm/page_owner.c prints, in any of its forms since Linux 3.19: a header line, a
PFN line, a stack (lines that begin with a space) or its handle, maybe lines on migration and memory cgroup, and an empty line.

A *region* reaches from a line with the marker (the beginning of a header, anywhere in the line) to the next such line. A region
that is exactly one record is read here. Any other is listed as odd, and ``tolerant`` reads it.

Positions are int64 indices into the buffer; -1 says that something did not match. Nothing here raises.
"""

from pagetrail.producers.formats.page_owner.layout import (
    ABSENT,
    AT_END,
    EMPTY,
    FIELDS,
    FIRST,
    INCOMPLETE,
    LINE,
    MALFORMED,
    MAX_RECORD,
    MODE,
    NEWLINE,
    ODD,
    ODD_BEGIN,
    ODD_CUT,
    ODD_END,
    ODD_LINE,
    ODD_ROW,
    POSITION,
    READING,
    ROWS,
    SKIPPED,
    SKIPPING_LINE,
    SKIPPING_LINES,
    SPACE,
    STACK,
    WHOLE,
    Bytes,
    Ints,
)
from pagetrail.producers.formats.page_owner.record_lines_jit import (
    STACK_HANDLE,
    handle_line,
    header_line,
    other_line,
    pfn_line,
    stack_line,
)
from pagetrail.producers.formats.page_owner.scan_jit import behind_word, intern, line_end
from pagetrail.schemas.jit import inner, jit


@inner
def _record(buf: Bytes, pos: int, stop: int, row: int, out: Ints, slots: Ints, spans: Ints) -> tuple[int, int, int]:
    """Read the record at *pos* into column *row* of *out*.

    Returns the outcome, the position behind the record, and how many lines it has.
    """
    line, number, stack, stack_end = pos, 0, -1, -1
    others = False
    for field in range(FIELDS):
        out[field, row] = ABSENT
    while True:
        good = False
        if number >= 2 and not others and line < stop and buf[line] == SPACE:
            end, good = stack_line(buf, line, stop)
        else:
            end = line_end(buf, line, stop)
        if end < 0:
            return INCOMPLETE, pos, 0
        if end == line and number >= 2:
            break
        if number == 0:
            good = header_line(buf, line, end, row, out, slots, spans)
        elif number == 1:
            good = pfn_line(buf, line, end, row, out, slots, spans)
        elif buf[line] == SPACE and not others:
            stack = line if stack < 0 else stack
            stack_end = end
        elif buf[line] == STACK_HANDLE[0]:
            good = handle_line(buf, line, end, row, out)
        else:
            others = True
            good = other_line(buf, line, end, row, out, slots, spans)
        if not good:
            return MALFORMED, line, number
        line, number = end + 1, number + 1
    if stack >= 0:
        out[STACK, row] = intern(buf, stack, stack_end, slots[1], spans[1])
    return WHOLE, end + 1, number + 1


@inner
def _region_end(buf: Bytes, pos: int, stop: int, marker: Bytes) -> tuple[int, int]:
    """Return where the next line with *marker* behind the line at *pos* begins, and how many lines lie before it; -1: nowhere."""
    begin, lines = pos, 0
    for i in range(pos, stop):
        if buf[i] == NEWLINE:
            begin, lines = i + 1, lines + 1
        elif lines > 0 and buf[i] == marker[0] and behind_word(buf, i, stop, marker) >= 0:
            return begin, lines
    return -1, lines


@inner
def _skip(buf: Bytes, stop: int, state: Ints, marker: Bytes) -> bool:
    """Skip a line of what is too long for a record; stop at the next line with *marker*. False: more bytes are needed."""
    pos = state[POSITION]
    end = line_end(buf, pos, stop)
    if state[MODE] == SKIPPING_LINES:
        limit = min(stop if end < 0 else end, pos + MAX_RECORD)
        for i in range(pos, limit):
            if buf[i] == marker[0] and behind_word(buf, i, limit, marker) >= 0:
                state[MODE] = READING
                return True
        if end < 0 and stop - pos <= MAX_RECORD and state[AT_END] == 0:
            return False
        state[SKIPPED] += 1 if end != pos else 0
        state[EMPTY] += 1 if end == pos else 0
    state[POSITION] = stop if end < 0 else end + 1
    state[MODE] = SKIPPING_LINE if end < 0 else SKIPPING_LINES
    state[LINE] += 0 if end < 0 else 1
    return end >= 0


@inner
def _odd_region(buf: Bytes, stop: int, state: Ints, odd: Ints, marker: Bytes) -> bool:
    """List the region at the state's position as odd, and go behind it. False: more bytes are needed to see its end.

    One that is longer than a record is cut, and what is left of it is skipped.
    """
    pos = state[POSITION]
    limit = min(stop, pos + MAX_RECORD)
    end, lines = _region_end(buf, pos, limit, marker)
    cut = end < 0 and stop - pos > MAX_RECORD
    if end < 0 and not cut and state[AT_END] == 0:
        return False
    if end < 0:
        end = limit
        while cut and lines > 0 and buf[end - 1] != NEWLINE:  # whole lines, if it has any
            end -= 1
    place = state[ODD]
    odd[ODD_LINE, place], odd[ODD_BEGIN, place], odd[ODD_END, place] = state[LINE], pos, end
    odd[ODD_ROW, place], odd[ODD_CUT, place] = state[ROWS], 1 if cut else 0
    state[ODD] += 1
    state[LINE] += lines
    state[POSITION] = end
    if cut:
        state[MODE] = SKIPPING_LINES if lines > 0 else SKIPPING_LINE
    return True


@jit
def parse(buf: Bytes, stop: int, state: Ints, out: Ints, slots: Ints, spans: Ints, odd: Ints, marker: Bytes) -> None:
    """Read whole records of ``buf[:stop]`` until it holds no more of them, or a table is full.

    Parameters
    ----------
    buf
        Shape (b,).
    state
        Shape (STATE,): where to begin and, afterwards, where it ended; rows read and odd regions met; empty and skipped lines in
        all, and the line of the first row of all.
    out
        Shape (FIELDS, r), int64: a column a record; text fields index into their table.
    slots, spans
        Shapes (TEXTS, s) and (TEXTS, 2, t + 1): the tables of distinct texts; slots are -1 where free.
    odd
        Shape (ODD_FIELDS, m): the regions that are not exactly one record, in their order.
    marker
        What only the first line of a record has.
    """
    while state[POSITION] < stop and state[ROWS] < out.shape[1] and state[ODD] < odd.shape[1]:
        if state[MODE] != READING:
            if not _skip(buf, stop, state, marker):
                return
            continue
        pos = state[POSITION]
        if buf[pos] == NEWLINE:
            state[POSITION] += 1
            state[LINE] += 1
            state[EMPTY] += 1
            continue
        outcome, behind, lines = _record(buf, pos, min(stop, pos + MAX_RECORD), state[ROWS], out, slots, spans)
        empty = 1
        if outcome == WHOLE:
            while behind < min(stop, pos + MAX_RECORD) and buf[behind] == NEWLINE:
                behind, lines, empty = behind + 1, lines + 1, empty + 1
            if stop - behind < marker.size and state[AT_END] == 0:
                return
            if behind < stop and behind_word(buf, behind, stop, marker) < 0:  # its stack may go on there
                outcome = MALFORMED
        if outcome == WHOLE:
            state[FIRST] = state[LINE] if state[FIRST] == 0 else state[FIRST]
            state[ROWS] += 1
            state[LINE] += lines
            state[EMPTY] += empty
            state[POSITION] = behind
        elif not _odd_region(buf, stop, state, odd, marker):
            return
