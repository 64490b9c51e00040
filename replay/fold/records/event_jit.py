"""The events of a stretch: each span has the number of the one that began it, and of the one that ended it.

Dimensions as in ``tables.py``; a, o, d = acts, owners and details. What an event says is looked up once, in tables of what events
have in common: acts (what happened), owners, and details, which few events have.
"""

from typing import Final

import numpy as np

from pagetrail.replay.fold.tables import (
    ACTS,
    BEGUN_RUNS,
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

DRAFT: Final = -2
"""``event`` of a record, and ``begin_event`` of a run, less the row of its draft, until its event is complete."""

ENDED_BY: Final = -2
"""``end_event`` of a run, less ``end_how``, until its event is complete."""

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
def narrow32(value):
    """Return what stands for a number of acts, owners or details in 32 bits."""
    return np.int32(ABSENT32) if value == ABSENT64 else np.int32(value)


@inner
def _act_of(t, r, d):
    key = t.key
    key[0] = r["state"]
    key[1] = r["evidence"]
    key[2] = r["how"]
    key[3] = _wide16(r["cpu"])
    key[4] = _wide8(r["order"])
    key[5] = r["unordered"]
    key[6] = _wide32(d["free_pid"])
    key[7] = _wide32(d["free_tgid"])
    key[8] = d["free_comm"]
    key[9] = d["free_stack"]
    return row_of(t.acts, t.act_table, key, t.acts.shape[1], t.counts, ACTS)


@inner
def _owner_of(t, r, d):
    if r["owner"] >= 0:
        return r["owner"]
    key = t.key
    key[0] = _wide32(d["pid"])
    key[1] = _wide32(d["tgid"])
    key[2] = d["comm"]
    key[3] = d["gfp_mask"]
    key[4] = _wide8(d["migratetype"])
    key[5] = d["stack"]
    key[6] = _wide8(r["migrate_reason"])
    return row_of(t.owners, t.owner_table, key, t.owners.shape[1], t.counts, OWNERS)


@inner
def _detail_of(t, r, d):
    """Return the row of what an event has beside the rest; -1: nothing.

    The first page of a block that was allocated or freed follows from any of its pages, and its order: the fold takes no other.
    """
    how = r["how"]
    whole = how in (_H_ALLOC, _H_FREE, _H_DRAIN, _H_REFILL, _H_ISOLATE)
    follows = whole and r["order"] >= 0 and d["block_pfn"] & ((np.int64(1) << r["order"]) - 1) == 0
    same_time = d["evidence_ts"] == d["begin_ts"]
    none = d["ts_nsec"] == ABSENT64 and d["free_ts_nsec"] == ABSENT64 and d["src_pfn"] == ABSENT64
    if follows and same_time and none:
        return np.int32(-1)
    key = t.key
    key[0] = ABSENT64 if follows else d["block_pfn"]
    key[1] = ABSENT64 if same_time else d["evidence_ts"]
    key[2] = d["ts_nsec"]
    key[3] = d["free_ts_nsec"]
    key[4] = d["src_pfn"]
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
def _begun_by(t, r, d):
    """Add the event that began a record, which is *r* with its draft *d*, or all in its draft; return its number."""
    act, owner, detail = _act_of(t, r, d), _owner_of(t, r, d), _detail_of(t, r, d)
    age = ABSENT64 if r["alloc_ts"] == ABSENT64 else d["begin_ts"] - r["alloc_ts"]
    return _add_event(t, d["begin_seq"], d["begin_ts"], age, act, owner, detail)


@inner
def _begin(t):
    """See ``begin``."""
    for i in range(t.counts[FRESH]):
        r = t.records[t.fresh[i]]
        if r["event"] == DRAFT - i and r["pages"] > 0:  # otherwise it was given back
            event = _begun_by(t, r, t.drafts[i])
            t.drafts[i]["event"] = event
            r["event"] = event
            r["owner"] = t.events.owner[event]
            r["detail"] = t.events.detail[event]
    for i in range(t.counts[BEGUN_RUNS], t.counts[RUNS]):
        begun = t.runs[i]["begin_event"]
        if begun <= DRAFT:
            d = t.drafts[DRAFT - begun]
            if d["event"] < 0:
                d["event"] = _begun_by(t, d, d)
            t.runs[i]["begin_event"] = d["event"]
    t.counts[FRESH] = 0
    t.counts[BEGUN_RUNS] = t.counts[RUNS]


@inner
def settled(t, seq, ts):
    """See ``settle``."""
    _begin(t)
    first = t.counts[SETTLED_EVENTS]
    for event in range(first, t.counts[EVENT_ROWS]):
        how = t.acts[t.events.act[event], _HOW]
        if t.by_how[how] < 0:
            t.by_how[how] = event
    for i in range(t.counts[SETTLED_RUNS], t.counts[RUNS]):
        how = np.int64(ENDED_BY) - t.runs[i]["end_event"]
        if t.by_how[how] < 0:
            t.by_how[how] = _add_event(t, seq, ts, ABSENT64, _ending_act(t, how), np.int32(-1), np.int32(-1))
        t.runs[i]["end_event"] = t.by_how[how]
    for event in range(first, t.counts[EVENT_ROWS]):
        t.by_how[t.acts[t.events.act[event], _HOW]] = -1
    t.counts[SETTLED_RUNS] = t.counts[RUNS]
    t.counts[SETTLED_EVENTS] = t.counts[EVENT_ROWS]


@jit
def begin(t):
    """Give the records that the present event began so far the numbers of its rows: they are complete, and need no drafts."""
    _begin(t)


@jit
def settle(t, seq, ts):
    """Give the records that an event began, and the runs that it ended, the numbers of its rows.

    Rules change a record until the event is over, so it has no row before. A span ends with an event that began others in the same
    way, or, if there is none, with a row of its own.
    """
    settled(t, seq, ts)


@jit
def mark_used(t, events, acts, owners, details):
    """Mark, in arrays (e,), (a,), (o,) and (d,) of int8 that are zero, the events of open records, and what these refer to."""
    e = t.events
    for handle in range(t.records.shape[0]):
        r = t.records[handle]
        if r["pages"] > 0:
            events[r["event"]] = 1
            acts[e.act[r["event"]]] = 1
            owners[r["owner"]] = 1
            if r["detail"] >= 0:
                details[r["detail"]] = 1


@jit
def renumber(t, events, owners, details):
    """Give open records the numbers that rows of events, owners and details have now, int32, by the old ones."""
    for handle in range(t.records.shape[0]):
        r = t.records[handle]
        if r["pages"] > 0:
            r["event"] = events[r["event"]]
            r["owner"] = owners[r["owner"]]
            r["detail"] = details[r["detail"]]
