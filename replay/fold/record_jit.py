"""Records that pages share: take, fill, move from page to page, give back; and writing the spans that end.

Dimensions as in ``tables.py``. Pages are counted within their section; a run is pages next to each other with one record.
"""

import numpy as np

from pagetrail.replay.fold.event_jit import began, ended_by
from pagetrail.replay.fold.tables import FRESH, LIVE, RUNS, SPARE
from pagetrail.schemas.jit import inner
from pagetrail.schemas.owner import ABSENT8, ABSENT16, ABSENT32, ABSENT64, Evidence, State

_OWNED, _OBSERVED = int(State.OWNED), int(Evidence.OBSERVED)


@inner
def take_record(t):
    """Return an unused record."""
    t.counts[SPARE] -= 1
    t.counts[LIVE] += 1
    handle = t.spare[t.counts[SPARE]]
    t.records[handle]["pages"] = 0
    t.fresh[t.counts[FRESH]] = handle
    t.counts[FRESH] += 1
    return handle


@inner
def release(t, handle, pages):
    """Drop the references of *pages* pages to a record; give it back when none is left."""
    t.records[handle]["pages"] -= pages
    if t.records[handle]["pages"] == 0:
        t.spare[t.counts[SPARE]] = handle
        t.counts[SPARE] += 1
        t.counts[LIVE] -= 1


@inner
def close(t, handle, pfn, nr_pages, generation, seq, how, kernel_view):
    """Write the end of the span that *handle* had on a run of pages, and drop their references to it."""
    i = t.counts[RUNS]
    run = t.runs[i]
    run["pfn"] = pfn
    run["nr_pages"] = nr_pages
    run["begin_event"] = began(t, handle, seq)
    run["end_event"] = ended_by(how)
    run["generation"] = generation
    run["kernel_view"] = kernel_view
    t.counts[RUNS] = i + 1
    release(t, handle, nr_pages)


@inner
def run_length(row, first, stop):
    """Return how many pages from *first*, before *stop*, have the same record."""
    handle = row[first]
    i = first + 1
    while i < stop and row[i] == handle:
        i += 1
    return i - first


@inner
def move(t, row, first, stop, base, generation, source, target, seq, how):
    """Move the pages of [first, stop) that refer to *source* to *target*, run by run."""
    i = first
    while i < stop:
        if row[i] != source:
            i += 1
            continue
        length = run_length(row, i, stop)
        close(t, source, base + i, length, generation, seq, how, 0)
        row[i : i + length] = target
        t.records[target]["pages"] += length
        i += length


@inner
def forget_kernel_view(t, slot, first, stop, base, generation, seq, how):
    """End the kernel's differing records on pages [first, stop) of a section: the event made both views equal."""
    row = t.kernel[slot]
    i = first
    while i < stop:
        if row[i] < 0:
            i += 1
            continue
        length = run_length(row, i, stop)
        close(t, row[i], base + i, length, generation, seq, how, 1)
        row[i : i + length] = -1
        i += length


@inner
def blank(t, handle):
    """Set the fields of a record to absent."""
    r = t.records[handle]
    r["evidence_ts"] = ABSENT64
    r["alloc_ts"] = ABSENT64
    r["ts_nsec"] = ABSENT64
    r["free_ts_nsec"] = ABSENT64
    r["src_pfn"] = ABSENT64
    r["gfp_mask"] = ABSENT64
    r["pid"] = ABSENT32
    r["tgid"] = ABSENT32
    r["comm"] = -1
    r["stack"] = -1
    r["free_pid"] = ABSENT32
    r["free_tgid"] = ABSENT32
    r["free_comm"] = -1
    r["free_stack"] = -1
    r["pages"] = 0
    r["cpu"] = ABSENT16
    r["unordered"] = 0
    r["migratetype"] = ABSENT8
    r["migrate_reason"] = ABSENT8


@inner
def new_owner(t, pfn, pages, order, seq, ts, cpu, pid, tgid, comm, gfp, alloc_ts, how):
    """Return the record of pages that were seen to get an owner."""
    handle = take_record(t)
    blank(t, handle)
    r = t.records[handle]
    r["block_pfn"] = pfn
    r["order"] = order
    r["state"] = _OWNED
    r["evidence"] = _OBSERVED
    r["how"] = how
    r["alloc_ts"] = alloc_ts
    r["begin_seq"] = seq
    r["begin_ts"] = ts
    r["evidence_ts"] = ts
    r["pid"] = pid
    r["tgid"] = tgid
    r["comm"] = comm
    r["gfp_mask"] = gfp
    r["cpu"] = cpu
    r["pages"] = pages
    return handle


@inner
def begin_at(t, handle, pfn, pages, order, seq, ts, cpu, unordered):
    """Let a record begin at *ts* on *pages* pages with *order*; a record that was unordered stays so."""
    r = t.records[handle]
    r["pages"] = pages
    r["order"] = order
    r["begin_seq"] = seq
    r["begin_ts"] = ts
    r["cpu"] = cpu
    if unordered:
        r["unordered"] = 1
    if order > 0:
        r["block_pfn"] = pfn - (pfn & ((np.int64(1) << order) - 1))
