"""Packing spans: the compiled part. Each row finds, or adds, the event that began it and the event that ended it.

Dimensions: e = room for events, a, o, d = room for acts, owners and details, w = stream_seqs of the window.

An event is what happened to pages at one stream_seq; equal ones are one. Events of one stream_seq are a list, linked by ``next``.
"""

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pagetrail.schemas.jit import inner, jit
from pagetrail.schemas.owner import ABSENT8, ABSENT16, ABSENT32, ABSENT64

Array = NDArray[Any]

ACT_FIELDS: Final = (
    "state", "evidence", "how", "cpu", "order", "unordered", "free_pid", "free_tgid", "free_comm", "free_stack",
)  # fmt: skip
"""What an act says: what happened, and by whose free. These fields of a record have few values together."""

OWNER_FIELDS: Final = ("pid", "tgid", "comm", "gfp_mask", "migratetype", "stack", "migrate_reason")
"""What an owner says: whose pages they are, and how they were asked for."""

DETAIL_FIELDS: Final = ("block_pfn", "evidence_ts", "ts_nsec", "free_ts_nsec", "src_pfn")
"""What only some events have: a value is absent where it follows from others. See ``_detail``."""


class Pack(NamedTuple):
    """What has been packed so far. When something has to grow, the whole tuple is replaced."""

    seq: Array  # int64 (e,) stream_seq of each event
    ts: Array  # int64 (e,) its trace clock, ns
    age: Array  # int64 (e,) ns since the owner allocated; ABSENT64: unknown
    act: Array  # int32 (e,) row of acts
    owner: Array  # int32 (e,) row of owners; -1: it began no span
    detail: Array  # int32 (e,) row of details; -1: none
    next: Array  # int32 (e,) the next event of the same stream_seq; -1: none
    taken: Array  # int8 (e,) 1: an open record has this event to itself
    acts: Array  # int64 (a, 10) by ACT_FIELDS
    owners: Array  # int64 (o, 7) by OWNER_FIELDS
    details: Array  # int64 (d, 5) by DETAIL_FIELDS
    act_table: Array  # int32 (power of 2,) hash table of rows of acts; -1: empty
    owner_table: Array  # int32 likewise
    detail_table: Array  # int32 likewise
    window: Array  # int32 (w,) the first event of stream_seq counts[WINDOW] + i; -1: none
    seq_table: Array  # int32 (power of 2,) hash table of the first event of any other stream_seq
    key: Array  # int64 (10,) room for a row that is looked up
    counts: Array  # int64 see the indexes below


EVENTS, ACTS, OWNERS, DETAILS, WINDOW, SEQS = range(6)
COUNTS: Final = 6

_MASK32: Final = 0xFFFFFFFF
_MULTIPLIER: Final = 0x45D9F3B3  # odd and below 2^31: a product with 32 bits stays below 2^63, with the JIT off too


@inner
def _hashed(value, found):
    """Return the hash *found*, 32 bits, with another value in it."""
    product = (found ^ (value & _MASK32)) * _MULTIPLIER
    product = (((product ^ (product >> 29)) ^ (value >> 32)) & _MASK32) * _MULTIPLIER
    return (product ^ (product >> 29)) & _MASK32


@inner
def _row_of(rows, table, key, width, counts, which):
    """Return the row that equals the first *width* values of *key*, which is added if there is none."""
    found = np.int64(0)
    for i in range(width):
        found = _hashed(key[i], found)
    mask = table.size - 1
    place = found & mask
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


@inner
def _wide8(value):
    return ABSENT64 if value == ABSENT8 else np.int64(value)


@inner
def _wide16(value):
    return ABSENT64 if value == ABSENT16 else np.int64(value)


@inner
def _wide32(value):
    return ABSENT64 if value == ABSENT32 else np.int64(value)


@inner
def _act_of(p, r):
    key = p.key
    key[0] = r["state"]
    key[1] = r["evidence"]
    key[2] = r["how"]
    key[3] = _wide16(r["cpu"])
    key[4] = _wide8(r["order"])
    key[5] = r["unordered"]
    key[6] = _wide32(r["free_pid"])
    key[7] = _wide32(r["free_tgid"])
    key[8] = r["free_comm"]
    key[9] = r["free_stack"]
    return _row_of(p.acts, p.act_table, key, 10, p.counts, ACTS)


@inner
def _owner_of(p, r):
    key = p.key
    key[0] = _wide32(r["pid"])
    key[1] = _wide32(r["tgid"])
    key[2] = r["comm"]
    key[3] = r["gfp_mask"]
    key[4] = _wide8(r["migratetype"])
    key[5] = r["stack"]
    key[6] = _wide8(r["migrate_reason"])
    return _row_of(p.owners, p.owner_table, key, 7, p.counts, OWNERS)


@inner
def _ending_act(p, how):
    """Return the row of an act that only ends spans."""
    key = p.key
    key[0] = 0
    key[1] = 0
    key[2] = how
    for i in range(3, 8):
        key[i] = ABSENT64
    key[5] = 0
    key[8] = -1
    key[9] = -1
    return _row_of(p.acts, p.act_table, key, 10, p.counts, ACTS)


@inner
def follows(r, pfn, pages):
    """Return whether the first page of the block follows from a run that begins at *pfn*, and the order."""
    if r["order"] > 0:
        return r["block_pfn"] == (pfn >> r["order"]) << r["order"]
    return pages == 1 and r["block_pfn"] == pfn


@inner
def _detail_of(p, r, block_follows):
    """Return the row of what an event has beside the rest; -1: nothing.

    The block follows from a run: see ``follows``. The evidence is the event itself, unless a time is given.
    """
    same_time = r["evidence_ts"] == r["begin_ts"]
    none = r["ts_nsec"] == ABSENT64 and r["free_ts_nsec"] == ABSENT64 and r["src_pfn"] == ABSENT64
    if block_follows and same_time and none:
        return np.int32(-1)
    key = p.key
    key[0] = ABSENT64 if block_follows else r["block_pfn"]
    key[1] = ABSENT64 if same_time else r["evidence_ts"]
    key[2] = r["ts_nsec"]
    key[3] = r["free_ts_nsec"]
    key[4] = r["src_pfn"]
    return _row_of(p.details, p.detail_table, key, 5, p.counts, DETAILS)


@inner
def _place_of(p, seq):
    """Return where a stream_seq outside of the window is in the hash table, or where it belongs."""
    mask = p.seq_table.size - 1
    place = _hashed(seq, np.int64(0)) & mask
    while p.seq_table[place] >= 0 and p.seq[p.seq_table[place]] != seq:
        place = (place + 1) & mask
    return place


@inner
def _first_of(p, seq):
    """Return the first event of a stream_seq; -1: there is none."""
    at = seq - p.counts[WINDOW]
    if 0 <= at < p.window.size:
        return p.window[at]
    return p.seq_table[_place_of(p, seq)]


@inner
def _add_event(p, seq, ts, age, act, owner, detail):
    """Add an event at the front of the list of its stream_seq; return its number."""
    event = np.int32(p.counts[EVENTS])
    p.counts[EVENTS] = event + 1
    p.seq[event] = seq
    p.ts[event] = ts
    p.age[event] = age
    p.act[event] = act
    p.owner[event] = owner
    p.detail[event] = detail
    p.taken[event] = 0
    at = seq - p.counts[WINDOW]
    if 0 <= at < p.window.size:
        p.next[event] = p.window[at]
        p.window[at] = event
    else:
        place = _place_of(p, seq)
        p.next[event] = p.seq_table[place]
        if p.seq_table[place] < 0:
            p.counts[SEQS] += 1
        p.seq_table[place] = event
    return event


@inner
def _event_of(p, r, block_follows, alone):
    """Return the event that began the span of a record, which is added if it is new; *alone*: no other record may have it."""
    act, owner, detail = _act_of(p, r), _owner_of(p, r), _detail_of(p, r, block_follows)
    seq, ts = r["begin_seq"], r["begin_ts"]
    age = ABSENT64 if r["alloc_ts"] == ABSENT64 else ts - r["alloc_ts"]
    found = np.int32(-1)
    event = _first_of(p, seq)
    while event >= 0:
        same = p.act[event] == act and p.owner[event] == owner and p.detail[event] == detail
        if same and p.age[event] == age and p.ts[event] == ts and not (alone and p.taken[event] != 0):
            found = event  # the last in the list is the first that was added
        event = p.next[event]
    if found < 0:
        found = _add_event(p, seq, ts, age, act, owner, detail)
    if alone:
        p.taken[found] = 1
    return found


class Rows(NamedTuple):
    """n spans that ended."""

    pfn: Array  # int64
    nr_pages: Array  # int32
    generation: Array  # int32
    kernel_view: Array  # int8
    begin: Array  # int32 the event that began it
    end_seq: Array  # int64
    end_ts: Array  # int64
    end_how: Array  # int8


@jit
def begin_ended(p, runs, records, order, start, stop, rows, to):
    """Write into *rows*, from *to* on, the spans of *order* from *start* on, before *stop*, and what began each."""
    for i in range(start, stop):
        row, at = order[i], to + i
        r, run = records[row], runs[row]
        rows.pfn[at] = run["pfn"]
        rows.nr_pages[at] = run["nr_pages"]
        rows.generation[at] = run["generation"]
        rows.kernel_view[at] = run["kernel_view"]
        rows.end_seq[at] = run["end_seq"]
        rows.end_ts[at] = run["end_ts"]
        rows.end_how[at] = run["end_how"]
        rows.begin[at] = _event_of(p, r, follows(r, run["pfn"], run["nr_pages"]), False)


@jit
def mark_blocks(records, base, first, nr_pages, handles, unlike):
    """Set *unlike* (r,) to 1 for records of open spans whose block does not follow from one of their runs."""
    for i in range(handles.size):
        r = records[handles[i]]
        pages = np.int64(nr_pages[i]) if r["pages"] == nr_pages[i] else np.int64(2)
        if not follows(r, base + first[i], pages):
            unlike[handles[i]] = 1


@jit
def begin_open(p, records, handles, start, stop, unlike, event_of, begin):
    """Write into *begin* the event that began each open span from *start* on, before *stop*.

    *event_of* (r,) has that of each record, or -1.
    """
    for i in range(start, stop):
        handle = handles[i]
        if event_of[handle] < 0:
            event_of[handle] = _event_of(p, records[handle], unlike[handle] == 0, True)
        begin[i] = event_of[handle]


@jit
def end_ended(p, rows, start, stop, end):
    """Write into *end* the event that ended each span from *start* on, before *stop*.

    It is one that began others in the same way, or, if there is none, one of its own.
    """
    for i in range(start, stop):
        found = np.int32(-1)
        event = _first_of(p, rows.end_seq[i])
        while event >= 0:
            if p.acts[p.act[event], 2] == rows.end_how[i] and p.ts[event] == rows.end_ts[i]:
                found = event
            event = p.next[event]
        if found < 0:
            act = _ending_act(p, np.int64(rows.end_how[i]))
            found = _add_event(p, rows.end_seq[i], rows.end_ts[i], ABSENT64, act, np.int32(-1), np.int32(-1))
        end[i] = found


@jit
def in_order_of_page(pfn, begin_seq, end_seq, order):
    """Order rows of equal *pfn*, which *order* (n,) has beside each other, by (begin_seq, end_seq); stable."""
    for i in range(1, order.size):
        row = order[i]
        j = i
        while j > 0:
            other = order[j - 1]
            if pfn[other] != pfn[row] or begin_seq[other] < begin_seq[row]:
                break
            if begin_seq[other] == begin_seq[row] and end_seq[other] <= end_seq[row]:
                break
            order[j] = other
            j -= 1
        order[j] = row


@jit
def rehash(rows, size, width, table):
    """Fill an empty hash *table* with the first *size* of *rows*."""
    mask = table.size - 1
    for row in range(size):
        found = np.int64(0)
        for i in range(width):
            found = _hashed(rows[row, i], found)
        place = found & mask
        while table[place] >= 0:
            place = (place + 1) & mask
        table[place] = row


@jit
def rehash_seqs(seq, old, table):
    """Fill an empty hash *table* of stream_seqs with the events of an *old* one."""
    mask = table.size - 1
    for i in range(old.size):
        if old[i] < 0:
            continue
        place = _hashed(seq[old[i]], np.int64(0)) & mask
        while table[place] >= 0:
            place = (place + 1) & mask
        table[place] = old[i]
