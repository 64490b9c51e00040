"""Records that pages share: take, fill, move from page to page, give back; and writing the spans that end.

Dimensions as in ``tables.py``. Pages are counted within their section; a run is pages next to each other with one record.

A record has only what most rules ask. The rest is in the rows of the event that began it; while that event is the present one, it
is in a draft, as there are no such rows yet: see ``event_jit.settle``.
"""

import numpy as np

from pagetrail.replay.fold.records.event_jit import DRAFT, ENDED_BY, narrow32
from pagetrail.replay.fold.tables import FRESH, LIVE, RUNS, SPARE
from pagetrail.schemas.jit import apart, inner
from pagetrail.schemas.owner import ABSENT8, ABSENT16, ABSENT32, ABSENT64, Evidence, State

_OWNED, _OBSERVED = int(State.OWNED), int(Evidence.OBSERVED)
_FREE_PID, _FREE_TGID, _FREE_COMM, _FREE_STACK = range(6, 10)  # columns of acts
_PID, _TGID, _COMM, _GFP, _MIGRATETYPE, _STACK = range(6)  # columns of owners
_BLOCK, _EVIDENCE, _TS, _FREE_TS, _SRC = range(5)  # columns of details


@inner
def take_record(t):
    """Return an unused record, with a draft: the present event begins it."""
    t.counts[SPARE] -= 1
    t.counts[LIVE] += 1
    handle = t.spare[t.counts[SPARE]]
    row = t.counts[FRESH]
    t.fresh[row] = handle
    t.counts[FRESH] = row + 1
    t.records[handle]["pages"] = 0
    t.records[handle]["event"] = DRAFT - row
    t.drafts[row]["event"] = -1
    return handle


@inner
def draft_of(t, handle):
    """Return the draft of a record that the present event began."""
    return t.drafts[DRAFT - t.records[handle]["event"]]


@inner
def release(t, handle, pages):
    """Drop the references of *pages* pages to a record; give it back when none is left."""
    t.records[handle]["pages"] -= pages
    if t.records[handle]["pages"] == 0:
        t.spare[t.counts[SPARE]] = handle
        t.counts[SPARE] += 1
        t.counts[LIVE] -= 1


@inner
def close(t, handle, pfn, nr_pages, generation, how, kernel_view):
    """Write the end of the span that *handle* had on a run of pages, and drop their references to it."""
    i = t.counts[RUNS]
    run = t.runs[i]
    run["pfn"] = pfn
    run["nr_pages"] = nr_pages
    run["begin_event"] = began(t, handle)
    run["end_event"] = np.int32(ENDED_BY - how)
    run["generation"] = generation
    run["kernel_view"] = kernel_view
    t.counts[RUNS] = i + 1
    release(t, handle, nr_pages)


@inner
def began(t, handle):
    """Return the event that began a record, or what stands for it until it is complete.

    A record that the present event began may be taken again in it, so its draft keeps all of it.
    """
    r = t.records[handle]
    if r["event"] <= DRAFT:
        d = draft_of(t, handle)
        d["owner"] = r["owner"]
        d["alloc_ts"] = r["alloc_ts"]
        d["cpu"] = r["cpu"]
        d["order"] = r["order"]
        d["state"] = r["state"]
        d["evidence"] = r["evidence"]
        d["how"] = r["how"]
        d["migrate_reason"] = r["migrate_reason"]
        d["unordered"] = r["unordered"]
    return r["event"]


@inner
def run_length(row, first, stop):
    """Return how many pages from *first*, before *stop*, have the same record."""
    handle = row[first]
    i = first + 1
    while i < stop and row[i] == handle:
        i += 1
    return i - first


@inner
def move(t, row, first, stop, base, generation, source, target, how):
    """Move the pages of [first, stop) that refer to *source* to *target*, run by run."""
    i = first
    while i < stop:
        if row[i] != source:
            i += 1
            continue
        length = run_length(row, i, stop)
        close(t, source, base + i, length, generation, how, 0)
        row[i : i + length] = target
        t.records[target]["pages"] += length
        i += length


@inner
def forget_kernel_view(t, slot, first, stop, base, generation, how):
    """End the kernel's differing records on pages [first, stop) of a section: the event made both views equal."""
    row = t.kernel[slot]
    i = first
    while i < stop:
        if row[i] < 0:
            i += 1
            continue
        length = run_length(row, i, stop)
        close(t, row[i], base + i, length, generation, how, 1)
        row[i : i + length] = -1
        i += length


# -- what a record says --------------------------------------------------------------------------------------------------


@inner
def begin_seq_of(t, handle):
    """Return the stream_seq of the event that began a record."""
    event = t.records[handle]["event"]
    return draft_of(t, handle)["begin_seq"] if event <= DRAFT else t.events.seq[event]


@inner
def begin_ts_of(t, handle):
    """Return the time of the event that began a record, trace clock, ns."""
    event = t.records[handle]["event"]
    return draft_of(t, handle)["begin_ts"] if event <= DRAFT else t.events.ts[event]


@inner
def evidence_ts_of(t, handle):
    """Return the time of a record's evidence, trace clock, ns."""
    r = t.records[handle]
    if r["event"] <= DRAFT:
        return draft_of(t, handle)["evidence_ts"]
    if r["detail"] >= 0 and t.details[r["detail"], _EVIDENCE] != ABSENT64:
        return t.details[r["detail"], _EVIDENCE]
    return t.events.ts[r["event"]]


@inner
def block_pfn_of(t, handle, pfn):
    """Return the first page of the block that a record had when it began; *pfn* is a page of it."""
    r = t.records[handle]
    if r["event"] <= DRAFT:
        return draft_of(t, handle)["block_pfn"]
    if r["detail"] >= 0 and t.details[r["detail"], _BLOCK] != ABSENT64:
        return t.details[r["detail"], _BLOCK]
    return pfn & -(np.int64(1) << np.int64(max(r["order"], 0)))


@inner
def src_pfn_of(t, handle):
    """Return the page that the contents of a record's were migrated from."""
    r = t.records[handle]
    if r["event"] <= DRAFT:
        return draft_of(t, handle)["src_pfn"]
    return t.details[r["detail"], _SRC] if r["detail"] >= 0 else ABSENT64


@inner
def ts_nsec_of(t, handle):
    """Return page_owner's stamp of a record, ns."""
    r = t.records[handle]
    if r["event"] <= DRAFT:
        return draft_of(t, handle)["ts_nsec"]
    return t.details[r["detail"], _TS] if r["detail"] >= 0 else ABSENT64


@inner
def pid_of(t, handle):
    """Return the thread id of a record's owner."""
    owner = t.records[handle]["owner"]
    return narrow32(t.owners[owner, _PID]) if owner >= 0 else draft_of(t, handle)["pid"]


@inner
def gfp_mask_of(t, handle):
    """Return the gfp mask of a record's owner."""
    owner = t.records[handle]["owner"]
    return t.owners[owner, _GFP] if owner >= 0 else draft_of(t, handle)["gfp_mask"]


# -- records that the present event begins -------------------------------------------------------------------------------


@inner
def blank(t, handle):
    """Set the fields of a new record to absent."""
    r, d = t.records[handle], draft_of(t, handle)
    r["owner"] = -1
    r["alloc_ts"] = ABSENT64
    r["pages"] = 0
    r["cpu"] = ABSENT16
    r["unordered"] = 0
    r["migrate_reason"] = ABSENT8
    d["evidence_ts"] = ABSENT64
    d["ts_nsec"] = ABSENT64
    d["free_ts_nsec"] = ABSENT64
    d["src_pfn"] = ABSENT64
    d["gfp_mask"] = ABSENT64
    d["pid"] = ABSENT32
    d["tgid"] = ABSENT32
    d["comm"] = -1
    d["stack"] = -1
    d["migratetype"] = ABSENT8
    d["free_pid"] = ABSENT32
    d["free_tgid"] = ABSENT32
    d["free_comm"] = -1
    d["free_stack"] = -1


@apart
def copy_record(t, target, source, pfn):
    """Let a new record say what another one says, of which *pfn* is a page; no pages have it yet."""
    r, s, d = t.records[target], t.records[source], draft_of(t, target)
    r["owner"] = s["owner"]
    r["alloc_ts"] = s["alloc_ts"]
    r["cpu"] = s["cpu"]
    r["order"] = s["order"]
    r["state"] = s["state"]
    r["evidence"] = s["evidence"]
    r["how"] = s["how"]
    r["migrate_reason"] = s["migrate_reason"]
    r["unordered"] = s["unordered"]
    r["pages"] = 0
    if s["owner"] < 0:
        f = draft_of(t, source)
        d["pid"] = f["pid"]
        d["tgid"] = f["tgid"]
        d["comm"] = f["comm"]
        d["gfp_mask"] = f["gfp_mask"]
        d["migratetype"] = f["migratetype"]
        d["stack"] = f["stack"]
    d["begin_seq"] = begin_seq_of(t, source)
    d["begin_ts"] = begin_ts_of(t, source)
    d["evidence_ts"] = evidence_ts_of(t, source)
    d["block_pfn"] = block_pfn_of(t, source, pfn)
    d["ts_nsec"] = ts_nsec_of(t, source)
    d["src_pfn"] = src_pfn_of(t, source)
    if s["event"] <= DRAFT:
        f = draft_of(t, source)
        d["free_ts_nsec"] = f["free_ts_nsec"]
        d["free_pid"] = f["free_pid"]
        d["free_tgid"] = f["free_tgid"]
        d["free_comm"] = f["free_comm"]
        d["free_stack"] = f["free_stack"]
        return
    d["free_ts_nsec"] = t.details[s["detail"], _FREE_TS] if s["detail"] >= 0 else ABSENT64
    act = t.acts[t.events.act[s["event"]]]
    d["free_pid"] = narrow32(act[_FREE_PID])
    d["free_tgid"] = narrow32(act[_FREE_TGID])
    d["free_comm"] = act[_FREE_COMM]
    d["free_stack"] = act[_FREE_STACK]


@inner
def open_owner(t, handle):
    """Let the owner of a new record be changed: its draft has all of it, and another row of owners may be found for it."""
    r = t.records[handle]
    if r["owner"] < 0:
        return
    owner, d = t.owners[r["owner"]], draft_of(t, handle)
    r["owner"] = -1
    d["pid"] = narrow32(owner[_PID])
    d["tgid"] = narrow32(owner[_TGID])
    d["comm"] = owner[_COMM]
    d["gfp_mask"] = owner[_GFP]
    d["migratetype"] = ABSENT8 if owner[_MIGRATETYPE] == ABSENT64 else owner[_MIGRATETYPE]
    d["stack"] = owner[_STACK]


@inner
def new_owner(t, pfn, pages, order, seq, ts, cpu, pid, tgid, comm, gfp, alloc_ts, how):
    """Return the record of pages that were seen to get an owner."""
    handle = take_record(t)
    blank(t, handle)
    r, d = t.records[handle], draft_of(t, handle)
    r["order"] = order
    r["state"] = _OWNED
    r["evidence"] = _OBSERVED
    r["how"] = how
    r["alloc_ts"] = alloc_ts
    r["cpu"] = cpu
    r["pages"] = pages
    begin_now(t, handle, seq, ts)
    d["block_pfn"] = pfn
    d["evidence_ts"] = ts
    d["pid"] = pid
    d["tgid"] = tgid
    d["comm"] = comm
    d["gfp_mask"] = gfp
    return handle


@inner
def begin_now(t, handle, seq, ts):
    """Let a new record begin with the present event."""
    d = draft_of(t, handle)
    d["begin_seq"] = seq
    d["begin_ts"] = ts


@inner
def begin_at(t, handle, pfn, pages, order, seq, ts, cpu, unordered):
    """Let a new record begin at *ts* on *pages* pages with *order*; a record that was unordered stays so."""
    r = t.records[handle]
    r["pages"] = pages
    r["order"] = order
    r["cpu"] = cpu
    if unordered:
        r["unordered"] = 1
    begin_now(t, handle, seq, ts)
    if order > 0:
        draft_of(t, handle)["block_pfn"] = pfn - (pfn & ((np.int64(1) << order) - 1))
