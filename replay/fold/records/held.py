"""What records say, for Python: at a time when no record has a draft."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from pagetrail.replay.fold.tables import HELD_DTYPE, LAST_TS, NO_EVENT, Array, Tables
from pagetrail.schemas.owner import ABSENT64, ACT_FIELDS, DETAIL_FIELDS, OWNER_FIELDS, RECORD_DTYPE

_OF_EVENTS: Final = {"begin_seq": "seq", "begin_ts": "ts"}
_HELD: Final = tuple(name for name in HELD_DTYPE.names or () if name in (RECORD_DTYPE.names or ()))


def held(t: Tables, name: str, handles: NDArray[np.integer]) -> Array:
    """Return a field of the records with these *handles* (n,), by its name in RECORD_DTYPE; anything for a record that is unused.

    The first page of a block may be absent: then it follows from the order and from any of its pages.
    """
    if name in _HELD:
        return np.asarray(t.records[name][handles])
    if name in _OF_EVENTS:
        return np.asarray(getattr(t.events, _OF_EVENTS[name])[_rows(t, "event", handles)])
    if name in ACT_FIELDS:
        rows = t.events.act[_rows(t, "event", handles)]
        return _narrow(t.acts[rows, ACT_FIELDS.index(name)], name)
    if name in OWNER_FIELDS:
        return _narrow(t.owners[_rows(t, "owner", handles), OWNER_FIELDS.index(name)], name)
    begun = held(t, "begin_ts", handles)
    detail = np.where(t.records["pages"][handles] > 0, t.records["detail"][handles], -1)
    found = np.where(detail >= 0, t.details[np.maximum(detail, 0), DETAIL_FIELDS.index(name)], ABSENT64)
    return np.where(found == ABSENT64, begun, found) if name == "evidence_ts" else found


def records_of(t: Tables, handles: NDArray[np.integer], pfn: NDArray[np.int64]) -> NDArray[np.void]:
    """Return the records (RECORD_DTYPE) with these *handles* (n,), each of which has a page *pfn* (n,)."""
    records = np.zeros(handles.size, RECORD_DTYPE)
    for name in RECORD_DTYPE.names or ():
        records[name] = held(t, name, handles)
    order = np.maximum(records["order"], 0).astype(np.int64)
    block = records["block_pfn"]
    records["block_pfn"] = np.where(block == ABSENT64, pfn >> order << order, block)
    return records


def hold(t: Tables, handles: NDArray[np.integer], events: NDArray[np.int32]) -> None:
    """Let unused records (n,) be those that *events* (n,) began; no pages refer to them yet."""
    e, records = t.events, t.records
    age, act, owner = e.age[events], e.act[events], e.owner[events]
    records["event"][handles], records["owner"][handles], records["detail"][handles] = events, owner, e.detail[events]
    records["alloc_ts"][handles] = np.where(age == ABSENT64, ABSENT64, e.ts[events] - age)
    for rows, which, fields in ((t.acts, act, ACT_FIELDS), (t.owners, owner, OWNER_FIELDS)):
        for i, name in enumerate(fields):
            if name in _HELD:
                records[name][handles] = _narrow(rows[which, i], name)


def lasting_doubts(t: Tables) -> NDArray[np.int64]:
    """Return (n, 3) pfn, nr_pages, end: runs of pages of which evidence up to *end* (trace clock, ns) is in a doubt that lasts.

    Those are left out whose evidence is later, and whose evidence to come is: a doubt of them no longer bears on anything.
    """
    found = [np.zeros((0, 3), np.int64)]
    pages, last = t.owner.shape[1], t.counts[LAST_TS]
    for section_nr in np.flatnonzero(t.slot >= 0).tolist() if t.doubted.shape[0] else ():
        slot = t.slot[section_nr]
        until, handles = t.doubted[slot], t.owner[slot]
        past = (handles >= 0) & (held(t, "evidence_ts", handles) > until) & (until < last)
        until = np.where(past, NO_EVENT, until)
        starts = np.flatnonzero(np.concatenate(([True], until[1:] != until[:-1])))
        runs = np.stack([starts + section_nr * pages, np.diff(np.append(starts, pages)), until[starts]], axis=1)
        found.append(runs[runs[:, 2] != NO_EVENT])
    return np.concatenate(found)


def _rows(t: Tables, which: str, handles: NDArray[np.integer]) -> Array:
    """Return the rows that records refer to; 0 for those that are unused."""
    rows = np.where(t.records["pages"][handles] > 0, t.records[which][handles], 0)
    if rows.size and rows.min() < 0:
        raise ValueError(f"expected records whose {which} has a row, found one that the present event began")
    return rows


def _narrow(values: NDArray[np.int64], name: str) -> Array:
    kind = RECORD_DTYPE[name]
    return np.where(values == ABSENT64, np.iinfo(kind).min, values).astype(kind)
