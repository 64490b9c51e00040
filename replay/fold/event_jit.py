"""The events of a stretch: each span has the number of the one that began it, and of the one that ended it.

Dimensions as in ``tables.py``; a, o, d = acts, owners and details. What an event says is looked up once, in tables of what events
have in common: acts (what happened), owners, and details, which few events have.
"""

from typing import Final

import numpy as np

from pagetrail.replay.fold.tables import (
    ACTS,
    BRIEF,
    DETAILS,
    EVENT_ROWS,
    FRESH,
    OWNERS,
    RUNS,
    SETTLED_EVENTS,
    SETTLED_RUNS,
)
from pagetrail.replay.fold.unique_rows_jit import row_of
from pagetrail.schemas.jit import inner, jit
from pagetrail.schemas.owner import ABSENT8, ABSENT16, ABSENT32, ABSENT64, How

_ENDED_BY: Final = -2
"""``end_event`` of a run, less ``end_how``, until its event is complete."""

_BRIEF: Final = -2
"""``begin_event`` of a run, less the row of ``brief``, until its event is complete, if the same event ended it."""

_HOW: Final = 2  # the column of acts
_H_ALLOC, _H_FREE, _H_DRAIN = int(How.ALLOC), int(How.FREE), int(How.DRAIN)
_H_ISOLATE, _H_REFILL = int(How.ISOLATE), int(How.REFILL)


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
def _act_of(t, r):
    key = t.key
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
    return row_of(t.acts, t.act_table, key, t.acts.shape[1], t.counts, ACTS)


@inner
def _owner_of(t, r):
    key = t.key
    key[0] = _wide32(r["pid"])
    key[1] = _wide32(r["tgid"])
    key[2] = r["comm"]
    key[3] = r["gfp_mask"]
    key[4] = _wide8(r["migratetype"])
    key[5] = r["stack"]
    key[6] = _wide8(r["migrate_reason"])
    return row_of(t.owners, t.owner_table, key, t.owners.shape[1], t.counts, OWNERS)


@inner
def _detail_of(t, r):
    """Return the row of what an event has beside the rest; -1: nothing.

    The first page of a block that was allocated or freed follows from any of its pages, and its order: the fold takes no other.
    """
    how = r["how"]
    whole = how in (_H_ALLOC, _H_FREE, _H_DRAIN, _H_REFILL, _H_ISOLATE)
    follows = whole and r["order"] >= 0 and r["block_pfn"] & ((np.int64(1) << r["order"]) - 1) == 0
    same_time = r["evidence_ts"] == r["begin_ts"]
    none = r["ts_nsec"] == ABSENT64 and r["free_ts_nsec"] == ABSENT64 and r["src_pfn"] == ABSENT64
    if follows and same_time and none:
        return np.int32(-1)
    key = t.key
    key[0] = ABSENT64 if follows else r["block_pfn"]
    key[1] = ABSENT64 if same_time else r["evidence_ts"]
    key[2] = r["ts_nsec"]
    key[3] = r["free_ts_nsec"]
    key[4] = r["src_pfn"]
    return row_of(t.details, t.detail_table, key, t.details.shape[1], t.counts, DETAILS)


@inner
def _ending_act(t, how):
    """Return the row of an act that only ends spans."""
    key = t.key
    for i in range(10):
        key[i] = ABSENT64
    key[0] = 0
    key[1] = 0
    key[2] = how
    key[5] = 0
    key[8] = -1
    key[9] = -1
    return row_of(t.acts, t.act_table, key, t.acts.shape[1], t.counts, ACTS)


@inner
def _add_event(t, seq, ts, age, act, owner, detail):
    event = np.int32(t.counts[EVENT_ROWS])
    t.counts[EVENT_ROWS] = event + 1
    e = t.events
    e.seq[event] = seq
    e.ts[event] = ts
    e.age[event] = age
    e.act[event] = act
    e.owner[event] = owner
    e.detail[event] = detail
    return event


@inner
def _begun_by(t, r):
    """Add the event that began a record; return its number."""
    act, owner, detail = _act_of(t, r), _owner_of(t, r), _detail_of(t, r)
    age = ABSENT64 if r["alloc_ts"] == ABSENT64 else r["begin_ts"] - r["alloc_ts"]
    return _add_event(t, r["begin_seq"], r["begin_ts"], age, act, owner, detail)


@inner
def began(t, handle, seq):
    """Return the event that began a record, or what stands for it until it is complete: see ``settle``."""
    if t.records[handle]["begin_seq"] != seq:
        return t.records[handle]["event"]
    row = t.counts[BRIEF]
    t.brief[row] = t.records[handle]
    t.counts[BRIEF] = row + 1
    return np.int32(_BRIEF - row)


@inner
def ended_by(how):
    """Return what stands for an event that ends spans, until it is complete: see ``settle``."""
    return np.int32(_ENDED_BY - how)


@inner
def settled(t, seq, ts, most):
    """See ``settle``."""
    lasting = t.counts[FRESH]
    begun = min(lasting, most)
    for i in range(begun + (t.counts[BRIEF] if begun == lasting else 0)):
        handle = t.fresh[i] if i < begun else np.int32(-1)
        if handle >= 0 and (t.records[handle]["pages"] == 0 or t.records[handle]["begin_seq"] != seq):
            continue  # it was given back
        event = _begun_by(t, t.records[handle] if handle >= 0 else t.brief[i - begun])
        if handle >= 0:
            t.records[handle]["event"] = event
        else:
            t.brief[i - begun]["event"] = event
    t.counts[FRESH] = lasting - begun
    if begun < lasting:
        for i in range(begun, lasting):
            t.fresh[i - begun] = t.fresh[i]
        return
    t.counts[BRIEF] = 0
    first = t.counts[SETTLED_EVENTS]
    for event in range(first, t.counts[EVENT_ROWS]):
        how = t.acts[t.events.act[event], _HOW]
        if t.by_how[how] < 0:
            t.by_how[how] = event
    for i in range(t.counts[SETTLED_RUNS], t.counts[RUNS]):
        if t.runs[i]["begin_event"] < 0:
            t.runs[i]["begin_event"] = t.brief[_BRIEF - t.runs[i]["begin_event"]]["event"]
        how = np.int64(_ENDED_BY) - t.runs[i]["end_event"]
        if t.by_how[how] < 0:
            t.by_how[how] = _add_event(t, seq, ts, ABSENT64, _ending_act(t, how), np.int32(-1), np.int32(-1))
        t.runs[i]["end_event"] = t.by_how[how]
    for event in range(first, t.counts[EVENT_ROWS]):
        t.by_how[t.acts[t.events.act[event], _HOW]] = -1
    t.counts[SETTLED_RUNS] = t.counts[RUNS]
    t.counts[SETTLED_EVENTS] = t.counts[EVENT_ROWS]


@jit
def settle(t, seq, ts, most):
    """Give the records that an event began, and the runs that it ended, the numbers of its rows.

    Rules change a record until the event is over, so it has no row before. A span ends with an event that began others in the same
    way, or, if there is none, with a row of its own. If there are more than *most* records, only so many are dealt with.
    """
    settled(t, seq, ts, most)


@jit
def mark_used(t, events, acts, owners, details):
    """Mark, in arrays (e,), (a,), (o,) and (d,) of int8 that are zero, the events of open records, and what these refer to."""
    e = t.events
    for handle in range(t.records.shape[0]):
        if t.records[handle]["pages"] > 0:
            event = t.records[handle]["event"]
            events[event] = 1
            acts[e.act[event]] = 1
            if e.owner[event] >= 0:
                owners[e.owner[event]] = 1
            if e.detail[event] >= 0:
                details[e.detail[event]] = 1


@jit
def renumber(t, number):
    """Give open records the numbers that their events have now: *number* (by the old ones,) int32."""
    for handle in range(t.records.shape[0]):
        if t.records[handle]["pages"] > 0:
            t.records[handle]["event"] = number[t.records[handle]["event"]]
